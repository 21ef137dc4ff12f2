package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// HookFaults is what happens to deliveries on their way. The zero value delivers everything once,
// in order, without delay. Probabilities go from 0 to 1; delays are platform time and so scaled.
// Whatever is set, nothing is ever sent again after a failure.
type HookFaults struct {
	Drop      float64 // never sent
	Duplicate float64 // sent twice, byte for byte
	Reorder   float64 // held back until the stream's next hook has been sent, at most 2 s

	// Each delivery waits for a time between these, and not for the one before it.
	DelayMin, DelayMax time.Duration

	Timeout      time.Duration // the receiver has so long to answer; real time; 5 s if zero
	DisableAfter int           // so many time-outs in a row disable the webhook; 0: never
	DisableFor   time.Duration // for how long; 5 min if zero
}

const (
	deliveryTimeout = 5 * time.Second
	disableFor      = 5 * time.Minute
	reorderSpan     = 2 * time.Second

	// A receiver that does not answer holds up the stream's next hook for so long; real time.
	turnSpan = 500 * time.Millisecond
)

// Counts says what became of deliveries since the start.
type Counts struct {
	Answered   int // 2xx
	Refused    int // any other status
	TimedOut   int
	Failed     int // no answer for another reason
	Dropped    int // by the fault
	Duplicated int // of those sent, the second copies
	Reordered  int
	Disabled   int // not sent since the webhook was disabled
}

// hooks holds the webhooks and delivers to them.
type hooks struct {
	set    Settings
	ctx    context.Context
	client *http.Client
	notify func()
	work   sync.WaitGroup

	mu     sync.Mutex // guards the rest
	closed bool
	faults HookFaults
	whole  bool // see Behaviour.WholeFilter
	random *rand.Rand
	list   []*webhook // by id
	lastID int
	queues map[queueKey]*queue
	counts Counts
}

func newHooks(ctx context.Context, set Settings, notify func()) *hooks {
	transport := set.Transport
	if transport == nil {
		// Without a proxy: hooks stay on this host.
		transport = &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}
	}
	return &hooks{
		set: set,
		ctx: ctx,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		notify: notify,
		faults: set.Hooks,
		whole:  set.Behaviour.WholeFilter,
		random: rand.New(rand.NewPCG(set.Seed, 1)),
		lastID: 99,
		queues: make(map[queueKey]*queue),
	}
}

// close waits for the deliveries. The end of the context has cancelled them.
func (h *hooks) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.work.Wait()
	h.client.CloseIdleConnections()
}

// add registers a webhook, with a new secret unless it brings one, and returns it with its id.
func (h *hooks) add(w Webhook) (Webhook, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !w.Secret.Set() {
		w.Secret = randomSecret()
	}
	hook := &webhook{Webhook: w}
	if err := hook.setFilter(w.Filter); err != nil {
		return Webhook{}, fmt.Errorf("webhook filter: %w", err)
	}
	h.lastID++
	hook.ID = h.lastID
	h.list = append(h.list, hook)
	return hook.Webhook, nil
}

var errNoWebhook = errors.New("webhook not found")

// change lets f change a webhook and returns the result. An error of f leaves it as it was.
func (h *hooks) change(id int, f func(*webhook) error) (Webhook, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, w := range h.list {
		if w.ID != id {
			continue
		}
		changed := *w
		changed.disabled(time.Now())
		if err := f(&changed); err != nil {
			return Webhook{}, err
		}
		h.list[i] = &changed
		return changed.Webhook, nil
	}
	return Webhook{}, errNoWebhook
}

func (h *hooks) remove(id int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.IndexFunc(h.list, func(w *webhook) bool { return w.ID == id })
	if at < 0 {
		return errNoWebhook
	}
	h.list = slices.Delete(h.list, at, at+1)
	return nil
}

func (h *hooks) all() []Webhook {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []Webhook
	for _, w := range h.list {
		w.disabled(time.Now())
		list = append(list, w.Webhook)
	}
	return list
}

// wanted reports whether any webhook would get a hook.
func (h *hooks) wanted(about subject, name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.list, func(w *webhook) bool { return w.wants(about, name, h.whole) })
}

// SetHookFaults changes what happens to deliveries, from now on.
func (s *Simulator) SetHookFaults(f HookFaults) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.faults = f
}

// Counts returns what became of deliveries.
func (s *Simulator) Counts() Counts {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return s.hooks.counts
}

// Webhooks returns the account's webhooks.
func (s *Simulator) Webhooks() []Webhook { return s.hooks.all() }

// AddWebhook registers a webhook, with a new secret unless it brings one, and returns it with its
// id.
func (s *Simulator) AddWebhook(w Webhook) (Webhook, error) { return s.hooks.add(w) }
