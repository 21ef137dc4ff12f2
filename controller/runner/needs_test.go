package runner_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
)

// helper is a helper that lingers for 5 s.
func helper(name string, keeps ...string) runner.StreamSpec {
	s := spec(name, name)
	s.Account, s.Publish = controller.HelperAccount, nil
	s.Policy.Stream, s.Policy.Helper, s.Policy.Confirm = controller.HelperID(name), true, machine.ConfirmSwitch
	s.Policy.IdleTimeout, s.Policy.Keeps = 5*time.Second, keeps
	s.Policy.Encoders[0].Publishes, s.Policy.Encoders[0].Watched = nil, true
	return s
}

// needing has all encoders of the spec need the helpers.
func needing(s runner.StreamSpec, helpers ...string) runner.StreamSpec {
	s.Policy.Needs = map[string][]machine.Need{}
	for _, e := range s.Policy.Encoders {
		for _, h := range helpers {
			s.Policy.Needs[e.Name] = append(s.Policy.Needs[e.Name], machine.Need{Helper: h, Within: 15 * time.Second})
		}
	}
	return s
}

func (r *rig) helper(name string) controller.HelperView {
	r.t.Helper()
	for _, h := range r.c.Helpers() {
		if h.Name == name {
			return h
		}
	}
	r.t.Fatalf("there is no helper %s", name)
	return controller.HelperView{}
}

// TestHelpers: plug and camera are started in order, serve two streams, survive a kill, and go in
// the reverse order when nobody needs them.
func TestHelpers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, needing(spec("lobby", "cam"), "plug", "camera"), needing(spec("hall", "cam-2"), "plug"),
			helper("plug"), helper("camera", "plug"))
		for _, name := range []string{"plug", "camera"} {
			s := fake.Defaults()
			s.StartDelay, s.StopDelay, s.ConfigOnly = 2*time.Second, time.Second, true
			r.settings[name] = s
		}
		r.boot()
		if views := r.c.Streams(); len(views) != 2 {
			t.Errorf("streams: %v", views)
		}
		r.hook(controller.HookAttempt, "lobby")
		r.wantOn("plug")
		if why := r.view("lobby").Reason; !strings.HasSuffix(why, "waits for plug") {
			t.Errorf("lobby: %s", why)
		}
		r.want("lobby", controller.PhaseStarting)
		r.pass(2 * time.Second)
		r.wantOn("camera plug")
		if why := r.view("lobby").Reason; !strings.HasSuffix(why, "waits for camera") {
			t.Errorf("lobby: %s", why)
		}
		r.pass(2100 * time.Millisecond)
		r.wantOn("cam camera plug")
		r.hook(controller.HookFeedStarted, "lobby", "F1")
		r.hook(controller.HookFirstViewer, "lobby")
		r.live("hall", "F2") // at once, for the plug is on
		want := controller.HelperView{Name: "plug", Driver: "fake", State: controller.HelperOn, Wanted: true,
			For: []controller.StreamID{"ACC/hall", "ACC/lobby"}, Reason: "needed by ACC/lobby and 1 more"}
		if got := r.helper("plug"); got.State != want.State || !slices.Equal(got.For, want.For) || got.Reason != want.Reason {
			t.Errorf("plug: %+v", got)
		}
		r.end(false)
		r.boot()
		r.pass(time.Second)
		r.wantOn("cam cam-2 camera plug")
		r.leave("lobby", "F1")
		r.wantOn("cam-2 camera plug")
		r.pass(6 * time.Second)
		r.wantOn("cam-2 plug")
		r.leave("hall", "F2")
		r.pass(time.Second)
		r.wantOn("plug")
		if got := r.helper("plug"); got.Wanted != true || len(got.For) != 0 || got.Reason != "no longer needed" {
			t.Errorf("plug: %+v", got)
		}
		r.pass(4 * time.Second)
		r.wantOn("")
		for device, n := range map[string]int{"plug": 1, "camera": 1, "cam": 1, "cam-2": 1} {
			if got := r.starts(device); got != n {
				t.Errorf("%s was started %d times", device, got)
			}
		}
		r.end(false)
	})
}

// TestHelpersStopInReverse: with a linger of nothing, the camera is known to be off before the plug
// is told to be.
func TestHelpersStopInReverse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plug, camera := helper("plug"), helper("camera", "plug")
		plug.Policy.IdleTimeout, camera.Policy.IdleTimeout = 0, 0
		r := newRig(t, needing(spec("lobby", "cam"), "plug", "camera"), plug, camera)
		s := fake.Defaults()
		s.StopDelay = 3 * time.Second
		r.settings["camera"] = s
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		r.hook(controller.HookNoViewers, "lobby")
		r.pass(21 * time.Second)
		r.wantOn("camera plug")
		if why := r.helper("plug").Reason; why != "kept on until helpers/camera is off" {
			t.Errorf("plug: %s", why)
		}
		r.pass(3 * time.Second)
		r.wantOn("")
	})
}

// TestHelperFails: the encoder's start fails with the helper's reason, and succeeds at a later try.
func TestHelperFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, needing(spec("lobby", "cam"), "plug"), helper("plug"))
		s := fake.Defaults()
		s.FailStarts, s.StartError = 2, "it is unplugged"
		r.settings["plug"] = s
		r.boot()
		defer r.end(true)
		r.hook(controller.HookAttempt, "lobby")
		r.want("lobby", controller.PhaseBackoff)
		if why := r.view("lobby").Reason; !strings.Contains(why, "its helper plug failed: ") ||
			!strings.Contains(why, "it is unplugged") {
			t.Errorf("lobby: %s", why)
		}
		r.pass(10 * time.Second)
		r.want("lobby", controller.PhaseStarting)
		r.wantOn("cam plug")
	})
}

// TestHelperLeavesTheFile: a helper that a reload takes away stays on as long as the run that needs
// it, and is then stopped and forgotten.
func TestHelperLeavesTheFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, needing(spec("lobby", "cam"), "plug"), helper("plug"))
		r.boot()
		r.live("lobby", "F1")
		r.reload(spec("lobby", "cam"))
		r.pass(time.Minute)
		r.wantOn("cam plug")
		r.end(false)
		r.boot()
		r.pass(time.Minute)
		r.wantOn("cam plug")
		r.leave("lobby", "F1")
		r.pass(25 * time.Second)
		r.wantOn("")
		if left := r.c.Helpers(); len(left) != 0 {
			t.Errorf("helpers: %+v", left)
		}
		r.end(false)
	})
}

var chains = flag.Int("chains", 40, "seeds of TestChains")

// TestChains lets viewers come and go while helpers and encoders are slow, fail, die, hang and do
// not stop, the configuration changes, and the controller is ended and killed. Whatever comes: no
// encoder is started before all its helpers are ready, no helper is on for nobody beyond its
// linger, and nothing is left on.
func TestChains(t *testing.T) {
	var faults atomic.Int64
	t.Cleanup(func() { t.Logf("%d faults", faults.Load()) })
	for seed := range uint64(*chains) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := &chain{rig: newRig(t), faults: &faults, dice: rand.New(rand.NewPCG(seed, 20)), idle: map[string]time.Time{},
					cut: map[string]bool{}}
				w.openBox = w.open
				w.specs = w.file()
				w.boot()
				for range 150 {
					w.act()
				}
				w.close()
			})
		})
	}
}

type chain struct {
	*rig
	dice   *rand.Rand
	faults *atomic.Int64
	log    []string
	feeds  int
	idle   map[string]time.Time // since when a helper has been on for nobody
	cut    map[string]bool      // boxes that cannot be reached
}

// file is one of many configurations for the same streams. The order of the helpers is always that
// of their names.
func (w *chain) file() []runner.StreamSpec {
	var list []runner.StreamSpec
	for _, name := range []string{"a", "b", "c"} {
		var needs []string
		for _, h := range []string{"h1", "h2", "h3"} {
			if w.dice.IntN(2) == 0 {
				needs = append(needs, h)
			}
		}
		list = append(list, needing(spec(name, "enc-"+name), needs...))
	}
	for i, h := range []string{"h1", "h2", "h3"} {
		var keeps []string
		for _, before := range []string{"h1", "h2", "h3"}[:i] {
			if slices.ContainsFunc(list, func(s runner.StreamSpec) bool {
				both := 0
				for _, need := range s.Policy.Needs["enc-"+s.Name] {
					if need.Helper == before || need.Helper == h {
						both++
					}
				}
				return both == 2
			}) {
				keeps = append(keeps, before)
			}
		}
		list = append(list, helper(h, keeps...))
	}
	return list
}

// open opens a box that watches over the order of starts.
func (w *chain) open(e machine.EncoderSpec) encoders.Encoder {
	box, err := w.box(e)
	if err != nil {
		w.t.Error(err)
	}
	return ordered{box, w, e.Name}
}

type ordered struct {
	*fake.Encoder
	w    *chain
	name string
}

func (o ordered) Start(ctx context.Context, job encoders.Job) error {
	if job.Account != controller.HelperAccount {
		o.w.mu.Lock()
		needs := o.w.needs(o.name)
		for _, need := range needs {
			box := o.w.boxes[need.Helper]
			if box == nil {
				o.w.t.Errorf("%s starts, and nobody has opened %s\n%s", o.name, need.Helper, strings.Join(o.w.log, "\n"))
			} else if st := box.Face(); st.State != encoders.StatePublishing && !o.w.cut[need.Helper] {
				o.w.t.Errorf("%s starts, and %s is %s\n%s", o.name, need.Helper, st.State, strings.Join(o.w.log, "\n"))
			}
		}
		o.w.mu.Unlock()
	}
	return o.Encoder.Start(ctx, job)
}

// needs are the helpers of an encoder by the present file. The caller holds mu or is alone.
func (w *chain) needs(encoder string) []machine.Need {
	for _, s := range w.specs {
		if needs := s.Policy.Needs[encoder]; needs != nil {
			return needs
		}
	}
	return nil
}

func (w *chain) note(format string, args ...any) {
	w.log = append(w.log, time.Since(w.begun).String()+": "+fmt.Sprintf(format, args...))
}

func (w *chain) fatal(format string, args ...any) {
	w.t.Helper()
	w.end(false)
	w.t.Fatalf(format+"\n%s", append(args, strings.Join(w.log, "\n"))...)
}

// act does one thing at random, and lets some time pass.
func (w *chain) act() {
	name := []string{"a", "b", "c"}[w.dice.IntN(3)]
	device := []string{"h1", "h2", "h3", "enc-a", "enc-b", "enc-c"}[w.dice.IntN(6)]
	w.mu.Lock()
	box := w.boxes[device]
	w.mu.Unlock()
	n := w.dice.IntN(20)
	if n > 10 && n < 17 {
		w.faults.Add(1)
	}
	switch {
	case n < 7:
		w.note("a viewer of %s", name)
		w.hook(controller.HookAttempt, name)
		w.pass(time.Duration(w.dice.IntN(8)) * time.Second)
		w.arrive(name)
	case n < 11:
		w.note("nobody watches %s", name)
		w.hook(controller.HookNoViewers, name)
	case n < 13 && box != nil:
		w.note("%s dies", device)
		box.Die(errors.New("it died"))
		delete(w.idle, device)
	case n == 13 && box != nil:
		cut := w.dice.IntN(2) == 0
		w.note("%s is cut off: %v", device, cut)
		box.SetUnreachable(cut)
		w.mu.Lock()
		w.cut[device] = cut
		w.mu.Unlock()
	case n == 14:
		s := fake.Defaults()
		s.StartDelay = time.Duration(w.dice.IntN(12)) * time.Second
		s.StopDelay = time.Duration(w.dice.IntN(7)) * time.Second
		s.FailStarts, s.FailStops = w.dice.IntN(3), w.dice.IntN(3)
		s.HangStart, s.ConfigOnly = w.dice.IntN(8) == 0, w.dice.IntN(2) == 0
		w.note("%s becomes %+v when it is opened next", device, s)
		w.mu.Lock()
		w.settings[device] = s
		w.mu.Unlock()
	case n == 15:
		w.note("another file")
		w.mu.Lock()
		specs := w.file()
		w.mu.Unlock()
		w.reload(specs...)
		clear(w.idle)
	case n == 16:
		kill := w.dice.IntN(2) == 0
		w.note("the controller comes back; killed: %v", kill)
		if kill {
			w.refuses(errDiskFull)
		}
		w.end(false)
		w.refuses(nil)
		w.boot()
		w.mu.Lock()
		boxes := maps.Clone(w.boxes)
		w.mu.Unlock()
		for device, cut := range w.cut {
			if boxes[device] != nil {
				boxes[device].SetUnreachable(cut)
			}
		}
		clear(w.idle)
	}
	for range w.dice.IntN(12) {
		w.pass(time.Second)
		w.look()
	}
}

// arrive brings the feed and the viewer of a stream whose encoder publishes.
func (w *chain) arrive(name string) {
	w.mu.Lock()
	box := w.boxes["enc-"+name]
	w.mu.Unlock()
	if box == nil || box.Face().State != encoders.StatePublishing {
		return
	}
	w.feeds++
	w.hook(controller.HookFeedStarted, name, fmt.Sprint("F", w.feeds))
	w.hook(controller.HookFirstViewer, name)
}

// look checks that no helper is on for nobody.
func (w *chain) look() {
	needed, wanted := map[string]bool{}, map[controller.StreamID]bool{}
	for _, v := range w.c.Streams() {
		wanted[v.ID] = v.Phase != controller.PhaseIdle
		for _, need := range w.needs("enc-" + v.Name) {
			needed[need.Helper] = needed[need.Helper] || v.Phase != controller.PhaseIdle
		}
	}
	for _, h := range w.c.Helpers() { // by a run that began with another file
		needed[h.Name] = needed[h.Name] || slices.ContainsFunc(h.For, func(id controller.StreamID) bool { return wanted[id] })
	}
	w.mu.Lock()
	boxes := maps.Clone(w.boxes)
	w.mu.Unlock()
	for _, s := range slices.Backward(w.specs) {
		box := boxes[s.Name]
		if !s.Policy.Helper || box == nil {
			continue
		}
		on := !box.Face().State.Gone()
		for _, before := range s.Policy.Keeps {
			needed[before] = needed[before] || on || w.cut[s.Name] // of which nobody knows whether it is off
		}
		switch {
		case !on || needed[s.Name] || w.cut[s.Name]:
			delete(w.idle, s.Name)
		case w.idle[s.Name].IsZero():
			w.idle[s.Name] = time.Now()
		case time.Since(w.idle[s.Name]) > 45*time.Second:
			w.fatal("%s is on for nobody: %+v", s.Name, w.rig.helper(s.Name))
		}
	}
}

// close ends it: everybody leaves, all boxes can be reached, and nothing is left on.
func (w *chain) close() {
	w.note("the end")
	w.mu.Lock()
	boxes := maps.Clone(w.boxes)
	clear(w.cut)
	w.mu.Unlock()
	for _, box := range boxes {
		box.SetUnreachable(false)
	}
	for _, name := range []string{"a", "b", "c"} {
		w.hook(controller.HookNoViewers, name)
	}
	w.pass(5 * time.Minute)
	if on := w.on(); on != "" {
		w.fatal("left on: %s; %+v %+v", on, w.c.Helpers(), w.c.Streams())
	}
	w.end(false)
}
