package millicast

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/oncue/oncue/controller"
)

// When a webhook's secret is renewed, the platform signs with the new one at once, before anybody here can know it, and it does not repeat what
// was refused. So deliveries that no secret verifies are held in memory for a while, in case a secret comes that does.
const (
	maxHeld      = 1000
	maxHeldBytes = 4 << 20
	maxHeldTime  = 15 * time.Minute
	heldPerSec   = 50 // in the long run; a renewal under load may fill the whole room at once
)

// held are the deliveries that wait for a secret, oldest first.
type held struct {
	mu    sync.Mutex
	list  []heldDelivery
	bytes int
	pace  *rate.Limiter
}

type heldDelivery struct {
	Delivery
	sig signature
}

func newHeld() held { return held{pace: rate.NewLimiter(heldPerSec, maxHeld)} }

// hold keeps a delivery that ring does not verify, if it may be one of the platform's at all. It returns false when the secrets are others by
// now: then the caller must look again.
func (r *Receiver) hold(d Delivery, sig signature, ring *keyring) bool {
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	if r.ring.Load() != ring {
		return false
	}
	now := r.now()
	if looksLikeJSON(d) && r.held.pace.AllowN(now, 1) {
		d.Header = nil
		r.held.add(heldDelivery{d, sig}, now)
	}
	return true
}

func looksLikeJSON(d Delivery) bool {
	if limit, _ := BodyLimit(d.ContentType); limit != MaxJSON {
		return false
	}
	body := bytes.TrimSpace(d.Body)
	return len(body) > 1 && body[0] == '{' && body[len(body)-1] == '}'
}

// add makes room by dropping the oldest: in a renewal, the newest are the ones that count.
func (h *held) add(d heldDelivery, now time.Time) {
	h.list = append(h.list, d)
	h.bytes += len(d.Body)
	drop := 0
	for len(h.list)-drop > maxHeld || h.bytes > maxHeldBytes || h.list[drop].old(now) {
		h.bytes -= len(h.list[drop].Body)
		h.list[drop] = heldDelivery{}
		if drop++; drop == len(h.list) {
			break
		}
	}
	h.list = h.list[drop:]
}

func (d heldDelivery) old(now time.Time) bool { return now.Sub(d.Received) > maxHeldTime }

// takeAll empties the room and returns what is not too old.
func (h *held) takeAll(now time.Time) []heldDelivery {
	list := h.list
	h.list, h.bytes = nil, 0
	for len(list) > 0 && list[0].old(now) {
		list = list[1:]
	}
	return list
}

// putBack returns deliveries to the room without counting them against the pace.
func (r *Receiver) putBack(list []heldDelivery) {
	now := r.now()
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	newer := r.held.list
	r.held.list, r.held.bytes = nil, 0
	for _, d := range append(list, newer...) {
		r.held.add(d, now)
	}
}

// takeHeld takes what ring verifies now and puts the rest back. Several are taken at a time, because the journal answers many callers with one
// sync of the disk.
func (r *Receiver) takeHeld(ctx context.Context, waiting []heldDelivery, ring *keyring) error {
	const atOnce = 64
	var (
		rest   []heldDelivery
		failed = make([]error, len(waiting))
		slots  = make(chan struct{}, atOnce)
		group  sync.WaitGroup
	)
	for i, d := range waiting {
		keys := ring.verify(nil, d.sig, d.Body)
		if len(keys) == 0 {
			rest = append(rest, d)
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_, failed[i] = r.takeLate(ctx, d, keys)
		})
	}
	group.Wait()
	for i, err := range failed {
		if errors.Is(err, controller.ErrStore) {
			rest = append(rest, waiting[i])
		}
	}
	slices.SortStableFunc(rest, func(a, b heldDelivery) int { return a.Received.Compare(b.Received) })
	r.putBack(rest)
	return errors.Join(failed...)
}

func (r *Receiver) takeLate(ctx context.Context, d heldDelivery, keys []*key) (controller.Verdict, error) {
	verdict, err := r.take(ctx, d.Delivery, keys)
	switch {
	case errors.Is(err, controller.ErrStore):
		return "", err
	case err != nil: // another account's, after all
		return "", nil
	}
	r.stats.recovered.Add(1)
	r.log.Info("a delivery that was refused before is taken: a new webhook secret verifies it", "account", keys[0].account, "via", d.Via, "received", d.Received, "verdict", verdict)
	return verdict, nil
}
