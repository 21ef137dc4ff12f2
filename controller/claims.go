package controller

import (
	"fmt"
	"slices"
	"sync"
)

// claims sees to it that an encoder serves one stream at a time, and that no more encoders run on this host than limits.running allows. Whoever is
// refused stands in a queue, and is told when it is its turn.
type claims struct {
	tell func(stream, encoder string, ev Event) // must not block

	mu      sync.Mutex
	limit   int               // 0: none
	held    map[string]string // device → stream id
	waiting []claimant        // in order of arrival
}

type claimant struct{ device, stream, encoder, label string }

func newClaims(tell func(stream, encoder string, ev Event)) *claims {
	return &claims{tell: tell, held: map[string]string{}}
}

// restore takes a claim over from before a restart, without a question.
func (c *claims) restore(device, stream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[device] = stream
}

func (c *claims) setLimit(n int) {
	c.mu.Lock()
	c.limit = n
	c.mu.Unlock()
	c.serve()
}

// claim answers at once. A refusal puts the stream in the queue and tells the holders that are in its way.
func (c *claims) claim(device, stream, encoder, label string) (ok bool, holder string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[device] == stream {
		return true, ""
	}
	holder = c.obstacle(device)
	if holder == "" {
		c.held[device] = stream
		return true, ""
	}
	if !slices.ContainsFunc(c.waiting, func(w claimant) bool { return w.device == device && w.stream == stream }) {
		c.waiting = append(c.waiting, claimant{device, stream, encoder, label})
	}
	c.contend(device, stream)
	return false, holder
}

func (c *claims) obstacle(device string) string {
	if by, taken := c.held[device]; taken {
		return by
	}
	if c.limit > 0 && len(c.held) >= c.limit {
		return fmt.Sprintf("the limit of %d running encoders", c.limit)
	}
	return ""
}

// contend tells those who hold what the stream waits for: one holder of the device, or, under the limit, all.
func (c *claims) contend(device, by string) {
	if holder, taken := c.held[device]; taken {
		c.tell(holder, "", Contended{By: by})
		return
	}
	for _, holder := range c.held {
		c.tell(holder, "", Contended{By: by})
	}
}

// release gives a device back, or leaves the queue for it.
func (c *claims) release(device, stream string) {
	c.mu.Lock()
	if c.held[device] == stream {
		delete(c.held, device)
	}
	left := len(c.waiting)
	c.waiting = slices.DeleteFunc(c.waiting, func(w claimant) bool { return w.device == device && w.stream == stream })
	if len(c.waiting) == 0 && left > 0 {
		for _, holder := range c.held {
			c.tell(holder, "", Contended{})
		}
	}
	c.mu.Unlock()
	c.serve()
}

// serve gives free devices to those who wait longest.
func (c *claims) serve() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var rest []claimant
	for _, w := range c.waiting {
		if c.obstacle(w.device) == "" {
			c.held[w.device] = w.stream
			c.tell(w.stream, w.encoder, Claimed{Encoder: w.encoder, OK: true, For: w.label})
		} else {
			rest = append(rest, w)
		}
	}
	c.waiting = rest
}
