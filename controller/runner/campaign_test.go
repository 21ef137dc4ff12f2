package runner_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/encoders"
)

var campaigns = flag.Int("campaigns", 12, "how many random campaigns TestCampaigns makes")

// TestCampaigns lets viewers, people at the boxes, other files, restarts, kills, clocks that are
// set and old databases come at random, with the real store and boxes in simulated time. Whatever
// comes: there are never two copies, nobody who can be served waits, a person's show is left alone,
// and nothing is left running.
func TestCampaigns(t *testing.T) {
	for seed := range uint64(*campaigns) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newCampaign(t, seed)
				for range 120 {
					c.act()
				}
				c.close()
			})
		})
	}
}

// campaign is a platform with viewers around a rig. It knows the truth from the boxes: who is on,
// and for which stream.
type campaign struct {
	*rig
	dice  *rand.Rand
	log   []string
	feeds map[string]string // stream → open feed
	count int

	waiting map[string]time.Time // since when viewers of the stream see black
	inside  map[string]bool
	dropped map[string]bool      // who sees black was in before
	left    map[string]time.Time // when the last viewer left, until the platform has said so
	quiet   map[string]time.Time // since when nobody has waited or watched
	able    map[string]time.Time // since when it could have been served
	hand    map[string]bool      // boxes that a person has switched on
	wrong   map[string]int       // for how many seconds a stream has been shown with a run that is not its own
	ask     bool                 // there is an API
	version int
	backup  bool // an old database is at hand
}

var names = []string{"a", "b", "c", "f", "cam-1", "cam-2"}

func newCampaign(t *testing.T, seed uint64) *campaign {
	c := &campaign{rig: newRig(t), dice: rand.New(rand.NewPCG(seed, 7)), feeds: map[string]string{},
		waiting: map[string]time.Time{}, inside: map[string]bool{},
		left: map[string]time.Time{}, quiet: map[string]time.Time{}, able: map[string]time.Time{},
		hand: map[string]bool{}, wrong: map[string]int{}, dropped: map[string]bool{}, ask: seed%2 == 0}
	c.pattern = cameras
	if c.ask {
		c.accounts["ACC"] = runner.AccountSpec{Platform: truth{c}, PollInterval: 10 * time.Second}
	}
	c.specs = c.file()
	c.boot()
	return c
}

// file is one of many configurations for the same streams.
func (c *campaign) file() []runner.StreamSpec {
	c.version++
	shared := []string{"shared", "own-b"}[c.dice.IntN(2)]
	several := [][]string{{"f1", "f2", "f3"}, {"f2", "f1"}, {"f3", "f1", "f2"}}[c.dice.IntN(3)]
	list := []runner.StreamSpec{byHand(spec("a", "shared")), byHand(spec("b", shared)), byHand(spec("c", "obs")),
		spec("f", several...)}
	list[3].Policy.Several, list[3].Policy.FailoverAfter = machine.Failover, 1
	if c.dice.IntN(2) == 0 { // a camera with an entry of its own
		list = append(list, spec("cam-1", "nvr"))
	}
	if c.dice.IntN(4) == 0 { // another driver for the name
		list[2].Policy.Encoders[0].Driver = "other"
	}
	if c.dice.IntN(5) == 0 {
		list = slices.Delete(list, 2, 3)
	}
	for i := range list {
		list[i].Policy.CanAsk = c.ask
		for k := range list[i].Policy.Encoders {
			list[i].Policy.Encoders[k].Version = fmt.Sprint(c.version)
		}
	}
	return list
}

// truth is the platform's API.
type truth struct{ c *campaign }

func (p truth) Live(context.Context) (live []controller.LiveStream, err error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	for name := range p.c.feeds {
		live = append(live, controller.LiveStream{Name: name, Live: true, Viewers: p.c.viewers(name)})
	}
	return live, nil
}

func (p truth) LiveStream(_ context.Context, name string) (controller.LiveStream, error) {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	return controller.LiveStream{Name: name, Live: p.c.feeds[name] != "", Viewers: p.c.viewers(name)}, nil
}

func (p truth) Disconnect(context.Context, string) error { return nil }

func (c *campaign) viewers(name string) int {
	if c.inside[name] {
		return 1
	}
	return 0
}

func (c *campaign) note(format string, args ...any) {
	c.log = append(c.log, time.Since(c.begun).String()+" "+fmt.Sprintf(format, args...))
}

func (c *campaign) fatal(format string, args ...any) {
	c.t.Helper()
	for _, v := range c.c.Streams() {
		c.note("%s is %s: %s %+v", v.ID, v.Phase, v.Reason, v.Encoders)
	}
	c.end(false)
	c.t.Fatalf(format+"\n%s", append(args, strings.Join(c.log[max(0, len(c.log)-60):], "\n"))...)
}

func (c *campaign) act() {
	name := names[c.dice.IntN(len(names))]
	switch n := c.dice.IntN(24); {
	case n < 9:
		c.come(name)
	case n < 14:
		c.leaves(name)
	case n < 16:
		c.note("another file")
		c.reload(c.file()...)
	case n < 18:
		c.restart(c.dice.IntN(2) == 0, c.dice.IntN(2) == 0)
	case n == 18 || n == 22:
		by := time.Duration(c.dice.IntN(600)-300) * time.Second
		c.note("the clock is set by %s", by)
		c.wall.Add(int64(by))
		if n == 22 {
			c.time(2 * time.Second)
			c.restart(false, false)
		}
	case n == 19:
		c.press([]string{"obs", "shared"}[c.dice.IntN(2)])
	case n == 20 && c.ask: // what an old one does not know, nobody says again
		c.oldDatabase()
	case n == 23:
		lasts := time.Duration(c.dice.IntN(90)) * time.Second
		c.note("a page asks for %s, for %s", name, lasts)
		v, err := c.demand(name, "a page", lasts)
		if err == nil && lasts > 0 && len(v.Demand) == 0 {
			c.fatal("%s takes a page's word, and does not keep it", name)
		}
	case n == 21:
		if box := c.boxes["f1"]; box != nil {
			c.note("f1 dies")
			box.Die(fmt.Errorf("it died"))
		}
	}
	c.time(time.Duration(1+c.dice.IntN(40)) * time.Second)
}

func (c *campaign) come(name string) {
	if !c.inside[name] && c.waiting[name].IsZero() {
		c.note("a viewer of %s comes", name)
		c.waiting[name] = time.Now()
	}
}

func (c *campaign) leaves(name string) {
	c.note("the viewer of %s leaves", name)
	delete(c.waiting, name)
	if c.inside[name] || c.dropped[name] {
		c.mu.Lock()
		delete(c.inside, name)
		c.mu.Unlock()
		delete(c.dropped, name)
		c.left[name] = time.Now()
	}
}

// press has a person switch a box on that is off, or off what he has switched on.
func (c *campaign) press(device string) {
	box := c.boxes[device]
	if box == nil {
		return
	}
	st, _ := box.Status(context.Background(), encoders.Job{})
	if c.hand[device] {
		c.note("the person stops %s", device)
		box.PressStop()
		delete(c.hand, device)
	} else if st.State.Gone() {
		c.note("a person starts %s", device)
		box.PressStart()
		c.hand[device] = true
	}
}

func (c *campaign) restart(kill, change bool) {
	c.note("killed %v, another file %v", kill, change)
	if kill {
		c.refuses(errDiskFull) // nothing that it does from now on is stored
	}
	c.end(false)
	c.refuses(nil)
	c.pass(time.Duration(c.dice.IntN(3000)) * time.Millisecond)
	if change {
		c.specs = c.file()
	}
	c.boot()
}

// oldDatabase puts an earlier copy of the database in its place, or makes one.
func (c *campaign) oldDatabase() {
	c.end(false)
	if c.backup {
		c.note("an old database")
		c.copyStore(c.t, "backup", "data")
	} else {
		c.copyStore(c.t, "data", "backup")
	}
	c.backup = !c.backup
	c.boot()
}

// time goes by, second by second.
func (c *campaign) time(d time.Duration) {
	for range int(d / time.Second) {
		c.pass(time.Second)
		c.platform()
		c.check()
	}
}

// onAir is what each stream is published by.
func (c *campaign) onAir() map[string][]string {
	on := map[string][]string{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for device, box := range c.boxes {
		st, _ := box.Status(context.Background(), encoders.Job{})
		if st.State.Gone() {
			continue
		}
		if name, ok := strings.CutPrefix(st.Stream, "ACC/"); ok {
			on[name] = append(on[name], device)
		}
	}
	return on
}

// platform sends what it has to say: some of it twice, and some of it not where it can be asked.
func (c *campaign) platform() {
	on := c.onAir()
	for _, name := range names {
		live, was := len(on[name]) > 0, c.feeds[name] != ""
		switch {
		case live && !was:
			c.count++
			c.feed(name, fmt.Sprint("F", c.count))
			c.say(controller.HookFeedStarted, name, c.feeds[name])
		case !live && was:
			ended := c.feeds[name]
			c.feed(name, "")
			c.say(controller.HookFeedEnded, name, ended)
			if c.inside[name] { // he sits in the dark, and his player tries again
				c.mu.Lock()
				delete(c.inside, name)
				c.mu.Unlock()
				c.waiting[name], c.dropped[name] = time.Now(), true
			}
		}
		since, waits := c.waiting[name]
		if waits && live {
			delete(c.waiting, name)
			delete(c.left, name)
			delete(c.dropped, name)
			c.mu.Lock()
			c.inside[name] = true
			c.mu.Unlock()
			c.say(controller.HookFirstViewer, name)
		} else if waits && int(time.Since(since).Seconds())%10 == 0 {
			c.say(controller.HookAttempt, name)
		}
		if at, ok := c.left[name]; ok && time.Since(at) >= time.Minute {
			delete(c.left, name)
			c.say(controller.HookNoViewers, name)
		}
	}
}

func (c *campaign) feed(name, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.feeds[name] = id; id == "" {
		delete(c.feeds, name)
	}
}

func (c *campaign) say(kind controller.HookKind, name string, feed ...string) {
	rec, h := c.sent(kind, name, feed...)
	h.At = controller.ByPlatform(time.Now()) // nobody sets the platform's clock
	rec.Sent = h.At.Time()
	times := 1 + c.dice.IntN(2)
	if c.ask && c.dice.IntN(4) == 0 { // it gets lost, and the API has to do
		times = 0
	}
	for range times {
		if _, _, err := c.take(rec, h); err != nil {
			c.fatal("%s of %s is refused: %v", kind, name, err)
		}
	}
}

// within is how long a viewer who can be served may wait, and long how long something may run for
// nobody.
const (
	within = 70 * time.Second
	long   = 5 * time.Minute
)

func (c *campaign) check() {
	on := c.onAir()
	for name, devices := range on {
		if len(devices) > 1 {
			c.fatal("%s is published by %v", name, devices)
		}
	}
	for device := range c.hand {
		if st, _ := c.boxes[device].Status(context.Background(), encoders.Job{}); st.State.Gone() || !st.ByHand {
			c.fatal("the person's show at %s was cut: %+v", device, st)
		}
	}
	for _, name := range names {
		needed := c.inside[name] || !c.waiting[name].IsZero()
		if needed || len(on[name]) == 0 {
			delete(c.quiet, name)
		} else if c.quiet[name].IsZero() {
			c.quiet[name] = time.Now()
		} else if time.Since(c.quiet[name]) > long {
			c.fatal("%s has run for nobody for %s", name, long)
		}
		if c.waiting[name].IsZero() || !c.servable(name, on) {
			delete(c.able, name)
		} else if c.able[name].IsZero() {
			c.able[name] = time.Now()
		} else if time.Since(c.able[name]) > within {
			c.fatal("a viewer of %s waits", name)
		}
	}
	for _, v := range c.c.Streams() {
		if v.Reason == "" {
			c.fatal("%s says nothing of why", v.ID)
		}
		c.wrong[v.Name]++
		if !v.Managed || len(on[v.Name]) > 0 || !slices.ContainsFunc(v.Encoders,
			func(e controller.EncoderView) bool { return e.State == encoders.StatePublishing && e.Health != nil }) {
			c.wrong[v.Name] = 0
		} else if c.wrong[v.Name] > 10 && len(c.hand) == 0 {
			c.fatal("%s is shown with a run that is not its own", v.ID)
		}
	}
}

// servable reports whether nothing but oncue keeps a viewer from being served.
func (c *campaign) servable(name string, on map[string][]string) bool {
	spec, ok := c.find("ACC", name)
	if !ok {
		return false
	}
	for _, e := range spec.Policy.Encoders {
		key := e.Device
		if e.Driver != "fake" {
			key = e.Driver + ":" + e.Device
		}
		taken := c.hand[key] || c.hand[e.Device]
		for other, devices := range on {
			taken = taken || other != name && (slices.Contains(devices, key) || slices.Contains(devices, e.Device))
		}
		if !taken {
			return true
		}
	}
	return false
}

// close ends the campaign: everybody leaves, and what is on afterwards is a person's.
func (c *campaign) close() {
	for _, name := range names {
		c.leaves(name)
	}
	c.time(6 * time.Minute)
	if on := c.onAir(); len(on) > 0 {
		c.fatal("left running: %v", on)
	}
	c.end(false)
}
