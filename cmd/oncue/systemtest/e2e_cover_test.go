package systemtest

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// makeSlate makes a still picture of that size (FFmpeg's words).
func makeSlate(t testing.TB, size string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "slate.png")
	out, err := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=blue:size="+size, "-frames:v", "1",
		path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// A slate covers the boot of a slow encoder: a still picture is on the air long before, and is no
// sign that the stream is live. It goes when the slow one is live, comes again when that one is
// killed, and is off when nobody is left.
func testCover(t *testing.T, s *site) {
	needFFmpeg(t)
	slate := makeSlate(t, "641x361")
	sim := s.platform(simulator.Settings{})
	s.configure(`
on_exit: stop
defaults: {idle_timeout: 1s}
encoders:
  slow: {ffmpeg: {binary: sh, args: ["-c", 'sleep 3; exec ffmpeg -nostdin -v error -re
    -f lavfi -i testsrc2=size=320x180:rate=30
    -c:v libx264 -preset ultrafast -tune zerolatency -g 30 -f flv "$0"', "{publish}"], sandbox: "off"}}
  slate: {ffmpeg: {input: ` + slate + `}}
streams: {show: {encoder: slow, cover: slate, publish: {token: "` + testToken + `", server: "rtmp://` +
		sim.RTMPAddr() + `"}, restart: {initial: 1s}}}
`)
	s.start()
	viewer := sim.Join("show")
	covered := func(what string) {
		t.Helper()
		v := s.awaitStream("show", what, func(v controller.StreamView) bool {
			return s.onAir() == 99 && v.Encoders[1].OnAir && v.Encoders[1].Cover
		})
		if v.Phase == controller.PhaseLive || v.Encoders[0].OnAir {
			t.Errorf("with the slate alone it is %s", v.Phase)
		}
	}
	covered("the slate on the air while the encoder boots")
	s.await("the viewer sees the slate", func() bool { return viewer.State() == simulator.Watching })
	shown := func(what string) controller.StreamView {
		t.Helper()
		return s.awaitStream("show", what, func(v controller.StreamView) bool {
			return v.Phase == controller.PhaseLive && s.onAir() == 100 && len(sim.Truth("show").Feeds) == 1 &&
				v.Encoders[1].State.Gone()
		})
	}
	live := shown("the encoder on the air, and the slate off")
	since := sim.Truth("show").Since
	for _, f := range sim.Truth("show").Past {
		if f.Sounds == 0 || f.Pictures == 0 {
			t.Errorf("the slate had %d pictures and %d sounds", f.Pictures, f.Sounds)
		}
	}
	if since.After(live.Since.Time) {
		t.Errorf("between slate and encoder viewers saw black until %v", since)
	}
	if err := syscall.Kill(*live.Encoders[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	covered("the slate again after the encoder was killed")
	shown("the encoder on the air again")
	viewer.Leave()
	s.awaitStream("show", "all off when nobody is left", func(v controller.StreamView) bool {
		return v.Phase == controller.PhaseIdle && len(sim.Truth("show").Feeds) == 0
	})
	for _, line := range s.history("show") {
		if strings.Contains(line.Reason, "failed") && line.Encoder == "slate" {
			t.Errorf("the slate: %s", line.Reason)
		}
	}
}

// The daemon is killed with SIGKILL while the slate is on, and again when nobody is left: the slate
// goes on as it was, is never published twice, and is off when nobody waits.
func testCoverKilled(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{})
	s.configure(`
on_exit: stop
defaults: {idle_timeout: 1s, attempt_hold: 10s, start_timeout: 10m}
encoders: {slow: {fake: {start_delay: 10m}}, slate: {ffmpeg: {input: ` + makeSlate(t, "640x360") + `}}}
streams: {show: {encoder: slow, cover: slate, publish: {token: "` + testToken + `", server: "rtmp://` +
		sim.RTMPAddr() + `"}}}
`)
	s.start()
	viewer := sim.Join("show")
	covered := func(what string) int {
		t.Helper()
		v := s.awaitStream("show", what, func(v controller.StreamView) bool {
			return s.onAir() == 99 && v.Encoders[1].OnAir && v.Encoders[1].PID != nil
		})
		if v.Phase != controller.PhaseStarting {
			t.Errorf("with the slate alone it is %s", v.Phase)
		}
		return *v.Encoders[1].PID
	}
	pid := covered("the slate on the air")
	s.await("the viewer sees the slate", func() bool { return viewer.State() == simulator.Watching })
	s.kill()
	if n := sim.Truth("show").Connections; n != 1 {
		t.Errorf("with the daemon gone, there are %d connections to the ingest; want the slate's", n)
	}
	s.start()
	if again := covered("the slate on the air after a kill -9"); again != pid {
		t.Errorf("process %d shows the slate; want %d as before", again, pid)
	}
	if past := sim.Truth("show").Past; len(past) > 0 {
		t.Errorf("the slate was published anew: %+v", past)
	}
	s.kill()
	viewer.Leave()
	s.start()
	s.awaitStream("show", "all off, nobody is left", func(v controller.StreamView) bool {
		return v.Phase == controller.PhaseIdle && sim.Truth("show").Connections == 0
	})
}
