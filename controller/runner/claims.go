package runner

import (
	"fmt"
	"slices"
	"sync"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// claims sees to it that an encoder serves one stream at a time, and that no more encoders run on
// this host than limits.running allows. Whoever is refused stands in a queue, and gets a
// Freed event when it is its turn.
//
// What a stream holds and waits for is in its state, and there alone: after each step its stream
// drops what the state does not have. What the queue says is only a reason to ask again.
type claims struct {
	tell func(stream controller.StreamID, ev machine.Event) // must not block

	mu         sync.Mutex
	limit      int                // 0: none
	configured int                // devices of streams that the configuration names
	holders    map[string]claimer // by device
	waiting    []waiter           // in order of arrival
}

type claimer struct {
	stream  controller.StreamID
	pattern bool // the stream comes from a pattern: anybody can ask for such names
	cover   bool // as the stream's cover, which has a place only while no other encoder needs it
	helper  bool // it is a helper, which takes no place
}

// claimer is the stream as it claims one of its encoders.
func (s *stream) claimer(spec *StreamSpec, state *machine.State, e *machine.Encoder) claimer {
	p := &spec.Policy
	return claimer{s.id, p.Pattern != "", state.IsCover(e), p.Helper}
}

type waiter struct {
	device string
	claimer
}

func newClaims(tell func(stream controller.StreamID, ev machine.Event)) *claims {
	return &claims{tell: tell, holders: map[string]claimer{}}
}

// setLimit takes over limits.running, and how many devices the streams use that are named without a
// pattern.
func (c *claims) setLimit(n, configured int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit, c.configured = n, configured
	c.serve()
}

// claim answers at once. A refusal puts the stream in the queue and tells the holders that are in
// its way. What runs already has its place whatever the limit says.
func (c *claims) claim(device string, by claimer, running bool) (ok bool, holder string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, taken := c.holders[device]
	if taken && at.stream == by.stream && (running || !by.cover) {
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
		c.waiting = append(c.waiting, waiter{device, by})
	}
	c.contend(device, by)
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
	if c.limit > 0 && c.held(by, false) >= c.limit {
		return fmt.Sprintf("the limit of %d running encoders", c.limit)
	}
	if c.limit > 0 && by.pattern && c.held(by, true) >= c.forPatterns() {
		return fmt.Sprintf("the share of patterns in the limit of %d running encoders", c.limit)
	}
	return ""
}

// forPatterns is how many places streams of patterns may take: up to half are kept for those that
// the configuration names.
func (c *claims) forPatterns() int { return max(c.limit-min(c.configured, c.limit/2), 1) }

// held is how many places count for the limit, or for the share of patterns: those of covers count
// for another cover alone.
func (c *claims) held(by claimer, patterns bool) (n int) {
	for _, at := range c.holders {
		if !at.helper && (at.pattern || !patterns) && (by.cover || !at.cover) {
			n++
		}
	}
	return n
}

// clear asks as many covers for their places as are over the limit.
func (c *claims) clear(to controller.StreamID) {
	over := c.held(claimer{cover: true}, false) - c.limit
	for device, at := range c.holders {
		if c.limit > 0 && over > 0 && at.cover {
			c.tell(at.stream, machine.Yield{Device: device, To: string(to)})
			over--
		}
	}
}

// contend tells those who hold what the stream waits for: one holder of the device, or, under the
// limit, all.
func (c *claims) contend(device string, by claimer) {
	at, taken := c.holders[device]
	switch {
	case by.cover: // nobody gives way to it
	case taken && at.cover:
		c.tell(at.stream, machine.Yield{Device: device, To: string(by.stream)})
	case taken:
		c.tell(at.stream, machine.Contended{By: string(by.stream), First: at.pattern && !by.pattern})
	default:
		for _, at := range c.holders {
			if !at.cover && !at.helper {
				c.tell(at.stream, machine.Contended{By: string(by.stream), First: at.pattern && !by.pattern})
			}
		}
	}
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

// serve gives free devices to those who wait longest, streams that the configuration names first,
// and covers last. The caller holds mu.
func (c *claims) serve() {
	for _, turn := range []claimer{{}, {pattern: true}, {cover: true}, {pattern: true, cover: true}} {
		c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool {
			if w.pattern != turn.pattern || w.cover != turn.cover || c.obstacle(w.device, w.claimer) != "" {
				return false
			}
			c.holders[w.device] = w.claimer
			c.clear(w.stream)
			c.tell(w.stream, machine.Freed{Device: w.device})
			return true
		})
	}
}
