package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// TestTakeIsOneCommit: a hook and the start that it leads to are stored together, and nothing
// starts before.
func TestTakeIsOneCommit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.hook(controller.HookAttempt, "lobby")
		if r.commits != 1 || r.starts("cam") != 1 {
			t.Errorf("%d commits, %d starts; want one of each", r.commits, r.starts("cam"))
		}
		if state := r.saved(); !strings.Contains(state, `"phase":"starting"`) {
			t.Error(state)
		}
		history, err := r.c.History(context.Background(), "ACC/lobby", 100, 0)
		if err != nil || len(history) == 0 || history[0].To != controller.PhaseStarting ||
			history[0].Event != string(controller.HookAttempt) {
			t.Errorf("%+v %v", history, err)
		}
	})
}

// TestTakeUndone: what the store refuses changes nothing, and the encoder is free for others. So it
// is with a duplicate.
func TestTakeUndone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lobby, studio := spec("lobby", "cam"), spec("studio", "other")
		studio.Policy.Encoders[0].Device = "cam"
		r := newRig(t, lobby, studio)
		r.boot()
		defer r.end(false)
		r.refuses(errDiskFull)
		rec, h := r.sent(controller.HookAttempt, "lobby")
		if _, _, err := r.take(rec, h); !errors.Is(err, errDiskFull) {
			t.Errorf("a hook was taken: %v", err)
		}
		r.want("lobby", controller.PhaseIdle)
		if r.starts("cam") != 0 {
			t.Errorf("%d starts for a hook that is not stored", r.starts("cam"))
		}
		r.refuses(nil)
		r.pass(10 * time.Second)
		r.live("studio", "F1")
		if holder := r.view("studio").WaitsFor; holder != nil {
			t.Errorf("the encoder is held by %s", *holder)
		}
		r.hook(controller.HookNoViewers, "studio")
		r.pass(21 * time.Second)
		r.hook(controller.HookFeedEnded, "studio", "F1")
		r.want("studio", controller.PhaseIdle)

		r.hook(controller.HookNoViewers, "lobby")
		rec, _ = r.sent(controller.HookNoViewers, "lobby")
		if _, _, err := r.take(rec, h); err != nil {
			t.Fatal(err)
		}
		r.pass(time.Minute)
		before, commits := r.starts("cam"), r.commits
		_, h = r.sent(controller.HookAttempt, "lobby")
		if _, duplicate, err := r.take(rec, h); !duplicate || err != nil {
			t.Errorf("duplicate %v, error %v", duplicate, err)
		}
		r.want("lobby", controller.PhaseIdle)
		r.pass(10 * time.Second)
		if r.starts("cam") != before || r.commits != commits+1 {
			t.Errorf("a duplicate led to %d starts and %d commits", r.starts("cam")-before, r.commits-commits)
		}
	})
}

// TestTakeDuplicatesPutNothingOff: facts that wait to be saved are saved in time, also while the
// same hook comes again and again.
func TestTakeDuplicatesPutNothingOff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		rec, h := r.sent(controller.HookFeedStarted, "lobby", "F2")
		for range 8 {
			if _, _, err := r.take(rec, h); err != nil {
				t.Fatal(err)
			}
			r.pass(time.Second)
		}
		if state := r.saved(); !strings.Contains(state, `"F2"`) {
			t.Errorf("8 s later the store has %s", state)
		}
	})
}

// taken is what a sender learns of its hook.
type taken struct {
	seq       int64
	duplicate bool
	err       error
}

// takes sends hooks one after the other, and returns without waiting for the answers.
func (r *rig) takes(hooks ...controller.Hook) []chan taken {
	answers := make([]chan taken, len(hooks))
	for i, h := range hooks {
		answers[i] = make(chan taken, 1)
		go func() {
			seq, duplicate, err := r.c.Take(context.Background(), recordOf(h), h)
			answers[i] <- taken{seq, duplicate, err}
		}()
		synctest.Wait()
	}
	return answers
}

// waitsForStore has a stream wait for the store to save a hold, until the channel is closed.
func (r *rig) waitsForStore(name string, mode controller.Mode) (free chan struct{}) {
	free = r.blockStates()
	go r.c.SetMode(context.Background(), controller.StreamID("ACC/"+name),
		controller.ModeRequest{Mode: mode}) //nolint:errcheck // the mode tells
	synctest.Wait()
	return free
}

// TestTakeTogether: hooks that come while their stream waits for the store are one commit after it,
// however many they are.
func TestTakeTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		free := r.waitsForStore("lobby", controller.ModeOn)
		_, one := r.sent(controller.HookFeedStarted, "lobby", "F1")
		_, two := r.sent(controller.HookFirstViewer, "lobby")
		_, three := r.sent(controller.HookFeedStarted, "lobby", "F2")
		answers := r.takes(one, two, three)
		if r.commits != 1 || len(answers[0]) != 0 {
			t.Errorf("%d commits before the first is done, %d answers", r.commits, len(answers[0]))
		}
		r.want("lobby", controller.PhaseIdle) // what nobody has stored nobody sees
		close(free)
		synctest.Wait()
		for i, answer := range answers {
			if a := <-answer; a.seq != int64(i+1) || a.duplicate || a.err != nil {
				t.Errorf("hook %d: %+v", i+1, a)
			}
		}
		if v := r.view("lobby"); v.Phase != controller.PhaseLive || len(v.Feeds) != 2 || r.commits != 2 {
			t.Errorf("%s with %d feeds after %d commits", v.Phase, len(v.Feeds), r.commits)
		}
	})
}

// TestTakeSomeOfABatch: of hooks that come together, one that is a duplicate changes nothing, and
// the others count.
func TestTakeSomeOfABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		old, h := r.sent(controller.HookFeedStarted, "lobby", "F1")
		if _, _, err := r.store.Append(context.Background(), old); err != nil { // and nobody has acted on it
			t.Fatal(err)
		}
		free := r.waitsForStore("lobby", controller.ModeOn)
		_, one := r.sent(controller.HookFeedStarted, "lobby", "F2")
		_, two := r.sent(controller.HookFeedStarted, "lobby", "F3")
		answers := r.takes(one, h, two)
		close(free)
		synctest.Wait()
		for i, want := range []taken{{2, false, nil}, {1, true, nil}, {3, false, nil}} {
			if a := <-answers[i]; a != want {
				t.Errorf("hook %d: %+v, want %+v", i, a, want)
			}
		}
		if v := r.view("lobby"); v.Phase != controller.PhaseLive || len(v.Feeds) != 2 || v.Feeds[0].ID != "F2" {
			t.Errorf("%s with %+v", v.Phase, v.Feeds)
		}
		r.pass(10 * time.Second)
		if state := r.saved(); !strings.Contains(state, `"F2"`) || !strings.Contains(state, `"F3"`) ||
			strings.Contains(state, `"F1"`) {
			t.Error(state)
		}
	})
}

// TestTakeRefusedInABatch: the store refuses hooks together with a person's hold. They change
// nothing; the hold counts.
func TestTakeRefusedInABatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		free := r.waitsForStore("lobby", controller.ModeOff)
		_, one := r.sent(controller.HookFeedStarted, "lobby", "F2")
		_, two := r.sent(controller.HookFeedEnded, "lobby", "F1")
		answers := r.takes(one, two)
		held := make(chan error, 1)
		go func() {
			_, err := r.c.SetMode(context.Background(), "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOn})
			held <- err
		}()
		synctest.Wait()
		r.refuses(errDiskFull)
		close(free)
		synctest.Wait()
		for i := range answers {
			if a := <-answers[i]; !errors.Is(a.err, errDiskFull) {
				t.Errorf("hook %d: %+v", i, a)
			}
		}
		if err := <-held; err != nil {
			t.Error(err)
		}
		if v := r.view("lobby"); v.Mode != controller.ModeOn || !v.Wanted || len(v.Feeds) != 1 || v.Feeds[0].ID != "F1" {
			t.Errorf("mode %s, wanted %v, feeds %+v", v.Mode, v.Wanted, v.Feeds)
		}
		r.refuses(nil)
		r.pass(10 * time.Second)
		if state := r.saved(); !strings.Contains(state, `"mode":"on"`) || strings.Contains(state, `"F2"`) {
			t.Error(state)
		}
		r.end(false)
	})
}

// TestTakeWhileStopping: whoever waits when the controller stops is answered, and what comes later
// is stored and acted on by the next one.
func TestTakeWhileStopping(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		free := r.waitsForStore("lobby", controller.ModeOn)
		_, one := r.sent(controller.HookFeedStarted, "lobby", "F1")
		_, two := r.sent(controller.HookFirstViewer, "lobby")
		_, three := r.sent(controller.HookFeedStarted, "lobby", "F2")
		waiting := r.takes(one, two)
		stopped := make(chan struct{})
		go func() { r.c.Stop(context.Background(), false); close(stopped) }()
		synctest.Wait()
		late := r.takes(three)
		if a := <-late[0]; a.seq != 1 || a.err != nil {
			t.Errorf("a hook for a controller that stops: %+v", a)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := r.c.SetMode(ctx, "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOff}); err == nil ||
			ctx.Err() != nil {
			t.Errorf("a hold for a controller that stops: %v", err)
		}
		close(free)
		<-stopped
		for i, answer := range waiting {
			if a := <-answer; a.seq != int64(i+2) || a.err != nil {
				t.Errorf("hook %d: %+v", i, a)
			}
		}
		if err := r.store.Close(); err != nil {
			t.Fatal(err)
		}
		r.boot()
		defer r.end(false)
		r.pass(time.Second)
		if v := r.view("lobby"); v.Mode != controller.ModeOn || len(v.Feeds) != 2 {
			t.Errorf("mode %s, feeds %+v", v.Mode, v.Feeds)
		}
	})
}

// TestTakeWithTheLatestConfiguration: a hook that waits while the configuration is replaced is
// decided by the new one.
func TestTakeWithTheLatestConfiguration(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		free := r.blockStates()
		go r.c.SetMode(context.Background(), "ACC/lobby", controller.ModeRequest{Mode: controller.ModeAuto,
			By: "mia"}) //nolint:errcheck // it changes nothing
		synctest.Wait()
		_, h := r.sent(controller.HookAttempt, "lobby")
		answers := r.takes(h)
		next := spec("lobby", "other")
		r.reload(next)
		close(free)
		synctest.Wait()
		if a := <-answers[0]; a.err != nil {
			t.Error(a.err)
		}
		r.want("lobby", controller.PhaseStarting)
		if r.starts("cam") != 0 || r.starts("other") != 1 {
			t.Errorf("%d starts of the old encoder, %d of the new one", r.starts("cam"), r.starts("other"))
		}
	})
}

// TestTakeUnknown: a hook for a stream that nobody knows is stored, too.
func TestTakeUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		rec, h := r.sent(controller.HookAttempt, "attic")
		for _, want := range []taken{{1, false, nil}, {1, true, nil}} {
			if seq, duplicate, err := r.take(rec, h); (taken{seq, duplicate, err}) != want {
				t.Errorf("%d %v %v", seq, duplicate, err)
			}
		}
		r.refuses(errDiskFull)
		if _, ok := r.c.Stream("ACC/attic"); ok {
			t.Error("there is a stream that the configuration does not have")
		}
	})
}

// TestTakeMeanwhile: what comes while a hook is being stored is decided right after it.
func TestTakeMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		defer r.end(false)
		r.live("lobby", "F1")
		free := r.blockStates()
		rec, gone := r.sent(controller.HookNoViewers, "lobby")
		go r.c.Take(context.Background(), rec, gone) //nolint:errcheck // the phase tells
		_, started := r.sent(controller.HookFeedStarted, "lobby", "F2")
		r.c.Deliver(started)
		synctest.Wait()
		r.want("lobby", controller.PhaseLive)
		close(free)
		synctest.Wait()
		if v := r.view("lobby"); v.Phase != controller.PhaseLingering || len(v.Feeds) != 2 {
			t.Errorf("%+v", v)
		}
	})
}

// TestTakeBeforeBoot: a stream that was restored looks at its encoder first, also when a hook comes
// at once.
func TestTakeBeforeBoot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		r.live("lobby", "F1")
		r.end(false)
		r.start()
		defer r.end(false)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		rec, h := r.sent(controller.HookNoViewers, "lobby")
		if _, _, err := r.c.Take(ctx, rec, h); err != nil {
			t.Errorf("the hook waits for a state that is not restored: %v", err)
		}
		r.pass(time.Second)
		r.want("lobby", controller.PhaseLingering)
	})
}

// TestTakeTooLate: a caller whose time is up is told so. The hook counts once it is stored, and
// only once.
func TestTakeTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("lobby", "cam"))
		r.boot()
		free := r.blockStates()
		rec, h := r.sent(controller.HookAttempt, "lobby")
		ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
		defer cancel()
		if _, _, err := r.c.Take(ctx, rec, h); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		r.want("lobby", controller.PhaseIdle)
		if r.starts("cam") != 0 {
			t.Errorf("%d starts for a hook that is not stored", r.starts("cam"))
		}
		close(free)
		synctest.Wait()
		r.want("lobby", controller.PhaseStarting)
		if state := r.saved(); !strings.Contains(state, `"phase":"starting"`) {
			t.Error(state)
		}
		if _, duplicate, err := r.store.Append(context.Background(), rec); !duplicate || err != nil {
			t.Errorf("duplicate %v, error %v", duplicate, err)
		}
		r.c.Deliver(h)
		r.pass(time.Second)
		if r.starts("cam") != 1 {
			t.Errorf("%d starts", r.starts("cam"))
		}
		r.end(false)
		r.boot()
		defer r.end(false)
		if v := r.view("lobby"); r.starts("cam") != 1 || v.Encoders[0].State != encoders.StatePublishing {
			t.Errorf("%d starts, %+v", r.starts("cam"), v)
		}
	})
}

// TestTakeFromAllSides has many senders and a person at the same streams: every hook is stored
// once, and the store has what readers see.
func TestTakeFromAllSides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, spec("a", "cam-a"), spec("b", "cam-b"))
		r.boot()
		kinds := []controller.HookKind{controller.HookAttempt, controller.HookFirstViewer, controller.HookNoViewers}
		const senders, each = 8, 30
		var all sync.WaitGroup
		for sender := range senders {
			all.Go(func() {
				for n := range each {
					name := []string{"a", "b"}[n%2]
					now := time.Now()
					h := controller.Hook{Kind: kinds[(n+sender)%3], Account: "ACC", Name: name, At: controller.ByPlatform(now),
						Received: now}
					rec := controller.Record{Stream: h.StreamID(), Event: string(h.Kind), Verdict: controller.Accepted,
						Received: now, Body: fmt.Append(nil, sender, n)}
					if _, duplicate, err := r.c.Take(context.Background(), rec, h); duplicate || err != nil {
						t.Errorf("duplicate %v, error %v", duplicate, err)
					}
					if n%10 == 0 {
						if _, err := r.c.SetMode(context.Background(), h.StreamID(),
							controller.ModeRequest{Mode: controller.ModeAuto}); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		r.pass(10 * time.Second)
		if stored, err := r.store.Records(context.Background(), controller.RecordFilter{Limit: 1000}); err != nil ||
			len(stored) != senders*each {
			t.Errorf("%d hooks of %d are stored, error %v", len(stored), senders*each, err)
		}
		saved, err := r.store.LoadStreams(context.Background())
		if err != nil || len(saved) != 2 {
			t.Fatal(saved, err)
		}
		for _, s := range saved {
			var state machine.State
			if err := json.Unmarshal(s.State, &state); err != nil {
				t.Fatal(err)
			}
			if v, _ := r.c.Stream(s.ID); state.Phase != v.Phase || state.Starts != v.Starts ||
				!state.Facts.Attempt.Seen.Equal(v.LastAttempt.Time) {
				t.Errorf("stored: %s, %d starts, attempt %v; shown: %s, %d, %v", state.Phase, state.Starts,
					state.Facts.Attempt.Seen, v.Phase, v.Starts, v.LastAttempt)
			}
		}
		r.end(false)
	})
}
