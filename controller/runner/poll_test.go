package runner_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/controller/runner"
)

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

// wire carries the calls of a client to the simulated platform, and counts them.
type wire struct {
	sim *simulator.Simulator

	mu          sync.Mutex
	pages, each int // calls for the listing, and for single streams
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	w.mu.Lock()
	if req.URL.Path == "/api/monitoring/summary" {
		w.pages++
	} else {
		w.each++
	}
	w.mu.Unlock()
	if req.Body == nil {
		req.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	w.sim.Handler().ServeHTTP(answer, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// counted returns the counts and begins anew.
func (w *wire) counted() (pages, each int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	pages, each = w.pages, w.each
	w.pages, w.each = 0, 0
	return pages, each
}

// bigAccount is an account with thousands of live streams of others, which come and go while it is
// listed.
func (r *rig) bigAccount(crowd int, page time.Duration) *wire {
	r.t.Helper()
	sim, err := simulator.Start(context.Background(), simulator.Settings{
		Account: "ACC", InMemory: true, Crowd: crowd, Churn: 7,
		API: simulator.APIFaults{Path: "/api/monitoring", Delay: page},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	w := &wire{sim: sim}
	client, err := millicast.NewClient(millicast.ClientOptions{Account: "ACC", URL: "http://api.invalid",
		Secret: sim.APISecret(), Log: nolog, Transport: w})
	if err != nil {
		r.t.Fatal(err)
	}
	r.accounts["ACC"] = runner.AccountSpec{Platform: client, PollInterval: 10 * time.Second}
	return w
}

func (r *rig) polledAt() *controller.Time {
	r.t.Helper()
	a := r.c.Accounts()[0]
	if a.PollError != nil {
		r.t.Fatalf("the poll fails: %s", *a.PollError)
	}
	return a.LastPoll
}

// TestPollsABigAccount: a lost NoActiveViewers is made up for although the account has 10,000 live
// streams that come and go, and for that not all of them are asked for time and again.
func TestPollsABigAccount(t *testing.T) {
	for _, page := range []time.Duration{250 * time.Millisecond, time.Second} {
		t.Run(page.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := spec("lobby", "cam")
				s.Policy.CanAsk = true
				r := newRig(t, s)
				w := r.bigAccount(10_000, page)
				defer w.sim.Close()
				r.boot()
				defer r.end(false)
				r.pass(3 * time.Minute)
				if r.polledAt() == nil {
					t.Fatal("the account is never read")
				}
				if pages, each := w.counted(); pages < 100 || pages > 110 || each != 0 {
					t.Errorf("the first listing took %d pages and %d questions", pages, each)
				}
				w.sim.OpenFeed("lobby", "", nil)
				viewer := w.sim.Join("lobby")
				r.live("lobby", "F1")
				r.pass(time.Minute)
				if v := r.view("lobby"); v.Viewers == nil || *v.Viewers != 1 {
					t.Errorf("viewers: %v", v.Viewers)
				}
				if pages, each := w.counted(); pages != 0 || each < 4 || each > 8 {
					t.Errorf("in a minute, %d pages and %d questions", pages, each)
				}
				viewer.Leave()
				r.pass(75 * time.Second)
				if v := r.view("lobby"); v.Wanted {
					t.Errorf("nobody watches, and it is %s: %s", v.Phase, v.Reason)
				}
			})
		})
	}
}

// TestPollsFindWhatAPageHides: where many of the account's streams are ours, all pages are read.
// One that is moved to a page that was read already is asked for before it is taken for gone.
func TestPollsFindWhatAPageHides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ours = 8
		var specs []runner.StreamSpec
		for i := range ours {
			s := spec(fmt.Sprint("s", i), fmt.Sprint("cam", i))
			s.Policy.CanAsk = true
			specs = append(specs, s)
		}
		r := newRig(t, specs...)
		w := r.bigAccount(597, 0)
		defer w.sim.Close()
		r.boot()
		defer r.end(false)
		for i := range ours {
			name := fmt.Sprint("s", i)
			w.sim.OpenFeed(name, "", nil)
			w.sim.Join(name)
			r.live(name, fmt.Sprint("F", i))
		}
		w.counted()
		for range 100 {
			r.pass(10 * time.Second)
			for i := range ours {
				if v := r.view(fmt.Sprint("s", i)); v.Phase != controller.PhaseLive || v.Viewers == nil || *v.Viewers != 1 {
					t.Fatalf("%s is %s, viewers %v", v.ID, v.Phase, v.Viewers)
				}
			}
		}
		if pages, each := w.counted(); pages < 600 || each == 0 || each > pages {
			t.Errorf("%d pages and %d questions: no stream was hidden, or too many were asked for", pages, each)
		}
	})
}

// TestAHundredStopTogether: what they ask the platform first is asked together.
func TestAHundredStopTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ours = 100
		var specs []runner.StreamSpec
		api := &answers{}
		for i := range ours {
			s := spec(fmt.Sprint("s", i), fmt.Sprint("cam", i))
			s.Policy.CanAsk = true
			specs = append(specs, s)
			api.live = append(api.live, controller.LiveStream{Name: s.Name, Live: true, Viewers: 1})
		}
		r := newRig(t, specs...)
		counting := &eachCounted{answers: api}
		r.accounts["ACC"] = runner.AccountSpec{Platform: counting, PollInterval: time.Hour}
		r.boot()
		defer r.end(false)
		all := func(kind controller.HookKind) {
			for i := range ours {
				r.hook(kind, fmt.Sprint("s", i), fmt.Sprint("F", i))
			}
		}
		all(controller.HookAttempt)
		r.pass(time.Second)
		all(controller.HookFeedStarted)
		all(controller.HookFirstViewer)
		r.want("s0", controller.PhaseLive)
		r.pass(time.Second)
		all(controller.HookNoViewers)
		counting.begin(errors.New("429"))
		r.pass(35 * time.Second)
		r.want("s0", controller.PhaseLingering)
		if n := counting.begin(nil); n == 0 || n > 20 {
			t.Errorf("while the platform refuses, it is asked %d times in 15 s", n)
		}
		r.pass(6 * time.Second)
		for i := range ours {
			if v := r.view(fmt.Sprint("s", i)); v.Wanted {
				t.Errorf("%s is %s: %s", v.ID, v.Phase, v.Reason)
			}
		}
		if n := counting.begin(nil); n > 10 {
			t.Errorf("before %d stops it is asked %d times", ours, n)
		}
	})
}

type eachCounted struct {
	*answers
	each int
}

// begin has nobody watch, and the platform answer so from now on. It returns how often it was asked
// before.
func (a *eachCounted) begin(err error) (asked int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live = slices.Clone(a.live)
	for i := range a.live {
		a.live[i].Viewers = 0
	}
	asked = a.asked + a.each
	a.asked, a.each, a.err = 0, 0, err
	return asked
}

func (a *eachCounted) LiveStream(ctx context.Context, name string) (controller.LiveStream, error) {
	l, err := a.answers.LiveStream(ctx, name)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.each++
	return l, err
}
