package web

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// fakeController is a Controller in memory.
type fakeController struct {
	mu       sync.Mutex
	streams  map[string]controller.StreamView
	helpers  []controller.HelperView
	accounts []controller.AccountView
	history  map[string][]controller.Transition // newest first
	records  []controller.Record                // newest first
	logs     map[string][]string
	pictures map[string][]byte
	notReady []string
	failWith error // of all calls that can fail
	requests []controller.ModeRequest

	changes  []controller.Change // all so far
	watchers map[chan struct{}]bool
}

func newFake(ids ...string) *fakeController {
	f := &fakeController{
		streams: map[string]controller.StreamView{}, history: map[string][]controller.Transition{},
		logs:     map[string][]string{},
		pictures: map[string][]byte{}, watchers: map[chan struct{}]bool{},
	}
	for _, id := range ids {
		f.streams[id] = idleStream(controller.StreamID(id))
	}
	return f
}

var testStart = time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)

func idleStream(id controller.StreamID) controller.StreamView {
	account, name, _ := id.Split()
	return controller.StreamView{
		ID: id, Account: account, Name: name, Phase: controller.PhaseIdle, Mode: controller.ModeAuto, Managed: true,
		Reason: "nobody watches", Since: controller.Time{Time: testStart},
		Savings:  controller.Savings{Since: controller.Time{Time: testStart}},
		Encoders: []controller.EncoderView{{Name: "cam", Driver: "ffmpeg", State: encoders.StateStopped}},
	}
}

func (f *fakeController) Streams() []controller.StreamView {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []controller.StreamView
	for _, id := range slices.Sorted(maps.Keys(f.streams)) {
		out = append(out, f.streams[id])
	}
	return out
}

func (f *fakeController) Helpers() []controller.HelperView {
	return append([]controller.HelperView{}, f.helpers...)
}

func (f *fakeController) Stream(id controller.StreamID) (controller.StreamView, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.streams[string(id)]
	return s, ok
}

func (f *fakeController) Accounts() []controller.AccountView {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.accounts)
}

func (f *fakeController) SetMode(
	_ context.Context, id controller.StreamID, r controller.ModeRequest,
) (controller.StreamView, error) {
	if f.failWith != nil {
		return controller.StreamView{}, f.failWith
	}
	s, ok := f.Stream(id)
	if !ok {
		return s, fmt.Errorf("%w: %s", controller.ErrUnknownStream, id)
	}
	s.Mode, s.ModeUntil, s.ModeBy, s.ModeWhy = r.Mode, nil, nil, nil
	if r.Mode != controller.ModeAuto {
		s.ModeBy, s.ModeWhy = &r.By, &r.Why
	}
	if r.For > 0 {
		s.ModeUntil = &controller.Time{Time: time.Now().Add(r.For)}
	}
	f.mu.Lock()
	f.requests = append(f.requests, r)
	f.mu.Unlock()
	f.put(s)
	return s, nil
}

func (f *fakeController) SetDemand(
	_ context.Context, id controller.StreamID, r controller.DemandRequest,
) (controller.StreamView, error) {
	if f.failWith != nil {
		return controller.StreamView{}, f.failWith
	}
	s, ok := f.Stream(id)
	if !ok {
		return s, fmt.Errorf("%w: %s", controller.ErrUnknownStream, id)
	}
	s.Demand = nil
	if r.For > 0 {
		s.Demand = []controller.Lease{{By: r.By, Until: controller.Time{Time: time.Now().Add(r.For)}}}
	}
	f.put(s)
	return s, nil
}

func (f *fakeController) History(
	_ context.Context, id controller.StreamID, limit int, before int64,
) ([]controller.Transition, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []controller.Transition
	for _, tr := range f.history[string(id)] {
		if len(out) < limit && (before == 0 || tr.Seq < before) {
			out = append(out, tr)
		}
	}
	return out, f.failWith
}

func (f *fakeController) Records(_ context.Context, filter controller.RecordFilter) ([]controller.Record, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []controller.Record
	for _, r := range f.records {
		if len(out) < filter.Limit && (filter.Stream == "" || r.Stream == filter.Stream) &&
			(filter.Type == "" || r.Type == filter.Type || r.Event == filter.Type) &&
			(filter.Before == 0 || r.Seq < filter.Before) {
			out = append(out, r)
		}
	}
	return out, f.failWith
}

func (f *fakeController) Log(_ context.Context, id controller.StreamID, _ string, lines int) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.logs[string(id)]
	return slices.Clone(l[max(0, len(l)-lines):]), f.failWith
}

func (f *fakeController) Thumbnail(id controller.StreamID) ([]byte, time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.pictures[string(id)]
	return p, testStart, ok
}

func (f *fakeController) Ready(context.Context) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notReady
}

// put replaces a stream and notifies the watchers.
func (f *fakeController) put(s controller.StreamView) {
	f.mu.Lock()
	f.streams[string(s.ID)] = s
	f.mu.Unlock()
	f.tell(controller.Change{Stream: &s})
}

func (f *fakeController) tell(change controller.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change.ID = uint64(len(f.changes) + 1)
	f.changes = append(f.changes, change)
	for w := range f.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

func (f *fakeController) Watch(ctx context.Context, after uint64) <-chan controller.Change {
	out, more := make(chan controller.Change), make(chan struct{}, 1)
	f.mu.Lock()
	if after == 0 {
		after = uint64(len(f.changes))
	}
	f.watchers[more] = true
	f.mu.Unlock()
	go func() {
		defer close(out)
		defer func() {
			f.mu.Lock()
			delete(f.watchers, more)
			f.mu.Unlock()
		}()
		for {
			f.mu.Lock()
			next := slices.Clone(f.changes[min(after, uint64(len(f.changes))):])
			f.mu.Unlock()
			for _, c := range next {
				select {
				case out <- c:
					after = c.ID
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (f *fakeController) watching() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.watchers)
}
