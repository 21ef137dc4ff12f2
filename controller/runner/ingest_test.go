package runner_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/fake"
)

var interleavings = flag.Int("interleavings", 50, "how many random interleavings TestRedundantIngest makes")

// Each platform has so many shows, and each show so many episodes. One episode of one show is an
// interleaving: everything happens to it at random, then nothing for a while, then all viewers
// leave.
const (
	showsEach    = 10
	episodesEach = 5
)

// TestRedundantIngest lets the encoders of a stream start, die, stall, stop and come back at random
// beside each other, with viewers and holds that come and go, hooks that are lost, doubled and
// overtaken, files that give everyone another priority, and controllers that are killed. The
// platform is the simulator: its viewers, its hooks, its API, and above all its rules of who
// replaces whom. Whatever comes:
//
//   - No encoder's feed is replaced by one of ours while it publishes.
//   - What happens to one encoder neither stops nor restarts another.
//   - Once nothing happens any more, what is wanted is on, each encoder with a feed of its own, and
//     the controller knows who is on the air. What nobody wants is off.
func TestRedundantIngest(t *testing.T) {
	for seed := range uint64(max(*interleavings/showsEach/episodesEach, 1)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBroadcaster(t, seed)
				defer b.close()
				for range episodesEach {
					b.disturb()
					b.calm()
					b.leave()
				}
			})
		})
	}
}

// broadcaster has a platform, a controller, and shows with two or three encoders each.
type broadcaster struct {
	*rig
	sim   *simulator.Simulator
	dice  *rand.Rand
	ask   bool // there is an API
	shows []*show
	files int

	receiver atomic.Pointer[millicast.Receiver] // nil while no controller runs

	mu     sync.Mutex
	luck   *rand.Rand                 // of hooks and connections, which have goroutines of their own
	losing bool                       // hooks get lost
	sure   map[string]bool            // feeds whose hooks get through: nobody but the platform knows of their end
	places map[string]map[string]bool // of the configuration in force: show → encoder
	wrong  string                     // the first thing that must not happen
	log    []string
}

type show struct {
	name     string
	encoders []*publisher
	several  machine.Several
	viewers  []*simulator.Viewer
}

// publisher is a box that publishes to the platform what its start said.
type publisher struct {
	*fake.Encoder
	b    *broadcaster
	show *show
	name string

	mu      sync.Mutex                // taken before broadcaster.mu
	told    map[string]ingest.Address // by run
	run     string                    // that has published last
	feed    string                    // open; "" when none is, though it may linger
	had     map[string]bool           // every feed of it
	hurt    string                    // the run to which something was done last
	stopped string                    // the run that was to be stopped last
}

func newBroadcaster(t *testing.T, seed uint64) *broadcaster {
	b := &broadcaster{rig: newRig(t), dice: rand.New(rand.NewPCG(seed, 1)), luck: rand.New(rand.NewPCG(seed, 2)),
		ask: seed%2 == 0, sure: map[string]bool{}}
	if dir, err := os.MkdirTemp("/dev/shm", "oncue"); err == nil { // no disk, whose syncs take most of the time
		b.dir = dir
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	chance := func() bool { return b.dice.IntN(2) == 0 }
	var err error
	b.sim, err = simulator.Start(context.Background(), simulator.Settings{
		Account: "ACC", InMemory: true, Seed: seed, Transport: hookWay{b}, WebhookURL: "http://hooks.invalid/",
		Behaviour: simulator.Behaviour{EndedFirst: chance(), FirstViewerOnce: b.ask && chance(),
			NoViewersAfterAttempts: chance(), Skew: time.Duration(b.dice.IntN(400)-200) * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range showsEach {
		s := &show{name: fmt.Sprintf("show-%d", i)}
		for _, letter := range []string{"a", "b", "c"} {
			s.encoders = append(s.encoders, b.publisher(s, s.name+"-"+letter))
		}
		b.shows = append(b.shows, s)
	}
	if b.ask {
		client, err := millicast.NewClient(millicast.ClientOptions{Account: "ACC", URL: "http://api.invalid",
			Secret: b.sim.APISecret(), Log: nolog, Transport: apiWay{b.sim.Handler()}})
		if err != nil {
			t.Fatal(err)
		}
		b.accounts["ACC"] = runner.AccountSpec{Platform: client, PollInterval: 10 * time.Second}
	}
	b.parse = millicast.HookOf
	b.openBox = func(e machine.EncoderSpec) encoders.Encoder {
		for _, s := range b.shows {
			for _, p := range s.encoders {
				if p.name == e.Device {
					return p
				}
			}
		}
		return nil
	}
	b.specs = b.file()
	b.up()
	return b
}

func (b *broadcaster) publisher(s *show, name string) *publisher {
	set := fake.Settings{StartDelay: time.Duration(50+b.dice.IntN(2000)) * time.Millisecond,
		StopDelay: time.Duration(b.dice.IntN(1500)) * time.Millisecond}
	box, err := fake.New(set, encoders.Env{Name: name, Log: nolog})
	if err != nil {
		b.t.Fatal(err)
	}
	p := &publisher{Encoder: box, b: b, show: s, name: name, told: map[string]ingest.Address{}, had: map[string]bool{}}
	go func() { _ = box.WatchFace(b.t.Context(), p.follow) }()
	return p
}

// file is one of many configurations for the same shows. None lets two encoders of a show be the
// same contribution.
func (b *broadcaster) file() []runner.StreamSpec {
	b.files++
	places := map[string]map[string]bool{}
	var list []runner.StreamSpec
	for _, s := range b.shows {
		order := b.dice.Perm(len(s.encoders))[:2+b.dice.IntN(2)]
		if b.dice.IntN(8) == 0 {
			order = order[:1]
		}
		kind := b.dice.IntN(4)
		to := map[string]ingest.Contribution{}
		spec := spec(s.name)
		s.several = machine.AllEncoders
		if b.dice.IntN(4) == 0 {
			s.several = machine.Failover
		}
		spec.Policy.Several, spec.Policy.FailoverAfter, spec.Policy.CanAsk = s.several, 1, b.ask
		spec.Publish = func(encoder string) secret.Value { return to[encoder].URL() }
		places[s.name] = map[string]bool{}
		for place, i := range order {
			name, priority := s.encoders[i].name, ingest.Rank(place)
			c := ingest.Contribution{Token: secret.New("cafe"), Server: "rtmp://127.0.0.1", Priority: &priority}
			switch kind {
			case 0: // one after the other has a number, the last has none
				if place == len(order)-1 {
					c.Priority = nil
				}
			case 1: // two angles, of which the first has a backup
				if place == 1 {
					c.Source, c.Priority = "angle", nil
				}
			}
			to[name] = c
			places[s.name][name] = true
			spec.Policy.Encoders = append(spec.Policy.Encoders, machine.EncoderSpec{
				Name: name, Instance: machine.Instance{Driver: "fake", Device: name}, Version: fmt.Sprint(b.files),
				Publishes: &machine.Contribution{Source: c.Source, Priority: c.Priority}})
		}
		list = append(list, spec)
	}
	b.mu.Lock()
	b.places = places
	b.mu.Unlock()
	return list
}

// hookWay brings hooks to the controller that runs, if one does.
type hookWay struct{ b *broadcaster }

func (w hookWay) RoundTrip(req *http.Request) (*http.Response, error) {
	b := w.b
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	said := string(body)
	b.mu.Lock()
	// What a viewer did is told once; without the API nothing else tells it.
	lost := b.losing && b.luck.IntN(5) == 0 && (b.ask || strings.Contains(said, `"feeds"`))
	for id := range b.sure {
		lost = lost && !strings.Contains(said, id)
	}
	b.mu.Unlock()
	receiver := b.receiver.Load()
	if lost || receiver == nil {
		b.note("lost: %s", said)
		return nil, errors.New("lost")
	}
	b.note("hook: %s", said)
	_, err = receiver.Receive(req.Context(), millicast.Delivery{
		ContentType: req.Header.Get("Content-Type"), Header: req.Header, Body: body, Received: time.Now(),
	})
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

// apiWay asks the platform's API.
type apiWay struct{ api http.Handler }

func (w apiWay) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	w.api.ServeHTTP(answer, req)
	return answer.Result(), nil
}

// up starts a controller.
func (b *broadcaster) up() {
	b.boot()
	receiver, err := millicast.NewReceiver(millicast.Options{Journal: flaky{b.store, b.rig}, Controller: b.c, Log: nolog})
	if err == nil {
		err = receiver.SetSecrets(context.Background(), map[string][]secret.Value{"ACC": {b.sim.Secret()}})
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.receiver.Store(receiver)
}

// down ends it, as kill -9 does or not.
func (b *broadcaster) down(kill bool) {
	if kill {
		b.refuses(errDiskFull) // nothing that it does from now on is stored
	}
	b.receiver.Swap(nil).Close(context.Background())
	b.end(false)
	b.refuses(nil)
}

func (b *broadcaster) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log = append(b.log, time.Since(b.begun).String()+" "+fmt.Sprintf(format, args...))
	if len(b.log) > 2000 {
		b.log = slices.Clone(b.log[1000:])
	}
}

// never says what must not happen, and has.
func (b *broadcaster) never(s *show, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.note("%s: %s", s.name, text)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrong == "" {
		b.wrong = s.name + ": " + text
	}
}

// pass lets time go by, and looks whether all is well.
func (b *broadcaster) pass(d time.Duration) {
	b.t.Helper()
	b.rig.pass(d)
	b.mu.Lock()
	wrong := b.wrong
	b.mu.Unlock()
	if wrong == "" {
		return
	}
	name, _, _ := strings.Cut(wrong, ":")
	spec, _ := b.find("ACC", name)
	b.note("file of %s: %+v", name, spec.Policy)
	lines := slices.DeleteFunc(b.log, func(line string) bool {
		return !strings.Contains(line, name) && !strings.HasSuffix(line, "file") && !strings.Contains(line, "killed")
	})
	v, _ := b.c.Stream(controller.JoinID("ACC", name))
	history, _ := b.c.History(context.Background(), v.ID, 20, 0)
	for _, h := range slices.Backward(history) {
		lines = append(lines, fmt.Sprintf("%v %s %s: %s", h.At.Sub(b.begun), h.Event, h.Encoder, h.Reason))
	}
	b.t.Fatalf("%s\n%s\n%s is %s: %s\n%+v\n%+v", wrong, strings.Join(lines[max(0, len(lines)-100):], "\n"),
		name, v.Phase, v.Reason, v.Encoders, v.Feeds)
}

// Start notes where the run is to publish.
func (p *publisher) Start(ctx context.Context, job encoders.Job) error {
	to, err := ingest.Parse(job.Publish.Reveal())
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.told[job.Run] = to
	p.mu.Unlock()
	err = p.Encoder.Start(ctx, job)
	p.b.note("%s: start %s as %q %s: %v", p.name, job.Run, to.Source, shownPriority(to.Priority), err)
	return err
}

// Stop is called for a reason that has to do with this encoder, or because the show is over. A
// controller that comes back repeats what it has saved, whatever has become of the reason.
func (p *publisher) Stop(ctx context.Context, job encoders.Job) error {
	p.b.note("%s: stop %s", p.name, job.Run)
	st := p.Face()
	v, _ := p.b.c.Stream(controller.JoinID("ACC", p.show.name))
	p.mu.Lock()
	unharmed := st.Run == job.Run && !st.State.Gone() && p.hurt != job.Run && p.stopped != job.Run
	p.stopped = job.Run
	p.mu.Unlock()
	p.b.mu.Lock()
	place := p.b.places[p.show.name]
	p.b.mu.Unlock()
	if unharmed && v.Wanted && place[p.name] && len(place) > 1 && p.show.several == machine.AllEncoders {
		p.b.never(p.show, "%s is stopped, and nothing has happened to it: %s", p.name, v.Reason)
	}
	return p.Encoder.Stop(ctx, job)
}

// follow opens and closes the feed with the box.
func (p *publisher) follow(st encoders.Status) {
	if p.turn(st) {
		p.b.replaced(p)
	}
}

// turn reports whether a feed has begun.
func (p *publisher) turn(st encoders.Status) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case st.State == encoders.StatePublishing && st.Run != p.run:
		p.cut(0)
		to := p.told[st.Run]
		p.run = st.Run
		p.feed = p.b.sim.OpenFeed(p.show.name, to.Source, to.Priority)
		p.had[p.feed] = true
		p.b.note("%s: publishes %s as %q %s", p.name, p.feed, to.Source, shownPriority(to.Priority))
		return true
	case st.State.Gone() && p.feed != "":
		p.cut(0)
	}
	return false
}

// cut ends the feed after a while. p.mu is held.
func (p *publisher) cut(after time.Duration) {
	if p.feed == "" {
		return
	}
	feed := p.feed
	p.feed = ""
	if after == 0 {
		p.b.sim.CloseFeed(feed)
		return
	}
	time.AfterFunc(after, func() { p.b.sim.CloseFeed(feed) })
}

func (b *broadcaster) roll(n int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.luck.IntN(n)
}

// replaced looks whether a feed that has just begun has thrown out one that somebody publishes.
func (b *broadcaster) replaced(newer *publisher) {
	for _, f := range b.sim.Truth(newer.show.name).Past {
		for _, p := range newer.show.encoders {
			if f.Cause == "" || p == newer {
				continue
			}
			p.mu.Lock()
			lost := p.feed == f.ID
			p.mu.Unlock()
			if lost && b.known(p, f.ID) {
				b.never(newer.show, "%s has replaced %s, which publishes: %s", newer.name, p.name, f.Cause)
			}
		}
	}
}

// known reports whether the controller can know that a feed is published. A box that cannot be
// reached, and whose feed was never told of, must not hold up its stand-in for ever.
func (b *broadcaster) known(p *publisher, feed string) bool {
	st, _ := p.Encoder.Status(context.Background(), encoders.Job{})
	v, _ := b.c.Stream(controller.JoinID("ACC", p.show.name))
	told := slices.ContainsFunc(v.Feeds, func(f controller.Feed) bool { return f.ID == feed })
	return told || b.ask || st.State != encoders.StateUnknown
}

func shownPriority(n *int) string {
	if n == nil {
		return "none"
	}
	return fmt.Sprint(*n)
}

// disturb is a time in which all sorts of things happen.
func (b *broadcaster) disturb() {
	b.faults(true)
	for range 12 * len(b.shows) {
		s := b.shows[b.dice.IntN(len(b.shows))]
		p := s.encoders[b.dice.IntN(len(s.encoders))]
		b.act(s, p)
		b.pass(time.Duration(b.dice.IntN(3000)) * time.Millisecond)
	}
}

func (b *broadcaster) act(s *show, p *publisher) {
	switch n := b.dice.IntN(40); {
	case n < 10:
		b.note("%s: a viewer comes", s.name)
		s.viewers = append(s.viewers, b.sim.Join(s.name))
	case n < 14 && len(s.viewers) > 0:
		b.note("%s: a viewer leaves", s.name)
		s.viewers[0].Leave()
		s.viewers = s.viewers[1:]
	case n < 22:
		p.harm("dies", func() {
			p.Die(errors.New("it died"))
			p.cut(time.Duration(b.roll(12000)) * time.Millisecond) // the connection may just fall silent
		})
	case n < 26:
		p.harm("stalls", p.Stall)
	case n < 30:
		p.harm("loses its feed", func() {
			b.mu.Lock()
			b.sure[p.feed] = true
			b.mu.Unlock()
			p.cut(0)
		})
	case n < 33:
		p.harm("cannot be reached", func() { p.SetUnreachable(true) })
	case n < 35:
		p.SetUnreachable(false)
	case n < 37:
		b.hold(s, []controller.Mode{controller.ModeOn, controller.ModeOff, controller.ModeAuto}[b.dice.IntN(3)])
	case n == 37:
		b.note("another file")
		b.reload(b.file()...)
	case n == 38:
		kill, change := b.dice.IntN(2) == 0, b.dice.IntN(3) == 0
		b.note("killed %v, another file %v", kill, change)
		b.down(kill)
		b.pass(time.Duration(b.dice.IntN(4000)) * time.Millisecond)
		if change {
			b.specs = b.file()
		}
		b.up()
	}
}

// noticeEnd has the box notice that the platform has cut it off, if it has: the hook may have been
// lost while no controller ran.
func (p *publisher) noticeEnd() {
	p.mu.Lock()
	cut := p.feed == ""
	p.mu.Unlock()
	if cut && p.Face().State == encoders.StatePublishing {
		p.Die(errors.New("the connection was closed"))
	}
}

// harm does something to the run of the box. p.mu is held meanwhile.
func (p *publisher) harm(what string, do func()) {
	p.b.note("%s: %s", p.name, what)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt = p.Face().Run
	do()
}

func (b *broadcaster) hold(s *show, mode controller.Mode) {
	b.note("%s: hold %s", s.name, mode)
	if _, err := b.c.SetMode(context.Background(), controller.JoinID("ACC", s.name),
		controller.ModeRequest{Mode: mode}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *broadcaster) faults(on bool) {
	b.mu.Lock()
	b.losing = on
	b.mu.Unlock()
	f := simulator.HookFaults{}
	if on {
		f = simulator.HookFaults{Duplicate: 0.2, Reorder: 0.2}
		if b.dice.IntN(2) == 0 {
			f.DelayMax = 3 * time.Second
		}
	}
	b.sim.SetHookFaults(f)
}

// calm is a time in which nothing happens, and everybody is watched.
func (b *broadcaster) calm() {
	b.note("calm, with the same file")
	b.faults(false)
	for _, s := range b.shows {
		for _, p := range s.encoders {
			p.SetUnreachable(false)
			p.noticeEnd()
		}
	}
	b.pass(10 * time.Second) // a stop that was not heard is tried again
	for _, s := range b.shows {
		s.viewers = append(s.viewers, b.sim.Join(s.name))
		if mode := b.view(s.name).Mode; !b.ask {
			b.hold(s, controller.ModeOn) // a hook that was lost while no controller ran is lost for good
		} else if mode == controller.ModeOff || mode == controller.ModeOn && b.dice.IntN(2) == 0 {
			b.hold(s, controller.ModeAuto)
		}
	}
	for i := range 24 {
		b.pass(5 * time.Second)
		for _, s := range b.shows { // who came when a stop was under way sees black, and his player does not try again
			if i == 4 && !b.sim.Truth(s.name).Live {
				s.viewers = append(s.viewers, b.sim.Join(s.name))
			}
		}
	}
	for _, s := range b.shows {
		b.settled(s)
	}
	b.pass(0)
}

// settled looks at a show that is wanted, and to which nothing has happened for a while.
func (b *broadcaster) settled(s *show) {
	truth, v := b.sim.Truth(s.name), b.view(s.name)
	if !truth.Live || truth.Attempting > 0 || truth.Inactive > 0 || v.Phase != controller.PhaseLive {
		b.never(s, "somebody waits: live %v, %s: %s", truth.Live, v.Phase, v.Reason)
	}
	shown := map[string]bool{}
	for _, f := range truth.Feeds {
		shown[f.ID] = f.OnAir
	}
	for _, p := range s.encoders {
		p.mu.Lock()
		feed := p.feed
		p.mu.Unlock()
		onAir, open := shown[feed]
		spec, _ := b.find("ACC", s.name)
		now := spec.Policy.Encoder(p.name)
		i := slices.IndexFunc(v.Encoders, func(e controller.EncoderView) bool { return e.Name == p.name })
		if now == nil || i < 0 {
			if open {
				b.never(s, "%s publishes, and is not in the file", p.name)
			}
			continue
		}
		if e := v.Encoders[i]; !open && s.several == machine.AllEncoders && !inUse(now.Publishes, truth.Feeds) {
			b.never(s, "%s does not publish: %s %s", p.name, e.State, text(e.Error))
		} else if e.OnAir != onAir {
			b.never(s, "%s: the controller says on air %v, and it is %v", p.name, e.OnAir, onAir)
		}
	}
}

// inUse reports whether another encoder still publishes what the file now says for this one.
func inUse(c *machine.Contribution, feeds []simulator.Feed) bool {
	return slices.ContainsFunc(feeds, func(f simulator.Feed) bool {
		return c.Same(&machine.Contribution{Source: f.SourceID, Priority: f.Priority})
	})
}

// leave has all viewers leave, and waits until everything is off.
func (b *broadcaster) leave() {
	for _, s := range b.shows {
		for _, v := range s.viewers {
			v.Leave()
		}
		s.viewers = nil
		if b.view(s.name).Mode != controller.ModeAuto {
			b.hold(s, controller.ModeAuto)
		}
	}
	for range 24 {
		b.pass(5 * time.Second)
	}
	for _, s := range b.shows {
		if truth, v := b.sim.Truth(s.name), b.view(s.name); truth.Live || v.Phase != controller.PhaseIdle {
			b.never(s, "nobody is there, and live is %v, %s: %s", truth.Live, v.Phase, v.Reason)
		}
		for _, p := range s.encoders {
			if !p.Face().State.Gone() {
				b.never(s, "%s is left on", p.name)
			}
		}
	}
	b.pass(0)
}

func (b *broadcaster) close() {
	b.down(false)
	b.sim.Close()
	synctest.Wait()
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
