package runner

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// claims sees to it that an encoder serves one stream at a time, and that no more encoders run on
// this host than the limits allow. Whoever is refused stands in a queue, and gets a Freed event
// when it is its turn.
//
// What a stream holds and waits for is in its state, and there alone: after each step its stream
// drops what the state does not have. What the queue says is only a reason to ask again.
type claims struct {
	tell func(stream controller.StreamID, ev machine.Event) // must not block

	mu         sync.Mutex
	limits     Limits
	configured int                // devices of streams that the configuration names
	holders    map[string]claimer // by device
	waiting    []waiter           // the first are the first to be served
}

// Limits are how much may run on this host at once. 0 lifts one.
type Limits struct {
	Running int // encoders
	Cost    int // sum of what they cost
}

type claimer struct {
	stream  controller.StreamID
	pattern bool // the stream comes from a pattern: anybody can ask for such names
	cover   bool // as the stream's cover, which has a place only while no other encoder needs it
	helper  bool // it is a helper, which takes no place
	rank    int  // 1 goes first
	cost    int
	leaves  bool // it was told to make room for one of a better rank
}

// before reports whether the claimer is served before another, whoever came first: covers come
// last, streams of a better rank go first, and of one rank those that the configuration names.
func (c claimer) before(o claimer) bool {
	switch {
	case c.cover != o.cover:
		return o.cover
	case c.rank != o.rank:
		return c.rank < o.rank
	}
	return !c.pattern && o.pattern
}

// claimer is the stream as it claims one of its encoders.
func (s *stream) claimer(spec *StreamSpec, state *machine.State, e *machine.Encoder) claimer {
	p := &spec.Policy
	c := claimer{stream: s.id, pattern: p.Pattern != "", cover: state.IsCover(e), helper: p.Helper, rank: p.Rank, cost: 1}
	if now := p.Encoder(e.Name); now != nil {
		c.cost = now.Cost
	}
	return c
}

type waiter struct {
	device string
	claimer
}

func newClaims(tell func(stream controller.StreamID, ev machine.Event)) *claims {
	return &claims{tell: tell, holders: map[string]claimer{}}
}

// setLimits takes over the limits, and how many devices the streams use that are named without a
// pattern.
func (c *claims) setLimits(l Limits, configured int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits, c.configured = l, configured
	c.serve()
}

// claim answers at once. A refusal puts the stream in the queue and tells the holders that are in
// its way. What runs already has its place whatever the limits say.
func (c *claims) claim(device string, by claimer, running bool) (ok bool, holder string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, taken := c.holders[device]
	if taken && at.stream == by.stream && (running || !by.cover) {
		by.leaves = at.leaves
		c.holders[device] = by
		return true, ""
	}
	if taken && at.stream == by.stream { // a cover that was off: others go first
		delete(c.holders, device)
		c.serve()
		_, taken = c.holders[device]
	}
	if holder = c.obstacle(device, by); holder == "" || running && !taken {
		c.holders[device] = by
		c.clear(by.stream)
		return true, ""
	}
	if !slices.ContainsFunc(c.waiting, func(w waiter) bool { return w.device == device && w.stream == by.stream }) {
		at := slices.IndexFunc(c.waiting, func(w waiter) bool { return by.before(w.claimer) })
		if at < 0 {
			at = len(c.waiting)
		}
		c.waiting = slices.Insert(c.waiting, at, waiter{device, by})
	}
	c.contend(device, by)
	c.makeRoom()
	return false, holder
}

// obstacle says who or what keeps the stream from the device.
func (c *claims) obstacle(device string, by claimer) string {
	if at, taken := c.holders[device]; taken {
		return string(at.stream)
	}
	if by.helper {
		return ""
	}
	running, cost := c.held(by, false)
	if n := c.limits.Running; n > 0 && running >= n {
		return fmt.Sprintf("the limit of %d running encoders", n)
	}
	if n := c.limits.Running; n > 0 && by.pattern {
		if of, _ := c.held(by, true); of >= c.forPatterns() {
			return fmt.Sprintf("the share of patterns in the limit of %d running encoders", n)
		}
	}
	for _, w := range c.waiting { // one that costs more must not wait for ever for many that cost less
		if w.device == device && w.stream == by.stream || by.before(w.claimer) {
			break
		}
		if _, taken := c.holders[w.device]; !taken && !w.pattern {
			cost += w.cost
		}
	}
	if n := c.limits.Cost; n > 0 && cost+by.cost > n {
		return fmt.Sprintf("the limit of cost %d, of which it needs %d", n, by.cost)
	}
	return ""
}

// forPatterns is how many places streams of patterns may take: up to half are kept for those that
// the configuration names.
func (c *claims) forPatterns() int {
	return max(c.limits.Running-min(c.configured, c.limits.Running/2), 1)
}

// held is how many places count for the limit, or for the share of patterns, and what they cost:
// those of covers count for another cover alone.
func (c *claims) held(by claimer, patterns bool) (n, cost int) {
	for _, at := range c.holders {
		if !at.helper && (at.pattern || !patterns) && (by.cover || !at.cover) {
			n++
			cost += at.cost
		}
	}
	return n, cost
}

// clear asks as many covers for their places as are over the limits.
func (c *claims) clear(to controller.StreamID) {
	over, cost := c.held(claimer{cover: true}, false)
	for device, at := range c.holders {
		if at.cover && (c.limits.Running > 0 && over > c.limits.Running || c.limits.Cost > 0 && cost > c.limits.Cost) {
			c.tell(at.stream, machine.Yield{Device: device, To: string(to)})
			over, cost = over-1, cost-at.cost
		}
	}
}

// contend tells those who hold what the stream waits for: one holder of the device, or, under the
// limits, all.
func (c *claims) contend(device string, by claimer) {
	at, taken := c.holders[device]
	switch {
	case by.cover: // nobody gives way to it
	case taken && at.cover:
		c.tell(at.stream, machine.Yield{Device: device, To: string(by.stream)})
	case taken:
		c.tell(at.stream, c.contended(at, by))
	default:
		for _, at := range c.holders {
			if !at.cover && !at.helper {
				c.tell(at.stream, c.contended(at, by))
			}
		}
	}
}

func (c *claims) contended(at, by claimer) machine.Contended {
	first := at.pattern && !by.pattern && at.rank >= by.rank
	return machine.Contended{By: string(by.stream), First: first, Outranked: at.leaves}
}

// makeRoom ends what runs for streams of a worse rank than those that wait, the worst first, and no
// more of it than is needed.
func (c *claims) makeRoom() {
	running, cost := c.held(claimer{}, false)
	for _, at := range c.holders {
		if at.leaves {
			running, cost = running-1, cost-at.cost
		}
	}
	for _, w := range c.waiting {
		if w.cover || w.helper {
			continue
		}
		if at, taken := c.holders[w.device]; taken {
			if !at.leaves && w.rank < at.rank && !at.cover {
				c.leave(w.device, w)
			}
			continue
		}
		fits := func(running, cost int) bool {
			return (c.limits.Running == 0 || running < c.limits.Running) &&
				(c.limits.Cost == 0 || cost+w.cost <= c.limits.Cost)
		}
		var leave []string
		n, sum := running, cost
		for _, device := range c.below(w.claimer) {
			if fits(n, sum) {
				break
			}
			leave = append(leave, device)
			n, sum = n-1, sum-c.holders[device].cost
		}
		if !fits(n, sum) {
			continue // it would be in vain
		}
		for _, device := range leave {
			c.leave(device, w)
		}
		running, cost = n+1, sum+w.cost
	}
}

// below lists the devices of streams of a worse rank, the worst first.
func (c *claims) below(by claimer) (devices []string) {
	for device, at := range c.holders {
		if !at.helper && !at.cover && !at.leaves && by.rank < at.rank {
			devices = append(devices, device)
		}
	}
	slices.SortFunc(devices, func(a, b string) int {
		return cmp.Or(cmp.Compare(c.holders[b].rank, c.holders[a].rank), cmp.Compare(a, b))
	})
	return devices
}

// leave has a holder make room.
func (c *claims) leave(device string, to waiter) {
	at := c.holders[device]
	at.leaves = true
	c.holders[device] = at
	c.tell(at.stream, c.contended(at, to.claimer))
}

// release gives a device back, or leaves the queue for it.
func (c *claims) release(device string, stream controller.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holders[device].stream == stream {
		delete(c.holders, device)
	}
	left := c.contenders()
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool { return w.device == device && w.stream == stream })
	if c.contenders() == 0 && left > 0 {
		for _, at := range c.holders {
			c.tell(at.stream, machine.Contended{})
		}
	}
	c.serve()
}

// contenders are those who wait, and to whom others give way.
func (c *claims) contenders() (n int) {
	for _, w := range c.waiting {
		if !w.cover {
			n++
		}
	}
	return n
}

// free reports whether nobody holds the device.
func (c *claims) free(device string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, taken := c.holders[device]
	return !taken
}

// serve gives free devices to those who wait. The caller holds mu.
func (c *claims) serve() {
	c.waiting = slices.DeleteFunc(slices.Clone(c.waiting), func(w waiter) bool {
		if c.obstacle(w.device, w.claimer) != "" {
			return false
		}
		c.holders[w.device] = w.claimer
		c.clear(w.stream)
		c.tell(w.stream, machine.Freed{Device: w.device})
		return true
	})
	if len(c.waiting) > 0 {
		c.makeRoom()
	}
}
