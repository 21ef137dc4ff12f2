package runner

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// wakeName is the name of the one lease that all pages of a stream have together.
const wakeName = "a page"

// Wake has a page ask for a stream, which wants it for hold as a viewer who waits does. However
// many pages ask, and however often, they renew one lease at most ten times while it lasts; the
// others get the result of the last. ErrFull: as SetDemand.
func (c *Controller) Wake(ctx context.Context, id controller.StreamID, hold time.Duration) error {
	account, name, _ := id.Split()
	s := c.stream(account, name)
	if s == nil {
		return c.noStream(account, name)
	}
	s.mu.Lock()
	w := &s.woken
	now, there := time.Now(), func(l machine.Lease) bool { return l.By == wakeName }
	gone := w.err == nil && !slices.ContainsFunc(s.view.state.Leases, there) // ended early: ask anew
	if w.asking || now.Sub(w.at) < hold/10 && !gone {
		defer s.mu.Unlock()
		return w.err
	}
	w.asking, w.at, w.err = true, now, nil
	s.mu.Unlock()
	_, err := c.SetDemand(ctx, id, controller.DemandRequest{By: wakeName, For: hold})
	s.mu.Lock()
	defer s.mu.Unlock()
	w.asking, w.err = false, err
	return err
}

// woken is how pages last asked for a stream.
type woken struct {
	asking bool // one of them does now
	at     time.Time
	err    error // what came of it
}

// noStream says why there is no stream of that name: unknown, or too many of its pattern.
func (c *Controller) noStream(account, name string) error {
	err := controller.ErrUnknownStream
	if c.closing.Load() {
		err = errStopping
	} else if c.Knows(account, name) {
		err = controller.ErrFull
	}
	return fmt.Errorf("%w: %s", err, controller.JoinID(account, name))
}

// followers are those who wait to be told where single streams are.
type followers struct {
	any atomic.Bool // somebody does: a stream that moves asks this first

	mu sync.Mutex
	of map[controller.StreamID]map[chan controller.Situation]struct{}
}

// Follow sends where the stream is, at once and at each change, until ctx ends. Who reads slowly
// gets the newest only. A stream to which nothing has happened is idle.
func (c *Controller) Follow(ctx context.Context, id controller.StreamID) <-chan controller.Situation {
	f, ch := &c.followers, make(chan controller.Situation, 1)
	f.mu.Lock()
	if f.of == nil {
		f.of = map[controller.StreamID]map[chan controller.Situation]struct{}{}
	}
	if f.of[id] == nil {
		f.of[id] = map[chan controller.Situation]struct{}{}
	}
	f.of[id][ch] = struct{}{}
	f.any.Store(true)
	f.mu.Unlock()
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(f.of[id], ch); len(f.of[id]) == 0 {
			delete(f.of, id)
		}
		f.any.Store(len(f.of) > 0)
	})
	phase := controller.PhaseIdle
	if v, ok := c.Stream(id); ok {
		phase = v.Phase
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case ch <- controller.SituationIn(phase):
	default: // it has moved meanwhile, and that is newer
	}
	return ch
}

// tell tells those who follow the stream that it is in another phase.
func (f *followers) tell(id controller.StreamID, phase controller.Phase) {
	if !f.any.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.of[id] {
		select {
		case <-ch: // not read yet, and old now
		default:
		}
		ch <- controller.SituationIn(phase)
	}
}
