package demo

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// demoScale is how much faster the platform's clock runs in the demo: the 60 s before
// NoActiveViewers are 4 s.
const demoScale = 15

var demoStreams = []string{"lobby", "stage"}

const demoConfig = `# The demo's configuration. The controller that reads it is real, the platform is simulated.
listen: "127.0.0.1:0"
admin: {listen: %q}
data_dir: %q
on_exit: stop
accounts:
  DEMO:
    webhook_secrets: [%q]
    api_secret: %q
    api_url: %s
    poll_interval: 5s
defaults: {idle_timeout: 3s, join_timeout: 10s, attempt_hold: 10s, start_timeout: 10s, stop_timeout: 5s}
encoders:
  lobby-cam: {ffmpeg: {input: "lavfi:testsrc2=size=640x360:rate=25", bitrate: 800k, preset: ultrafast}}
  stage-cam: {ffmpeg: {input: "lavfi:smptehdbars=size=640x360:rate=25", bitrate: 800k, preset: ultrafast}}
streams:
  lobby: {encoder: lobby-cam, publish: %q}
  stage: {encoder: stage-cam, publish: %q}
`

// demo is a simulated platform with the real daemon beside it.
type demo struct {
	out   io.Writer
	begun time.Time
	sim   *simulator.Simulator
	svc   *daemon.Daemon
	dir   string
	log   *tailBuffer

	mu      sync.Mutex
	silent  bool // during clean-up
	viewers map[string][]*simulator.Viewer
	muted   bool
}

func Run(ctx context.Context, o Options, out, errs io.Writer) error {
	d, err := startDemo(ctx, o, out, errs)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.cycle(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		fmt.Fprint(errs, d.log.String())
		return fmt.Errorf("demo failed: %w", err)
	}
	if o.Once {
		d.close()
		fmt.Fprintln(out, "demo passed")
		return nil
	}
	fmt.Fprintf(out, "\nrandom viewers come and go from now on; press the buttons at http://%s/demo/ yourself, "+
		"or Ctrl-C to end\n\n", d.svc.AdminAddr)
	d.crowd(ctx)
	return nil
}

func startDemo(ctx context.Context, o Options, out, errs io.Writer) (_ *demo, err error) {
	d := &demo{out: out, begun: time.Now(), viewers: map[string][]*simulator.Viewer{}, log: &tailBuffer{}}
	logTo := io.Writer(d.log)
	if o.Verbose {
		logTo = errs
	}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.dir, err = os.MkdirTemp("", "oncue-demo-"); err != nil {
		return nil, err
	}
	d.sim, err = simulator.Start(ctx, simulator.Settings{
		Account: "DEMO", Scale: demoScale, Seed: uint64(time.Now().UnixNano()), Thumbnails: true, Snapshot: snapshot,
	})
	if err != nil {
		return nil, fmt.Errorf("start the simulated platform: %w", err)
	}
	cfg, err := d.config(o)
	if err != nil {
		return nil, err
	}
	d.svc, err = daemon.Start(ctx, cfg, daemon.Options{
		Log: logTo, Version: o.Version, Demo: d.page(), OnTransition: d.controllerSays,
	})
	if err != nil {
		return nil, err
	}
	_, err = d.sim.AddWebhook(simulator.Webhook{
		URL: "http://" + d.svc.HookAddr.String() + "/hooks/millicast", Secret: d.sim.Secret(), Feeds: true,
		Viewers: true, Thumbnails: true,
	})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "oncue demo: a simulated platform, the real controller, a real FFmpeg\n\n"+
		"  status page  http://%[1]s/\n"+
		"  demo page    http://%[1]s/demo/   (what a viewer sees, and buttons)\n\n", d.svc.AdminAddr)
	return d, nil
}

// config writes the demo's file and loads it like any other.
func (d *demo) config(o Options) (*configs.Config, error) {
	listen := o.Listen
	if l, err := net.Listen("tcp", listen); err == nil {
		l.Close()
	} else if o.ListenSet {
		return nil, daemon.ListenError("--listen", listen, err)
	} else {
		listen = "127.0.0.1:0"
	}
	text := fmt.Sprintf(demoConfig, listen, filepath.Join(d.dir, "data"), d.sim.Secret().Reveal(),
		d.sim.APISecret().Reveal(), d.sim.APIURL(), d.sim.RTMPURL(demoStreams[0]), d.sim.RTMPURL(demoStreams[1]))
	path := filepath.Join(d.dir, "oncue.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return daemon.Load(path, d.log, func(configs.Problem) {})
}

// close stops the encoders and removes every file. It may be called twice.
func (d *demo) close() {
	d.mu.Lock()
	d.silent = true
	d.mu.Unlock()
	if d.svc != nil {
		if err := d.svc.Stop(); err != nil {
			fmt.Fprintln(d.out, "the demo did not end cleanly:", err)
		}
		d.svc = nil
	}
	if d.sim != nil {
		d.sim.Close()
		d.sim = nil
	}
	if d.dir != "" {
		os.RemoveAll(d.dir)
		d.dir = ""
	}
}

// say prints a line of the transcript.
func (d *demo) say(who, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.silent {
		fmt.Fprintf(d.out, "%6.2fs  %-10s  %s\n", time.Since(d.begun).Seconds(), who, fmt.Sprintf(format, args...))
	}
}

func (d *demo) controllerSays(t controller.Transition) {
	name := t.Stream.Name()
	if t.From == t.To {
		d.say("controller", "%s: %s", name, t.Reason)
		return
	}
	d.say("controller", "%s is %s: %s", name, t.To, t.Reason)
}

// cycle is one viewer's visit, from off to off.
func (d *demo) cycle(ctx context.Context) error {
	const name = "lobby"
	phase := func(want controller.Phase) func() bool {
		return func() bool { v, ok := d.svc.Stream("DEMO/" + name); return ok && v.Phase == want }
	}
	d.say("viewer", "opens %s, which is off: the platform sends ViewerAttempt", name)
	came := time.Now()
	viewer := d.join(name)
	if err := d.await(ctx, "the first picture at the platform", 15*time.Second,
		func() bool { return !d.sim.Truth(name).FirstVideo.IsZero() }); err != nil {
		return err
	}
	d.say("platform", "first picture %d ms after the viewer came",
		d.sim.Truth(name).FirstVideo.Sub(came).Milliseconds())
	if err := d.await(ctx, "live", 10*time.Second, phase(controller.PhaseLive)); err != nil {
		return err
	}
	if err := d.await(ctx, "the viewer to be in", 10*time.Second,
		func() bool { return d.sim.Truth(name).Watching == 1 }); err != nil {
		return err
	}
	d.say("viewer", "is in, and watches for a few seconds")
	if err := d.pause(ctx, 4*time.Second); err != nil {
		return err
	}
	viewer.Leave()
	d.say("viewer", "leaves; NoActiveViewers follows after 60 s (%d s here), and then idle_timeout of 3 s",
		60/demoScale)
	if err := d.await(ctx, "idle", 25*time.Second, phase(controller.PhaseIdle)); err != nil {
		return err
	}
	truth := d.sim.Truth(name)
	if truth.Live || truth.Connections != 0 {
		return fmt.Errorf("the controller says idle, and %s still is live at the platform", name)
	}
	d.say("platform", "%s is off; the encoder ran %.1f s for one viewer", name,
		truth.Past[len(truth.Past)-1].Ended.Sub(truth.Past[len(truth.Past)-1].Started).Seconds())
	return nil
}

func (d *demo) await(ctx context.Context, what string, limit time.Duration, is func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %v for %s", limit, what)
		case <-tick.C:
		}
	}
	return nil
}

func (d *demo) pause(ctx context.Context, span time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(span):
		return nil
	}
}

// crowd sends viewers until ctx ends.
func (d *demo) crowd(ctx context.Context) {
	for d.pause(ctx, time.Duration(3+rand.IntN(12))*time.Second) == nil {
		name := demoStreams[rand.IntN(len(demoStreams))]
		if rand.IntN(3) == 0 && d.leave(name) {
			continue
		}
		d.say("viewer", "opens %s", name)
		v := d.join(name)
		time.AfterFunc(time.Duration(8+rand.IntN(20))*time.Second, func() { d.forget(name, v) })
	}
}

func (d *demo) join(name string) *simulator.Viewer {
	v := d.sim.Join(name)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.viewers[name] = append(d.viewers[name], v)
	return v
}

// leave removes the viewer who has been there longest.
func (d *demo) leave(name string) bool {
	d.mu.Lock()
	list := d.viewers[name]
	d.mu.Unlock()
	if len(list) == 0 {
		return false
	}
	d.forget(name, list[0])
	return true
}

func (d *demo) forget(name string, v *simulator.Viewer) {
	d.mu.Lock()
	list := d.viewers[name]
	for i := range list {
		if list[i] == v {
			d.viewers[name] = append(list[:i:i], list[i+1:]...)
			d.mu.Unlock()
			v.Leave()
			d.say("viewer", "leaves %s", name)
			return
		}
	}
	d.mu.Unlock()
}

// tailBuffer keeps the end of a log, for when something goes wrong.
type tailBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.text = append(b.text, p...); len(b.text) > 1<<16 {
		b.text = b.text[len(b.text)-1<<15:]
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return lastLines(strings.ToValidUTF8(string(b.text), ""), 20)
}
