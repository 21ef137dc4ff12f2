package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/oncue/oncue/encoders"
)

// Controller runs the machine for all streams. New makes one, Start brings back what an earlier process left, Stop ends its work.
// All methods may be called from any goroutine.
type Controller struct {
	cfg     Config // the streams, accounts and limits are read under mu and replaced by Reload; the rest stays
	ctx     context.Context
	stopCtx context.CancelFunc

	mu      sync.RWMutex
	streams map[string]*stream
	exact   map[string]*StreamSpec // by id: the streams that are named without a pattern
	shares  map[string]int         // device → streams of the configuration that use it
	drivers map[string]*opened     // device → driver
	polls   map[string]*poller     // account → its poll

	workers workers
	alarms  *alarms
	claims  *claims
	hub     *hub
	calls   sync.WaitGroup
	clockMu sync.RWMutex // held for writing while the clock and all states are moved
	closing atomic.Bool
	cron    gocron.Scheduler
	booted  atomic.Bool
	begun   time.Time // when it was made
}

type opened struct {
	enc     encoders.Encoder
	version string
}

// New makes a controller. Nothing happens before Start.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, streams: map[string]*stream{}, drivers: map[string]*opened{}, polls: map[string]*poller{}, hub: newHub()}
	if c.cfg.Clock == nil {
		c.cfg.Clock = NewClock()
	}
	if c.cfg.Log == nil {
		c.cfg.Log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.stopCtx = context.WithCancel(context.Background())
	c.workers = newWorkers(c.ctx)
	c.alarms = newAlarms(c.cfg.Clock.Now, func(s *stream) { s.post(Timer{}) })
	c.claims = newClaims(func(id, _ string, ev Event) {
		c.mu.RLock()
		s := c.streams[id]
		c.mu.RUnlock()
		if s != nil {
			s.post(ev)
		}
	})
	c.begun = c.cfg.Clock.Now()
	c.claims.setLimit(cfg.Running)
	c.index()
	return c
}

// Start brings back every stream that the store knows, and begins schedules and polls. It returns as soon as hooks can be taken; aside, encoders found running are
// looked at and go on, and the hooks that came after a stream's last word are replayed.
func (c *Controller) Start(ctx context.Context) error {
	saved, err := c.cfg.Store.LoadStreams(ctx)
	if err != nil {
		return fmt.Errorf("load the streams: %w", err)
	}
	for _, sv := range saved {
		if err := c.restore(sv); err != nil {
			c.cfg.Log.Error("the saved state of a stream cannot be read; it starts anew", "stream", sv.ID, "error", err)
		}
	}
	if c.cron, err = gocron.NewScheduler(gocron.WithLocation(time.UTC)); err != nil {
		return fmt.Errorf("make the scheduler: %w", err)
	}
	if err := c.plan(); err != nil {
		return err
	}
	c.cron.Start()
	c.calls.Go(c.resume)
	c.booted.Store(true)
	return nil
}

// resume sets the restored streams to work and replays the journal. It runs aside, for a viewer should not wait for a thousand looks at encoders.
func (c *Controller) resume() {
	c.adoptTraces()
	for _, s := range c.all() {
		s.resume()
	}
	for {
		err := c.replay(c.ctx)
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.cfg.Log.Error("the journal cannot be replayed; trying again", "error", err)
		select {
		case <-time.After(time.Second):
		case <-c.ctx.Done():
		}
	}
}

// Stop ends the controller's work and leaves encoders as they are; with stopEncoders it stops them first. The store must still be open.
func (c *Controller) Stop(ctx context.Context, stopEncoders bool) {
	c.closing.Store(true)
	if c.cron != nil {
		_ = c.cron.Shutdown()
	}
	c.alarms.close()
	for _, s := range c.all() {
		s.settled()
	}
	if stopEncoders {
		c.stopEncoders(ctx)
	}
	c.stopCtx()
	c.calls.Wait()
	for _, s := range c.all() {
		s.settled()
		if s.unsaved {
			c.clockMu.RLock()
			s.save(c.cfg.Clock.Now(), nil)
			c.clockMu.RUnlock()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for device, d := range c.drivers {
		if closer, ok := d.enc.(encoders.Closer); ok {
			_ = closer.Close()
		}
		delete(c.drivers, device)
	}
}

// stopEncoders stops what runs at our word. The states still say that it is wanted: the next start brings it back.
func (c *Controller) stopEncoders(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range c.all() {
		for i := range s.state.Encoders {
			e := &s.state.Encoders[i]
			if !e.on() {
				continue
			}
			b, job := s.box(e.Name, s.spec), s.job(e.Run, s.spec)
			wg.Go(func() {
				enc, err := c.driver(b.spec, job)
				if err == nil {
					ctx, cancel := context.WithTimeout(ctx, s.spec.Policy.StopTimeout+time.Second)
					defer cancel()
					err = enc.Stop(ctx, job)
				}
				if err != nil {
					c.cfg.Log.Error("an encoder is not confirmed stopped", "stream", s.id, "encoder", b.spec.Name, "error", err)
				}
			})
		}
	}
	wg.Wait()
}

// restore brings a stream back, with its first events in its inbox; resume sets it to work.
func (c *Controller) restore(sv Saved) error {
	account, name, _ := SplitID(sv.ID)
	c.mu.RLock()
	spec := c.look(account, name)
	c.mu.RUnlock()
	known := spec != nil
	if !known {
		spec = &StreamSpec{Account: account, Name: name}
	}
	s := newStream(c, spec)
	if err := json.Unmarshal(sv.State, &s.state); err != nil {
		return err
	}
	if !known { // what still runs of it must be found to be stopped
		spec.Policy = Policy{StartTimeout: 30 * time.Second, StopTimeout: 10 * time.Second, IdleTimeout: time.Minute, JoinTimeout: time.Minute, AnySource: true}
		for _, e := range s.state.Encoders {
			device := cmp.Or(e.Device, e.Name)
			spec.Encoders = append(spec.Encoders, EncoderSpec{Name: e.Name, Driver: e.Driver, Device: device})
			spec.Policy.Encoders = append(spec.Policy.Encoders, EncoderRef{Name: e.Name, Driver: e.Driver, Device: device})
		}
	}
	if by := c.cfg.Clock.SteppedSince(s.state.Anchor); by != 0 {
		s.state.shift(by)
	}
	s.savedAt = sv.At
	s.view = published{s.state, spec, c.begun}
	for i := range s.state.Encoders {
		e := &s.state.Encoders[i]
		if es, ok := spec.encoder(e.Name); ok && e.Claimed {
			c.claims.restore(es.Device, s.id)
		}
	}
	if !known {
		s.inbox = append(s.inbox, posted{ev: Drained{}})
	}
	s.inbox = append(s.inbox, posted{ev: Booted{}}) // before any hook
	c.mu.Lock()
	c.streams[sv.ID] = s
	c.mu.Unlock()
	return nil
}

// adoptTraces looks at encoders that an earlier process may have left running without a word in the store.
func (c *Controller) adoptTraces() {
	if c.cfg.Traces == nil {
		return
	}
	for i := range c.cfg.Streams {
		spec := &c.cfg.Streams[i]
		c.mu.RLock()
		s := c.streams[spec.ID()]
		c.mu.RUnlock()
		for _, e := range spec.Encoders {
			if c.shared(e.Device) || !c.cfg.Traces(e.Device) {
				continue
			}
			if s != nil {
				if seen := s.published().state.enc(e.Name); seen != nil && seen.on() {
					continue
				}
			}
			s := c.stream(spec.Account, spec.Name)
			c.calls.Go(func() {
				job := s.job("", spec)
				enc, err := c.driver(e, job)
				if err != nil {
					return
				}
				ctx, cancel := context.WithTimeout(c.ctx, 5*time.Second)
				defer cancel()
				if st, err := enc.Status(ctx, job); err == nil && !st.State.Gone() && st.State != encoders.StateUnknown {
					s.post(EncoderSeen{Encoder: e.Name, Status: st})
				}
			})
		}
	}
}

// Replay takes every hook again that may have missed the last save of its stream. Taking one twice changes nothing.
func (c *Controller) replay(ctx context.Context) error {
	newest, err := c.cfg.Store.Records(ctx, RecordFilter{Limit: 1})
	if err != nil || len(newest) == 0 || c.cfg.ParseRecord == nil {
		return err
	}
	return c.cfg.Store.Replay(ctx, newest[0].Received.Add(-4*lazySave), func(r Record) error {
		if h, ok := c.cfg.ParseRecord(r); ok {
			c.Deliver(h)
		}
		return ctx.Err()
	})
}

// stream finds the stream, and makes it when the configuration has it; else nil.
func (c *Controller) stream(account, name string) *stream {
	id := account + "/" + name
	c.mu.RLock()
	s := c.streams[id]
	c.mu.RUnlock()
	if s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s = c.streams[id]; s != nil {
		return s
	}
	spec := c.look(account, name)
	if spec == nil {
		return nil
	}
	s = newStream(c, spec)
	c.streams[id] = s
	return s
}

func (c *Controller) all() []*stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stream) int { return strings.Compare(a.id, b.id) })
	return all
}

// index makes the look-ups for the streams of the configuration.
func (c *Controller) index() {
	exact, shares := make(map[string]*StreamSpec, len(c.cfg.Streams)), map[string]int{}
	for i := range c.cfg.Streams {
		spec := &c.cfg.Streams[i]
		exact[spec.ID()] = spec
		for _, e := range spec.Encoders {
			shares[e.Device]++
		}
	}
	c.exact, c.shares = exact, shares
}

// shared reports whether several streams of the configuration use the device.
func (c *Controller) shared(device string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.shares[device] > 1
}

// driver opens the device's driver, or returns the one that is open. After a reload that changed its settings it is opened anew, once it is asked for.
func (c *Controller) driver(e EncoderSpec, job encoders.Job) (encoders.Encoder, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.drivers[e.Device]; d != nil {
		return d.enc, nil
	}
	enc, err := c.cfg.Open(e, job)
	if err != nil {
		return nil, encoders.Permanent(fmt.Errorf("encoder %s: %w", e.Name, err))
	}
	c.drivers[e.Device] = &opened{enc, e.Version}
	return enc, nil
}

// settle is called after each step: a stream that has left the configuration and is off is forgotten, and a driver with old settings is closed once nothing runs.
func (c *Controller) settle(s *stream, spec *StreamSpec) {
	if !s.state.over() {
		return
	}
	for _, e := range spec.Encoders {
		c.mu.Lock()
		d := c.drivers[e.Device]
		if d != nil && d.version != e.Version && c.shares[e.Device] <= 1 {
			delete(c.drivers, e.Device)
		} else {
			d = nil
		}
		c.mu.Unlock()
		if d != nil {
			if b := s.boxes[e.Name]; b != nil {
				b.rest()
			}
			if closer, ok := d.enc.(encoders.Closer); ok {
				_ = closer.Close()
			}
		}
	}
	if s.state.Draining && s.state.Phase == PhaseIdle {
		c.mu.Lock()
		delete(c.streams, s.id)
		c.mu.Unlock()
		c.alarms.set(s, time.Time{})
		for _, b := range s.boxes {
			b.rest()
		}
		if err := c.cfg.Store.ForgetStream(context.Background(), s.id); err != nil {
			c.cfg.Log.Error("a removed stream is not forgotten", "stream", s.id, "error", err)
		}
	}
}

// Reload takes a new configuration. Timers and running encoders are kept; a stream that is gone from it is drained.
func (c *Controller) Reload(cfg Config) error {
	c.mu.Lock()
	c.cfg.Find, c.cfg.Streams, c.cfg.Accounts, c.cfg.Running = cfg.Find, cfg.Streams, cfg.Accounts, cfg.Running
	c.index()
	c.mu.Unlock()
	c.claims.setLimit(cfg.Running)
	for _, s := range c.all() {
		c.mu.RLock()
		spec := c.look(s.account, s.name)
		c.mu.RUnlock()
		if spec == nil {
			s.post(Drained{})
			continue
		}
		s.mu.Lock()
		s.spec = spec
		s.mu.Unlock()
		s.post(Reloaded{})
	}
	return c.plan()
}

// SetMode is a person's word on a stream. It returns the stream as it is after the word was taken.
func (c *Controller) SetMode(ctx context.Context, id string, r ModeRequest) (StreamView, error) {
	if r.Mode != ModeOn && r.Mode != ModeOff && r.Mode != ModeAuto {
		return StreamView{}, fmt.Errorf("%w: mode %q; on, off or auto is allowed", ErrInvalid, r.Mode)
	}
	if r.For < 0 || r.For > 0 && r.Mode == ModeAuto {
		return StreamView{}, fmt.Errorf("%w: a positive time goes with on and off only", ErrInvalid)
	}
	account, name, _ := SplitID(id)
	s := c.stream(account, name)
	if s == nil {
		return StreamView{}, fmt.Errorf("%w: %s", ErrUnknownStream, id)
	}
	ev := ModeSet{Mode: r.Mode, By: r.By, Why: r.Why}
	if r.For > 0 {
		ev.Until = c.cfg.Clock.Now().Add(r.For)
	}
	done := make(chan struct{})
	s.put(posted{ev, done})
	select {
	case <-done:
	case <-ctx.Done():
		return StreamView{}, fmt.Errorf("set the mode of %s: %w", id, ctx.Err())
	}
	v, ok := c.Stream(id)
	if !ok {
		return StreamView{}, fmt.Errorf("%w: %s", ErrUnknownStream, id)
	}
	return v, nil
}

// History, Records and Log read what is kept.
func (c *Controller) History(ctx context.Context, id string, limit int, before int64) ([]Transition, error) {
	return c.cfg.Store.History(ctx, id, limit, before)
}

func (c *Controller) Records(ctx context.Context, f RecordFilter) ([]Record, error) {
	return c.cfg.Store.Records(ctx, f)
}

// Log returns the last lines of an encoder's output, secrets redacted. Without a name it is the stream's first encoder.
func (c *Controller) Log(ctx context.Context, id, encoder string, lines int) ([]string, error) {
	account, name, _ := SplitID(id)
	c.mu.RLock()
	spec := c.look(account, name)
	c.mu.RUnlock()
	if spec == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownStream, id)
	}
	if encoder == "" && len(spec.Encoders) > 0 {
		encoder = spec.Encoders[0].Name
	}
	e, ok := spec.encoder(encoder)
	if !ok {
		return nil, fmt.Errorf("%w: %s has no encoder %q", ErrInvalid, id, encoder)
	}
	enc, err := c.driver(e, encoders.Job{Account: account, Name: name, Matches: spec.Matches})
	if err != nil {
		return nil, err
	}
	logger, ok := enc.(encoders.Logger)
	if !ok {
		return []string{}, nil
	}
	return logger.Log(ctx, lines)
}

// look finds what the configuration says of a stream, by name or by pattern; nil when it says nothing. The caller holds mu.
func (c *Controller) look(account, name string) *StreamSpec {
	if spec := c.exact[account+"/"+name]; spec != nil {
		return spec
	}
	if spec, ok := c.cfg.Find(account, name); ok {
		return &spec
	}
	return nil
}

// Watch tells changes of streams and hooks as they come, those after the given id first as far as they are remembered. The channel is closed when ctx ends or
// the reader is too slow; it may come again.
func (c *Controller) Watch(ctx context.Context, after uint64) <-chan Change {
	return c.hub.watch(ctx, after)
}

// Recorded tells readers of a hook that was stored.
func (c *Controller) Recorded(r Record) { c.hub.publish(told{hook: &r}) }

// Ready says why hooks cannot be taken now; nothing when they can.
func (c *Controller) Ready(ctx context.Context) []string {
	var why []string
	if !c.booted.Load() {
		why = append(why, "the controller is still starting")
	}
	if c.closing.Load() {
		why = append(why, "the controller is stopping")
	}
	if err := c.cfg.Store.Ready(ctx); err != nil {
		why = append(why, err.Error())
	}
	return why
}

// Pulse returns nil when the machine's locks can be had before ctx ends: a proof of life.
func (c *Controller) Pulse(ctx context.Context) error {
	alive := make(chan struct{})
	go func() {
		for _, lock := range []sync.Locker{c.mu.RLocker(), c.clockMu.RLocker(), &c.alarms.mu} {
			func() {
				lock.Lock()
				defer lock.Unlock()
			}()
		}
		close(alive)
	}()
	select {
	case <-alive:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Controller) notify(n Notice) {
	c.cfg.Log.Warn(n.Text, "notice", n.Kind, "stream", n.Stream, "account", n.Account)
	if c.cfg.Notify != nil {
		c.cfg.Notify(n)
	}
}

// CheckClock moves the machine's times along when the wall clock was stepped, so that neither a deadline comes early or late nor a displayed time is wrong.
func (c *Controller) CheckClock() {
	if c.cfg.Clock.Stepped() == 0 {
		return
	}
	c.clockMu.Lock()
	by := c.cfg.Clock.Stepped()
	c.cfg.Clock.Move(by)
	streams := c.all()
	for _, s := range streams {
		s.state = s.state.clone() // readers have the one before
		s.state.shift(by)
		s.mu.Lock()
		for i := range s.inbox {
			s.inbox[i].ev = shifted(s.inbox[i].ev, by)
		}
		s.mu.Unlock()
	}
	c.alarms.shift(by)
	c.clockMu.Unlock()
	c.cfg.Log.Warn("the clock of this host was set", "by", by.Round(time.Millisecond))
	for _, s := range streams {
		s.post(Timer{})
	}
}

func shifted(ev Event, by time.Duration) Event {
	switch ev := ev.(type) {
	case Hook:
		ev.Received = ev.Received.Add(by)
		return ev
	case Polled:
		ev.Asked = ev.Asked.Add(by)
		return ev
	case ModeSet:
		move(&ev.Until, by)
		return ev
	}
	return ev
}

// errNoPlatform is what asking without an API secret gives.
var errNoPlatform = errors.New("no API secret is configured for the account")
