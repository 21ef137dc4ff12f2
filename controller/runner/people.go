package runner

import (
	"context"
	"fmt"
	"slices"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// SetMode holds a stream on or off for a person, or ends that with auto. It returns the stream as
// it is afterwards.
func (c *Controller) SetMode(
	ctx context.Context, id controller.StreamID, r controller.ModeRequest,
) (controller.StreamView, error) {
	if r.Mode != controller.ModeOn && r.Mode != controller.ModeOff && r.Mode != controller.ModeAuto {
		return controller.StreamView{}, fmt.Errorf("%w: mode %q; on, off or auto is allowed", controller.ErrInvalid, r.Mode)
	}
	if r.For < 0 || r.For > 0 && r.Mode == controller.ModeAuto {
		return controller.StreamView{},
			fmt.Errorf("%w: a duration is allowed only with on or off, and must be positive", controller.ErrInvalid)
	}
	ev := machine.ModeSet{Mode: r.Mode, By: r.By, Why: r.Why}
	if r.For > 0 {
		ev.Until = c.cfg.Clock.Now().Add(r.For)
	}
	return c.say(ctx, id, ev)
}

// SetDemand begins, renews or ends a lease on a stream: it is wanted as by a viewer who waits,
// until the lease is over. It returns the stream as it is after that. ErrFull: the stream has as
// many leases as it may, or its pattern as many names.
func (c *Controller) SetDemand(
	ctx context.Context, id controller.StreamID, r controller.DemandRequest,
) (controller.StreamView, error) {
	if r.For <= 0 && c.lookUp(id) == nil { // nothing has happened to it, so there is nothing to end
		if v, ok := c.Stream(id); ok {
			return v, nil
		}
		return controller.StreamView{}, fmt.Errorf("%w: %s", controller.ErrUnknownStream, id)
	}
	ev := machine.Leased{By: r.By}
	if r.For > 0 {
		ev.Until = c.cfg.Clock.Now().Add(r.For)
	}
	v, err := c.say(ctx, id, ev)
	taken := func(l controller.Lease) bool { return l.By == r.By }
	if err == nil && r.For > 0 && len(v.Demand) >= machine.LeaseLimit && !slices.ContainsFunc(v.Demand, taken) {
		return v, fmt.Errorf("%w: %d others ask for %s", controller.ErrFull, len(v.Demand), id)
	}
	return v, err
}

// say has the stream decide a word of a person's, and returns the stream after it.
func (c *Controller) say(ctx context.Context, id controller.StreamID, ev machine.Event) (controller.StreamView, error) {
	account, name, _ := id.Split()
	answer := make(chan controller.Receipt, 1)
	if !c.hand(account, name, item{ev: ev, answer: answer}) {
		return controller.StreamView{}, c.noStream(account, name)
	}
	select {
	case <-answer:
	case <-ctx.Done():
		return controller.StreamView{}, fmt.Errorf("ask for %s: %w", id, ctx.Err())
	}
	v, ok := c.Stream(id)
	if !ok {
		return controller.StreamView{}, fmt.Errorf("%w: %s", controller.ErrUnknownStream, id)
	}
	return v, nil
}

// History, Records and Log read what is kept.
func (c *Controller) History(
	ctx context.Context, id controller.StreamID, limit int, before int64,
) ([]controller.Transition, error) {
	return c.cfg.Store.History(ctx, id, limit, before)
}

func (c *Controller) Records(ctx context.Context, f controller.RecordFilter) ([]controller.Record, error) {
	return c.cfg.Store.Records(ctx, f)
}

// Log returns the last lines of an encoder's output, secrets redacted. Without a name it is the
// stream's first encoder.
func (c *Controller) Log(ctx context.Context, id controller.StreamID, encoder string, lines int) ([]string, error) {
	account, name, _ := id.Split()
	c.mu.RLock()
	spec := c.specOf(account, name)
	c.mu.RUnlock()
	if spec == nil {
		return nil, fmt.Errorf("%w: %s", controller.ErrUnknownStream, id)
	}
	if encoder == "" && len(spec.Policy.Encoders) > 0 {
		encoder = spec.Policy.Encoders[0].Name
	}
	e := spec.Policy.Encoder(encoder)
	if e == nil {
		return nil, fmt.Errorf("%w: %s has no encoder %q", controller.ErrInvalid, id, encoder)
	}
	at := e.Instance
	if s := c.lookUp(id); s != nil { // what runs may be another one than the configuration has now
		if p := s.published(); p.state.Encoder(encoder) != nil {
			at = p.state.Encoder(encoder).Instance
		}
	}
	d := c.devices.get(at)
	defer c.devices.put(d)
	enc, err := d.driver(machine.EncoderSpec{Name: encoder, Instance: at, Version: e.Version},
		encoders.Job{Account: account, Name: name, Matches: spec.Policy.Matches}, false)
	if err != nil {
		return nil, err
	}
	logger, ok := enc.(encoders.Logger)
	if !ok {
		return []string{}, nil
	}
	return logger.Log(ctx, lines)
}
