package runner

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// restore brings a stream back, with its first events in its inbox; resume sets it to work.
func (c *Controller) restore(sv controller.Saved) error {
	var state machine.State
	old := struct{ Active int }{} // of the first edition: the place of the encoder in use
	if err := errors.Join(json.Unmarshal(sv.State, &state), json.Unmarshal(sv.State, &old)); err != nil {
		return err
	}
	if state.InUse == "" && old.Active > 0 && old.Active < len(state.Encoders) {
		state.InUse = state.Encoders[old.Active].Name
	}
	if by := c.cfg.Clock.SteppedSince(state.Anchor); by != 0 {
		state.Shift(by)
		sv.At = sv.At.Add(by)
	}
	account, name, _ := sv.ID.Split()
	c.mu.RLock()
	spec := c.specOf(account, name)
	c.mu.RUnlock()
	for i := range state.Encoders {
		if e := &state.Encoders[i]; e.Device == "" { // saved by the first edition
			e.Device = e.Name
			if spec != nil && spec.Policy.Encoder(e.Name) != nil {
				e.Instance = spec.Policy.Encoder(e.Name).Instance
			}
		}
	}
	c.bringBack(account, name, spec, state, sv.At)
	return nil
}

// bringBack makes a stream that goes on from a state; one that the configuration does not have is
// drained.
func (c *Controller) bringBack(account, name string, spec *StreamSpec, state machine.State, savedAt time.Time) *stream {
	known := spec != nil
	c.mu.RLock()
	defaults := c.cfg.Defaults
	_, hears := c.cfg.Accounts[account]
	c.mu.RUnlock()
	if !known { // what still runs of it must be found to be stopped
		spec = &StreamSpec{Account: account, Name: name, Policy: defaults}
		spec.Policy.Stream = spec.ID()
		if account == controller.HelperAccount {
			spec.Policy.Helper, spec.Policy.Confirm, hears = true, machine.ConfirmSwitch, true
		}
		for _, e := range state.Encoders {
			spec.Policy.Encoders = append(spec.Policy.Encoders, machine.EncoderSpec{Name: e.Name, Instance: e.Instance})
		}
	}
	s := newStream(c, spec)
	s.savedAt = savedAt
	for e := range state.All() {
		if e.Claimed { // in an old store two streams may have the same encoder: the drivers know whose it is
			e.Claimed, _ = c.claims.claim(e.Device, s.claimer(spec, &state, e), true)
			s.noteRequest(e.Device)
		}
	}
	s.held = held{state.Needs(), state.Keeps(&spec.Policy)}
	c.needs.set(s.id, held{}, s.held)
	s.state = state
	s.view = published{state, spec, c.knownSince(s.id)}
	if !known {
		s.inbox = append(s.inbox, item{ev: machine.Drained{Deaf: !hears}})
	}
	s.inbox = append(s.inbox, item{ev: machine.Booted{}}) // before any hook
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enlist(s)
	return s
}

// Replay takes every hook again that may have missed the last save of its stream. Taking one twice
// changes nothing.
func (c *Controller) replay(ctx context.Context, newest []controller.Record) error {
	if len(newest) == 0 || c.cfg.ParseRecord == nil {
		return nil
	}
	return c.cfg.Store.Replay(ctx, newest[0].Received.Add(-4*lazySave), func(r controller.Record) error {
		if h, ok := c.cfg.ParseRecord(r); ok {
			h.Again = true
			c.Deliver(h)
		}
		return ctx.Err()
	})
}

// SaveAgain stores the state of every stream once more: the database was replaced by an older or an
// empty one.
func (c *Controller) SaveAgain() {
	for _, s := range c.all() {
		s.postItem(item{save: true})
	}
}
