package runner

import (
	"context"
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
	full    map[string]time.Time                       // pattern → when people were last told that it is full
	polls   map[string]*poller                         // account → its poll

	workers   workers
	alarms    *alarms
	claims    *claims
	needs     *needs
	devices   devices
	hub       *hub
	followers followers
	calls     sync.WaitGroup
	clockMu   sync.RWMutex  // held for writing while the clock and all states are moved
	moved     time.Duration // by how much they were so far; guarded by clockMu
	closing   atomic.Bool
	cron      gocron.Scheduler
	booted    atomic.Bool
	swept     atomic.Bool // adoptLeft is done
	created   time.Time   // when it was made
	first     firstKnown  // since when the streams of the configuration are known
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
		if s := c.lookUp(id); s != nil {
			s.post(ev)
		}
	})
	c.needs = newNeeds(c.tellNeeded)
	c.created = c.cfg.Clock.Now()
	c.claims.setLimits(cfg.Limits, c.index())
	return c
}

// Start brings back every stream that the store knows, and begins schedules and polls. It returns
// as soon as hooks can be taken. In the background, encoders that still run are asked and go on,
// and the hooks received after a stream was last saved are replayed.
func (c *Controller) Start(ctx context.Context) error {
	c.first.load(ctx, c.cfg.Store, c.cfg.Clock)
	c.noteKnown()
	saved, err := c.cfg.Store.LoadStreams(ctx)
	if err != nil {
		return fmt.Errorf("load the streams: %w", err)
	}
	for _, sv := range saved {
		if err := c.restore(sv); err != nil {
			c.cfg.Log.Error("the saved state of a stream cannot be read; it starts anew", "stream", sv.ID, "error", err)
		}
	}
	c.resumeNeeds()
	if c.cron, err = gocron.NewScheduler(gocron.WithLocation(time.UTC)); err != nil {
		return fmt.Errorf("make the scheduler: %w", err)
	}
	if err := c.addJobs(); err != nil {
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

// resume gives the restored streams to workers and replays the journal. It runs in the background
// so that the first viewer does not wait for a thousand status calls.
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
		s.saveUnsaved()
	}
	c.workers.all.Wait()
	c.devices.close(stopEncoders)
}

// stopEncoders stops what runs for a stream. The states still say that it is wanted: the next start
// brings it back.
func (c *Controller) stopEncoders(ctx context.Context) {
	all := c.all()
	helpers := slices.DeleteFunc(slices.Clone(all), func(s *stream) bool { return !s.spec.Policy.Helper })
	c.stopEncodersOf(ctx, slices.DeleteFunc(all, func(s *stream) bool { return s.spec.Policy.Helper }))
	for len(helpers) > 0 { // in the reverse order of their starts
		kept := map[string]bool{}
		for _, s := range helpers {
			for _, name := range s.spec.Policy.Keeps {
				kept[name] = true
			}
		}
		last := slices.DeleteFunc(slices.Clone(helpers), func(s *stream) bool { return kept[s.name] })
		if len(last) == 0 { // each keeps another: the configuration has changed meanwhile
			last = helpers
		}
		c.stopEncodersOf(ctx, last)
		helpers = slices.DeleteFunc(helpers, func(s *stream) bool { return slices.Contains(last, s) })
	}
}

func (c *Controller) stopEncodersOf(ctx context.Context, streams []*stream) {
	var wg sync.WaitGroup
	for _, s := range streams {
		for e := range s.state.All() {
			if !e.On() {
				continue
			}
			es, job := s.jobOf(e.Name, e.Instance, s.spec)
			job = withPublish(job, s.spec, e.Name)
			b := s.caller(e.Instance)
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

var errStopping = errors.New("the controller is stopping")
