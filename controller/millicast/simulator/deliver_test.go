package simulator

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

// flap makes n hooks of a stream: started and ended, in turn.
func flap(sim *Simulator, n int) {
	for range n / 2 {
		sim.CloseFeed(sim.OpenFeed("lobby", "", nil))
	}
}

func TestHooksAreSignedAndOnTheClock(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{Behaviour: Behaviour{Skew: time.Hour}}, func(t *testing.T, sim *Simulator, rec *receiver) {
		five := 5
		id := sim.OpenFeed("lobby/a b", "main", &five)
		pass(0)
		h := rec.hooks("lobby/a b")[0]
		if want := millicast.Sign(secret.New(testSecret), []byte(h.body)); h.signature != want {
			t.Errorf("signature = %s, want %s", h.signature, want)
		}
		now := time.Now().Add(time.Hour).UnixMilli()
		if h.Timestamp != now || h.Data.Started != now || !h.Data.Active || h.Data.FeedID != id ||
			h.Data.StreamID != "ABC123/lobby/a b" ||
			h.Data.SourceID != "main" || *h.Data.Priority != 5 || h.Type != "feeds" {
			t.Errorf("hook = %s, now %d", h.body, now)
		}
	})
}

func TestWithoutFaultsHooksComeInOrder(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		flap(sim, 200)
		pass(0)
		if got, want := rec.events("lobby"), strings.TrimSpace(strings.Repeat("started ended ", 100)); got != want {
			t.Errorf("hooks = %q", got)
		}
		if diff := cmp.Diff(Counts{Answered: 200}, sim.Counts()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	const n = 1000
	within := func(t *testing.T, what string, got, low, high int) {
		t.Helper()
		if got < low || got > high {
			t.Errorf("%s = %d, want %d to %d", what, got, low, high)
		}
	}
	t.Run("drop", func(t *testing.T) {
		t.Parallel()
		inMemory(t, Settings{Hooks: HookFaults{Drop: 0.3}, Seed: 7}, func(t *testing.T, sim *Simulator, rec *receiver) {
			flap(sim, n)
			pass(0)
			within(t, "dropped", sim.Counts().Dropped, 250, 350)
			if got := len(rec.hooks("")); got != n-sim.Counts().Dropped {
				t.Errorf("%d received of %d, %d dropped", got, n, sim.Counts().Dropped)
			}
		})
	})
	t.Run("duplicate", func(t *testing.T) {
		t.Parallel()
		inMemory(t, Settings{Hooks: HookFaults{Duplicate: 0.3}}, func(t *testing.T, sim *Simulator, rec *receiver) {
			flap(sim, n)
			pass(0)
			within(t, "duplicated", sim.Counts().Duplicated, 250, 350)
			bodies := make(map[string]bool)
			for _, h := range rec.hooks("") {
				bodies[h.body] = true
			}
			if got := len(rec.hooks("")) - len(bodies); len(bodies) != n || got != sim.Counts().Duplicated {
				t.Errorf("%d bodies, %d of them twice, want %d and %d", len(bodies), got, n, sim.Counts().Duplicated)
			}
		})
	})
	t.Run("delay", func(t *testing.T) {
		t.Parallel()
		set := Settings{Scale: 10, Hooks: HookFaults{DelayMin: time.Second, DelayMax: 3 * time.Second}}
		inMemory(t, set, func(t *testing.T, sim *Simulator, rec *receiver) {
			flap(sim, n)
			pass(100*time.Millisecond - 1)
			within(t, "received before the shortest delay", len(rec.hooks("")), 0, 0)
			pass(100 * time.Millisecond)
			within(t, "received by half time", len(rec.hooks("")), 400, 600)
			pass(100 * time.Millisecond)
			within(t, "received by the longest delay", len(rec.hooks("")), n, n)
		})
	})
	t.Run("reorder", func(t *testing.T) {
		t.Parallel()
		inMemory(t, Settings{Hooks: HookFaults{Reorder: 0.2}}, func(t *testing.T, sim *Simulator, rec *receiver) {
			for range n / 2 {
				flap(sim, 2)
				pass(time.Millisecond)
			}
			pass(2 * time.Second)
			swapped := 0
			list := rec.hooks("")
			for i := 1; i < len(list); i++ {
				late, early := list[i], list[i-1]
				sameFeed := late.Data.FeedID == early.Data.FeedID && late.Event == "started"
				if late.Timestamp < early.Timestamp || sameFeed {
					swapped++
				}
			}
			within(t, "received", len(list), n, n)
			within(t, "reordered", sim.Counts().Reordered, 150, 250)
			within(t, "out of order", swapped, 80, 250)
		})
	})
}

func TestTheSeedDecides(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (counts Counts) {
		set := Settings{Seed: seed, Hooks: HookFaults{Drop: 0.5, Duplicate: 0.5}}
		inMemory(t, set, func(t *testing.T, sim *Simulator, rec *receiver) {
			flap(sim, 100)
			pass(0)
			counts = sim.Counts()
		})
		return counts
	}
	if diff := cmp.Diff(run(1), run(1)); diff != "" {
		t.Errorf("one seed, two outcomes:\n%s", diff)
	}
	if run(1) == run(2) {
		t.Error("two seeds, one outcome")
	}
}

func TestNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	var fates []Fate
	// Without faults deliveries come one after the other.
	set := Settings{OnDelivery: func(d Delivery) { fates = append(fates, d.Fate) }}
	inMemory(t, set, func(t *testing.T, sim *Simulator, rec *receiver) {
		rec.answer = func(*http.Request) (int, error) { return http.StatusServiceUnavailable, nil }
		flap(sim, 2)
		pass(time.Hour)
		rec.answer = func(*http.Request) (int, error) { return 0, errUnreachable }
		flap(sim, 2)
		pass(time.Hour)
		if diff := cmp.Diff([]Fate{FateRefused, FateRefused, FateFailed, FateFailed}, fates); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(Counts{Refused: 2, Failed: 2}, sim.Counts()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTimeOutsDisableTheWebhook(t *testing.T) {
	t.Parallel()
	set := Settings{Scale: 10, Hooks: HookFaults{Timeout: time.Second, DisableAfter: 3, DisableFor: 10 * time.Minute}}
	inMemory(t, set, func(t *testing.T, sim *Simulator, rec *receiver) {
		rec.answer = func(r *http.Request) (int, error) {
			<-r.Context().Done()
			return 0, r.Context().Err()
		}
		flap(sim, 2)
		pass(10 * time.Second)
		if w := sim.Webhooks()[0]; !w.DisabledUntil.IsZero() {
			t.Fatalf("disabled after 2 time-outs: %+v", w)
		}
		flap(sim, 2)
		pass(10 * time.Second)
		w := sim.Webhooks()[0]
		left := time.Until(w.DisabledUntil)
		if left < 45*time.Second || left > time.Minute || !strings.Contains(w.DisabledReason, "timed out") {
			t.Fatalf("webhook = %+v, %v left", w, left)
		}
		rec.answer = nil
		flap(sim, 2)
		pass(time.Minute)
		if diff := cmp.Diff(Counts{TimedOut: 4, Disabled: 2}, sim.Counts()); diff != "" {
			t.Error(diff)
		}
		flap(sim, 2)
		pass(0)
		if got := sim.Counts().Answered; got != 2 {
			t.Errorf("%d answered once the time is over, want 2", got)
		}
	})
}

// TestASlowReceiverHoldsUpItsOwnStreamOnly expects hooks of other streams at once, and the next one
// of the same stream after half a second.
func TestASlowReceiverHoldsUpItsOwnStreamOnly(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		rec.answer = func(r *http.Request) (int, error) {
			time.Sleep(3 * time.Second)
			return http.StatusOK, nil
		}
		flap(sim, 2)
		sim.OpenFeed("other", "", nil)
		pass(0)
		if got := rec.events("lobby") + "; " + rec.events("other"); got != "started; started" {
			t.Errorf("at once: %s", got)
		}
		pass(500 * time.Millisecond)
		if got := rec.events("lobby"); got != "started ended" {
			t.Errorf("after half a second: %s", got)
		}
		pass(3 * time.Second)
	})
}
