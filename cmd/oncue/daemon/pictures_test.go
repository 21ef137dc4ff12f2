package daemon

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
)

// picturesRig counts what is asked of the platform.
type picturesRig struct {
	*pictures
	asked map[controller.StreamID]int
	at    map[controller.StreamID]time.Time // of the picture that is there
	says  func(controller.StreamID) error
}

func newPicturesRig(t *testing.T) *picturesRig {
	r := &picturesRig{asked: map[controller.StreamID]int{}, at: map[controller.StreamID]time.Time{}}
	ask := func(_ context.Context, id controller.StreamID) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked[id]++
		return r.says(id)
	}
	taken := func(id controller.StreamID) time.Time {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.at[id]
	}
	r.pictures = newPictures(ask, taken, slog.New(slog.DiscardHandler))
	r.says = func(id controller.StreamID) error {
		r.at[id] = time.Now()
		return nil
	}
	t.Cleanup(r.close)
	return r
}

func (r *picturesRig) goesLive(id controller.StreamID, from controller.Phase) {
	r.observe(controller.Transition{Stream: id, From: from, To: controller.PhaseLive})
}

// pass lets time go by in a bubble.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestPictures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		says func(r *picturesRig, id controller.StreamID) error // nil: a picture comes
		want int
	}{
		"comes": {nil, 1},
		"later": {func(r *picturesRig, id controller.StreamID) error {
			if r.asked[id] == 2 {
				r.at[id] = time.Now()
			}
			return nil
		}, 2},
		"never":   {func(*picturesRig, controller.StreamID) error { return nil }, pictureTries},
		"fails":   {func(*picturesRig, controller.StreamID) error { return errors.New("not live") }, pictureTries},
		"refused": {func(*picturesRig, controller.StreamID) error { return controller.ErrRefused }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newPicturesRig(t)
				if test.says != nil {
					r.says = func(id controller.StreamID) error { return test.says(r, id) }
				}
				r.at["ACC/lobby"] = time.Now() // of the last time that it was live
				r.goesLive("ACC/lobby", controller.PhaseStarting)
				pass(3 * time.Second)
				if got := r.asked["ACC/lobby"]; got != test.want {
					t.Errorf("asked %d times in 3 s, want %d", got, test.want)
				}
				for range 5 { // it flaps
					r.goesLive("ACC/lobby", controller.PhaseBackoff)
					pass(5 * time.Second)
				}
				r.goesLive("ACC/lobby", controller.PhaseLingering)
				pass(5 * time.Second)
				if got := r.asked["ACC/lobby"]; got != test.want {
					t.Errorf("asked %d times in half a minute, want %d", got, test.want)
				}
				pass(pictureEvery)
				r.goesLive("ACC/lobby", controller.PhaseStarting)
				pass(5 * time.Second)
				if got := r.asked["ACC/lobby"]; got <= test.want {
					t.Error("it is not asked again after a minute")
				}
			})
		})
	}
}

// TestPicturesOfMany: a platform that hangs is asked few things at once, and given up.
func TestPicturesOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPicturesRig(t)
		atOnce, most, all := 0, 0, 0
		r.ask = func(ctx context.Context, _ controller.StreamID) error {
			r.mu.Lock()
			atOnce, all = atOnce+1, all+1
			most = max(most, atOnce)
			r.mu.Unlock()
			select {
			case <-time.After(time.Hour):
			case <-ctx.Done():
			}
			r.mu.Lock()
			atOnce--
			r.mu.Unlock()
			return errors.New("no answer")
		}
		for i := range 1000 {
			r.goesLive(controller.JoinID("ACC", string(rune('a'+i))), controller.PhaseStarting)
		}
		pass(time.Minute)
		if most != pictureAtOnce || atOnce != 0 || all != pictureAtOnce {
			t.Errorf("%d requests, %d at once, %d left after a minute", all, most, atOnce)
		}
	})
}
