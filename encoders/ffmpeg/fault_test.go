package ffmpeg

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

var job = encoders.Job{Account: "ABC123", Name: "lobby", Run: "run1",
	Publish: secret.New("rtmp://127.0.0.1:1/v2/pub/lobby?token=canary-token")}

// scripted runs a shell script in the place of FFmpeg.
func scripted(t testing.TB, script string) Settings {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encoder.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := Defaults()
	s.Binary, s.Args, s.Sandbox = path, []string{"one", "{stream}"}, "strict"
	return s
}

func stopIn(t *testing.T, e *Encoder, grace time.Duration) {
	t.Helper()
	j := job
	j.Grace = grace
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.Stop(ctx, j); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestStopsForSure stops programs that do not want to.
func TestStopsForSure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, script string
		processes    int
	}{
		{"it ignores TERM", "trap '' TERM INT HUP; echo ready; while :; do sleep 0.2; done", 1},
		{"it obeys the second TERM", "trap 'trap - TERM' TERM; echo ready; while :; do sleep 0.1; done", 1},
		{"it is frozen", "echo ready; kill -STOP $$; exec sleep 1000", 1},
		{"it has children", "sleep 1000 & sleep 1000 & echo ready; wait", 3},
		{"its child left the session", "setsid sleep 1000 & echo ready; wait", 2},
		{"its child left and ignores TERM",
			"setsid sh -c \"trap '' TERM; echo ready; while :; do sleep 0.2; done\" & wait", 2},
		{"its child left and closed the lock", "setsid sh -c 'exec 3>&-; echo ready; exec sleep 1000' & wait", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := opened(t, scripted(t, c.script))
			start(t, e, job)
			p := e.running
			var members []int
			await(t, "its processes run", func() bool {
				said, _ := os.ReadFile(filepath.Join(e.env.Dir, progressFile))
				members = proc.Family(p.Identity)
				return string(said) == "ready\n" && len(members) >= c.processes
			})
			began := time.Now()
			stopIn(t, e, 2*time.Second)
			if d := time.Since(began); d > 15*time.Second {
				t.Errorf("the stop took %v", d)
			}
			if left := proc.Family(p.Identity); len(left) > 0 {
				t.Errorf("of %v, left behind: %v", members, left)
			}
			if s, _ := e.now(); s.State != encoders.StateStopped || s.PID != 0 {
				t.Errorf("it is %+v", s)
			}
		})
	}
}

// TestEndsByItself checks how the ends of processes are reported.
func TestEndsByItself(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, script, want string }{
		{"at once", "echo boom >&2; exit 3", "it ended by itself (exit status 3); it said: boom"},
		{"with success", "echo done >&2; exit 0", "the input ended (exit status 0); it said: done"},
		{"leaving a child", "setsid sleep 1000 & exit 4", "it ended by itself (exit status 4)"},
		{"killed", "kill -KILL $$", "killed by signal 9: the machine ran out of memory, or somebody killed it"},
		{"crashed", "kill -SEGV $$", "killed by signal 11 (SIGSEGV)"},
		{"showing its key", "echo cannot open rtmp://x/y?token=canary-token and canary-token >&2; exit 1",
			"it ended by itself (exit status 1); it said: cannot open rtmp://x/y?token=******** and ********"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := opened(t, scripted(t, c.script))
			start(t, e, job)
			s := awaitState(t, e, encoders.StateFailed)
			if s.Error != c.want || s.PID != 0 || s.Run != "run1" {
				t.Errorf("it is %+v; want the error %q", s, c.want)
			}
			if left := proc.Holders(filepath.Join(e.env.Dir, lockFile)); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// TestStandIn runs a program that reports no progress: it counts as publishing while it is alive.
func TestStandIn(t *testing.T) {
	t.Parallel()
	e := opened(t, scripted(t, "exec sleep 1000"))
	start(t, e, job)
	if s, _ := e.now(); s.State != encoders.StateStarting {
		t.Errorf("just started, it is %+v", s)
	}
	awaitState(t, e, encoders.StatePublishing)
}

// TestFramesAlone runs a program that reports frames and no time, as FFmpeg may at first: its
// health must be shown.
func TestFramesAlone(t *testing.T) {
	e := opened(t, scripted(t, `n=0; while :; do n=$((n+1))
		printf 'frame=%d\ntotal_size=N/A\nout_time_us=N/A\nprogress=continue\n' $n
		sleep 0.1; done`))
	start(t, e, job)
	if s := awaitState(t, e, encoders.StatePublishing); s.Health == nil || s.Health.Frames == nil {
		t.Errorf("it is %+v, %+v", s, s.Health)
	}
}

// TestReports runs a program that reports progress, then none, then some again.
func TestReports(t *testing.T) {
	t.Parallel()
	gate := filepath.Join(t.TempDir(), "gate")
	s := scripted(t, `n=0; while :; do
		[ -e `+gate+` ] || { n=$((n+1))
		printf 'frame=%d\ntotal_size=%d\nout_time_us=%d\nprogress=continue\n' $n $((n*1000)) $((n*100000)); }
		sleep 0.1; done`)
	s.StallTimeout = time.Second
	e := opened(t, s)
	start(t, e, job)
	if s := awaitState(t, e, encoders.StatePublishing); s.Health == nil || *s.Health.Frames == 0 {
		t.Errorf("it is %+v, %+v", s, s.Health)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := awaitState(t, e, encoders.StateStalled); !strings.HasPrefix(s.Error, "no progress for ") {
		t.Errorf("it is %+v", s)
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	awaitState(t, e, encoders.StatePublishing)
}

func TestCannotStart(t *testing.T) {
	missing, bare, option := small(), small(), small()
	missing.Binary = "/nonexistent/ffmpeg"
	bare.Input = ""
	for _, c := range []struct {
		name     string
		settings Settings
		publish  string
		want     string
	}{
		{"no program", missing, "rtmp://127.0.0.1:1/v2/pub/x",
			"there is no program /nonexistent/ffmpeg: install it, or set binary"},
		{"no URL", option, "", "there is no publishing URL"},
		{"a URL without a stream", option, "rtmp://127.0.0.1:1/pub",
			"the publishing URL must read rtmps://HOST/APPLICATION/STREAM"},
		{"an unknown URL", option, "gopher://x/y",
			"the publishing URL begins with gopher://; use rtmp, rtmps, srt or https (WHIP)"},
		{"a key that is too long", option, "rtmp://127.0.0.1:1/v2/pub/x?token=" + strings.Repeat("k", 1000),
			"the publishing URL's secret part is longer than the 998 bytes that FFmpeg takes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := opened(t, c.settings)
			j := job
			j.Publish = secret.New(c.publish)
			if err := e.Start(t.Context(), j); err == nil || err.Error() != c.want || !encoders.IsPermanent(err) {
				t.Errorf("start: %v; want %q, permanent", err, c.want)
			}
		})
	}
}

// TestFailures makes a real FFmpeg fail in the ways that people meet.
func TestFailures(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	with := func(change func(*Settings)) Settings { s := small(); change(&s); return s }
	for _, c := range []struct {
		name      string
		settings  Settings
		publish   string
		want      string
		permanent bool
	}{
		{"nothing listens", small(), "rtmp://127.0.0.1:1/v2/pub/lobby?token=canary-token",
			"connection refused by the publishing server", false},
		{"no such host", small(), "rtmp://nowhere.invalid/v2/pub/lobby",
			"the host name of the publishing server is not known (DNS)", false},
		{"no such file", with(func(s *Settings) { s.Input = "/nonexistent.mp4" }), "", "the input is not found", false},
		{"no video in the file", with(func(s *Settings) { s.Input = "/proc/self/cmdline" }), "",
			"the input is not a video that ffmpeg understands", false},
		{"no such camera", with(func(s *Settings) {
			s.Input = "rtsp://user:canary-token@127.0.0.1:1/cam"
		}), "", "connection refused by the input", false},
		{"an unknown option", with(func(s *Settings) { s.InputArgs = []string{"-nosuch", "1"} }), "",
			"unknown option -nosuch", true},
		{"an unknown encoder", with(func(s *Settings) {
			s.OutputArgs = []string{"-c:v", "libnope"}
		}), "", "this ffmpeg has no encoder libnope", true},
		{"no audio", with(func(s *Settings) { s.Video = "none" }), "", "the input has no audio", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := opened(t, c.settings)
			j := job
			if j.Publish = secret.New(c.publish); c.publish == "" {
				j.Publish = secret.New(newSink(t).url("lobby?token=canary-token"))
			}
			start(t, e, j)
			s := awaitState(t, e, encoders.StateFailed)
			if !strings.HasPrefix(s.Error, c.want) || s.Permanent != c.permanent ||
				strings.Contains(s.Error, "canary-token") {
				t.Errorf("permanent %v: %s\nwant %v: %s", s.Permanent, s.Error, c.permanent, c.want)
			}
		})
	}
}

// TestRefused lets the ingest refuse the key.
func TestRefused(t *testing.T) {
	needFFmpeg(t)
	box := newSink(t)
	box.refuseWith("invalid token")
	e := opened(t, small())
	j := job
	j.Publish = secret.New(box.url("lobby?token=canary-token"))
	start(t, e, j)
	const want = "the publishing server refuses the password or key"
	if s := awaitState(t, e, encoders.StateFailed); !strings.HasPrefix(s.Error, want) {
		t.Errorf("it is %+v", s)
	}
}

// TestStalls stops an FFmpeg's delivery at both ends.
func TestStalls(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	t.Run("the process is frozen", func(t *testing.T) {
		t.Parallel()
		box, s := newSink(t), small()
		s.StallTimeout = 2 * time.Second
		e := opened(t, s)
		j := job
		j.Publish = secret.New(box.url("lobby"))
		start(t, e, j)
		pid := awaitState(t, e, encoders.StatePublishing).PID
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		awaitState(t, e, encoders.StateStalled)
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		awaitState(t, e, encoders.StatePublishing)
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopIn(t, e, 2*time.Second)
	})
	t.Run("the ingest is frozen", func(t *testing.T) {
		t.Parallel()
		box, s := newSink(t), small()
		s.Input, s.Bitrate = "lavfi:testsrc2=size=320x240:rate=20,noise=alls=80:allf=t", "6000k"
		s.StallTimeout = 3 * time.Second
		e := opened(t, s)
		j := job
		j.Publish = secret.New(box.url("lobby"))
		start(t, e, j)
		awaitState(t, e, encoders.StatePublishing)
		box.publisher(t).Freeze()
		began := time.Now()
		st := awaitState(t, e, encoders.StateStalled)
		t.Logf("after %v: %s", time.Since(began).Round(time.Millisecond), st.Error)
		stopIn(t, e, 4*time.Second)
	})
}
