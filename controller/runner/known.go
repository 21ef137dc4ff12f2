package runner

import (
	"context"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
)

// firstKnown remembers since when each stream that the configuration names has been known, over
// restarts: a stream that nobody has ever asked for saves from then on, and has no state of its own
// that could tell.
type firstKnown struct {
	mu    sync.Mutex
	since map[controller.StreamID]time.Time // by id
}

// knownSetting is the key of its setting in the store.
const knownSetting = "known"

type savedKnown struct {
	Anchor string                            `json:"anchor"` // Clock.Anchor when it was saved
	Since  map[controller.StreamID]time.Time `json:"since"`
}

// noteKnown makes the streams of the configuration known. If that cannot be saved, the next start
// does it again.
func (c *Controller) noteKnown() {
	if !c.first.update(c.cfg.Streams, c.cfg.Clock.Now()) {
		return
	}
	c.calls.Go(func() {
		if err := c.first.save(context.Background(), c.cfg.Store, c.cfg.Clock); err != nil {
			c.cfg.Log.Warn("the times since when streams are known are not saved", "error", err)
		}
	})
}

// knownSince is since when a stream is known: at the latest since this controller was made.
func (c *Controller) knownSince(id controller.StreamID) time.Time {
	if at := c.first.of(id); !at.IsZero() {
		return at
	}
	return c.created
}

// load reads what an earlier process saved. Streams that it cannot read of are known from now on.
func (k *firstKnown) load(ctx context.Context, st controller.Store, clock *Clock) {
	text, err := st.Setting(ctx, knownSetting)
	var saved savedKnown
	if err != nil || text == "" || json.Unmarshal([]byte(text), &saved) != nil {
		return
	}
	k.mu.Lock()
	k.since = saved.Since
	k.mu.Unlock()
	k.shift(clock.SteppedSince(saved.Anchor))
}

// update makes the named streams of a configuration known, forgets those that it has no more, and
// reports whether that changed anything.
func (k *firstKnown) update(specs []StreamSpec, now time.Time) bool {
	since := make(map[controller.StreamID]time.Time, len(specs))
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range specs {
		id := specs[i].ID()
		if at, ok := k.since[id]; ok {
			since[id] = at
		} else {
			since[id] = now
		}
	}
	changed := !maps.Equal(since, k.since)
	k.since = since
	return changed
}

func (k *firstKnown) save(ctx context.Context, st controller.Store, clock *Clock) error {
	k.mu.Lock()
	text, err := json.Marshal(savedKnown{clock.Anchor(), k.since})
	k.mu.Unlock()
	if err != nil {
		return err
	}
	return st.SetSetting(ctx, knownSetting, string(text))
}

// of is since when a stream is known; zero for one that only a pattern matches.
func (k *firstKnown) of(id controller.StreamID) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.since[id]
}

func (k *firstKnown) shift(by time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, at := range k.since {
		k.since[id] = at.Add(by)
	}
}
