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
	"sync/atomic"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-co-op/gocron/v2"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/notify"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/store"
)

// Daemon is a running controller: the store at the bottom, the controller on it, the platform's
// side and the web on top.
type Daemon struct {
	HookAddr, AdminAddr net.Addr // of the first listener of each side, for a port that the system chose

	log          *slog.Logger
	level        *slog.LevelVar
	broken       chan error // a server that ended by itself
	started      time.Time
	controlling  bool // the controller works
	store        *store.Store
	seal         seal
	tokens       *tokenKeeper
	notes        background // written about what encoders were opened with
	lastGuard    atomic.Pointer[encoders.Guard]
	control      *runner.Controller
	receiver     *millicast.Receiver
	thumbnails   *millicast.ThumbnailDir
	pictures     *pictures
	metrics      *web.Metrics
	hooks        *web.Hooks
	admin        *web.Admin
	notifier     *notify.Notifier
	upkeep       gocron.Scheduler
	reloads      chan chan []string // of those who wait for a reload; nil: nobody may ask
	onTransition func(controller.Transition)

	webhookChecked map[string]time.Time // by account; owned by careForWebhooks

	// keeping is held while webhook secrets are read, merged, written and brought into force. It is
	// taken before mu.
	keeping sync.Mutex

	mu      sync.Mutex
	current inForce
}

const (
	// lockWait is how long a starting daemon waits until the one before lets go of the data
	// directory: in a planned restart both run for a moment.
	lockWait = 15 * time.Second

	// upkeepAfter is how long the store leaves a starting daemon alone before it does its upkeep.
	upkeepAfter = 3 * time.Second

	// drainLimit bounds how long the end of the process waits for requests and calls in flight.
	drainLimit = 20 * time.Second

	// lateLimit bounds, within drainLimit, the wait for hooks that the store is slow to take.
	lateLimit = 5 * time.Second
)

// Options are what a process gives its daemon beside the configuration.
type Options struct {
	Log          io.Writer
	Version      string
	Demo         http.Handler                // mounted at /demo/ on the admin side
	KeepAlive    bool                        // let senders of hooks keep their connections
	OnTransition func(controller.Transition) // called at each step of a stream; it must not wait

	reloads chan chan []string
}

// Start starts a daemon and returns when it is ready. The caller stops it.
func Start(ctx context.Context, cfg *configs.Config, o Options) (_ *Daemon, err error) {
	d := &Daemon{
		level: new(slog.LevelVar), broken: make(chan error, 2), started: time.Now(), reloads: o.reloads,
		onTransition: o.OnTransition, webhookChecked: map[string]time.Time{},
	}
	d.level.Set(levelOf(cfg.Log.Level))
	d.log = newLogger(o.Log, d.level, cfg.Log.Format)
	var at doors
	defer func() {
		if err != nil {
			at.close()
			if d.controlling {
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
	// Before the store opens, which may have something to report.
	d.notifier = notify.New(d.log)
	if err := d.notifier.Set(recipients(cfg.Notify)); err != nil {
		return nil, err
	}
	d.store, err = store.Open(ctx, store.Options{
		Dir: cfg.DataDir, Shared: BesideConfig(cfg), Log: d.log, LockWait: lockWait, UpkeepAfter: upkeepAfter,
		Notice: d.notice,
	})
	if err != nil {
		return nil, DataDirError(err)
	}
	if d.seal, err = openSeal(cfg.DataDir); err != nil {
		return nil, err
	}
	d.tokens = newTokenKeeper(d.store, d.seal, d.log)
	if d.thumbnails, err = millicast.OpenThumbnails(cfg.DataDir); err != nil {
		return nil, err
	}
	d.pictures = newPictures(d.askPicture, d.pictureTaken, d.log)
	// After the store, because in a planned restart the daemon before closes its sockets first and
	// then lets go of the store. Before the controller, because an address that is not available is
	// the most common reason not to start.
	if at, err = openDoors(sockets, cfg); err != nil {
		return nil, err
	}
	d.metrics = web.NewMetrics(o.Version, d.log)
	p, err := newPlan(cfg, nil, d.tokens)
	if err != nil {
		return nil, err
	}
	if err := d.makeController(p); err != nil {
		return nil, err
	}
	if err := d.control.Start(ctx); err != nil {
		return nil, err
	}
	d.controlling = true
	if err := d.open(at, cfg, o); err != nil {
		return nil, err
	}
	if err := d.beginUpkeep(); err != nil {
		return nil, err
	}
	d.setLoaded(cfg)
	d.notifySystemd("READY=1")
	d.notifyStatus()
	d.log.Info("oncue is ready", "version", o.Version, "hooks", addrOf(d.HookAddr), "admin", addrOf(d.AdminAddr),
		"streams", len(cfg.Streams), "encoders", len(cfg.Encoders))
	return d, nil
}

func addrOf(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

func (d *Daemon) makeController(p *plan) error {
	clock := runner.NewClock()
	d.control = runner.New(runner.Config{
		Find: findStream(p), Limits: limitsOf(p), Defaults: policyOf(p.Defaults), // apply brings the streams
		Store: journal{d.store, d}, ParseRecord: millicast.HookOf,
		Open: d.openEncoder, Left: d.leftEncoders, EndLost: d.endLost, Discard: d.discardEncoder,
		Clock: clock, Notify: d.notice, Observe: d.observer(), Log: d.log,
	})
	d.tokens.changed = d.control.TokenChanged
	var err error
	d.receiver, err = millicast.NewReceiver(millicast.Options{
		Journal: journal{d.store, d}, Controller: d.control, Thumbnails: d.thumbnails, Log: d.log, Clock: clock.Now,
	})
	if err != nil {
		return err
	}
	return d.apply(p)
}

// apply brings a configuration into force, at the start and at each reload.
func (d *Daemon) apply(p *plan) error {
	if err := d.notifier.Set(recipients(p.Notify)); err != nil {
		return err
	}
	accounts, err := d.openAccounts(p)
	if err != nil {
		return err
	}
	var before map[string]*account
	d.change(func(f *inForce) {
		before = f.accounts
		f.plan, f.accounts = p, accounts
	})
	for id, a := range before {
		if accounts[id] == nil || accounts[id].client != a.client {
			a.close()
		}
	}
	d.tokens.hurry()
	d.level.Set(levelOf(p.Log.Level))
	d.store.Keep(retention(p))
	if err := d.setSecrets(context.Background()); err != nil {
		return err
	}
	if d.hooks != nil {
		d.hooks.SetHooksPerSecond(p.Limits.HooksPerSecond)
		d.hooks.SetWake(web.WakeOptions(p.Wake))
	}
	return d.control.Reload(runner.Config{
		Find: findStream(p), Streams: streamSpecs(p), Accounts: accountSpecs(accounts),
		Limits: limitsOf(p), Defaults: policyOf(p.Defaults),
	})
}

func recipients(list []configs.Notify) []notify.Recipient {
	out := make([]notify.Recipient, 0, len(list))
	for _, n := range list {
		out = append(out, notify.Recipient(n))
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
		Receiver: d.receiver, Log: d.log, TLS: tlsConfig, ClientAddr: web.TrustProxies(cfg.TrustedProxies),
		HooksPerSecond: cfg.Limits.HooksPerSecond, Observe: d.metrics.ObserveHook, KeepAlive: o.KeepAlive,
		Waker: d.control, ObserveWake: d.metrics.ObserveWake,
	})
	d.hooks.SetWake(web.WakeOptions(cfg.Wake))
	view := adminView{d.control, d.thumbnails}
	ao := web.AdminOptions{
		Controller: view, Log: d.log, Version: o.Version, Started: time.Now(),
		Token: cfg.Admin.Token, AllowedHosts: cfg.Admin.AllowedHosts, TrustedProxies: cfg.TrustedProxies,
		Settings: d.store, Metrics: d.metrics.Handler(), Config: d.configState, Demo: o.Demo,
		Rotate: d.rotate, RotateToken: d.rotateToken,
	}
	if d.reloads != nil {
		ao.Reload = d.askReload
	}
	d.metrics.Watch(view)
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
func (d *Daemon) Stream(id controller.StreamID) (controller.StreamView, bool) {
	return d.control.Stream(id)
}

// Stop ends the daemon without losing a hook: it drains the public side, then stops the controller,
// then closes the store.
func (d *Daemon) Stop() error {
	d.notifySystemd("STOPPING=1")
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	err := d.hooks.Drain(ctx)
	late, cancelLate := context.WithTimeout(ctx, lateLimit)
	d.receiver.Close(late)
	cancelLate()
	onExit := d.inForce().plan.OnExit
	d.control.Stop(ctx, onExit == "stop")
	err = errors.Join(err, d.admin.Drain(ctx))
	left := map[string]string{"stop": "stopped", "leave": "left as they are"}[onExit]
	d.log.Info("oncue has stopped", "encoders", left)
	return errors.Join(err, d.release())
}

// release closes what is open. It may be called on a daemon that came up only in part.
func (d *Daemon) release() error {
	var err error
	if d.upkeep != nil {
		err = d.upkeep.Shutdown()
	}
	if d.notifier != nil {
		d.notifier.Close()
	}
	if d.pictures != nil {
		d.pictures.close()
	}
	for _, a := range d.inForce().accounts {
		a.close()
	}
	d.notes.wait()
	if d.thumbnails != nil {
		err = errors.Join(err, d.thumbnails.Close())
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
	d.notifier.Send(n)
}

func (d *Daemon) observer() runner.Observer {
	m := d.metrics
	return runner.Observer{
		AttemptToStart: m.ObserveAttemptToStart, AttemptToLive: m.ObserveAttemptToLive, Waited: m.ObserveWait,
		Transition:  d.observeTransition,
		Unconfirmed: m.ObserveUnconfirmedStop, Polled: m.ObservePoll,
	}
}

func (d *Daemon) observeTransition(t controller.Transition) {
	d.metrics.ObserveTransition(t)
	d.pictures.observe(t)
	if t.To == controller.PhaseBackoff || t.To == controller.PhaseFailed {
		account, _, _ := t.Stream.Split()
		d.tokens.doubt(account)
	}
	if d.onTransition != nil {
		d.onTransition(t)
	}
}

func (d *Daemon) notifySystemd(state string) {
	if _, err := systemd.SdNotify(false, state); err != nil {
		d.log.Debug("systemd was not notified", "state", state, "error", err)
	}
}

// journal is the store for the controller and the receiver. It measures each write, and hands each
// new hook to those who follow the live feed.
type journal struct {
	*store.Store
	d *Daemon
}

func (j journal) Append(ctx context.Context, r controller.Record) (int64, bool, error) {
	receipts, err := j.Commit(ctx, controller.Commit{Records: []controller.Record{r}})
	if err != nil {
		return 0, false, err
	}
	return receipts[0].Seq, receipts[0].Duplicate, receipts[0].Err
}

func (j journal) Commit(ctx context.Context, c controller.Commit) ([]controller.Receipt, error) {
	began := time.Now()
	receipts, err := j.Store.Commit(ctx, c)
	took := time.Since(began)
	if len(c.Records) == 0 {
		j.d.metrics.ObserveStore("save", took, err)
		return receipts, err
	}
	for i, r := range c.Records {
		failed := err
		if err == nil {
			failed = receipts[i].Err
		}
		j.d.metrics.ObserveStore("append", took, failed)
		if failed == nil && !receipts[i].Duplicate {
			r.Seq, r.Body = receipts[i].Seq, nil
			j.d.control.Recorded(r)
		}
	}
	return receipts, err
}

// adminView is the controller with its thumbnails, as the admin side sees it.
type adminView struct {
	*runner.Controller
	*millicast.ThumbnailDir
}
