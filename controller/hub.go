package controller

import (
	"context"
	"sync"
)

// hub tells readers what changed. A reader that is too slow is cut off and resumes where it was: the last changes are kept.
type hub struct {
	mu     sync.Mutex
	last   uint64
	recent []Change // ring: at most hubMemory, oldest first
	subs   map[chan Change]struct{}
}

const (
	hubMemory = 1024
	hubBuffer = 256
)

func newHub() *hub { return &hub{subs: map[chan Change]struct{}{}} }

func (h *hub) publish(ch Change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	ch.ID = h.last
	if len(h.recent) >= 2*hubMemory {
		h.recent = append(h.recent[:0:0], h.recent[len(h.recent)-hubMemory:]...)
	}
	h.recent = append(h.recent, ch)
	for sub := range h.subs {
		select {
		case sub <- ch:
		default:
			delete(h.subs, sub)
			close(sub)
		}
	}
}

// watched reports whether anybody would see a change now.
func (h *hub) watched() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subs) > 0
}

// watch sends the changes with an ID above after that are still known, then all that follow, until ctx ends or the reader falls behind.
func (h *hub) watch(ctx context.Context, after uint64) <-chan Change {
	h.mu.Lock()
	defer h.mu.Unlock()
	var missed []Change
	if after > 0 && after < h.last {
		for _, ch := range h.recent {
			if ch.ID > after {
				missed = append(missed, ch)
			}
		}
	}
	sub := make(chan Change, hubBuffer+len(missed))
	for _, ch := range missed {
		sub <- ch
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
