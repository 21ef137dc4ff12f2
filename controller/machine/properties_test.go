package machine

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oncue/oncue/controller"
	"pgregory.net/rapid"
)

func drawPolicy(t *rapid.T) Policy {
	p := Policy{
		AttemptHold: 45 * time.Second, StartTimeout: 10 * time.Second, JoinTimeout: 40 * time.Second,
		IdleTimeout: 20 * time.Second, StopTimeout: 5 * time.Second,
		Confirm: ConfirmFeed, Unmanaged: Observe, Several: AllEncoders, FailoverAfter: 2,
		Restart:  Restart{Initial: time.Second, Max: 8 * time.Second, Factor: 2, ResetAfter: time.Minute},
		Encoders: []EncoderSpec{{Name: "a"}},
	}
	if rapid.Bool().Draw(t, "slow starts") { // attempt_hold ends before start_timeout
		p.StartTimeout = time.Minute
	}
	if rapid.Bool().Draw(t, "lingers") { // NoActiveViewers comes before it is over
		p.IdleTimeout = 2 * time.Minute
	}
	if rapid.IntRange(0, 3).Draw(t, "failover") == 0 {
		p.Several, p.Encoders = Failover, []EncoderSpec{{Name: "a"}, {Name: "b"}}
	}
	return p
}

// drawCover may give the stream a cover. Contributions have priorities then, as the configuration
// gives them.
func drawCover(t *rapid.T, p Policy) Policy {
	if rapid.Bool().Draw(t, "cover") {
		cover(&p)
	}
	return p
}

func cover(p *Policy) {
	place := func(n int) *Contribution { n = 100 - n; return &Contribution{Priority: &n} }
	for i := range p.Encoders {
		p.Encoders[i].Publishes = place(i)
	}
	p.Cover = &EncoderSpec{Name: "slate", Publishes: place(len(p.Encoders))}
}

// TestCoverChangesNothing: the encoders start and stop as they would without a cover.
func TestCoverChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := faults{
			twice: rapid.IntRange(0, 50).Draw(t, "twice"), failStart: rapid.IntRange(0, 60).Draw(t, "fail"),
			hangStop: rapid.IntRange(0, 40).Draw(t, "hang"), dies: rapid.IntRange(0, 60).Draw(t, "dies"),
			slow: time.Duration(rapid.IntRange(1, 8).Draw(t, "slow")) * time.Second,
		}
		p, seed := drawPolicy(t), rapid.Uint64().Draw(t, "seed")
		leases := rapid.SliceOfN(rapid.IntRange(0, 200), 1, 8).Draw(t, "leases")
		run := func(p Policy) *world {
			w := newWorld(t, p, f, seed)
			for _, s := range leases {
				w.lease("site", time.Duration(s)*time.Second)
				w.pass(time.Duration(s+40) * time.Second / 2)
			}
			w.pass(10 * time.Minute)
			return w
		}
		cover(&p)
		covered := run(p)
		p.Cover = nil
		plain := run(p)
		if diff := cmp.Diff(plain.told, covered.told); diff != "" {
			covered.fatal("-without +with a cover:\n%s", diff)
		}
		if covered.running() {
			covered.fatal("nobody wants it, and it runs")
		}
		if plain.s.Starts != covered.s.Starts {
			covered.fatal("%d starts are counted, without a cover %d", covered.s.Starts, plain.s.Starts)
		}
	})
}

// perform draws what people do and lets it happen.
func perform(t *rapid.T, w *world) {
	for range rapid.IntRange(1, 12).Draw(t, "acts") {
		switch rapid.SampledFrom([]string{"come", "come", "leave", "lease", "wait", "wait", "long"}).Draw(t, "act") {
		case "come":
			w.come()
		case "leave":
			w.leave()
		case "lease":
			w.lease(rapid.SampledFrom([]string{"player", "site"}).Draw(t, "by"),
				time.Duration(rapid.IntRange(0, 90).Draw(t, "lease"))*time.Second)
		case "wait":
			w.pass(time.Duration(rapid.IntRange(1, 40).Draw(t, "s")) * time.Second)
		case "long":
			w.pass(time.Duration(rapid.IntRange(60, 300).Draw(t, "s")) * time.Second)
		}
	}
}

func everybodyLeaves(w *world) {
	for _, by := range []string{"player", "site"} {
		w.lease(by, 0)
	}
	for w.waiting > 0 || w.inside > 0 {
		w.leave()
	}
}

// TestConfluence: the same hooks in any order, any of them several times, make the same facts and,
// once time has passed, the same state.
func TestConfluence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		kinds := []controller.HookKind{
			controller.HookAttempt, controller.HookFirstViewer, controller.HookNoViewers,
			controller.HookFeedStarted, controller.HookFeedEnded,
		}
		hooks := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) controller.Hook {
			at := base.Add(time.Duration(rapid.IntRange(0, 9).Draw(t, "at")) * time.Second)
			kind := rapid.SampledFrom(kinds).Draw(t, "kind")
			if kind == controller.HookFeedStarted {
				at = base.Add(10 * time.Second) // after the attempts: the stream is off when they are made
			}
			return controller.Hook{Kind: kind, At: controller.ByPlatform(at), Received: base.Add(10 * time.Second),
				Feed: controller.Feed{
					ID: rapid.SampledFrom([]string{"F1", "F2"}).Draw(t, "feed"), Started: controller.ByPlatform(at),
				}}
		}), 1, 7).Draw(t, "hooks")
		other := rapid.Permutation(hooks).Draw(t, "order")
		other = append(other, rapid.SliceOfN(rapid.SampledFrom(hooks), 0, 4).Draw(t, "again")...)
		p := drawPolicy(t)
		run := func(hooks []controller.Hook) State {
			var s State
			for _, h := range hooks {
				s.Facts.hook(h)
			}
			return s
		}
		one, two := run(hooks), run(other)
		if diff := cmp.Diff(one.Facts, two.Facts); diff != "" {
			t.Fatal(diff)
		}
		now := base.Add(10 * time.Second)
		if a, b := one.demanded(&p, now), two.demanded(&p, now); a != b {
			t.Fatalf("%+v\n%+v", a, b)
		}
		settle := func(hooks []controller.Hook) *world {
			w := newWorld(t, p, faults{}, 1)
			w.now = now
			for _, h := range hooks {
				w.decide(h)
			}
			w.pass(10 * time.Minute)
			return w
		}
		a, b := settle(hooks), settle(other)
		if a.s.Phase != b.s.Phase || a.s.Wanted != b.s.Wanted || a.running() != b.running() {
			t.Fatalf("one order ends in %s wanted=%v, another in %s wanted=%v", a.s.Phase, a.s.Wanted, b.s.Phase, b.s.Wanted)
		}
	})
}

// TestTruthWithPolls: whatever hooks are lost, doubled or late, with the API at hand what is wanted
// follows the truth within a poll, nobody who is in is cut off, and a viewer whose encoder has died
// gets the picture back.
func TestTruthWithPolls(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := faults{lose: rapid.IntRange(0, 100).Draw(t, "lose"), twice: 20, delay: 5 * time.Second}
		f.dies = rapid.IntRange(0, 30).Draw(t, "dies")
		f.blinks = rapid.IntRange(0, 80).Draw(t, "blinks")
		p := drawCover(t, drawPolicy(t))
		f.poll = time.Duration(rapid.IntRange(5, 60).Draw(t, "poll")) * time.Second
		f.slow = time.Duration(rapid.IntRange(1, int(p.StartTimeout/time.Second)+5).Draw(t, "slow")) * time.Second
		w := newWorld(t, p, f, rapid.Uint64().Draw(t, "seed"))
		perform(t, w)
		w.faults.blinks = 0
		if watched := w.inside > 0 && len(w.open) > 0; watched {
			w.pass(f.poll + time.Second)
			if w.inside > 0 && len(w.open) > 0 && !w.s.Wanted {
				w.fatal("%d viewers are watching, and it is not wanted", w.inside)
			}
			// A feed that breaks off without a word of it makes the API count nobody for a moment.
			known, _ := w.s.audience(&w.p)
			if w.inside > 0 && len(w.open) > 0 && (known || f.blinks == 0) {
				for _, e := range p.Encoders {
					if u := w.boxes[e.Name]; u.feed != "" {
						w.die(u, u.run)
					}
				}
				w.pass(2 * time.Minute)
				if len(w.open) == 0 && !w.s.Wanted {
					w.fatal("%d viewers sit in the dark", w.inside)
				}
			}
		}
		everybodyLeaves(w)
		if f.dies > 0 { // deaths that were bound to come have come, and what they restart is live
			w.faults.dies = 0
			w.pass(3*time.Minute + f.slow)
		}
		w.pass(max(w.p.AttemptHold, w.p.JoinTimeout) + w.p.IdleTimeout + time.Minute + 4*f.poll + 30*time.Second)
		if w.running() || w.s.Wanted || w.s.Phase != controller.PhaseIdle {
			w.fatal("nobody is there, and it is still %s", w.s.Phase)
		}
	})
}

// TestServed: with hooks that arrive, a viewer who waits is served, whatever the encoder does, and
// nobody is cut off.
func TestServed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := faults{
			twice: 30, delay: 2 * time.Second, failStart: rapid.IntRange(0, 50).Draw(t, "fail"),
			hangStop: rapid.IntRange(0, 50).Draw(t, "hang"), dies: rapid.IntRange(0, 50).Draw(t, "dies"),
		}
		w := newWorld(t, drawCover(t, drawPolicy(t)), f, rapid.Uint64().Draw(t, "seed"))
		perform(t, w)
		w.faults = faults{}
		w.come()
		w.pass(3 * time.Minute)
		if len(w.open) == 0 || w.inside == 0 || !w.s.Wanted {
			w.fatal("a viewer waits, and is not served: %d inside, %d waiting", w.inside, w.waiting)
		}
	})
}

// TestCaps: without the API and with hooks lost, nothing runs longer than its cap.
func TestCaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPolicy(t)
		p.MaxUptime = 2 * time.Minute
		f := faults{lose: rapid.IntRange(0, 100).Draw(t, "lose"), delay: 3 * time.Second}
		w := newWorld(t, p, f, rapid.Uint64().Draw(t, "seed"))
		perform(t, w)
		w.pass(5 * time.Minute)
		if most := p.StartTimeout + p.MaxUptime + p.StopTimeout + 5*time.Second; w.longest > most {
			w.fatal("it was live for %v; the cap is %v", w.longest, p.MaxUptime)
		}
	})
}

// TestHolds: no hook overrides a hold.
func TestHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawCover(t, drawPolicy(t))
		w := newWorld(t, p, faults{twice: 20, delay: 3 * time.Second, dies: 20}, rapid.Uint64().Draw(t, "seed"))
		perform(t, w)
		mode := rapid.SampledFrom([]controller.Mode{controller.ModeOn, controller.ModeOff}).Draw(t, "mode")
		w.decide(ModeSet{Mode: mode, By: "anna"})
		perform(t, w) // world.check looks at every step
		w.faults = faults{}
		w.pass(4 * time.Minute) // deaths that were bound to come have come
		if w.running() != (mode == controller.ModeOn) {
			w.fatal("held %s, and running is %v", mode, w.running())
		}
	})
}

// TestKills: killed at any step, before or after doing what was saved, the machine ends as if
// nothing had been.
func TestKills(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawCover(t, drawPolicy(t))
		seed := rapid.Uint64().Draw(t, "seed")
		type scene struct {
			act  int
			wait time.Duration
		}
		scenes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scene {
			return scene{rapid.IntRange(0, 3).Draw(t, "act"), time.Duration(rapid.IntRange(1, 150).Draw(t, "s")) * time.Second}
		}), 1, 6).Draw(t, "scenes")
		run := func(killAt int, lose bool) *world {
			w := newWorld(t, p, faults{poll: 20 * time.Second}, seed)
			w.killAt, w.loseActs = killAt, lose
			for _, sc := range scenes {
				switch sc.act {
				case 0:
					w.come()
				case 1:
					w.leave()
				case 2:
					w.lease("player", sc.wait/2)
				}
				w.pass(sc.wait)
			}
			w.pass(4 * time.Minute)
			return w
		}
		plain := run(0, false)
		killed := run(rapid.IntRange(1, max(plain.steps, 1)).Draw(t, "kill at"), rapid.Bool().Draw(t, "lost"))
		if plain.s.Phase != killed.s.Phase || plain.s.Wanted != killed.s.Wanted || plain.running() != killed.running() {
			killed.fatal("without the kill it ends in %s wanted=%v", plain.s.Phase, plain.s.Wanted)
		}
	})
}

// TestPure: the machine leaves its input alone.
func TestPure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, drawPolicy(t), faults{delay: time.Second}, rapid.Uint64().Draw(t, "seed"))
		perform(t, w)
		before, err := json.Marshal(w.s)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := Decide(w.s, Timer{}, &w.p, w.now.Add(time.Hour), 0.3)
		two, _ := Decide(w.s, Timer{}, &w.p, w.now.Add(time.Hour), 0.3)
		after, _ := json.Marshal(w.s)
		if string(before) != string(after) {
			t.Fatalf("Decide changed its input:\n%s\n%s", before, after)
		}
		if diff := cmp.Diff(one, two); diff != "" {
			t.Fatal(diff)
		}
	})
}
