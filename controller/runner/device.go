package runner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// devices are the encoders of this host by instance, whoever uses them.
type devices struct {
	c       *Controller
	mu      sync.Mutex
	of      map[machine.Instance]*device
	closing map[machine.Instance]chan struct{} // closed once the earlier driver is closed
}

// device is one encoder: its driver, opened once it is needed, and one watch, whose statuses go to
// all streams that use it. No driver is opened, asked or closed under devices.mu or mu.
type device struct {
	c  *Controller
	at machine.Instance

	telling sync.Mutex      // held while the driver is told what to keep ready: the latest word must be the last
	opening sync.Mutex      // held while the driver is opened or closed, which reads files and processes
	before  <-chan struct{} // closed once the instance's earlier driver is closed; nil: it had none

	refs int // callers and others that work with it; guarded by devices.mu

	mu       sync.Mutex
	enc      encoders.Encoder // nil: not open
	version  string           // of the settings that it was opened with
	users    map[*stream]user
	watch    context.CancelFunc // nil: there is none
	watched  watching           // what the watch is for
	last     encoders.Status    // its latest; no State: none yet
	replaced int                // how often the driver was opened anew
	keeps    bool               // the driver was told to keep something ready
}

// user is a stream that gets the statuses of the device.
type user struct {
	spec   machine.EncoderSpec
	job    encoders.Job
	active bool // the device may run for it, so the watch has to be made with its job
	ready  bool // something may be kept ready for its next start
}

// same reports whether the driver would be asked and told the same for both.
func (u user) same(o user) bool {
	return u.spec == o.spec && u.active == o.active && u.ready == o.ready && u.job.Run == o.job.Run &&
		u.job.Publish.Same(o.job.Publish)
}

type watching struct {
	stream *stream
	run    string
	opened int
	next   *stream      // for which something is kept ready; nil: nothing is
	to     secret.Value // where that publishes
}

func (w watching) same(o watching) bool {
	return w.stream == o.stream && w.run == o.run && w.opened == o.opened && w.next == o.next && w.to.Same(o.to)
}

// get returns the device for as long as the caller works with it; put ends that.
func (ds *devices) get(at machine.Instance) *device {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	d := ds.of[at]
	if d == nil {
		d = &device{c: ds.c, at: at, users: map[*stream]user{}, before: ds.closing[at]}
		ds.of[at] = d
	}
	d.refs++
	return d
}

// put closes the driver of a device that nobody works with any more.
func (ds *devices) put(d *device) {
	ds.mu.Lock()
	if d.refs--; d.refs > 0 {
		ds.mu.Unlock()
		return
	}
	closed := make(chan struct{})
	delete(ds.of, d.at)
	ds.closing[d.at] = closed
	ds.mu.Unlock()
	d.close()
	close(closed)
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if ds.closing[d.at] == closed {
		delete(ds.closing, d.at)
	}
}

// close closes all drivers, when nobody works with them any more. With off, what they keep ready is
// ended, too.
func (ds *devices) close(off bool) {
	ds.mu.Lock()
	all := slices.Collect(maps.Values(ds.of))
	clear(ds.of)
	ds.mu.Unlock()
	for _, d := range all {
		if off {
			d.mu.Lock()
			clear(d.users)
			d.mu.Unlock()
		}
		d.close()
	}
}

// driver returns the driver that is open, or opens it. owned: the encoder runs, or is started, for
// the caller, so e has the version to open it with. Without that, it is opened with the version of
// whatever may run there.
func (d *device) driver(e machine.EncoderSpec, job encoders.Job, owned bool) (encoders.Encoder, error) {
	if d.before != nil {
		<-d.before
	}
	d.opening.Lock()
	defer d.opening.Unlock()
	if enc, _ := d.current(); enc != nil {
		return enc, nil
	}
	if !owned && !d.c.claims.free(d.at.Device) {
		e.Version = ""
	}
	enc, version, err := d.c.cfg.Open(e, job)
	if err != nil {
		return nil, fmt.Errorf("encoder %s: %w", e.Name, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.enc, d.version = enc, version
	return enc, nil
}

func (d *device) current() (enc encoders.Encoder, version string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enc, d.version
}

// renew closes the driver when it was opened with other settings than those of e. The caller knows
// that nothing runs there, or that what runs is to be found with the new settings.
func (d *device) renew(e machine.EncoderSpec) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if d.outdated(e.Version) {
		d.replace()
	}
}

// renewIdle is renew, unless somebody has come to use the device meanwhile: a start renews the
// driver itself.
func (d *device) renewIdle(e machine.EncoderSpec) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if d.outdated(e.Version) && d.c.claims.free(d.at.Device) {
		d.replace()
	}
}

// outdated reports whether the driver was opened with another version of the settings.
func (d *device) outdated(version string) bool {
	enc, was := d.current()
	return enc != nil && was != version
}

// reopen closes the driver, whatever its settings are, and has it opened anew.
func (d *device) reopen() {
	d.opening.Lock()
	defer d.opening.Unlock()
	d.replace()
}

// replace closes the driver; the watch goes on with the next one. The caller holds opening.
func (d *device) replace() {
	d.shut()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replaced++
	d.rewatch()
}

func (d *device) close() {
	d.opening.Lock()
	defer d.opening.Unlock()
	d.shut()
}

// shut ends the watch and closes the driver. The caller holds opening.
func (d *device) shut() {
	d.tellReady()
	d.mu.Lock()
	enc := d.enc
	d.enc, d.last = nil, encoders.Status{}
	d.endWatch()
	d.mu.Unlock()
	if closer, ok := enc.(encoders.Closer); ok {
		if err := closer.Close(); err != nil {
			d.c.cfg.Log.Warn("the driver of an encoder does not close", "encoder", d.at.Device, "error", err)
		}
	}
}

// addUser gives the stream every status of the device from now on, beginning with the latest.
func (d *device) addUser(s *stream, u user) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.users[s]
	d.users[s] = u
	d.rewatch()
	if !there && d.watch != nil && d.last.State != "" {
		s.observe(machine.EncoderSeen{Encoder: u.spec.Name, Instance: d.at, Version: d.version, Status: d.last})
	}
}

// has reports whether the stream is a user of the device already, with that job and those settings.
func (d *device) has(s *stream, u user) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, there := d.users[s]
	return there && was.same(u)
}

// removeUser ends what addUser began.
func (d *device) removeUser(s *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, there := d.users[s]; !there {
		return
	}
	delete(d.users, s)
	d.rewatch()
	if len(d.users) == 0 && d.keeps {
		d.c.calls.Go(d.tellReady)
	}
}

// next is the user for whose next start something is kept ready: the one that is in use, if any.
// The caller holds mu.
func (d *device) next() (s *stream, u user) {
	for at, o := range d.users {
		if o.ready && (s == nil || o.active && !u.active || o.active == u.active && at == d.watched.next) {
			s, u = at, o
		}
	}
	return s, u
}

// tellReady tells the driver for whom to keep something ready, or that nobody needs it. While
// nobody has asked, an earlier controller's word counts.
func (d *device) tellReady() {
	d.telling.Lock()
	defer d.telling.Unlock()
	d.mu.Lock()
	enc := d.enc
	s, u := d.next()
	tell := len(d.users) > 0 || d.keeps
	d.keeps = s != nil
	d.mu.Unlock()
	if r, ok := enc.(encoders.Readier); ok && tell {
		r.KeepReady(u.job, s != nil)
	}
}

// rewatch makes the watch with the job of the stream that the device may run for, or of any user
// when there is none. The caller holds mu.
func (d *device) rewatch() {
	var lead user
	want := watching{opened: d.replaced}
	for s, u := range d.users {
		if want.stream == nil || u.active && !lead.active || u.active == lead.active && s == d.watched.stream {
			lead, want.stream, want.run = u, s, u.job.Run
		}
	}
	next, ready := d.next()
	want.next, want.to = next, ready.job.Publish
	if d.watch != nil && want.same(d.watched) {
		return
	}
	d.endWatch()
	if want.stream == nil || d.c.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(d.c.ctx)
	d.watch, d.watched = cancel, want
	d.c.calls.Go(func() { d.keepWatch(ctx, lead) })
}

func (d *device) endWatch() {
	if d.watch != nil {
		d.watch()
		d.watch, d.watched, d.last = nil, watching{}, encoders.Status{}
	}
}

const (
	statusEvery  = time.Second // how often a driver that cannot watch is asked
	openRetry    = time.Second // after which a driver that did not open is tried again; it doubles
	openRetryMax = 30 * time.Second
)

// keepWatch watches until ctx ends. A driver that does not open is tried again.
func (d *device) keepWatch(ctx context.Context, u user) {
	report := func(st encoders.Status) { d.report(ctx, st) }
	wait := openRetry
	for ctx.Err() == nil {
		enc, err := d.driver(u.spec, u.job, u.active)
		if err == nil {
			wait = openRetry
			d.tellReady()
			if w, ok := enc.(encoders.Watcher); ok {
				_ = w.Watch(ctx, u.job, report)
			} else {
				statusLoop(ctx, enc, u.job, report)
			}
		} else {
			report(encoders.Status{State: encoders.StateUnknown, Error: err.Error()})
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, openRetryMax)
		}
	}
}

// report gives a status to all users, unless its watch has ended.
func (d *device) report(ctx context.Context, st encoders.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	d.last = st
	for s, u := range d.users {
		s.observe(machine.EncoderSeen{Encoder: u.spec.Name, Instance: d.at, Version: d.version, Status: st})
	}
}

func statusLoop(ctx context.Context, enc encoders.Encoder, job encoders.Job, report func(encoders.Status)) {
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	for {
		if st, err := enc.Status(ctx, job); err == nil {
			report(st)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
