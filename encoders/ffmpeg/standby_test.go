package ffmpeg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/proc"
)

func warmed() Settings {
	s := small()
	s.Standby = "warm"
	return s
}

// waiting waits until the encoder's standby has loaded, and returns its pid.
func waiting(t testing.TB, e *Encoder) int {
	t.Helper()
	pid := 0
	await(t, "a process waits before the gate", func() bool {
		<-e.turn
		defer e.leave()
		if e.standby == nil {
			return false
		}
		pid = e.standby.PID
		inside, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
		return strings.Contains(string(inside), "wait_for_partner")
	})
	return pid
}

// TestWarmConformance passes the suite with a standby in every gap.
func TestWarmConformance(t *testing.T) {
	needFFmpeg(t)
	encodertest.Run(t, encodertest.Harness{AtOnce: true, EchoesRun: true, OneStream: true, Live: 20 * time.Second,
		New: func(t *testing.T) encodertest.Rig {
			box, dir := newSink(t), t.TempDir()
			return encodertest.Rig{
				Encoder: openIn(t, warmed(), dir),
				Job:     encodertest.NewJob(box.url("lobby?token=" + encodertest.Canary)),
				Copies:  box.copies,
				Waiting: func() int { return len(proc.Holders(filepath.Join(dir, lockFile))) },
				Reopen:  func(t *testing.T) encoders.Encoder { return openIn(t, warmed(), dir) },
			}
		}})
}

// TestStandby keeps a process warm, uses it, and makes the next.
func TestStandby(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box := newSink(t)
	e := opened(t, warmed())
	j := job
	j.Publish = secret.New(box.url("lobby?token=" + canary))
	if s, err := e.Status(t.Context(), j); err != nil || s.State != encoders.StateStopped {
		t.Fatalf("it is %+v, %v", s, err)
	}
	e.KeepReady(j, true)
	first := waiting(t, e)
	if s, _ := e.now(); s.PID != 0 || s.State != encoders.StateStopped {
		t.Errorf("with a process kept warm, it is %+v", s)
	}
	if alive, err := proc.Locked(e.env.Dir, lockFile); alive || err != nil {
		t.Errorf("a process that waits holds the lock: %v", err)
	}
	if n := box.server.Connections(); n != 0 {
		t.Errorf("a process that waits has made %d connections", n)
	}
	if text := e.standbyCosts(); !strings.Contains(text, "MB of memory") {
		t.Errorf("its costs are told as %q", text)
	}
	start(t, e, j)
	if s := awaitState(t, e, encoders.StatePublishing); s.PID != first || s.Run != j.Run {
		t.Errorf("it is %+v; want process %d woken", s, first)
	}
	if alive, err := proc.Locked(e.env.Dir, lockFile); !alive || err != nil {
		t.Errorf("a process that was woken does not hold the lock: %v", err)
	}
	if len(box.keys) != 1 || box.keys[0] != "lobby?token="+canary {
		t.Errorf("the ingest got %q", box.keys)
	}
	ctx := t.Context()
	if err := e.Stop(ctx, j); err != nil {
		t.Fatal(err)
	}
	if second := waiting(t, e); second == first {
		t.Error("the process that was stopped waits again")
	}
	other := j
	other.Publish = secret.New(box.url("lobby?token=another"))
	start(t, e, other)
	awaitState(t, e, encoders.StatePublishing)
	if n := len(box.keys); box.keys[n-1] != "lobby?token=another" {
		t.Errorf("the ingest got %q", box.keys)
	}
}

// TestStandbyOrphaned kills the controller of a waiting process: it keeps waiting, and the next
// controller ends it.
func TestStandbyOrphaned(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, dir := newSink(t), t.TempDir()
	pid := startElsewhere(t, "standby", dir, box.url("lobby?token=canary"), "ONCUE_TEST_STANDBY=warm")
	if n := box.server.Connections(); n != 0 {
		t.Errorf("it has made %d connections", n)
	}
	st, err := proc.ReadStat(pid)
	if err != nil || st.Gone() {
		t.Fatalf("with its controller gone, it is gone too: %v", err)
	}
	e := openIn(t, warmed(), dir)
	defer end(t, e)
	if s, _ := e.now(); s.State != encoders.StateStopped {
		t.Errorf("it is %+v", s)
	}
	await(t, "it is gone", func() bool { st, err := proc.ReadStat(pid); return err != nil || st.Gone() })
	j := roleJob(box.url("lobby?token=canary"))
	start(t, e, j)
	awaitState(t, e, encoders.StatePublishing)
}

// TestNoStandby: where nothing is to be kept ready, nothing is said of it.
func TestNoStandby(t *testing.T) {
	settings := Defaults()
	settings.Input = "test"
	e := openIn(t, settings, t.TempDir())
	e.KeepReady(job, true)
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.readiness(); s != nil {
		t.Errorf("it tells of a standby: %+v", *s)
	}
}
