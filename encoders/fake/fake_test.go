package fake

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

func open(t *testing.T, s Settings, dir string) *Encoder {
	t.Helper()
	e, err := New(s, encoders.Env{Name: "bench", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformance(t *testing.T) {
	settings := Defaults()
	settings.StartDelay, settings.StopDelay = 50*time.Millisecond, 50*time.Millisecond
	for _, dirs := range []struct {
		name string
		make func(*testing.T) string
	}{{"in a folder", func(t *testing.T) string { return t.TempDir() }},
		{"in memory", func(*testing.T) string { return "" }}} {
		t.Run(dirs.name, func(t *testing.T) {
			encodertest.Run(t, encodertest.Harness{EchoesRun: true, OneStream: true,
				New: func(t *testing.T) encodertest.Rig {
					dir := dirs.make(t)
					e := open(t, settings, dir)
					rig := encodertest.Rig{
						Encoder:     e,
						Die:         func(*testing.T) { e.Die(errors.New("out of coffee")) },
						Unreachable: func(*testing.T) { e.SetUnreachable(true) },
						Press: func(_ *testing.T, _ encoders.Job, on bool) {
							if on {
								e.PressStart()
							} else {
								e.PressStop()
							}
						},
					}
					if dir != "" {
						rig.Reopen = func(t *testing.T) encoders.Encoder {
							e = open(t, settings, dir)
							return e
						}
					}
					return rig
				}})
		})
	}
}

var job = encoders.Job{Account: "ABC123", Name: "lobby", Run: "r1"}

// want fails unless the box is in this state, with this error.
func want(t *testing.T, e *Encoder, state encoders.State, text string) {
	t.Helper()
	s, err := e.Status(t.Context(), job)
	if err != nil || s.State != state || s.Error != text {
		t.Errorf("status is %q, error %q, %v; want %q, error %q", s.State, s.Error, err, state, text)
	}
}

func TestFaults(t *testing.T) {
	timeout := func(t *testing.T, d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	for _, c := range []struct {
		name     string
		settings Settings
		play     func(t *testing.T, e *Encoder)
	}{
		{"it is live after start_delay", Settings{StartDelay: 200 * time.Millisecond}, func(t *testing.T, e *Encoder) {
			e.start(t)
			want(t, e, encoders.StateStarting, "")
			pass(200 * time.Millisecond)
			want(t, e, encoders.StatePublishing, "")
		}},
		{"it refuses the first starts", Settings{FailStarts: 2, Permanent: true}, func(t *testing.T, e *Encoder) {
			for range 2 {
				if err := e.Start(t.Context(), job); !encoders.IsPermanent(err) ||
					err.Error() != "the fake box refuses to start" {
					t.Errorf("start: %v", err)
				}
				want(t, e, encoders.StateStopped, "")
			}
			e.start(t)
			want(t, e, encoders.StatePublishing, "")
		}},
		{"it refuses every start", Settings{StartError: "no signal"}, func(t *testing.T, e *Encoder) {
			for range 5 {
				if err := e.Start(t.Context(), job); err == nil || err.Error() != "no signal" ||
					encoders.IsPermanent(err) {
					t.Errorf("start: %v", err)
				}
			}
		}},
		{"it refuses the first stops", Settings{StopError: "not now", FailStops: 1}, func(t *testing.T, e *Encoder) {
			e.start(t)
			if err := e.Stop(t.Context(), job); err == nil || err.Error() != "not now" {
				t.Errorf("stop: %v", err)
			}
			if err := e.Stop(t.Context(), job); err != nil {
				t.Errorf("stop: %v", err)
			}
		}},
		{"it dies", Settings{StartDelay: time.Second, DieAfter: time.Minute, Permanent: true},
			func(t *testing.T, e *Encoder) {
				e.start(t)
				pass(61 * time.Second)
				want(t, e, encoders.StateFailed, "the fake encoder died after 1m0s")
				e.start(t)
				want(t, e, encoders.StateStarting, "")
			}},
		{"it stalls, then dies", Settings{StallAfter: time.Minute, DieAfter: time.Hour},
			func(t *testing.T, e *Encoder) {
				e.start(t)
				pass(time.Minute)
				want(t, e, encoders.StateStalled, "the fake encoder delivers nothing")
				pass(time.Hour)
				want(t, e, encoders.StateFailed, "the fake encoder died after 1h0m0s")
			}},
		{"it does not die once stopped", Settings{DieAfter: time.Minute}, func(t *testing.T, e *Encoder) {
			e.start(t)
			if err := e.Stop(t.Context(), job); err != nil {
				t.Error(err)
			}
			pass(time.Hour)
			want(t, e, encoders.StateStopped, "")
		}},
		{"it ignores a stop", Settings{IgnoreStop: true}, func(t *testing.T, e *Encoder) {
			e.start(t)
			if err := e.Stop(timeout(t, time.Second), job); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("stop: %v", err)
			}
			want(t, e, encoders.StateStopping, "")
			e.PressStop()
			want(t, e, encoders.StateStopped, "")
		}},
		{"it hangs in a start", Settings{HangStart: true}, func(t *testing.T, e *Encoder) {
			if err := e.Start(timeout(t, time.Second), job); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("start: %v", err)
			}
			want(t, e, encoders.StateStopped, "")
		}},
		{"it answers late", Settings{StatusDelay: time.Minute}, func(t *testing.T, e *Encoder) {
			if _, err := e.Status(timeout(t, time.Second), job); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("status: %v", err)
			}
		}},
		{"it waits for a stop under way", Settings{StopDelay: time.Minute}, func(t *testing.T, e *Encoder) {
			e.start(t)
			if err := e.Stop(timeout(t, time.Second), job); err == nil {
				t.Error("the stop is confirmed too soon")
			}
			e.start(t)
			want(t, e, encoders.StatePublishing, "")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.play(t, open(t, c.settings, "")) })
		})
	}
}

func (e *Encoder) start(t *testing.T) {
	t.Helper()
	if err := e.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

// TestWatchMeasures holds the health to what the settings promise.
func TestWatchMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settings := Defaults()
		settings.StartDelay = time.Second
		e := open(t, settings, "")
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		e.start(t)
		var states []encoders.State
		var last encoders.Status
		if err := e.Watch(ctx, job, func(s encoders.Status) {
			states, last = append(states, s.State), s
		}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("watch: %v", err)
		}
		if len(states) < 5 || len(states) > 7 || states[0] != encoders.StateStarting {
			t.Errorf("reported %v", states)
		}
		if h := last.Health; h == nil || *h.Frames < 200 || *h.Bytes < 2_000_000 || *h.BitrateBPS != 3_000_000 {
			t.Errorf("health is %+v", h)
		}
	})
}

// TestPressFile presses the buttons from a shell's side.
func TestPressFile(t *testing.T) {
	dir := t.TempDir()
	e := open(t, Defaults(), dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := make(chan encoders.Status, 100)
	go e.Watch(ctx, job, func(s encoders.Status) { seen <- s })
	for _, step := range []struct {
		button string
		state  encoders.State
		byHand bool
	}{
		{"start", encoders.StatePublishing, true}, {"stall\n", encoders.StateStalled, true},
		{"die", encoders.StateFailed, false},
		{"start", encoders.StatePublishing, true}, {"stop", encoders.StateStopped, true},
	} {
		if err := os.WriteFile(filepath.Join(dir, pressFile), []byte(step.button), 0o600); err != nil {
			t.Fatal(err)
		}
		for limit := time.After(10 * time.Second); ; {
			select {
			case s := <-seen:
				if s.State != step.state || s.ByHand != step.byHand {
					continue
				}
			case <-limit:
				t.Fatalf("no %s after pressing %q", step.state, step.button)
			}
			break
		}
	}
}

func TestValidate(t *testing.T) {
	err := Settings{StartDelay: -1, Congestion: 2, FailStops: -3}.Validate()
	const text = "start_delay: is negative, must be 0 or more\nfail_stops: is negative, must be 0 or more\n" +
		"congestion: is 2, must be from 0 to 1"
	if err == nil || err.Error() != text {
		t.Errorf("Validate: %v", err)
	}
}

// pass lets the bubble's time pass.
func pass(d time.Duration) { <-time.After(d) }
