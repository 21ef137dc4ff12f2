package ffmpeg

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
	"github.com/oncue/oncue/encoders/proc"
)

// quick is a camera that is ready soon, as its key frames are close together.
func quick(t testing.TB) *cameratest.Camera {
	return cameratest.New(t, "320x180", "300k", 500*time.Millisecond)
}

// held are the settings of a camera whose input is held open.
func held(c *cameratest.Camera) Settings {
	s := Defaults()
	s.Input, s.Video, s.Audio, s.Standby = c.URL(), "copy", "copy", "hot"
	return s
}

// openHot opens an encoder that is closed at the end, its relay ended.
func openHot(t testing.TB, s Settings, dir string) *Encoder {
	t.Helper()
	e := openIn(t, s, dir)
	t.Cleanup(func() { letGo(t, dir) })
	t.Cleanup(func() { end(t, e) })
	return e
}

// letGo ends the relay of a folder, and waits until its lock is free.
func letGo(t testing.TB, dir string) {
	t.Helper()
	if l, err := relay.Dial(filepath.Join(dir, relayDir)); err == nil {
		l.End()
		defer l.Close()
	}
	await(t, "the relay is gone", func() bool {
		lock, err := proc.TakeLock(dir, relayLock)
		if err == nil {
			lock.Close()
		}
		return err == nil
	})
}

// awaitReady waits until a start would begin with a picture.
func awaitReady(t testing.TB, e *Encoder) encoders.Standby {
	t.Helper()
	var s *encoders.Standby
	await(t, "the standby is ready", func() bool {
		now, _ := e.now()
		s = now.Standby
		return s != nil && s.Ready
	})
	return *s
}

// TestHotConformance passes the suite with an input that is held open.
func TestHotConformance(t *testing.T) {
	needFFmpeg(t)
	encodertest.Run(t, encodertest.Harness{AtOnce: true, EchoesRun: true, OneStream: true, Live: 20 * time.Second,
		New: func(t *testing.T) encodertest.Rig {
			c, box, dir := quick(t), newSink(t), t.TempDir()
			t.Cleanup(func() {
				letGo(t, dir)
				if _, most, _ := c.Players(); most > 1 {
					t.Errorf("the camera had %d readers at a time", most)
				}
			})
			return encodertest.Rig{
				Encoder: openIn(t, held(c), dir),
				Job:     encodertest.NewJob(box.url("lobby?token=" + encodertest.Canary)),
				Secrets: []string{canary},
				Copies:  box.copies,
				Reopen:  func(t *testing.T) encoders.Encoder { return openIn(t, held(c), dir) },
			}
		}})
}

// TestHot holds a camera open, publishes from it, and lets it go.
func TestHot(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, video := range []string{"copy", "h264"} {
		t.Run(video, func(t *testing.T) {
			t.Parallel()
			c, box := cameratest.Small(t), newSink(t)
			s := held(c)
			s.Video = video
			e := openHot(t, s, t.TempDir())
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary))
			e.KeepReady(j, true)
			if s := awaitReady(t, e); s.Kind != "hot" || s.AgeMS == nil || *s.AgeMS > 3000 {
				t.Errorf("it is %+v", s)
			}
			<-e.turn
			if e.standby != nil {
				t.Error("a publisher waits beside the relay")
			}
			e.leave()
			if n := box.server.Connections(); n != 0 {
				t.Errorf("before a start there are %d connections to the ingest", n)
			}

			for range 2 {
				box.forget()
				began := time.Now()
				start(t, e, j)
				await(t, "a picture", func() bool { return box.pictures() > 0 })
				t.Logf("the first picture came after %v", box.first.Sub(began))
				awaitState(t, e, encoders.StatePublishing)
				if err := e.Stop(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				await(t, "the end", func() bool { return box.copies() == 0 })
				awaitReady(t, e)
			}
			if now, most, all := c.Players(); now != 1 || most != 1 || all != 1 {
				t.Errorf("the camera has %d readers, had %d at a time, and %d in all; want one", now, most, all)
			}
			e.KeepReady(j, false)
			if s, _ := e.now(); s.Standby != nil {
				t.Errorf("when it is let go, it is still %+v", *s.Standby)
			}
			await(t, "the camera is let go", func() bool { now, _, _ := c.Players(); return now == 0 })
			await(t, "nothing is ready", func() bool { s, _ := e.now(); return s.Standby == nil })
			body, _ := e.Log(t.Context(), 1000)
			if text := strings.Join(body, "\n"); strings.Contains(text, canary) {
				t.Errorf("the log shows a secret: %s", text)
			}
		})
	}
}

// TestHotInputComesAndGoes pulls the camera away, freezes it and gives it back, in standby and
// while it is published: the standby heals by itself, and a run fails and starts again as with any
// input.
func TestHotInputComesAndGoes(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for name, fault := range map[string]func(*cameratest.Camera){
		"pulled away": (*cameratest.Camera).Pull,
		"frozen":      (*cameratest.Camera).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, box := quick(t), newSink(t)
			s := held(c)
			s.StallTimeout = 2 * time.Second
			e := openHot(t, s, t.TempDir())
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary))
			e.KeepReady(j, true)
			awaitReady(t, e)
			fault(c)
			t.Logf("in standby: %s", awaitUnready(t, e, name))
			c.GiveBack()
			awaitReady(t, e)
			start(t, e, j)
			awaitState(t, e, encoders.StatePublishing)
			fault(c)
			t.Logf("while it is published: %s", awaitState(t, e, encoders.StateFailed).Error)
			start(t, e, j) // before there is an input
			box.forget()
			c.GiveBack()
			awaitState(t, e, encoders.StatePublishing)
			if box.pictures() == 0 {
				t.Error("it counts as publishing before it has an input")
			}
			fault(c)
			awaitState(t, e, encoders.StateFailed)
			start(t, e, j)
			if err := e.Stop(t.Context(), j); err != nil {
				t.Errorf("a stop while it waits for the input: %v", err)
			}
			if _, most, _ := c.Players(); most != 1 {
				t.Errorf("the camera had %d readers at a time", most)
			}
		})
	}
}

// awaitUnready waits until the standby says that it is not ready, and why.
func awaitUnready(t testing.TB, e *Encoder, what string) (why string) {
	t.Helper()
	await(t, "the standby tells that its input is "+what, func() bool {
		s, _ := e.now()
		if s.Standby == nil || s.Standby.Ready {
			return false
		}
		why = s.Standby.Error
		return why != ""
	})
	if strings.Contains(why, canary) {
		t.Errorf("it shows a secret: %s", why)
	}
	return why
}

// TestHotProcessesDie kills each process of a hot encoder, in standby and while it publishes. All
// is made anew, and the camera never has two readers.
func TestHotProcessesDie(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, victim := range []string{"relay", "reader", "a relay that hangs"} {
		for _, while := range []string{"in standby", "publishing"} {
			t.Run(victim+" "+while, func(t *testing.T) {
				t.Parallel()
				c, box := quick(t), newSink(t)
				e := openHot(t, held(c), t.TempDir())
				j := job
				j.Publish = secret.New(box.url("lobby?token=" + canary))
				e.KeepReady(j, true)
				awaitReady(t, e)
				if while == "publishing" {
					start(t, e, j)
					awaitState(t, e, encoders.StatePublishing)
				}
				e.mu.Lock()
				relay, reader := e.report.PID, e.report.Reader
				e.mu.Unlock()
				_, _, before := c.Players()
				switch victim {
				case "relay":
					kill(t, relay, syscall.SIGKILL)
				case "reader":
					kill(t, reader, syscall.SIGKILL)
				default:
					kill(t, relay, syscall.SIGSTOP)
				}
				switch {
				case while == "in standby":
				case victim == "a relay that hangs": // the watchdog would say so, as of any input
					if err := e.Stop(t.Context(), j); err != nil {
						t.Fatal(err)
					}
				default:
					t.Logf("without it: %s", awaitState(t, e, encoders.StateFailed).Error)
				}
				await(t, "another reader", func() bool { _, _, all := c.Players(); return all > before })
				awaitReady(t, e)
				start(t, e, j)
				awaitState(t, e, encoders.StatePublishing)
				if err := e.Stop(t.Context(), j); err != nil {
					t.Fatal(err)
				}
				if now, most, _ := c.Players(); now != 1 || most != 1 {
					t.Errorf("the camera has %d readers, and had %d at a time", now, most)
				}
			})
		}
	}
}

func kill(t testing.TB, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatalf("signal %d to process %d: %v", sig, pid, err)
	}
}

// TestHotControllerDies kills the controller with SIGKILL, in standby and while it publishes: the
// next one finds the same relay and the same reader.
func TestHotControllerDies(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, role := range []string{"standby", "controller"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c, box, dir := cameratest.Small(t), newSink(t), t.TempDir()
			publish := box.url("lobby?token=canary")
			first := startElsewhere(t, role, dir, publish, "ONCUE_TEST_STANDBY=hot", "ONCUE_TEST_INPUT="+c.URL())
			s := held(c)
			e := openHot(t, s, dir)
			j := roleJob(publish)
			e.KeepReady(j, true)
			awaitReady(t, e)
			if role == "controller" {
				if s := awaitState(t, e, encoders.StatePublishing); s.PID != first {
					t.Errorf("it is %+v; want process %d", s, first)
				}
			} else {
				start(t, e, j)
				awaitState(t, e, encoders.StatePublishing)
			}
			if now, _, all := c.Players(); now != 1 || all != 1 {
				t.Errorf("the camera has %d readers, and had %d; want the first one alone", now, all)
			}
		})
	}
}

// TestHotSettingsChange opens the folder of a hot encoder with other settings: another input, and
// none that is to be held.
func TestHotSettingsChange(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	one, two, dir := quick(t), quick(t), t.TempDir()
	t.Cleanup(func() { letGo(t, dir) })
	for n, c := range []*cameratest.Camera{one, two} {
		e := openIn(t, held(c), dir)
		e.KeepReady(job, true)
		awaitReady(t, e)
		if n == 1 {
			await(t, "the first camera is let go", func() bool { now, _, _ := one.Players(); return now == 0 })
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if now, _, _ := c.Players(); now != 1 {
			t.Errorf("when its controller has left, camera %d has %d readers", n, now)
		}
	}
	e := openIn(t, small(), dir)
	defer end(t, e)
	e.KeepReady(job, false)
	await(t, "the second camera is let go", func() bool { now, _, _ := two.Players(); return now == 0 })
	await(t, "nothing of it is left", func() bool { _, err := os.Stat(filepath.Join(dir, relayDir)); return err != nil })
}

// TestHotEndsWithItsFolder deletes the folder of a relay whose controller is gone.
func TestHotEndsWithItsFolder(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	c, dir := quick(t), filepath.Join(t.TempDir(), "cam")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	e := openIn(t, held(c), dir)
	e.KeepReady(job, true)
	awaitReady(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	await(t, "the camera is let go", func() bool { now, _, _ := c.Players(); return now == 0 })
}
