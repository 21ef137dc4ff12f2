package machine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// world is a platform, its viewers and encoders around one machine, in simulated time. It knows the
// truth, and the machine only hears of it: hooks are lost, sent twice, delayed and overtaken as the
// faults say.
type world struct {
	t      *rapid.T
	p      Policy
	s      State
	now    time.Time
	faults faults
	rng    *dice

	queue     []thing
	boxes     map[string]*unit
	feeds     int
	feedsOf   map[string]string // feed → encoder, also when it is over
	open      map[string]string // feed → encoder
	waiting   int               // viewers who see black
	inside    int               // viewers who watch
	entered   time.Time         // when the first of them got in
	known     time.Time         // the newest time at which somebody was in, as the machine was told
	stopped   map[string]bool   // runs that were told to stop
	empty     time.Time         // since when nobody is inside
	toldEmpty bool
	attempt   time.Time            // last hook of that kind
	leases    map[string]time.Time // name → until when it wants the stream

	starts   int
	told     []string // starts and stops, without the cover's
	log      []string
	liveFrom time.Time
	toldLive time.Time // when the machine could know that; zero: not yet
	asked    time.Time // when the latest question left that has been answered
	longest  time.Duration
	steps    int
	killAt   int  // step at which the controller is killed; 0: never
	loseActs bool // and does not do what it had saved
}

type faults struct {
	lose, twice int // per cent of hooks
	delay       time.Duration
	poll        time.Duration // 0: no API
	slow        time.Duration // from the start of a box to its feed; 0: 300 ms
	failStart   int           // per cent
	hangStop    int           // per cent
	dies        int           // per cent of runs
	blinks      int           // per cent of feeds that break off and come back by themselves
}

type thing struct {
	at  time.Time
	seq int
	do  func()
}

func (t thing) before(o thing) bool { return t.at.Before(o.at) || t.at.Equal(o.at) && t.seq < o.seq }

type unit struct {
	name    string
	running bool
	run     string
	feed    string
	failed  bool
	aired   time.Time // when it last had a feed
	cover   bool

	publishes *Contribution
	rng       *dice // its faults do not depend on what others do
}

// dice are random numbers that do not depend on what else is drawn: the run with a kill and the one
// without see the same faults.
type dice struct{ x uint64 }

func (d *dice) roll(n int) int {
	d.x += 0x9e3779b97f4a7c15
	z := d.x
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int((z ^ z>>31) % uint64(max(n, 1)))
}

func newWorld(t *rapid.T, p Policy, f faults, seed uint64) *world {
	w := &world{
		t: t, p: p, faults: f, rng: &dice{seed}, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		boxes: map[string]*unit{}, open: map[string]string{}, stopped: map[string]bool{},
		feedsOf: map[string]string{}, leases: map[string]time.Time{},
	}
	for i, e := range w.specs() {
		w.boxes[e.Name] = &unit{
			name: e.Name, publishes: e.Publishes, cover: i == len(p.Encoders), rng: &dice{seed + uint64(i)<<32},
		}
	}
	if f.poll > 0 {
		w.p.CanAsk = true
		w.after(f.poll, w.poll)
	}
	return w
}

// specs are the encoders, and at last the cover.
func (w *world) specs() []EncoderSpec {
	specs := slices.Clone(w.p.Encoders)
	if w.p.Cover != nil {
		specs = append(specs, *w.p.Cover)
	}
	return specs
}

func (w *world) after(d time.Duration, do func()) {
	w.queue = append(w.queue, thing{w.now.Add(d), len(w.queue) + w.steps<<20, do})
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, w.now.Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	if len(w.log) > 400 {
		w.log = w.log[200:]
	}
}

func (w *world) fatal(format string, args ...any) {
	w.t.Fatalf("%s\nstate: %s %q wanted=%v deadline=%v %s\n%s", fmt.Sprintf(format, args...),
		w.s.Phase, w.s.Reason, w.s.Wanted, w.s.Deadline, w.s.Does, strings.Join(w.log, "\n"))
}

// pass lets time go by.
func (w *world) pass(d time.Duration) {
	end := w.now.Add(d)
	for range 1_000_000 {
		next := -1
		for i := range w.queue {
			if next < 0 || w.queue[i].before(w.queue[next]) {
				next = i
			}
		}
		if dl := w.s.Deadline; !dl.IsZero() && !dl.After(end) && (next < 0 || dl.Before(w.queue[next].at)) {
			w.now = later(w.now, dl)
			w.decide(Timer{})
			continue
		}
		if next < 0 || w.queue[next].at.After(end) {
			w.now = end
			return
		}
		th := w.queue[next]
		w.queue = slices.Delete(w.queue, next, next+1)
		w.now = later(w.now, th.at)
		th.do()
	}
	w.fatal("time does not pass")
}

func (w *world) decide(ev Event) {
	w.steps++
	before := w.s
	next, acts := Decide(w.s, ev, &w.p, w.now, 0.5)
	if next.Phase != w.s.Phase || next.Reason != w.s.Reason {
		w.note("%T -> %s: %s", ev, next.Phase, next.Reason)
	}
	w.s = next
	if claims := slices.ContainsFunc(acts, func(a Action) bool { _, is := a.(Claim); return is }); !claims {
		w.check() // else the claim is answered before anybody sees the state
		w.checkCover(&before)
	}
	if w.steps == w.killAt {
		lost := w.loseActs
		w.kill(acts, lost)
		return
	}
	for _, a := range acts {
		w.act(a, ev)
	}
}

// kill ends the controller and brings it back from what was stored.
func (w *world) kill(acts []Action, lost bool) {
	w.note("killed, actions lost: %v", lost)
	for _, a := range acts {
		switch a.(type) {
		case Claim: // is answered before anything is stored
			w.act(a, Timer{})
		default:
			if !lost {
				w.act(a, Timer{})
			}
		}
	}
	data, err := json.Marshal(w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = State{}
	if err := json.Unmarshal(data, &w.s); err != nil {
		w.t.Fatal(err)
	}
	w.decide(Booted{})
	for _, ref := range w.specs() {
		w.see(w.boxes[ref.Name])
	}
}

// see lets the machine look at a box. Half of the drivers can tell which run it is; this one can.
func (w *world) see(u *unit) {
	st := encoders.Status{State: encoders.StateStopped, Run: u.run}
	if u.running {
		st.State = encoders.StatePublishing
	} else if u.failed {
		st.State, st.Error = encoders.StateFailed, "it died"
	}
	w.decide(EncoderSeen{Encoder: u.name, Status: st})
}

func (w *world) act(a Action, ev Event) {
	switch a := a.(type) {
	case Claim:
		w.decide(Claimed{Encoder: a.Encoder, OK: true, For: ev.Label()})
	case StartEncoder:
		w.start(a)
	case StopEncoder:
		w.stop(a)
	case Ask:
		w.answer(askTook)
	}
}

// askTook is how long the platform takes to answer a question about one stream, and pollTook the
// regular one.
const (
	askTook  = 50 * time.Millisecond
	pollTook = 80 * time.Millisecond
)

// back is how long it takes until viewers who sat in the dark are in again, and counted.
const back = 3 * time.Second

// answer is what the platform's API says now; the machine hears it after a while.
func (w *world) answer(took time.Duration) {
	said := Polled{Asked: w.now, Live: len(w.open) > 0}
	if said.Live && w.now.Sub(w.liveFrom) > back {
		said.Viewers = w.inside
	}
	real := w.realOpen() && !w.s.Cover.MayRun() // or else nothing says that it is not the cover that they watch
	w.after(took, func() {
		if said.Viewers > 0 && real {
			w.known = later(w.known, said.Asked)
		}
		w.asked = said.Asked
		w.decide(said)
	})
}

func (w *world) start(a StartEncoder) {
	u := w.boxes[a.Encoder]
	if w.s.Hold.Mode == controller.ModeOff {
		w.fatal("started under a hold that says off")
	}
	if u.running && u.run != a.Run {
		w.fatal("a second copy of %s is started", a.Encoder)
	}
	w.starts++
	w.note("start %s", a.Encoder)
	if !u.cover {
		w.told = append(w.told, fmt.Sprintf("%s start %s", w.now.Format(time.TimeOnly), u.name))
	} else if w.faults.lose == 0 {
		w.checkCoverStart()
	}
	if u.rng.roll(100) < w.faults.failStart {
		w.after(20*time.Millisecond, func() { w.decide(StartDone{Encoder: a.Encoder, Run: a.Run, Err: "refused"}) })
		return
	}
	if u.running {
		return
	}
	u.running, u.run, u.failed = true, a.Run, false
	w.after(20*time.Millisecond, func() { w.decide(StartDone{Encoder: a.Encoder, Run: a.Run}) })
	w.after(cmp.Or(w.faults.slow, 300*time.Millisecond), func() { w.publish(u, a.Run) })
}

func (w *world) publish(u *unit, run string) {
	if !u.running || u.run != run || u.feed != "" {
		return
	}
	w.air(u)
	w.toldLive = w.now // it has started the encoder itself
	w.see(u)
	for range w.waiting {
		w.after(time.Duration(1+w.rng.roll(30))*time.Second, w.join)
	}
	if u.rng.roll(100) < w.faults.dies {
		w.after(time.Duration(5+u.rng.roll(120))*time.Second, func() { w.die(u, run) })
	}
	w.mayBlink(u, run)
}

// air opens a feed of the box.
func (w *world) air(u *unit) {
	w.feeds++
	u.feed = fmt.Sprint("F", w.feeds)
	for _, o := range w.boxes {
		if o != u && o.feed != "" && u.publishes != nil && o.publishes.Same(u.publishes) {
			w.fatal("the feed of %s replaces that of %s", u.name, o.name)
		}
	}
	w.open[u.feed], w.feedsOf[u.feed], u.aired = u.name, u.name, w.now
	if len(w.open) == 1 {
		w.liveFrom, w.toldLive = w.now, time.Time{}
	}
	w.hook(controller.HookFeedStarted, u.feed)
}

// mayBlink decides whether the feed will break off.
func (w *world) mayBlink(u *unit, run string) {
	if w.faults.blinks > 0 && w.rng.roll(100) < w.faults.blinks {
		w.after(time.Duration(4+w.rng.roll(40))*time.Second, func() { w.blink(u, run) })
	}
}

// blink breaks the feed of a box that goes on, and connects again by itself.
func (w *world) blink(u *unit, run string) {
	if !u.running || u.run != run || u.feed == "" || w.faults.blinks == 0 {
		return
	}
	w.note("the feed of %s breaks off", u.name)
	delete(w.open, u.feed)
	u.aired = w.now
	w.hook(controller.HookFeedEnded, u.feed)
	u.feed = ""
	w.after(time.Duration(200+w.rng.roll(2000))*time.Millisecond, func() {
		if u.running && u.run == run && u.feed == "" {
			w.air(u)
			w.mayBlink(u, run)
		}
	})
}

func (w *world) die(u *unit, run string) {
	if !u.running || u.run != run {
		return
	}
	w.note("%s dies", u.name)
	w.end(u)
	u.failed = true
	w.see(u)
}

// end takes a box off the air; those who watched sit in the dark and do not try again.
func (w *world) end(u *unit) {
	u.running = false
	if u.feed == "" {
		return
	}
	delete(w.open, u.feed)
	u.aired = w.now
	w.hook(controller.HookFeedEnded, u.feed)
	u.feed = ""
	if len(w.open) == 0 {
		w.longest = max(w.longest, w.now.Sub(w.liveFrom))
	}
}

func (w *world) stop(a StopEncoder) {
	u := w.boxes[a.Encoder]
	w.note("stop %s", a.Encoder)
	if !u.cover {
		w.told = append(w.told, fmt.Sprintf("%s stop %s", w.now.Format(time.TimeOnly), u.name))
	}
	if again := w.stopped[a.Run]; !again && !w.s.Wanted && w.s.Hold.Mode == "" && w.p.MaxUptime == 0 {
		w.checkStop()
	}
	w.stopped[a.Run] = true
	if u.rng.roll(100) < w.faults.hangStop {
		w.after(w.p.StopTimeout, func() { w.decide(StopDone{Encoder: a.Encoder, Run: a.Run, Err: "no answer"}) })
		return
	}
	w.after(100*time.Millisecond, func() {
		w.end(u)
		w.decide(StopDone{Encoder: a.Encoder, Run: a.Run})
	})
}

// checkStop holds when a stream is stopped since nobody is there. Who comes while the platform is
// asked is not counted yet; nor is who has just come back to a stream of whose return no word has
// come.
func (w *world) checkStop() {
	in := w.now.Sub(later(w.entered, w.liveFrom))
	limit := pollTook
	if w.toldLive.Before(w.liveFrom) || w.toldLive.After(w.asked) {
		limit += back
	}
	off := w.toldLive.IsZero() && !w.s.Facts.AnyOpen() // by the latest word
	if w.faults.poll > 0 && w.inside > 0 && len(w.open) > 0 && in > limit && !off {
		w.fatal("it is stopped, and %d viewers have been in for %s", w.inside, in)
	}
	for by, until := range w.leases {
		idle, wasLive := w.now.Sub(until), !w.s.FirstLive.IsZero() && until.After(w.s.FirstLive)
		if idle < 0 || wasLive && idle < w.p.IdleTimeout {
			w.fatal("it is stopped, and %s wanted it until %s", by, until.Format(time.TimeOnly))
		}
	}
	if idle := w.now.Sub(w.known); idle < w.p.IdleTimeout {
		w.fatal("it is stopped %s after somebody was known to be in; idle_timeout is %s", idle, w.p.IdleTimeout)
	}
}

// come is a viewer who arrives; while it is dark he tries again, patiently.
func (w *world) come() {
	w.waiting++
	w.try(2 * time.Second)
}

func (w *world) try(pause time.Duration) {
	if w.waiting == 0 {
		return
	}
	if len(w.open) > 0 {
		w.after(time.Second, w.join)
		return
	}
	if w.now.Sub(w.attempt) >= 10*time.Second {
		w.attempt = w.now
		w.hook(controller.HookAttempt, "")
	}
	w.after(pause, func() { w.try(min(2*pause, 32*time.Second)) })
}

func (w *world) join() {
	if len(w.open) == 0 {
		w.try(2 * time.Second)
		return
	}
	if w.waiting == 0 {
		return
	}
	w.waiting--
	w.inside++
	w.toldEmpty = false
	if w.inside == 1 {
		w.entered = w.now
		w.hook(controller.HookFirstViewer, "")
	}
}

// lease is somebody who asks for the stream, or with 0 no longer does.
func (w *world) lease(by string, lasts time.Duration) {
	w.note("%s wants it for %s", by, lasts)
	w.leases[by] = w.now.Add(lasts)
	ev := Leased{By: by}
	if lasts > 0 {
		ev.Until = w.leases[by]
	}
	w.decide(ev)
}

// leased reports whether somebody has a lease.
func (w *world) leased() bool {
	for _, until := range w.leases {
		if w.now.Before(until) {
			return true
		}
	}
	return false
}

func (w *world) leave() {
	if w.waiting > 0 {
		w.waiting--
		return
	}
	if w.inside == 0 {
		return
	}
	if w.inside--; w.inside > 0 {
		return
	}
	w.empty = w.now
	w.after(time.Minute, func() {
		if w.inside == 0 && !w.toldEmpty && w.now.Sub(w.empty) >= time.Minute && len(w.open) > 0 {
			w.toldEmpty = true
			w.hook(controller.HookNoViewers, "")
		}
	})
}

func (w *world) hook(kind controller.HookKind, feed string) {
	at := controller.ByPlatform(w.now)
	h := controller.Hook{Kind: kind, Account: "ACC", Name: "show", At: at, Feed: controller.Feed{ID: feed, Started: at}}
	if u := w.boxes[w.feedsOf[feed]]; u != nil && u.publishes != nil {
		h.Feed.Priority = u.publishes.Priority
	}
	times, real := 1, w.realOpen()
	if w.rng.roll(100) < w.faults.lose {
		times = 0
	} else if w.rng.roll(100) < w.faults.twice {
		times = 2
	}
	for range times {
		wait := 30 * time.Millisecond
		if w.faults.delay > 0 {
			wait += time.Duration(w.rng.roll(int(w.faults.delay)))
		}
		w.after(wait, func() {
			h := h
			h.Received = w.now
			if kind == controller.HookFirstViewer && real {
				w.known = later(w.known, h.At.Time())
			}
			w.decide(h)
			if kind == controller.HookFeedStarted && w.toldLive.IsZero() && w.open[feed] != "" {
				w.toldLive = w.now
			}
		})
	}
}

func (w *world) poll() {
	w.answer(pollTook)
	w.after(w.faults.poll, w.poll)
}

// checkCover holds at every step: the cover makes nobody live, and goes when somebody is.
func (w *world) checkCover(before *State) {
	if w.p.Cover == nil {
		return
	}
	for i := range w.s.Encoders {
		e := &w.s.Encoders[i]
		if was := before.Encoder(e.Name); e.Step != StepOn || was == nil || was.Step == StepOn {
			continue
		}
		u, heard := w.boxes[e.Name], w.faults.blinks == 0 // else a late word of the feed before may be taken for its own
		if heard && u.feed == "" && w.now.Sub(u.aired) > w.faults.delay+takeOver {
			w.fatal("%s counts as live and has no feed", e.Name)
		}
	}
	c := &w.s.Cover
	if c.Step != StepStarting && c.Step != StepOn {
		return
	}
	if !w.s.Wanted {
		w.fatal("the cover is on, and nothing is wanted")
	}
	for i := range w.s.Encoders {
		if e := &w.s.Encoders[i]; e.Step == StepOn && w.now.Sub(e.OnSince) > coverOverlap {
			w.fatal("the cover is on, and %s has been live since %s", e.Name, e.OnSince.Format(time.TimeOnly))
		}
	}
}

// checkCoverStart holds where no hook is lost: somebody is there, or was a moment ago, or is
// expected for join_timeout after it went live.
func (w *world) checkCoverStart() {
	here := w.waiting+w.inside > 0 || w.leased()
	untold := !w.empty.IsZero() && (!w.toldEmpty || w.now.Sub(w.empty) < time.Minute+w.faults.delay+time.Second)
	expected := w.now.Sub(w.attempt) <= w.p.AttemptHold+w.faults.delay || w.now.Before(w.s.JoinUntil)
	if !here && !untold && !expected {
		w.fatal("the cover starts, and nobody is there")
	}
}

// realOpen reports whether a feed is open that is not the cover's.
func (w *world) realOpen() bool {
	for _, name := range w.open {
		if !w.boxes[name].cover {
			return true
		}
	}
	return false
}

// running reports whether any box is on.
func (w *world) running() bool {
	for _, u := range w.boxes {
		if u.running {
			return true
		}
	}
	return false
}

// check holds at every step.
func (w *world) check() {
	s := &w.s
	if !s.Deadline.IsZero() && s.Deadline.Before(w.now) {
		w.fatal("the deadline %v %q has passed at %v", s.Deadline, s.Does, w.now)
	}
	calling := slices.ContainsFunc(s.Encoders, func(e Encoder) bool { return e.Calling || e.Boot })
	switch s.Phase {
	case controller.PhaseStarting, controller.PhaseStopping, controller.PhaseBackoff, controller.PhaseLingering:
		if s.Deadline.IsZero() && !calling {
			w.fatal("nothing can end phase %s", s.Phase)
		}
	}
	if s.Hold.Mode == controller.ModeOn && !s.Wanted {
		w.fatal("held on, and not wanted")
	}
	if s.Hold.Mode == controller.ModeOff && s.Wanted {
		w.fatal("held off, and wanted")
	}
	elsewhere := s.Phase == controller.PhaseLive && !s.Managed // as far as the machine can know
	if s.Hold.Mode == "" && w.p.MaxUptime == 0 && !s.Wanted && !elsewhere && w.leased() {
		w.fatal("somebody has a lease, and it is not wanted")
	}
	if s.Phase == controller.PhaseIdle && s.anyOn() {
		w.fatal("idle, and an encoder is in hand")
	}
}
