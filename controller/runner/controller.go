package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-co-op/gocron/v2"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// Controller runs the machine for all streams. New makes one, Start brings back what an earlier
// process left, Stop ends its work. All methods may be called from any goroutine.
type Controller struct {
	cfg     Config // the streams, accounts and limits are read under mu and replaced by Reload; the rest stays
	ctx     context.Context
	stopCtx context.CancelFunc

	mu      sync.RWMutex
	streams map[controller.StreamID]*stream
	exact   map[controller.StreamID]*StreamSpec        // by id: the streams that are named without a pattern
	names   map[string]map[controller.StreamID]*stream // pattern → the streams that it has made, by id
	full    map[string]time.Time                       // pattern → when it was told last that it has too many
	polls   map[string]*poller                         // account → its poll

	workers workers
	alarms  *alarms
	claims  *claims
	devices devices
	hub     *hub
	calls   sync.WaitGroup
	clockMu sync.RWMutex  // held for writing while the clock and all states are moved
	moved   time.Duration // by how much they were so far; guarded by clockMu
	closing atomic.Bool
	cron    gocron.Scheduler
	booted  atomic.Bool
	swept   atomic.Bool // what an earlier process left running has been looked for
	begun   time.Time   // when it was made
	first   firstKnown  // since when the streams of the configuration are known
}

// New makes a controller. Nothing happens before Start.
func New(cfg Config) *Controller {
	c := &Controller{
		cfg: cfg, streams: map[controller.StreamID]*stream{}, names: map[string]map[controller.StreamID]*stream{},
		full: map[string]time.Time{}, polls: map[string]*poller{}, hub: newHub(),
	}
	if c.cfg.Clock == nil {
		c.cfg.Clock = NewClock()
	}
	if c.cfg.Log == nil {
		c.cfg.Log = slog.New(slog.DiscardHandler)
	}
	c.ctx, c.stopCtx = context.WithCancel(context.Background())
	c.workers = newWorkers(c.ctx)
	c.alarms = newAlarms(c.cfg.Clock.Now, func(s *stream) { s.post(machine.Timer{}) })
	c.devices = devices{c: c, of: map[machine.Instance]*device{}, closing: map[machine.Instance]chan struct{}{}}
	c.claims = newClaims(func(id controller.StreamID, ev machine.Event) {
		if s := c.known(id); s != nil {
			s.post(ev)
		}
	})
	c.begun = c.cfg.Clock.Now()
	c.claims.setLimit(cfg.Running, c.index())
	return c
}

// Start brings back every stream that the store knows, and begins schedules and polls. It returns
// as soon as hooks can be taken; aside, encoders found running are looked at and go on, and the
// hooks that came after a stream's last word are replayed.
func (c *Controller) Start(ctx context.Context) error {
	c.first.load(ctx, c.cfg.Store, c.cfg.Clock)
	c.know()
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
	// The states have what is older than the newest hook now; no other can come yet.
	newest, err := c.cfg.Store.Records(ctx, controller.RecordFilter{Limit: 1})
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	c.cron.Start()
	c.calls.Go(func() { c.resume(newest) })
	c.booted.Store(true)
	return nil
}

// know makes the streams of the configuration known. What is not saved is known from the next start
// on.
func (c *Controller) know() {
	if !c.first.take(c.cfg.Streams, c.cfg.Clock.Now()) {
		return
	}
	c.calls.Go(func() {
		if err := c.first.save(context.Background(), c.cfg.Store, c.cfg.Clock); err != nil {
			c.cfg.Log.Warn("since when the streams are known is not saved", "error", err)
		}
	})
}

// knownSince is since when a stream is known at the latest.
func (c *Controller) knownSince(id controller.StreamID) time.Time {
	if at := c.first.of(id); !at.IsZero() {
		return at
	}
	return c.begun
}

// resume sets the restored streams to work and replays the journal. It runs aside, for a viewer
// should not wait for a thousand looks at encoders.
func (c *Controller) resume(newest []controller.Record) {
	if c.cfg.EndLost != nil {
		c.cfg.EndLost()
	}
	for _, s := range c.all() {
		s.resume()
	}
	c.calls.Go(c.adoptLeft)
	for {
		err := c.replay(c.ctx, newest)
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

// Stop ends the controller's work and leaves encoders as they are; with stopEncoders it stops them
// first. The store must still be open.
func (c *Controller) Stop(ctx context.Context, stopEncoders bool) {
	c.closing.Store(true)
	if c.cron != nil {
		_ = c.cron.Shutdown()
	}
	c.alarms.close()
	for _, s := range c.all() {
		s.waitIdle()
	}
	if stopEncoders {
		c.stopEncoders(ctx)
	}
	c.stopCtx()
	c.calls.Wait()
	for _, s := range c.all() {
		s.waitIdle()
		s.saveRest()
	}
	c.workers.all.Wait()
	c.devices.close()
}

// stopEncoders stops what runs at our word. The states still say that it is wanted: the next start
// brings it back.
func (c *Controller) stopEncoders(ctx context.Context) {
	var wg sync.WaitGroup
	for _, s := range c.all() {
		for i := range s.state.Encoders {
			e := &s.state.Encoders[i]
			if !e.On() {
				continue
			}
			es, job := s.handle(e.Name, e.Instance, s.spec)
			job = withPublish(job, s.spec, e.Name)
			b := s.box(e.Instance)
			wg.Go(func() {
				enc, err := b.dev.driver(es, job, true)
				if err == nil {
					ctx, cancel := context.WithTimeout(ctx, s.spec.Policy.StopTimeout+time.Second)
					defer cancel()
					err = enc.Stop(ctx, job)
				}
				if err != nil {
					c.cfg.Log.Error("an encoder is not confirmed stopped", "stream", s.id, "encoder", es.Name, "error", err)
				}
			})
		}
	}
	wg.Wait()
}

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
		for _, e := range state.Encoders {
			spec.Policy.Encoders = append(spec.Policy.Encoders, machine.EncoderSpec{Name: e.Name, Instance: e.Instance})
		}
	}
	s := newStream(c, spec)
	s.savedAt = savedAt
	for i := range state.Encoders {
		e := &state.Encoders[i]
		if e.Claimed { // in an old store two streams may have the same encoder: the drivers know whose it is
			e.Claimed, _ = c.claims.claim(e.Device, claimer{s.id, spec.Policy.Pattern != ""}, true)
			s.askedFor(e.Device)
		}
	}
	s.state = state
	s.view = published{state, spec, c.knownSince(s.id)}
	if !known {
		s.inbox = append(s.inbox, posted{ev: machine.Drained{Deaf: !hears}})
	}
	s.inbox = append(s.inbox, posted{ev: machine.Booted{}}) // before any hook
	c.mu.Lock()
	defer c.mu.Unlock()
	c.enlist(s)
	return s
}

// adoptLeft looks at encoders that an earlier process has left running without a word in the store:
// it was lost, or is an old one. Whoever's they are takes them over; what is nobody's is stopped.
func (c *Controller) adoptLeft() {
	defer func() {
		c.swept.Store(true)
		for _, s := range c.all() { // one that could have been forgotten before had to wait for this
			if p := s.published(); p.spec != nil && (p.state.Draining || p.spec.Policy.Pattern != "") {
				c.mu.RLock()
				evict := s.evicted
				c.mu.RUnlock()
				s.put(posted{evict: evict})
			}
		}
	}()
	if c.cfg.Left == nil {
		return
	}
	inHand := map[machine.Instance]bool{}
	for _, s := range c.all() {
		for _, e := range s.published().state.Encoders {
			inHand[e.Instance] = inHand[e.Instance] || e.MayRun()
		}
	}
	for _, e := range c.cfg.Left() {
		if c.ctx.Err() == nil && !inHand[e.Instance] {
			c.adopt(e)
		}
	}
}

func (c *Controller) adopt(e machine.EncoderSpec) {
	d := c.devices.get(e.Instance)
	defer c.devices.put(d)
	ctx, cancel := context.WithTimeout(c.ctx, askLimit)
	defer cancel()
	enc, err := d.driver(e, encoders.Job{}, false)
	if err != nil {
		c.cfg.Log.Warn("an encoder that ran before cannot be looked at", "encoder", e.Device, "error", err)
		return
	}
	st, err := enc.Status(ctx, encoders.Job{})
	if err != nil || st.State.Gone() || st.State == encoders.StateUnknown || st.Stream == "" {
		return
	}
	c.cfg.Log.Warn("an encoder was found running that the store knows nothing of",
		"encoder", e.Device, "stream", st.Stream, "pid", st.PID)
	account, name, _ := controller.StreamID(st.Stream).Split()
	s := c.stream(account, name)
	if s == nil {
		s = c.bringBack(account, name, nil, machine.State{}, time.Time{})
	}
	answer := make(chan controller.Receipt, 1)
	if s.put(posted{ev: machine.Leftover{Encoder: e.Name, Instance: e.Instance, Status: st}, answer: answer}) {
		select {
		case <-answer:
		case <-c.ctx.Done():
			return
		}
	}
	mine := s.published().state.ByInstance(e.Instance)
	if mine == nil || !mine.MayRun() { // the stream has another one of the name in hand, which also runs
		d := c.devices.get(e.Instance)
		c.calls.Go(func() {
			defer c.devices.put(d)
			c.stopLeft(d, e, encoders.Job{Account: account, Name: name, Run: st.Run})
		})
	}
}

// stopLeft stops an encoder that no stream can take over, however long it takes.
func (c *Controller) stopLeft(d *device, e machine.EncoderSpec, job encoders.Job) {
	c.notify(controller.Notice{
		Kind: "stop_unconfirmed", Account: job.Account, Stream: controller.StreamID(job.ID()), At: c.cfg.Clock.Now(),
		Text: fmt.Sprintf("%s was found running beside another copy of its stream; it is being stopped", e.Device),
	})
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		ctx, cancel := context.WithTimeout(c.ctx, askLimit)
		enc, err := d.driver(e, job, false)
		if err == nil {
			err = enc.Stop(ctx, job)
		}
		cancel()
		if err == nil || c.ctx.Err() != nil {
			return
		}
		c.cfg.Log.Error("a second copy of an encoder is not confirmed stopped",
			"encoder", e.Device, "stream", job.ID(), "error", err)
		select {
		case <-time.After(wait):
		case <-c.ctx.Done():
		}
	}
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

// stream finds the stream, and makes it when the configuration has it; else nil. It is nil, too,
// when its pattern has as many streams as it may, and all of them are needed.
func (c *Controller) stream(account, name string) *stream {
	if s := c.known(controller.JoinID(account, name)); s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[controller.JoinID(account, name)]; s != nil {
		return s
	}
	spec := c.specOf(account, name)
	if spec == nil || !c.room(spec) {
		return nil
	}
	s := newStream(c, spec)
	c.enlist(s)
	return s
}

func (c *Controller) known(id controller.StreamID) *stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.streams[id]
}

// enlist makes the stream the one of its id. The caller holds mu.
func (c *Controller) enlist(s *stream) {
	c.streams[s.id] = s
	if pattern := s.spec.Policy.Pattern; pattern != "" {
		if c.names[pattern] == nil {
			c.names[pattern] = map[controller.StreamID]*stream{}
		}
		c.names[pattern][s.id] = s
	}
}

// room reports whether one more stream may be made of the spec's pattern; the one that has been
// idle for longest makes way. The caller holds mu.
func (c *Controller) room(spec *StreamSpec) bool {
	pattern, most := spec.Policy.Pattern, spec.Policy.MaxInstances
	if pattern == "" || most <= 0 || len(c.names[pattern]) < most {
		return true
	}
	var oldest *stream
	var since time.Time
	for _, s := range c.names[pattern] {
		p := s.published()
		if p.spec == nil || s.evicted || !p.state.Disposable(&p.spec.Policy) {
			continue
		}
		if oldest == nil || p.state.Since.Before(since) {
			oldest, since = s, p.state.Since
		}
	}
	if oldest != nil {
		oldest.evicted = true
		oldest.put(posted{evict: true})
		return true
	}
	if now := c.cfg.Clock.Now(); c.full[pattern].IsZero() || now.Sub(c.full[pattern]) >= fullAgain {
		c.full[pattern] = now
		c.notify(controller.Notice{Kind: "pattern_full", Account: spec.Account, At: now,
			Text: fmt.Sprintf("%d names of the pattern %s are in use, as many as max_instances allows; %s is not started",
				most, pattern, spec.ID())})
	}
	return false
}

// fullAgain is how long a pattern that has too many names is not told of again.
const fullAgain = 10 * time.Minute

func (c *Controller) all() []*stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*stream, 0, len(c.streams))
	for _, s := range c.streams {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *stream) int { return cmp.Compare(a.id, b.id) })
	return all
}

// index makes the look-ups for the streams of the configuration, and counts their devices.
func (c *Controller) index() (devices int) {
	c.exact = make(map[controller.StreamID]*StreamSpec, len(c.cfg.Streams))
	uses := map[string]int{}
	for i := range c.cfg.Streams {
		spec := &c.cfg.Streams[i]
		c.exact[spec.ID()] = spec
		for _, e := range spec.Policy.Encoders {
			uses[e.Device]++
		}
	}
	for i := range c.cfg.Streams {
		list := c.cfg.Streams[i].Policy.Encoders
		for k := range list {
			list[k].Shared = uses[list[k].Device] > 1
		}
	}
	return len(uses)
}

// forget removes the stream, with its row and, for one of a pattern, with the files of its
// encoders. Its history stays. What comes for it meanwhile keeps it. The caller is the stream's
// worker.
func (c *Controller) forget(s *stream, spec *StreamSpec) {
	for at, b := range s.boxes {
		delete(s.boxes, at)
		b.dev.removeUser(s)
		c.devices.put(b.dev)
	}
	if spec.Policy.Pattern != "" && c.cfg.Discard != nil {
		for _, e := range s.published().state.Encoders {
			c.cfg.Discard(e.Instance)
		}
	}
	if err := c.cfg.Store.ForgetStream(context.Background(), s.id); err != nil {
		c.cfg.Log.Error("a stream that nobody needs any more is not forgotten", "stream", s.id, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evicted = false
	if len(s.inbox) > 0 {
		s.unsaved = true
		return
	}
	s.gone, s.unsaved = true, false
	delete(c.streams, s.id)
	delete(c.names[s.spec.Policy.Pattern], s.id)
	c.alarms.set(s, time.Time{})
}

// Reload takes a new configuration. Timers and running encoders are kept; a stream that is gone
// from it is drained.
func (c *Controller) Reload(cfg Config) error {
	c.mu.Lock()
	c.cfg.Find, c.cfg.Streams, c.cfg.Accounts = cfg.Find, cfg.Streams, cfg.Accounts
	c.cfg.Running, c.cfg.Defaults = cfg.Running, cfg.Defaults
	devices := c.index()
	c.know()
	c.mu.Unlock()
	c.claims.setLimit(cfg.Running, devices)
	for _, s := range c.all() {
		c.mu.RLock()
		spec := c.specOf(s.account, s.name)
		c.mu.RUnlock()
		if spec == nil {
			_, hears := cfg.Accounts[s.account]
			s.post(machine.Drained{Deaf: !hears})
			continue
		}
		c.mu.Lock()
		if was := s.spec.Policy.Pattern; was != spec.Policy.Pattern {
			delete(c.names[was], s.id)
		}
		s.mu.Lock()
		s.spec = spec
		s.mu.Unlock()
		if !s.gone {
			c.enlist(s)
		}
		c.mu.Unlock()
		s.post(machine.Reloaded{})
	}
	return c.plan()
}

// SaveAgain stores the state of every stream once more: the database was replaced by an older or an
// empty one.
func (c *Controller) SaveAgain() {
	for _, s := range c.all() {
		s.put(posted{save: true})
	}
}

// SetMode is a person's word on a stream. It returns the stream as it is after the word was taken.
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
	account, name, _ := id.Split()
	ev := machine.ModeSet{Mode: r.Mode, By: r.By, Why: r.Why}
	if r.For > 0 {
		ev.Until = c.cfg.Clock.Now().Add(r.For)
	}
	answer := make(chan controller.Receipt, 1)
	if !c.hand(account, name, posted{ev: ev, answer: answer}) {
		err := controller.ErrUnknownStream
		if c.closing.Load() {
			err = errStopping
		}
		return controller.StreamView{}, fmt.Errorf("%w: %s", err, id)
	}
	select {
	case <-answer:
	case <-ctx.Done():
		return controller.StreamView{}, fmt.Errorf("set the mode of %s: %w", id, ctx.Err())
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
	if s := c.known(id); s != nil { // what runs may be another one than the configuration has now
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

// specOf finds what the configuration says of a stream, by name or by pattern; nil when it says
// nothing. The caller holds mu.
func (c *Controller) specOf(account, name string) *StreamSpec {
	if spec := c.exact[controller.JoinID(account, name)]; spec != nil {
		return spec
	}
	if spec, ok := c.cfg.Find(account, name); ok {
		return &spec
	}
	return nil
}

// Watch tells changes of streams and hooks as they come, those after the given id first as far as
// they are remembered. The channel is closed when ctx ends or the reader is too slow; it may come
// again.
func (c *Controller) Watch(ctx context.Context, after uint64) <-chan controller.Change {
	return c.hub.watch(ctx, after)
}

// Recorded tells readers of a hook that was stored.
func (c *Controller) Recorded(r controller.Record) { c.hub.publish(told{hook: &r}) }

// Ready says why hooks cannot be taken now; nothing when they can.
func (c *Controller) Ready(ctx context.Context) []string {
	var why []string
	if !c.booted.Load() {
		why = append(why, "the controller is still starting")
	}
	if c.closing.Load() {
		why = append(why, errStopping.Error())
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

func (c *Controller) notify(n controller.Notice) {
	c.cfg.Log.Warn(n.Text, "notice", n.Kind, "stream", n.Stream, "account", n.Account)
	if c.cfg.Notify != nil {
		c.cfg.Notify(n)
	}
}

// CheckClock moves the machine's times along when the wall clock was stepped, so that neither a
// deadline comes early or late nor a displayed time is wrong.
func (c *Controller) CheckClock() {
	if c.cfg.Clock.Stepped() == 0 {
		c.alarms.look() // a timer is late by the time that a suspended host was asleep
		return
	}
	c.clockMu.Lock()
	by := c.cfg.Clock.Stepped()
	c.cfg.Clock.Move(by)
	c.moved += by
	streams := c.all()
	for _, s := range streams {
		s.state = s.state.Clone() // readers have the one before
		s.state.Shift(by)
		s.mu.Lock()
		for i := range s.inbox {
			s.inbox[i].ev = machine.Shifted(s.inbox[i].ev, by)
		}
		s.mu.Unlock()
	}
	c.first.shift(by)
	c.alarms.shift(by)
	c.clockMu.Unlock()
	c.cfg.Log.Warn("the clock of this host was set", "by", by.Round(time.Millisecond))
	for _, s := range streams {
		s.post(machine.Timer{})
	}
}

var errStopping = errors.New("the controller is stopping")

// errNoPlatform is what asking without an API secret gives.
var errNoPlatform = errors.New("no API secret is configured for the account")
