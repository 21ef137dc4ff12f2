package runner

import (
	"slices"
	"sync"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// needs tells helpers who needs them. Like a claim, a need is in the state of whoever has it, and
// there alone: after each step a stream, or a helper that keeps others on, says anew what its state
// needs.
type needs struct {
	tell func(helper controller.StreamID, ev machine.Needed) // must not block

	mu     sync.Mutex
	quiet  bool   // states are being brought back, and nobody is told yet
	number uint64 // of the latest need
	of     map[controller.StreamID]*machine.Needed
}

func newNeeds(tell func(helper controller.StreamID, ev machine.Needed)) *needs {
	return &needs{tell: tell, quiet: true, of: map[controller.StreamID]*machine.Needed{}}
}

// set takes what by needs and keeps from now on, and what it needed and kept before.
func (n *needs) set(by controller.StreamID, before, now held) {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := slices.Concat(before.needs, before.keeps, now.needs, now.keeps)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		helper := controller.HelperID(name)
		ev := n.at(helper)
		was, is := slices.Contains(before.needs, name), slices.Contains(now.needs, name)
		kept, keeps := slices.Contains(before.keeps, name), slices.Contains(now.keeps, name)
		if was == is && kept == keeps {
			continue
		}
		if was && !is {
			ev.By = slices.DeleteFunc(slices.Clone(ev.By), func(o machine.Needer) bool { return o.ID == by })
		} else if is && !was {
			n.number++
			ev.By = append(slices.Clip(ev.By), machine.Needer{ID: by, Number: n.number})
		}
		if kept && !keeps {
			ev.Kept = slices.DeleteFunc(slices.Clone(ev.Kept), func(o controller.StreamID) bool { return o == by })
		} else if keeps && !kept {
			ev.Kept = append(slices.Clip(ev.Kept), by)
		}
		if !n.quiet {
			n.tell(helper, *ev)
		}
		if len(ev.By)+len(ev.Kept) == 0 {
			delete(n.of, helper)
		}
	}
}

func (n *needs) at(helper controller.StreamID) *machine.Needed {
	if n.of[helper] == nil {
		n.of[helper] = &machine.Needed{}
	}
	return n.of[helper]
}

// begin ends the quiet, and returns who needs whom by then.
func (n *needs) begin() map[controller.StreamID]machine.Needed {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet = false
	now := make(map[controller.StreamID]machine.Needed, len(n.of))
	for helper, ev := range n.of {
		now[helper] = *ev
	}
	return now
}

// held is what a stream needs and keeps.
type held struct{ needs, keeps []string }

func (h held) same(o held) bool {
	return slices.Equal(h.needs, o.needs) && slices.Equal(h.keeps, o.keeps)
}

// passNeeds passes on what the state needs now, and what a helper has to say to those who need it.
func (s *stream) passNeeds(spec *StreamSpec) {
	if now := (held{s.state.Needs(), s.state.Keeps(&spec.Policy)}); !now.same(s.held) {
		s.c.needs.set(s.id, s.held, now)
		s.held = now
	}
	if !spec.Policy.Helper {
		return
	}
	seen, told := s.state.Seen(s.name), map[machine.Needer]machine.HelperSeen{}
	for _, by := range s.state.Needed.By {
		if told[by] = seen; s.told[by] != seen {
			if o := s.c.lookUp(by.ID); o != nil {
				o.post(seen)
			}
		}
	}
	s.told = told
}

// tellNeeded tells a helper who needs it. Those who need one that the configuration does not have
// are told that.
func (c *Controller) tellNeeded(helper controller.StreamID, ev machine.Needed) {
	if c.hand(controller.HelperAccount, helper.Name(), item{ev: ev}) {
		return
	}
	for _, by := range ev.By {
		if s := c.lookUp(by.ID); s != nil {
			s.post(machine.HelperSeen{Helper: helper.Name(), Error: "it is not in the configuration"})
		}
	}
}

// resumeNeeds tells the helpers who needs them, when all states are back and before any decides.
func (c *Controller) resumeNeeds() {
	for helper, ev := range c.needs.begin() {
		if s := c.stream(controller.HelperAccount, helper.Name()); s != nil {
			s.inbox = slices.Insert(s.inbox, 0, item{ev: ev})
		} else {
			c.tellNeeded(helper, ev)
		}
	}
}
