package ffmpeg

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// TestAdoption kills the controller with SIGKILL and opens the encoder again: nothing is lost, and
// nothing is started.
func TestAdoption(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, c := range []struct {
		name string
		harm func(t *testing.T, dir string)
	}{
		{"with its state", func(*testing.T, string) {}},
		{"with its state lost", func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, stateFile)); err != nil {
				t.Fatal(err)
			}
		}},
		{"with its state torn", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"pid":`), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			box, dir := newSink(t), t.TempDir()
			publish := box.url("lobby?token=canary")
			pid := startElsewhere(t, "controller", dir, publish)
			await(t, "pictures come", func() bool { return box.pictures() > 5 })
			c.harm(t, dir)
			e := openIn(t, small(), dir)
			defer end(t, e)
			if c.name == "with its state" { // what was reported before counts at once
				if s, _ := e.now(); s.State != encoders.StatePublishing && s.State != encoders.StateStarting {
					t.Errorf("just adopted, it is %+v", s)
				}
			}
			s := awaitState(t, e, encoders.StatePublishing)
			if s.PID != pid || s.Run != "run7" {
				t.Errorf("adopted pid %d of run %q; want %d of run7", s.PID, s.Run, pid)
			}
			start(t, e, roleJob(publish))
			other := roleJob(publish)
			other.Name = "foyer"
			if err := e.Start(t.Context(), other); !errors.Is(err, encoders.ErrBusy) {
				t.Errorf("start for another stream: %v", err)
			}
			seen := *s.Health.Frames
			await(t, "the counter goes on",
				func() bool { s, _ := e.now(); return s.Health != nil && *s.Health.Frames > seen+5 })
			if n := box.server.Connections(); n != 1 {
				t.Errorf("the ingest saw %d connections; want 1", n)
			}
		})
	}
}

// TestAdoptedEnds checks how the end of a process that is not our child is reported.
func TestAdoptedEnds(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, dir := newSink(t), t.TempDir()
	pid := startElsewhere(t, "controller", dir, box.url("lobby?token=canary"))
	e := openIn(t, small(), dir)
	defer end(t, e)
	awaitState(t, e, encoders.StatePublishing)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s := awaitState(t, e, encoders.StateFailed)
	t.Logf("told as: %s", s.Error)
	if !strings.Contains(s.Error, "killed by signal 9") && !strings.Contains(s.Error, "exit status unknown") {
		t.Errorf("killed, it says %q", s.Error)
	}
}

// TestEndedMeanwhile opens an encoder whose process has ended while no controller ran.
func TestEndedMeanwhile(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, dir := newSink(t), t.TempDir()
	pid := startElsewhere(t, "controller", dir, box.url("lobby?token=canary"))
	await(t, "pictures come", func() bool { return box.pictures() > 5 })
	if err := box.server.Close(); err != nil {
		t.Fatal(err)
	}
	await(t, "the process is gone", func() bool { st, err := proc.ReadStat(pid); return err != nil || st.Gone() })
	e := openIn(t, small(), dir)
	defer end(t, e)
	s, _ := e.now()
	if s.State != encoders.StateFailed || s.Run != "run7" ||
		!strings.Contains(s.Error, "while the controller was away: the publishing server closed the connection") {
		t.Errorf("it is %+v", s)
	}
}

// TestAnotherProcess saves the pid of a process that is not the encoder: it must neither be adopted
// nor signalled.
func TestAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	h, err := proc.OpenHandle(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	id, err := proc.Identify(h, os.Getpid(), "run1.abc")
	if err != nil {
		t.Fatal(err)
	}
	if err := (state{Identity: id, Stream: "ABC123/lobby", Run: "run1"}).save(dir); err != nil {
		t.Fatal(err)
	}
	e := openIn(t, small(), dir)
	defer end(t, e)
	if s, _ := e.now(); s.State != encoders.StateFailed || s.PID != 0 {
		t.Errorf("it is %+v; want it gone", s)
	}
}

// TestStrangerHoldsLock has a process that is no encoder hold the lock: nothing can be started, and
// the error says so.
func TestStrangerHoldsLock(t *testing.T) {
	dir := t.TempDir()
	e := openIn(t, small(), dir)
	defer func() { _ = e.Close() }()
	lock, err := proc.TakeLock(dir, lockFile)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := e.Start(t.Context(), roleJob("rtmp://127.0.0.1:1/v2/pub/lobby")); !errors.Is(err, proc.ErrLocked) {
		t.Errorf("start: %v", err)
	}
	if err := e.Stop(t.Context(), encoders.Job{}); !errors.Is(err, proc.ErrLocked) {
		t.Errorf("stop: %v", err)
	}
	again := openIn(t, small(), dir)
	defer func() { _ = again.Close() }()
	if s, _ := again.now(); s.State != encoders.StateUnknown || !strings.Contains(s.Error, "hold the lock") {
		t.Errorf("opened again, it is %+v", s)
	}
	lock.Close()
	if err := again.Stop(t.Context(), encoders.Job{}); err != nil {
		t.Errorf("stop, with the lock free: %v", err)
	}
	if s, _ := again.now(); s.State != encoders.StateStopped {
		t.Errorf("with the lock free, it is %+v", s)
	}
}

// TestCycles starts and stops many times. Nothing may pile up: no process, descriptor, goroutine or
// thread.
func TestCycles(t *testing.T) {
	before := goleak.IgnoreCurrent()
	dir := t.TempDir()
	e := openIn(t, scripted(t, "exec sleep 1000"), dir)
	cycle := func(n int) {
		for range n {
			start(t, e, job)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if err := e.Stop(ctx, job); err != nil {
				t.Fatal(err)
			}
			cancel()
		}
	}
	cycle(5)
	fds, threads := count(t, "/proc/self/fd"), count(t, "/proc/self/task")
	cycle(100)
	if n := count(t, "/proc/self/fd"); n > fds+2 {
		t.Errorf("%d descriptors before, %d after", fds, n)
	}
	if n := count(t, "/proc/self/task"); n > threads+5 {
		t.Errorf("%d threads before, %d after", threads, n)
	}
	if left := proc.Holders(filepath.Join(dir, lockFile)); len(left) > 0 {
		t.Errorf("left behind: processes %v", left)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("github.com/oncue/oncue/encoders/sandbox.(*room).use"))
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
