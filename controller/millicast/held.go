package millicast

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// When a webhook's secret is renewed, the platform signs with the new one at once, before oncue can
// know it, and it does not repeat hooks that were refused. So hooks that no secret verifies are
// held in memory for a while, and received as soon as a new secret verifies them.

// hold keeps a delivery that ring does not verify, if it may be one of the platform's. It returns
// false when ring has been replaced: then the caller must verify again.
func (r *Receiver) hold(d Delivery, sig signature, ring *keyring) bool {
	stream, ok := r.mayBeGenuine(d, ring)
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	if r.ring.Load() != ring {
		return false
	}
	if ok {
		kept := Delivery{
			Via: d.Via, ContentType: ContentJSON, Body: bytes.Clone(d.Body), Received: d.Received, Peer: d.Peer,
		}
		r.held.add(&heldDelivery{Delivery: kept, sig: sig, stream: stream}, r.known.contains(d.Peer), r.now())
	}
	return true
}

// mayBeGenuine reports whether the controller would act on the delivery if a secret verified it,
// and on which stream.
func (r *Receiver) mayBeGenuine(d Delivery, ring *keyring) (stream string, ok bool) {
	if limit, _ := BodyLimit(d.ContentType); limit != MaxJSON || len(d.Body) > maxHeldBody {
		return "", false
	}
	rec, hook, err := parse(d.Body)
	if err != nil || hook.Kind == "" || strings.HasPrefix(hook.Name, ReservedPrefix) ||
		r.now().Sub(rec.Sent).Abs() > MaxSkew {
		return "", false
	}
	if rec.Account != "" {
		return string(rec.Stream), r.controller.Knows(rec.Account, hook.Name)
	}
	for account := range ring.accounts {
		if r.controller.Knows(account, hook.Name) {
			return hook.Name, true
		}
	}
	return "", false
}

// SetSecrets replaces the webhook secrets of all accounts at once, base64 as the platform shows
// them. Deliveries of the last 15 minutes that only a new secret verifies are received before
// SetSecrets returns. A secret that CheckSecret refuses is an error, and then nothing has changed.
// ErrStore in the chain means: the secrets are in force, but deliveries are still held for the next
// call.
func (r *Receiver) SetSecrets(ctx context.Context, secrets map[string][]secret.Value) error {
	ring, err := newKeyring(secrets)
	if err != nil {
		return err
	}
	r.setting.Lock()
	defer r.setting.Unlock()
	r.held.mu.Lock()
	ring.inherit(r.ring.Load())
	r.ring.Store(ring)
	waiting := r.held.removeAll(r.now())
	r.held.mu.Unlock()
	return r.release(ctx, waiting, ring)
}

// release receives the deliveries that ring verifies and holds the others again. It receives
// several at a time, because the journal answers many callers with one sync of the disk.
func (r *Receiver) release(ctx context.Context, waiting []*heldDelivery, ring *keyring) error {
	const atOnce = 64
	var (
		rest   []*heldDelivery
		failed = make([]error, len(waiting))
		slots  = make(chan struct{}, atOnce)
		group  sync.WaitGroup
	)
	for i, d := range waiting {
		keys := ring.verify(d.sig, d.Body)
		if len(keys) == 0 {
			rest = append(rest, d)
			continue
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			failed[i] = r.receiveHeld(ctx, d, keys)
		})
	}
	group.Wait()
	for i, err := range failed {
		if err != nil {
			rest = append(rest, waiting[i])
		}
	}
	r.holdAgain(rest)
	return errors.Join(failed...)
}

// receiveHeld receives a held delivery. It fails only when the store does.
func (r *Receiver) receiveHeld(ctx context.Context, d *heldDelivery, keys []*key) error {
	verdict, err := r.receiveVerified(ctx, d.Delivery, keys)
	switch {
	case errors.Is(err, controller.ErrStore):
		return err
	case err != nil: // it names another account
		return nil
	}
	r.stats.recovered.Add(1)
	r.log.Info("a delivery that was refused before is accepted: a new webhook secret verifies it",
		"account", keys[0].account, "via", d.Via, "received", d.Received, "verdict", verdict)
	return nil
}

// holdAgain returns deliveries to their rooms.
func (r *Receiver) holdAgain(list []*heldDelivery) {
	now := r.now()
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	list = append(list, r.held.removeAll(now)...)
	slices.SortStableFunc(list, byReceived)
	for _, d := range list {
		r.held.add(d, r.known.contains(d.Peer), now)
	}
}
