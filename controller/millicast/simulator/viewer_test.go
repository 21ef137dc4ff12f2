package simulator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inMemory runs a test with fake time and a simulator that listens nowhere.
func inMemory(t *testing.T, set Settings, f func(t *testing.T, sim *Simulator, rec *receiver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		set.InMemory = true
		sim, rec := start(t, set)
		f(t, sim, rec)
		sim.Close()
	})
}

// pass lets fake time pass and waits until nothing happens.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestViewerBacksOffAndHooksAreSpaced(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		begin := time.Now()
		v := sim.Join("lobby")
		pass(130 * time.Second) // attempts at 0, 0.1, 2.2, 6.3, 14.4, 30.5, 62.6, 94.7, 126.8
		if got := v.Attempts(); got != 9 {
			t.Errorf("%d attempts in 130 s, want 9", got)
		}
		var seconds []int
		for _, h := range rec.hooks("lobby") {
			if h.Event != "ViewerAttempt" {
				t.Errorf("hook %s", h.body)
			}
			seconds = append(seconds, int(h.at.Sub(begin).Seconds()))
		}
		if diff := cmp.Diff([]int{0, 14, 30, 62, 94, 126}, seconds); diff != "" {
			t.Errorf("ViewerAttempt hooks, in seconds (-want +got):\n%s", diff)
		}
	})
}

func TestManyViewersMakeOneHookIn10s(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		for range 19 {
			sim.Join("lobby")
			pass(time.Second)
		}
		if got := rec.events("lobby"); got != "ViewerAttempt ViewerAttempt" {
			t.Errorf("hooks = %q, want two attempts", got)
		}
	})
}

func TestCycle(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		v := sim.Join("lobby")
		pass(time.Second)
		id := sim.OpenFeed("lobby", "", nil)
		pass(0)
		if v.State() != Attempting {
			t.Errorf("state = %s before the next attempt", v.State())
		}
		pass(1200 * time.Millisecond)
		if waited, ok := v.Waited(); v.State() != Watching || !ok || waited != 2200*time.Millisecond {
			t.Errorf("state = %s, waited %v, want watching after 2.2s", v.State(), waited)
		}
		w := sim.Join("lobby")
		v.Leave()
		pass(time.Hour)
		w.Leave()
		w.Leave()
		pass(59 * time.Second)
		again := sim.Join("lobby") // back in time: no NoActiveViewers
		pass(time.Hour)
		again.Leave()
		pass(60 * time.Second)
		sim.CloseFeed(id)
		pass(0)
		want := "ViewerAttempt started FirstViewerConnection FirstViewerConnection NoActiveViewers ended"
		if got := rec.events("lobby"); got != want {
			t.Errorf("hooks = %q\n want %q", got, want)
		}
	})
}

func TestViewersSitThroughAGap(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		id := sim.OpenFeed("lobby", "", nil)
		v := sim.Join("lobby")
		sim.CloseFeed(id)
		pass(time.Hour)
		if got := sim.Truth("lobby"); got.Inactive != 1 || got.Live || !got.Wanted() {
			t.Errorf("truth = %+v, want one inactive viewer of a dark stream", got)
		}
		sim.OpenFeed("lobby", "", nil)
		pass(0)
		if v.State() != Watching || v.Attempts() != 1 {
			t.Errorf("state = %s after %d attempts, want watching after one", v.State(), v.Attempts())
		}
		sim.Drop("lobby", true)
		v.Leave()
		pass(time.Minute)
		want := "started FirstViewerConnection ended started FirstViewerConnection ended NoActiveViewers"
		if got := rec.events("lobby"); got != want {
			t.Errorf("hooks = %q\n want %q", got, want)
		}
	})
}

func TestBehaviour(t *testing.T) {
	t.Parallel()
	quitter := func(sim *Simulator) {
		v := sim.Join("lobby")
		pass(time.Second)
		v.Leave()
		pass(time.Hour)
	}
	returner := func(sim *Simulator) {
		sim.OpenFeed("lobby", "", nil)
		sim.Join("lobby").Leave()
		sim.Join("lobby")
		pass(0)
	}
	takeover := func(sim *Simulator) {
		two := 2
		sim.OpenFeed("lobby", "main", nil)
		sim.OpenFeed("lobby", "main", &two)
		sim.OpenFeed("lobby", "side", nil)
		sim.OpenFeed("lobby", "main", nil)
		pass(0)
	}
	for _, c := range []struct {
		name string
		set  Behaviour
		do   func(*Simulator)
		want string
	}{
		{"attempts only", Behaviour{}, quitter, "ViewerAttempt"},
		{"attempts only, other way", Behaviour{NoViewersAfterAttempts: true}, quitter, "ViewerAttempt NoActiveViewers"},
		{"return", Behaviour{}, returner, "started FirstViewerConnection FirstViewerConnection"},
		{"return, other way", Behaviour{FirstViewerOnce: true}, returner, "started FirstViewerConnection"},
		{"take-over", Behaviour{}, takeover, "started started started started ended"},
		{"take-over, other way", Behaviour{EndedFirst: true}, takeover, "started started started ended started"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inMemory(t, Settings{Behaviour: c.set}, func(t *testing.T, sim *Simulator, rec *receiver) {
				c.do(sim)
				if got := rec.events("lobby"); got != c.want {
					t.Errorf("hooks = %q, want %q", got, c.want)
				}
			})
		})
	}
}

func TestTakeOverEndsTheOldFeedOnly(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{false, true} {
		set := Settings{Behaviour: Behaviour{EndedFirst: first}}
		inMemory(t, set, func(t *testing.T, sim *Simulator, rec *receiver) {
			v := sim.Join("lobby")
			old := sim.OpenFeed("lobby", "", nil)
			pass(2 * time.Second)
			young := sim.OpenFeed("lobby", "", nil)
			pass(0)
			truth := sim.Truth("lobby")
			if len(truth.Feeds) != 1 || truth.Feeds[0].ID != young || len(truth.Past) != 1 || truth.Past[0].ID != old {
				t.Errorf("truth = %+v", truth)
			}
			if v.State() != Watching {
				t.Errorf("the viewer is %s", v.State())
			}
			ended := rec.hooks("lobby")[4]
			if !first && (ended.Data.FeedID != old || ended.Data.Active || ended.Data.Started != 0) {
				t.Errorf("hook = %s", ended.body)
			}
		})
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{Scale: 20}, func(t *testing.T, sim *Simulator, rec *receiver) {
		sim.OpenFeed("lobby", "", nil)
		sim.Join("lobby").Leave()
		pass(3*time.Second - time.Millisecond)
		if got := rec.events("lobby"); got != "started FirstViewerConnection" {
			t.Errorf("hooks after 2.999 s = %q", got)
		}
		pass(time.Millisecond)
		if got := rec.events("lobby"); got != "started FirstViewerConnection NoActiveViewers" {
			t.Errorf("hooks after 3 s = %q", got)
		}
	})
}
