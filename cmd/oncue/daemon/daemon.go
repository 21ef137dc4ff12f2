package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-co-op/gocron/v2"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/notify"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/store"
)

// Daemon is the whole house at work: the store at the bottom, the controller on it, the platform's side and the web on top.
type Daemon struct {
	log     *slog.Logger
	level   *slog.LevelVar
	broken  chan error // a server that ended by itself
	started bool       // the controller works
	store   *store.Store
	seal    seal
	notes   errands // of what encoders were opened with
	control *runner.Controller
	inbox   *millicast.Receiver
	thumbs  *millicast.ThumbnailDir
	metrics *web.Metrics
	hooks   *web.Hooks
	admin   *web.Admin
	people  *notify.Notifier
	upkeep  gocron.Scheduler

	begun   time.Time
	reloads chan chan []string // those who wait for a reload; nil: nobody may ask

	keeping sync.Mutex // held while webhook secrets are read, merged and written, and brought into force; before mu

	mu       sync.Mutex
	inForce  inForce
	plan     *plan
	accounts map[string]*account

	cared map[string]time.Time // when each account's webhook was looked at; owned by careForWebhooks

	onStory func(controller.Transition)

	HookAddr, AdminAddr net.Addr // of the first listener, for those who started it on a free port
}

// lockWait is how long a starting daemon waits for the one before to let go of the data directory: a planned restart overlaps.
const lockWait = 15 * time.Second

// settle is how long the store's upkeep leaves a starting daemon alone.
const settle = 3 * time.Second

// drainLimit bounds how long the end of the process waits for requests and calls in flight.
const drainLimit = 20 * time.Second

// lateLimit bounds, within that, the wait for the store to tell what became of hooks that it was slow to take.
const lateLimit = 5 * time.Second

func Start(ctx context.Context, cfg *configs.Config, logTo io.Writer, opts ...func(*Options)) (_ *Daemon, err error) {
	o := Options{}
	for _, opt := range opts {
		opt(&o)
	}
	d := &Daemon{level: new(slog.LevelVar), broken: make(chan error, 2), accounts: map[string]*account{}, cared: map[string]time.Time{}, onStory: o.OnStory, begun: time.Now(), reloads: o.reloads}
	d.level.Set(levelOf(cfg.Log.Level))
	d.log = newLogger(logTo, d.level, cfg.Log.Format)
	var at doors
	defer func() {
		if err != nil {
			at.close()
			if d.started {
				stopping, cancel := context.WithTimeout(context.Background(), drainLimit)
				d.control.Stop(stopping, false)
				cancel()
			}
			d.release()
		}
	}()
	if err := millicast.CheckSigning(); err != nil {
		return nil, err
	}
	sockets, err := web.PassedSockets()
	if err != nil {
		return nil, err
	}
	d.people = notify.New(d.log)
	if err := d.people.Set(receivers(cfg.Notify)); err != nil { // before the store opens, which may have something to tell
		return nil, err
	}
	if d.store, err = store.Open(ctx, store.Options{Dir: cfg.DataDir, Shared: BesideConfig(cfg), Log: d.log, LockWait: lockWait, Settle: settle, Notice: d.notice}); err != nil {
		return nil, DataDirError(err)
	}
	if d.seal, err = openSeal(cfg.DataDir); err != nil {
		return nil, err
	}
	if d.thumbs, err = millicast.OpenThumbnails(cfg.DataDir); err != nil {
		return nil, err
	}
	// Only now, for in a planned restart the one before closes its sockets before it lets go of the
	// store; and before the controller works, for an address that cannot be had is the most common
	// reason not to start.
	if at, err = openDoors(sockets, cfg); err != nil {
		return nil, err
	}
	d.metrics = web.NewMetrics(o.Version, d.log)
	p, err := newPlan(cfg, nil)
	if err != nil {
		return nil, err
	}
	if err := d.makeController(p); err != nil {
		return nil, err
	}
	if err := d.control.Start(ctx); err != nil {
		return nil, err
	}
	d.started = true
	if err := d.open(at, cfg, o); err != nil {
		return nil, err
	}
	if err := d.beginUpkeep(); err != nil {
		return nil, err
	}
	d.setInForce(cfg)
	d.notifySystemd("READY=1")
	d.tellStatus()
	d.log.Info("oncue is ready", "version", o.Version, "hooks", addrOf(d.HookAddr), "admin", addrOf(d.AdminAddr), "streams", len(cfg.Streams), "encoders", len(cfg.Encoders))
	return d, nil
}

// Options are for those who run the daemon inside their own process, as the demo does.
type Options struct {
	Version   string
	Demo      http.Handler // mounted at /demo/ on the admin side
	KeepAlive bool         // let senders of hooks keep their connections
	OnStory   func(controller.Transition)
	reloads   chan chan []string
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

func (d *Daemon) makeController(p *plan) error {
	d.plan = p
	clock := runner.NewClock()
	d.control = runner.New(runner.Config{
		Find: findStream(p), Running: p.Limits.Running, Defaults: policyOf(p.Defaults), // apply brings the streams
		Store: journal{d.store, d}, Open: d.openEncoder, Left: d.leftEncoders, EndLost: d.endLost, Discard: d.discardEncoder, ParseRecord: millicast.HookOf,
		Clock: clock, Notify: d.notice, Observe: d.observer(), Log: d.log,
	})
	var err error
	d.inbox, err = millicast.NewReceiver(millicast.Options{
		Journal: journal{d.store, d}, Controller: d.control, Thumbnails: d.thumbs, Log: d.log, Clock: clock.Now,
	})
	if err != nil {
		return err
	}
	return d.apply(p)
}

// apply brings a configuration into force, at the start and at each reload.
func (d *Daemon) apply(p *plan) error {
	d.mu.Lock()
	d.plan = p
	d.mu.Unlock()
	d.level.Set(levelOf(p.Log.Level))
	d.store.Keep(retention(p))
	if err := d.people.Set(receivers(p.Notify)); err != nil {
		return err
	}
	specs, err := d.openAccounts(p)
	if err != nil {
		return err
	}
	if err := d.setSecrets(context.Background()); err != nil {
		return err
	}
	if d.hooks != nil {
		d.hooks.SetHooksPerSecond(p.Limits.HooksPerSecond)
	}
	return d.control.Reload(runner.Config{Find: findStream(p), Streams: streamSpecs(p), Accounts: specs, Running: p.Limits.Running, Defaults: policyOf(p.Defaults)})
}

func receivers(list []configs.Notify) []notify.Receiver {
	out := make([]notify.Receiver, 0, len(list))
	for _, n := range list {
		out = append(out, notify.Receiver(n))
	}
	return out
}

// open makes both sides serve, each at its door.
func (d *Daemon) open(at doors, cfg *configs.Config, o Options) error {
	tlsConfig, err := d.tls(cfg)
	if err != nil {
		return err
	}
	d.hooks = web.NewHooks(web.HookOptions{
		Receiver: d.inbox, Log: d.log, TLS: tlsConfig, ClientAddr: web.TrustProxies(cfg.TrustedProxies),
		HooksPerSecond: cfg.Limits.HooksPerSecond, Observe: d.metrics.ObserveHook, KeepAlive: o.KeepAlive,
	})
	ao := web.AdminOptions{
		Controller: shown{d.control, d.thumbs}, Log: d.log, Version: o.Version, Started: time.Now(),
		Token: cfg.Admin.Token, AllowedHosts: cfg.Admin.AllowedHosts, TrustedProxies: cfg.TrustedProxies,
		Settings: d.store,
		Metrics:  d.metrics.Handler(), Rotate: d.rotate, Config: d.configState,
	}
	if d.reloads != nil {
		ao.Reload = d.askReload
	}
	if o.Demo != nil {
		ao.Demo = o.Demo
	}
	d.metrics.Watch(shown{d.control, d.thumbs})
	if d.admin, err = web.NewAdmin(ao); err != nil {
		return err
	}
	d.HookAddr, d.AdminAddr = at.hooks[0].Addr(), at.admin[0].Addr()
	go func() { d.ended("public side", d.hooks.Serve(at.hooks...)) }()
	go func() { d.ended("admin side", d.admin.Serve(at.admin...)) }()
	return nil
}

func (d *Daemon) ended(what string, err error) {
	if err != nil {
		d.broken <- fmt.Errorf("the %s ended: %w", what, err)
	}
}

func (d *Daemon) tls(cfg *configs.Config) (*tls.Config, error) {
	switch {
	case cfg.TLS.CertFile != "":
		return web.CertFiles(cfg.TLS.CertFile, cfg.TLS.KeyFile, d.log)
	case len(cfg.TLS.ACME.Domains) > 0:
		return web.ACME(cfg.TLS.ACME.Domains, cfg.TLS.ACME.Email, filepath.Join(cfg.DataDir, "acme")), nil
	}
	return nil, nil
}

// Stream is one stream as people see it.
func (d *Daemon) Stream(id string) (controller.StreamView, bool) { return d.control.Stream(id) }

// Stop ends the daemon without losing a hook: first the public side is drained, then the machine comes to rest, then the store closes.
func (d *Daemon) Stop() error {
	d.notifySystemd("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	err := d.hooks.Drain(ctx)
	late, cancelLate := context.WithTimeout(ctx, lateLimit)
	d.inbox.Close(late)
	cancelLate()
	d.mu.Lock()
	onExit := d.plan.OnExit
	d.mu.Unlock()
	d.control.Stop(ctx, onExit == "stop")
	err = errors.Join(err, d.admin.Drain(ctx))
	d.log.Info("oncue has stopped", "encoders", map[string]string{"stop": "stopped", "leave": "left as they are"}[onExit])
	return errors.Join(err, d.release())
}

// release closes what is open. It may be called on a service that came up only in part.
func (d *Daemon) release() error {
	var err error
	if d.upkeep != nil {
		err = d.upkeep.Shutdown()
	}
	if d.people != nil {
		d.people.Close()
	}
	for _, a := range d.accounts {
		a.close()
	}
	d.notes.done.Wait()
	if d.thumbs != nil {
		err = errors.Join(err, d.thumbs.Close())
	}
	if d.store != nil {
		err = errors.Join(err, d.store.Close())
	}
	return err
}

// makeEncoderDir makes the folder of a device and follows no link out of the data directory.
func makeEncoderDir(dataDir, device string) (string, error) {
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	dir := filepath.Join("encoders", DeviceDir(device))
	return filepath.Join(dataDir, dir), root.MkdirAll(dir, 0o700)
}

func (d *Daemon) notice(n controller.Notice) {
	if n.Kind == store.Corrupt && d.control != nil {
		d.control.SaveAgain()
	}
	d.people.Send(n)
}

func (d *Daemon) observer() runner.Observer {
	m := d.metrics
	return runner.Observer{
		AttemptToStart: m.ObserveAttemptToStart, AttemptToLive: m.ObserveAttemptToLive, Story: d.story,
		Unconfirmed: m.ObserveUnconfirmedStop, Polled: m.ObservePoll,
	}
}

func (d *Daemon) story(t controller.Transition) {
	d.metrics.ObserveTransition(t)
	if d.onStory != nil {
		d.onStory(t)
	}
}

func (d *Daemon) notifySystemd(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Debug("systemd cannot be told", "state", state, "error", err)
	}
}

// journal is the store with its times measured, and with word of each new hook for those who watch.
type journal struct {
	*store.Store
	d *Daemon
}

func (j journal) Append(ctx context.Context, r controller.Record) (int64, bool, error) {
	begun := time.Now()
	seq, duplicate, err := j.Store.Append(ctx, r)
	return j.appended(begun, r, seq, duplicate, err)
}

func (j journal) AppendWith(ctx context.Context, r controller.Record, s controller.Saved, story []controller.Transition) (int64, bool, error) {
	begun := time.Now()
	seq, duplicate, err := j.Store.AppendWith(ctx, r, s, story)
	return j.appended(begun, r, seq, duplicate, err)
}

func (j journal) appended(begun time.Time, r controller.Record, seq int64, duplicate bool, err error) (int64, bool, error) {
	j.d.metrics.ObserveStore("append", time.Since(begun), err)
	if err == nil && !duplicate {
		r.Seq, r.Body = seq, nil
		j.d.control.Recorded(r)
	}
	return seq, duplicate, err
}

func (j journal) SaveStream(ctx context.Context, s controller.Saved, story []controller.Transition) error {
	begun := time.Now()
	err := j.Store.SaveStream(ctx, s, story)
	j.d.metrics.ObserveStore("save", time.Since(begun), err)
	return err
}

// shown is the controller with its pictures, as the admin side sees it.
type shown struct {
	*runner.Controller
	*millicast.ThumbnailDir
}
