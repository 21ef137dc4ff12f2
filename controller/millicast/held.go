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

// hold keeps a delivery that ring does not verify, if it may be one of the platform's at all. It returns
// false when the secrets are others by now: then the caller must look again.
func (r *Receiver) hold(d Delivery, sig signature, ring *keyring) bool {
	stream, ok := r.looksGenuine(d, ring)
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	if r.ring.Load() != ring {
		return false
	}
	if ok {
		kept := Delivery{Via: d.Via, ContentType: ContentJSON, Body: bytes.Clone(d.Body), Received: d.Received, Peer: d.Peer}
		r.held.add(&heldDelivery{Delivery: kept, sig: sig, stream: stream}, r.known.knows(d.Peer), r.now())
	}
	return true
}

// looksGenuine reports whether the machine would act on the delivery if a secret verified it, and on which
// stream.
func (r *Receiver) looksGenuine(d Delivery, ring *keyring) (stream string, ok bool) {
	if limit, _ := BodyLimit(d.ContentType); limit != MaxJSON || len(d.Body) > maxHeldBody {
		return "", false
	}
	rec, hook, err := parse(d.Body)
	if err != nil || hook.Kind == "" || strings.HasPrefix(hook.Name, ReservedPrefix) || r.now().Sub(rec.Sent).Abs() > MaxSkew {
		return "", false
	}
	if rec.Account != "" {
		return rec.Stream, r.machine.Knows(rec.Account, hook.Name)
	}
	for account := range ring.accounts {
		if r.machine.Knows(account, hook.Name) {
			return hook.Name, true
		}
	}
	return "", false
}

// SetSecrets replaces the webhook secrets of all accounts at once, base64 as the platform shows them. Deliveries that came within the last
// 15 minutes and that only a new secret verifies are taken now, before SetSecrets returns. A secret that CheckSecret refuses is an error,
// and then nothing has changed. ErrStore in the chain means: the secrets are in force, but deliveries are still held for the next call.
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
	waiting := r.held.takeAll(r.now())
	r.held.mu.Unlock()
	return r.takeHeld(ctx, waiting, ring)
}

// takeHeld takes what ring verifies now and puts the rest back. Several are taken at a time, because the journal answers many callers with one
// sync of the disk.
func (r *Receiver) takeHeld(ctx context.Context, waiting []*heldDelivery, ring *keyring) error {
	const atOnce = 64
	var (
		rest   []*heldDelivery
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
	r.putBack(rest)
	return errors.Join(failed...)
}

// putBack returns deliveries to their rooms.
func (r *Receiver) putBack(list []*heldDelivery) {
	now := r.now()
	r.held.mu.Lock()
	defer r.held.mu.Unlock()
	list = append(list, r.held.takeAll(now)...)
	slices.SortStableFunc(list, func(a, b *heldDelivery) int { return a.Received.Compare(b.Received) })
	for _, d := range list {
		r.held.add(d, r.known.knows(d.Peer), now)
	}
}

func (r *Receiver) takeLate(ctx context.Context, d *heldDelivery, keys []*key) (controller.Verdict, error) {
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
