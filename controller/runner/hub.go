package runner

import (
	"context"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
)

// hub tells readers what changed. A reader that is too slow is cut off and resumes where it was:
// the last changes are kept.
type hub struct {
	mu     sync.Mutex
	last   uint64
	recent []entry // ring: at most hubMemory, oldest first
	subs   map[chan controller.Change]struct{}
}

const (
	hubMemory = 1024
	hubBuffer = 256
)

// entry is a change that the hub remembers. Its view is made when somebody reads it: hooks come far
// more often than readers.
type entry struct {
	id     uint64
	stream *published // as it was at that time; nil when it is a hook
	at     time.Time
	hook   *controller.Record
}

func (t *entry) change() controller.Change {
	if t.stream == nil {
		return controller.Change{ID: t.id, Hook: t.hook}
	}
	if t.stream.spec.Policy.Helper {
		v := t.stream.helper()
		return controller.Change{ID: t.id, Helper: &v}
	}
	v := t.stream.at(t.at)
	return controller.Change{ID: t.id, Stream: &v}
}

func newHub() *hub { return &hub{subs: map[chan controller.Change]struct{}{}} }

func (h *hub) publish(t entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	t.id = h.last
	if len(h.recent) >= 2*hubMemory {
		h.recent = append(h.recent[:0:0], h.recent[len(h.recent)-hubMemory:]...)
	}
	h.recent = append(h.recent, t)
	if len(h.subs) == 0 {
		return
	}
	ch := t.change()
	for sub := range h.subs {
		select {
		case sub <- ch:
		default:
			delete(h.subs, sub)
			close(sub)
		}
	}
}

// watched reports whether anybody watches now.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs) > 0
}

// watch sends the changes with an ID above after that are still known, then all that follow, until
// ctx ends or the reader falls behind.
func (h *hub) watch(ctx context.Context, after uint64) <-chan controller.Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	var missed []entry
	if after > 0 && after < h.last {
		missed = h.recent[len(h.recent)-min(int(h.last-after), len(h.recent)):]
	}
	sub := make(chan controller.Change, hubBuffer+len(missed))
	for i := range missed {
		sub <- missed[i].change()
	}
	h.subs[sub] = struct{}{}
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, there := h.subs[sub]; there {
			delete(h.subs, sub)
			close(sub)
		}
	})
	return sub
}

// Watch sends changes of streams and hooks as they come, first those after the given id that are
// still remembered. The channel is closed when ctx ends or the reader is too slow; then watch
// again from the last id.
func (c *Controller) Watch(ctx context.Context, after uint64) <-chan controller.Change {
	return c.hub.watch(ctx, after)
}

// Recorded sends a hook that was stored to those who watch.
func (c *Controller) Recorded(r controller.Record) { c.hub.publish(entry{hook: &r}) }
