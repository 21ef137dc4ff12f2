package runner_test

import (
	"context"
	"errors"
	"fmt"
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
	running  int
	settings map[string]fake.Settings // by encoder

	store *store.Store
	c     *runner.Controller

	mu      sync.Mutex
	boxes   map[string]*fake.Encoder // by device, of the present process
	opened  []machine.EncoderSpec    // in this order
	openErr error
	notices []controller.Notice
	saveErr error
	commits int           // that the controller asked the store for
	hold    chan struct{} // commits with a state wait for it

	slowLeft time.Duration // how long a start reads the encoders' folders
}

func newRig(t *testing.T, specs ...runner.StreamSpec) *rig {
	return &rig{t: t, dir: t.TempDir(), begun: time.Now(), specs: specs, settings: map[string]fake.Settings{},
		accounts: map[string]runner.AccountSpec{"ACC": {PollInterval: 10 * time.Second}}}
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

// cameras is the pattern cam-*, whose streams have an instance of the encoder nvr each.
func cameras(n string) runner.StreamSpec {
	s := spec("cam-"+n, "nvr")
	s.Policy.Pattern, s.Policy.Matches, s.Policy.MaxInstances = "ACC/cam-*", []string{n}, 3
	s.Policy.Encoders[0].Device = "nvr@cam-" + n
	return s
}

// reload takes another configuration.
func (r *rig) reload(specs ...runner.StreamSpec) {
	r.t.Helper()
	r.specs = specs
	if err := r.c.Reload(runner.Config{Find: r.find, Streams: r.specs, Accounts: r.accounts, Running: r.running,
		Defaults: spec("").Policy}); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
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

// leave has the last viewer leave, and waits until that has led to what it leads to.
func (r *rig) leave(name, feed string) {
	r.t.Helper()
	r.hook(controller.HookNoViewers, name)
	r.pass(21 * time.Second)
	r.hook(controller.HookFeedEnded, name, feed)
	r.pass(time.Second)
}

// boot starts a process: the store is opened, and a controller on it.
func (r *rig) boot() {
	r.t.Helper()
	r.start()
	synctest.Wait()
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(context.Background(), store.Options{Dir: filepath.Join(r.dir, "data")}); err != nil {
		r.t.Fatal(err)
	}
	r.boxes = map[string]*fake.Encoder{}
	r.c = runner.New(runner.Config{
		Find: r.find, Streams: r.specs, Accounts: r.accounts, Running: r.running, Defaults: spec("").Policy,
		Store: flaky{r.store, r},
		Clock: runner.ClockOf(func() time.Time { return time.Now().Add(time.Duration(r.wall.Load())) },
			func() time.Duration { return time.Since(r.begun) }),
		Left:        r.left,
		ParseRecord: parsed,
		Open:        r.open, Notify: func(n controller.Notice) {
			r.mu.Lock()
			r.notices = append(r.notices, n)
			r.mu.Unlock()
		},
	})
	if err := r.c.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
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

func (r *rig) open(e machine.EncoderSpec, _ encoders.Job) (encoders.Encoder, string, error) {
	r.mu.Lock()
	err := r.openErr
	r.mu.Unlock()
	if err != nil {
		return nil, "", err
	}
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
		return nil, "", err
	}
	r.mu.Lock()
	r.boxes[key] = box
	r.opened = append(r.opened, e)
	r.mu.Unlock()
	return box, e.Version, nil
}

// flaky is the store, which can be made to refuse.
type flaky struct {
	*store.Store
	r *rig
}

// saved is the state of the one stream that the store has.
func (r *rig) saved() string {
	r.t.Helper()
	all, err := r.store.LoadStreams(context.Background())
	if err != nil || len(all) != 1 {
		r.t.Fatal(all, err)
	}
	return string(all[0].State)
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

// refuses has the store refuse commits with the error, or take them again with nil.
func (r *rig) refuses(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saveErr = err
}

// holdStates has states wait in the store, and what comes with them, until the channel is closed.
func (r *rig) holdStates() (free chan struct{}) {
	free = make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = free
	return free
}

func (r *rig) held() {
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	if hold != nil {
		<-hold
	}
}

// write counts a commit of the controller's, unless it is refused.
func (r *rig) write() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saveErr != nil {
		return r.saveErr
	}
	r.commits++
	return nil
}

func (f flaky) Commit(ctx context.Context, c controller.Commit) ([]controller.Receipt, error) {
	if err := f.r.write(); err != nil {
		return nil, err
	}
	if c.Saved != nil {
		f.r.held()
	}
	return f.Store.Commit(ctx, c)
}

// end ends the process as SIGTERM does; kill as SIGKILL: what was not saved is gone.
func (r *rig) end(stop bool) {
	r.c.Stop(context.Background(), stop)
	if err := r.store.Close(); err != nil {
		r.t.Error(err)
	}
}

// sent is a hook that the platform has just sent, and how the journal keeps it. No two are sent at
// the same time.
func (r *rig) sent(kind controller.HookKind, name string, feed ...string) (controller.Record, controller.Hook) {
	r.pass(time.Millisecond)
	now := time.Now().Add(time.Duration(r.wall.Load()))
	h := controller.Hook{Kind: kind, Account: "ACC", Name: name, At: controller.ByPlatform(now), Received: now}
	if len(feed) > 0 {
		h.Feed = controller.Feed{ID: feed[0], Started: controller.ByPlatform(now)}
	}
	return recordOf(h), h
}

// recordOf is how the journal keeps a hook.
func recordOf(h controller.Hook) controller.Record {
	return controller.Record{
		Received: h.Received, Sent: h.At.Time(), Account: h.Account, Stream: h.StreamID(), Event: string(h.Kind),
		Verdict: controller.Accepted,
		Body:    fmt.Appendf(nil, "%s %s [%s] %d", h.Kind, h.Name, h.Feed.ID, h.At.Time().UnixNano()),
	}
}

// parsed makes the hook of a record that sent made.
func parsed(rec controller.Record) (controller.Hook, bool) {
	h := controller.Hook{Kind: controller.HookKind(rec.Event), Account: rec.Account,
		At: controller.ByPlatform(rec.Sent), Received: rec.Received}
	words := strings.Fields(string(rec.Body))
	h.Name = words[1]
	if id := strings.Trim(words[2], "[]"); id != "" {
		h.Feed = controller.Feed{ID: id, Started: controller.ByPlatform(rec.Sent)}
	}
	return h, true
}

func (r *rig) hook(kind controller.HookKind, name string, feed ...string) {
	r.t.Helper()
	if _, duplicate, err := r.take(r.sent(kind, name, feed...)); duplicate || err != nil {
		r.t.Fatalf("%s: duplicate %v, error %v", kind, duplicate, err)
	}
}

func (r *rig) take(rec controller.Record, h controller.Hook) (int64, bool, error) {
	defer synctest.Wait()
	return r.c.Take(context.Background(), rec, h)
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

func bubble(t *testing.T, f func(*testing.T)) {
	t.Parallel()
	synctest.Test(t, f)
}

func TestCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.want("lobby", controller.PhaseIdle)
		r.live("lobby", "F1")
		v := r.view("lobby")
		if len(v.Feeds) != 1 || v.Encoders[0].State != encoders.StatePublishing || !v.Wanted || !v.Managed || v.Starts != 1 {
			t.Errorf("%+v", v)
		}
		r.hook(controller.HookNoViewers, "lobby")
		r.want("lobby", controller.PhaseLingering)
		r.pass(21 * time.Second)
		r.want("lobby", controller.PhaseStopping) // the platform's word of the feed's end is missing
		r.hook(controller.HookFeedEnded, "lobby", "F1")
		r.want("lobby", controller.PhaseIdle)
		story, err := r.c.History(context.Background(), "ACC/lobby", 100, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i := len(story) - 1; i >= 0; i-- {
			got = append(got, fmt.Sprintf("%s>%s %s", story[i].From, story[i].To, story[i].Event))
		}
		want := "idle>starting ViewerAttempt, starting>live started, live>live FirstViewerConnection, " +
			"live>lingering NoActiveViewers, lingering>stopping timer, stopping>idle ended"
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("history: %s\nwant:    %s", s, want)
		}
	})
}

// TestAdoption: a controller that comes back finds its encoder running: no second start, and the
// deadline of before.
func TestAdoption(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		r.hook(controller.HookNoViewers, "lobby")
		before := r.view("lobby")
		r.pass(5 * time.Second)
		r.end(false)
		r.pass(5 * time.Second)
		r.boot()
		r.pass(time.Second)
		after := r.view("lobby")
		if after.Phase != controller.PhaseLingering ||
			after.Deadline.Time.Sub(before.Deadline.Time).Abs() > time.Millisecond || after.Starts != 1 {
			t.Errorf("before %s until %v, after %s until %v, %d starts", before.Phase, before.Deadline, after.Phase,
				after.Deadline, after.Starts)
		}
		if n := r.boxes["cam"].Starts(); n != 1 {
			t.Errorf("the box was started %d times", n)
		}
		r.pass(15 * time.Second)
		if st := r.view("lobby").Encoders[0].State; st != encoders.StateStopped {
			t.Errorf("the encoder is %s after the deadline", st)
		}
		r.end(false)
	})
}

// TestOnExitStop: with on_exit: stop nothing runs after the end, and the next start brings it back
// while it is wanted.
func TestOnExitStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		box := r.boxes["cam"]
		r.end(true)
		if st, _ := box.Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Fatalf("the encoder is %s after the end", st.State)
		}
		r.boot()
		r.pass(time.Second)
		if n := r.boxes["cam"].Starts(); n != 2 {
			t.Errorf("somebody still watches, and the box was started %d times", n)
		}
		r.end(false)
	})
}

// TestSharedEncoder: one OBS for two streams. The second viewer waits, is told for whom, and is
// served when the first stream lingers.
func TestSharedEncoder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("gala", "obs"), spec("talk", "obs"))
		r.boot()
		defer r.end(false)
		r.live("gala", "F1")
		r.hook(controller.HookAttempt, "talk")
		r.want("talk", controller.PhaseWaiting)
		if v := r.view("talk"); v.WaitsFor == nil || *v.WaitsFor != "ACC/gala" {
			t.Errorf("talk waits for %v", v.WaitsFor)
		}
		r.hook(controller.HookNoViewers, "gala")
		r.pass(time.Second)
		r.want("talk", controller.PhaseStarting)
		if v := r.view("gala"); v.Encoders[0].State != encoders.StateStopped {
			t.Errorf("gala's encoder is %s", v.Encoders[0].State)
		}
		r.hook(controller.HookFeedEnded, "gala", "F1")
		r.want("gala", controller.PhaseIdle)
		r.hook(controller.HookFeedStarted, "talk", "F2")
		r.want("talk", controller.PhaseLive)
	})
}

// TestWaiterLeaves: a viewer who waited and went away does not cost the holder its time.
func TestWaiterLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("gala", "obs"), spec("talk", "obs"))
		r.boot()
		defer r.end(false)
		r.live("gala", "F1")
		r.hook(controller.HookAttempt, "talk")
		r.pass(50 * time.Second)
		r.want("talk", controller.PhaseIdle)
		r.hook(controller.HookNoViewers, "gala")
		r.pass(time.Second)
		r.want("gala", controller.PhaseLingering)
	})
}

func TestRunningLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("a", "cam-a"), spec("b", "cam-b"), spec("c", "cam-c"))
		r.running = 2
		r.boot()
		defer r.end(false)
		r.live("a", "FA")
		r.live("b", "FB")
		r.hook(controller.HookAttempt, "c")
		r.want("c", controller.PhaseWaiting)
		if reason := r.view("c").Reason; !strings.Contains(reason, "the limit of 2 running encoders") {
			t.Errorf("reason: %s", reason)
		}
		r.hook(controller.HookNoViewers, "a")
		r.pass(time.Second)
		r.want("c", controller.PhaseStarting)
		r.want("b", controller.PhaseLive)
	})
}

// TestModes: a person's word is there at once, outlives a restart, and ends by itself.
func TestModes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		ctx := context.Background()
		v, err := r.c.SetMode(ctx, "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOn, For: time.Hour,
			By: "anna", Why: "rehearsal"})
		if err != nil || v.Mode != controller.ModeOn || v.Phase != controller.PhaseStarting || *v.ModeBy != "anna" {
			t.Fatalf("%+v %v", v, err)
		}
		r.pass(time.Minute)
		r.end(false)
		r.boot()
		r.pass(time.Second)
		if v := r.view("lobby"); v.Mode != controller.ModeOn || !v.Wanted {
			t.Errorf("after a restart the mode is %s", v.Mode)
		}
		r.pass(time.Hour)
		if v := r.view("lobby"); v.Mode != controller.ModeAuto || v.Wanted {
			t.Errorf("after an hour the mode is %s, wanted %v", v.Mode, v.Wanted)
		}
		for _, bad := range []controller.ModeRequest{{Mode: "maybe"}, {Mode: controller.ModeOn, For: -1},
			{Mode: controller.ModeAuto, For: time.Hour}} {
			if _, err := r.c.SetMode(ctx, "ACC/lobby", bad); !errors.Is(err, controller.ErrInvalid) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		_, err = r.c.SetMode(ctx, "ACC/loby", controller.ModeRequest{Mode: controller.ModeOn})
		if !errors.Is(err, controller.ErrUnknownStream) {
			t.Error(err)
		}
		r.end(false)
	})
}

// TestSchedule: a window that runs at boot counts, one that begins later is opened, and both end.
func TestSchedule(t *testing.T) {
	bubble(t, func(t *testing.T) { // a bubble begins at midnight UTC on a Saturday
		s := spec("show", "cam")
		s.Policy.Schedule = schedule(t, machine.ScheduleLine{Cron: "0 22 * * FRI", For: 4 * time.Hour, Do: controller.ModeOn},
			machine.ScheduleLine{Cron: "0 12 * * *", For: time.Hour, Do: controller.ModeOff})
		r := newRig(t, s)
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		r.hook(controller.HookFeedStarted, "show", "F1")
		if v := r.view("show"); v.Phase != controller.PhaseLive || v.Deadline.String() != "2000-01-01T02:00:00.000Z" {
			t.Fatalf("%s until %v: %s", v.Phase, v.Deadline, v.Reason)
		}
		r.pass(2*time.Hour + 30*time.Second)
		r.hook(controller.HookFeedEnded, "show", "F1")
		r.want("show", controller.PhaseIdle)
		r.pass(10 * time.Hour)
		r.hook(controller.HookAttempt, "show")
		if v := r.view("show"); v.Phase != controller.PhaseIdle || !strings.Contains(v.Reason, "schedule says off") {
			t.Errorf("at noon: %s, %s", v.Phase, v.Reason)
		}
		r.pass(time.Hour)
		r.hook(controller.HookAttempt, "show")
		r.want("show", controller.PhaseStarting)
	})
}

func schedule(t *testing.T, lines ...machine.ScheduleLine) *machine.Schedule {
	t.Helper()
	s, err := machine.NewSchedule(lines, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestReload: timers stay, a removed stream is drained and then forgotten.
func TestReload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("stays", "cam-a"), spec("goes", "cam-b"), spec("lingers", "cam-c"))
		r.boot()
		defer r.end(false)
		r.live("stays", "FA")
		r.live("goes", "FB")
		r.live("lingers", "FC")
		r.hook(controller.HookNoViewers, "stays")
		before := r.view("stays").Deadline
		r.specs = r.specs[:1]
		if err := r.c.Reload(runner.Config{Find: r.find, Streams: r.specs, Accounts: r.accounts}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if after := r.view("stays").Deadline; *after != *before {
			t.Errorf("the deadline was %v and is %v", before, after)
		}
		if v := r.view("goes"); v.Phase != controller.PhaseLive || !v.Draining {
			t.Errorf("the removed stream is %s, draining %v", v.Phase, v.Draining)
		}
		r.hook(controller.HookNoViewers, "goes")
		r.hook(controller.HookNoViewers, "lingers")
		r.pass(21 * time.Second)
		r.want("lingers", controller.PhaseStopping)
		r.hook(controller.HookFeedEnded, "lingers", "FC") // its last word
		if v, ok := r.c.Stream("ACC/lingers"); ok {
			t.Errorf("the removed stream is still there after its feed's end: %s, %s", v.Phase, v.Reason)
		}
		r.pass(10 * time.Second)
		if v, ok := r.c.Stream("ACC/goes"); ok {
			t.Errorf("the removed stream is still there: %s, %s", v.Phase, v.Reason)
		}
		if st, _ := r.boxes["cam-b"].Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Errorf("its encoder is %s", st.State)
		}
	})
}

// TestClockStep: the wall clock is set while a stream lingers, by an hour and by a year, in both
// directions.
func TestClockStep(t *testing.T) {
	for _, by := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := newRig(t, spec("lobby", "cam"))
				r.boot()
				defer r.end(false)
				r.live("lobby", "F1")
				r.hook(controller.HookNoViewers, "lobby")
				r.pass(5 * time.Second)
				r.wall.Store(int64(by))
				r.pass(5 * time.Second)
				if v := r.view("lobby"); v.Phase != controller.PhaseLingering ||
					time.Until(v.Deadline.Time.Add(-by)) != 10*time.Second {
					t.Fatalf("%s until %v", v.Phase, v.Deadline)
				}
				r.pass(9500 * time.Millisecond)
				r.want("lobby", controller.PhaseLingering)
				r.pass(2 * time.Second)
				r.want("lobby", controller.PhaseStopping)
			})
		})
	}
}

var errDiskFull = fmt.Errorf("disk full: %w", controller.ErrStore)

// TestStoreDown: encoders do not depend on a disk. What could not be saved is saved later.
func TestStoreDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.refuses(errDiskFull)
		for _, kind := range []controller.HookKind{controller.HookAttempt, controller.HookFeedStarted,
			controller.HookFirstViewer} {
			_, h := r.sent(kind, "lobby", "F1")
			r.c.Deliver(h) // it was stored before the disk was full
			r.pass(time.Second)
		}
		r.want("lobby", controller.PhaseLive)
		r.refuses(nil)
		r.pass(10 * time.Second)
		if state := r.saved(); !strings.Contains(state, `"phase":"live"`) {
			t.Error(state)
		}
		r.end(false)
	})
}

// answers is a platform that says what a test wants.
type answers struct {
	mu      sync.Mutex
	live    []controller.LiveStream
	err     error
	asked   int
	stopped []string
}

func (a *answers) Live(context.Context) ([]controller.LiveStream, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	return a.live, a.err
}

func (a *answers) LiveStream(_ context.Context, name string) (controller.LiveStream, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.live {
		if l.Name == name {
			return l, a.err
		}
	}
	return controller.LiveStream{Name: name}, a.err
}

func (a *answers) Disconnect(_ context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = append(a.stopped, name)
	return nil
}

// TestPolls: the API cures a lost NoActiveViewers, is asked before the stop, more seldom when
// nothing is on, and more seldom when it fails.
func TestPolls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := spec("lobby", "cam")
		s.Policy.CanAsk = true
		r := newRig(t, s)
		api := &answers{}
		r.accounts["ACC"] = runner.AccountSpec{Platform: api, PollInterval: 10 * time.Second}
		r.boot()
		defer r.end(false)
		r.pass(10 * time.Minute)
		if api.asked < 5 || api.asked > 12 {
			t.Errorf("asked %d times in ten idle minutes", api.asked)
		}
		r.live("lobby", "F1")
		api.mu.Lock()
		api.live = []controller.LiveStream{{Name: "lobby", Live: true, Viewers: 3}}
		api.mu.Unlock()
		r.pass(20 * time.Second)
		if v := r.view("lobby"); v.Viewers == nil || *v.Viewers != 3 {
			t.Errorf("viewers: %v", v.Viewers)
		}
		api.mu.Lock()
		api.live[0].Viewers = 0
		api.mu.Unlock()
		r.pass(11 * time.Second)
		r.want("lobby", controller.PhaseLingering)
		r.pass(42 * time.Second)
		r.want("lobby", controller.PhaseStopping)
		api.mu.Lock()
		api.live, api.err, api.asked = nil, errors.New("503"), 0
		api.mu.Unlock()
		r.live("lobby", "F2")
		r.pass(10 * time.Minute)
		r.want("lobby", controller.PhaseLive)
		if api.asked > 12 {
			t.Errorf("asked %d times in ten minutes of failing", api.asked)
		}
		if accounts := r.c.Accounts(); accounts[0].PollError == nil {
			t.Error("the poll's error is not shown")
		}
	})
}

// TestWatch: readers see every change once, resume where they were, and are cut off when they do
// not read.
func TestWatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		ctx, cancel := context.WithCancel(context.Background())
		changes := r.c.Watch(ctx, 0)
		r.hook(controller.HookAttempt, "lobby")
		first := <-changes
		if first.Stream == nil || first.Stream.Phase != controller.PhaseStarting {
			t.Fatalf("%+v", first)
		}
		cancel()
		synctest.Wait()
		r.hook(controller.HookFeedStarted, "lobby", "F1")
		ctx, cancel = context.WithCancel(context.Background())
		defer cancel()
		again := r.c.Watch(ctx, first.ID)
		last := first.ID
		for len(again) > 0 {
			ch := <-again
			if ch.ID <= last {
				t.Errorf("change %d after %d", ch.ID, last)
			}
			last = ch.ID
		}
		for i := range 2000 {
			r.c.Recorded(controller.Record{Seq: int64(i)})
		}
		n := 0
		for range again {
			n++
		}
		if n == 0 || n > 1000 {
			t.Errorf("a reader who does not read got %d changes", n)
		}
	})
}

// TestOrphan: the store is lost while an encoder runs; it is found and taken over.
func TestOrphan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		r.end(false)
		r.loseStore(t)
		r.boot()
		r.pass(time.Second)
		if v := r.view("lobby"); !v.Managed || v.Starts != 0 || v.Encoders[0].State != encoders.StatePublishing {
			t.Errorf("%+v", v)
		}
		r.pass(time.Minute)
		if st, _ := r.boxes["cam"].Status(context.Background(), encoders.Job{}); !st.State.Gone() {
			t.Errorf("nobody is known to watch, and it is %s", st.State)
		}
		r.end(false)
	})
}
