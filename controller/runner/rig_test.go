package runner_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
	"github.com/oncue/oncue/store"
)

var nolog = slog.New(slog.DiscardHandler)

// rig is a controller in a bubble of simulated time, with a real store on a real file and fake
// boxes that outlive it.
type rig struct {
	t     *testing.T
	dir   string
	begun time.Time
	wall  atomic.Int64 // how far the wall clock was set away, in nanoseconds

	specs    []runner.StreamSpec
	accounts map[string]runner.AccountSpec
	pattern  func(n string) runner.StreamSpec // of cam-N; nil: none
	limits   runner.Limits
	settings map[string]fake.Settings                        // by encoder
	openBox  func(machine.EncoderSpec) encoders.Encoder      // nil: a fake box
	parse    func(controller.Record) (controller.Hook, bool) // of journaled hooks
	observe  runner.Observer

	store *store.Store
	c     *runner.Controller

	mu      sync.Mutex
	boxes   map[string]*fake.Encoder // by device, of the present process
	opened  []machine.EncoderSpec    // in this order
	openErr error
	notices []controller.Notice
	saveErr error
	commits int           // that the controller asked the store for
	blocked chan struct{} // commits with a state wait for it

	slowLeft time.Duration // how long a start reads the encoders' folders
}

func newRig(t *testing.T, specs ...runner.StreamSpec) *rig {
	return &rig{t: t, dir: t.TempDir(), begun: time.Now(), specs: specs, settings: map[string]fake.Settings{},
		parse: parsed, accounts: map[string]runner.AccountSpec{"ACC": {PollInterval: 10 * time.Second}}}
}

// spec is a stream with short time-outs.
func spec(name string, encoderNames ...string) runner.StreamSpec {
	s := runner.StreamSpec{Account: "ACC", Name: name,
		Publish: func(string) secret.Value { return secret.New("rtmp://127.0.0.1/live/{stream}?token=canary") },
		Policy: machine.Policy{
			Stream: controller.StreamID("ACC/" + name), AttemptHold: 45 * time.Second, StartTimeout: 10 * time.Second,
			JoinTimeout: 30 * time.Second, IdleTimeout: 20 * time.Second, StopTimeout: 5 * time.Second,
			Confirm: machine.ConfirmFeed, Unmanaged: machine.Observe, Several: machine.AllEncoders, FailoverAfter: 3,
			Restart: machine.Restart{Initial: time.Second, Max: 10 * time.Second, Factor: 2, ResetAfter: time.Minute},
		}}
	for _, e := range encoderNames {
		s.Policy.Encoders = append(s.Policy.Encoders, machine.EncoderSpec{Name: e,
			Instance: machine.Instance{Driver: "fake", Device: e}, Publishes: &machine.Contribution{}})
	}
	return s
}

// device has an encoder of the spec be another instance.
func device(s runner.StreamSpec, encoder int, driver, name string) runner.StreamSpec {
	s.Policy.Encoders[encoder].Instance = machine.Instance{Driver: driver, Device: name}
	return s
}

// byHand has people press the buttons of the spec's boxes.
func byHand(s runner.StreamSpec) runner.StreamSpec {
	for i := range s.Policy.Encoders {
		s.Policy.Encoders[i].Watched = true
	}
	return s
}

// cameras is the pattern cam-*, whose streams have an instance of the encoder nvr each.
func cameras(n string) runner.StreamSpec {
	s := spec("cam-"+n, "nvr")
	s.Policy.Pattern, s.Policy.Matches, s.Policy.MaxInstances = "ACC/cam-*", []string{n}, 3
	s.Policy.Encoders[0].Device = "nvr@cam-" + n
	return s
}

func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

func (r *rig) find(account, name string) (runner.StreamSpec, bool) {
	for _, s := range r.specs {
		if s.Account == account && s.Name == name {
			return s, true
		}
	}
	if n, ok := strings.CutPrefix(name, "cam-"); ok && r.pattern != nil {
		return r.pattern(n), true
	}
	return runner.StreamSpec{}, false
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(context.Background(), store.Options{Dir: filepath.Join(r.dir, "data")}); err != nil {
		r.t.Fatal(err)
	}
	r.boxes = map[string]*fake.Encoder{}
	r.c = runner.New(runner.Config{
		Find: r.find, Streams: r.specs, Accounts: r.accounts, Limits: r.limits, Defaults: spec("").Policy,
		Store: flaky{r.store, r},
		Clock: runner.ClockOf(func() time.Time { return time.Now().Add(time.Duration(r.wall.Load())) },
			func() time.Duration { return time.Since(r.begun) }),
		Left:        r.left,
		ParseRecord: r.parse, Observe: r.observe,
		Open: r.open, Notify: func(n controller.Notice) {
			r.mu.Lock()
			r.notices = append(r.notices, n)
			r.mu.Unlock()
		},
	})
	if err := r.c.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

// boot starts a process: the store is opened, and a controller on it.
func (r *rig) boot() {
	r.t.Helper()
	r.start()
	synctest.Wait()
}

// end ends the process as SIGTERM does; kill as SIGKILL: what was not saved is gone.
func (r *rig) end(stop bool) {
	r.c.Stop(context.Background(), stop)
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// reload takes another configuration.
func (r *rig) reload(specs ...runner.StreamSpec) {
	r.t.Helper()
	r.specs = specs
	if err := r.c.Reload(runner.Config{Find: r.find, Streams: r.specs, Accounts: r.accounts, Limits: r.limits,
		Defaults: spec("").Policy}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}

func (r *rig) open(e machine.EncoderSpec, _ encoders.Job) (encoders.Encoder, string, error) {
	if r.openBox != nil {
		return r.openBox(e), e.Version, nil
	}
	r.mu.Lock()
	err := r.openErr
	r.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
	box, err := r.box(e)
	if err != nil {
		return nil, "", err
	}
	return box, e.Version, nil
}

// box opens the fake box of an encoder.
func (r *rig) box(e machine.EncoderSpec) (*fake.Encoder, error) {
	s, ok := r.settings[e.Name]
	if !ok {
		s = fake.Defaults()
		s.StartDelay = 200 * time.Millisecond
	}
	dir, key := filepath.Join(r.dir, "encoders-"+e.Device), e.Device
	if e.Driver != "fake" {
		dir, key = dir+"/"+e.Driver, e.Driver+":"+e.Device
	}
	box, err := fake.New(s, encoders.Env{Name: e.Device, Dir: mkdir(r.t, dir), Log: nolog})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.boxes[key] = box
	r.opened = append(r.opened, e)
	r.mu.Unlock()
	return box, nil
}

// opensNot has no driver open, or again with nil.
func (r *rig) opensNot(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.openErr = err
}

// left lists the encoders that have a folder.
func (r *rig) left() []machine.EncoderSpec {
	time.Sleep(r.slowLeft)
	folders, err := filepath.Glob(filepath.Join(r.dir, "encoders-*"))
	if err != nil {
		r.t.Error(err)
	}
	var left []machine.EncoderSpec
	for _, f := range folders {
		device := strings.TrimPrefix(filepath.Base(f), "encoders-")
		name, _, _ := strings.Cut(device, "@")
		left = append(left, machine.EncoderSpec{Name: name, Instance: machine.Instance{Driver: "fake", Device: device}})
	}
	return left
}

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d) // a bubble's time
	synctest.Wait()
}

func (r *rig) view(name string) controller.StreamView {
	r.t.Helper()
	v, ok := r.c.Stream(controller.StreamID("ACC/" + name))
	if !ok {
		r.t.Fatalf("there is no stream %s", name)
	}
	return v
}

func (r *rig) want(name string, phase controller.Phase) {
	r.t.Helper()
	if v := r.view(name); v.Phase != phase {
		r.t.Fatalf("%s is %s (%s), want %s", name, v.Phase, v.Reason, phase)
	}
}

// live brings a stream up, with a viewer in.
func (r *rig) live(name, feed string) {
	r.t.Helper()
	r.hook(controller.HookAttempt, name)
	r.pass(time.Second)
	r.hook(controller.HookFeedStarted, name, feed)
	r.hook(controller.HookFirstViewer, name)
	r.want(name, controller.PhaseLive)
}

// leave has the last viewer leave, and waits until that has led to what it leads to.
func (r *rig) leave(name, feed string) {
	r.t.Helper()
	r.hook(controller.HookNoViewers, name)
	r.pass(21 * time.Second)
	r.hook(controller.HookFeedEnded, name, feed)
	r.pass(time.Second)
}

// on lists the devices whose box is on now.
func (r *rig) on() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var on []string
	for device, box := range r.boxes {
		if st, _ := box.Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			on = append(on, device)
		}
	}
	slices.Sort(on)
	return strings.Join(on, " ")
}

func (r *rig) wantOn(devices string) {
	r.t.Helper()
	if on := r.on(); on != devices {
		r.t.Fatalf("on are %q, want %q", on, devices)
	}
}

// starts is how often the device was told to start.
func (r *rig) starts(device string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if box := r.boxes[device]; box != nil {
		return box.Starts()
	}
	return 0
}

func (r *rig) noticed(kind string) (n []controller.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, notice := range r.notices {
		if notice.Kind == kind {
			n = append(n, notice)
		}
	}
	return n
}
