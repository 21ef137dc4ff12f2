package systemtest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// benchHot measures from a ViewerAttempt to the first picture at the ingest for a 1080p camera that
// is held open, whatever its groups of pictures, beside FFmpeg's plainest command line, which
// begins with the next key frame; and what holding it open costs.
func benchHot(t *testing.T, table *table) {
	needFFmpeg(t)
	const tries, plainTries = 20, 3
	for _, gop := range []time.Duration{time.Second, 2 * time.Second, 10 * time.Second} {
		cam := cameratest.New(t, "1920x1080", "5M", gop)
		s := newSite(t, buildFast(t))
		s.hooksOnly = true // else each stop would first ask, and wait
		sim := s.platform(simulator.Settings{Scale: 60})
		s.configure(fmt.Sprintf(`
on_exit: stop
defaults: {attempt_hold: 2s, join_timeout: 500ms}
encoders:
  copied: {ffmpeg: {input: %[1]q, video: copy, standby: hot}}
  encoded: {ffmpeg: {input: %[1]q, standby: hot}}
streams: {copy: {encoder: copied, publish: "RTMP:"}, h264: {encoder: encoded, publish: "RTMP:"}}
`, cam.URL()))
		s.start()
		ready := func(name string) *controller.EncoderView {
			v := s.awaitStream(name, "ready", func(v controller.StreamView) bool {
				b := v.Encoders[0].Standby
				// While its last feed seems to be open, one attempt alone is not believed.
				return b != nil && b.Ready && len(v.Feeds) == 0
			})
			return &v.Encoders[0]
		}
		first := func(name string, begin func()) time.Duration {
			t.Helper()
			at := time.Now()
			begin()
			s.await("a picture", func() bool { return !sim.Truth(name).FirstVideo.IsZero() })
			return sim.Truth(name).FirstVideo.Sub(at)
		}
		measure := func(name string) (took []time.Duration) {
			for range tries {
				ready(name)
				took = append(took, first(name, func() { s.hook(controller.HookAttempt, name) }))
				s.awaitPhase(name, controller.PhaseIdle) // nobody joins
				s.await("the end", func() bool { return sim.Truth(name).Connections == 0 })
			}
			return took
		}
		var plain []time.Duration
		for n := range plainTries {
			name := fmt.Sprintf("plain%d", n)
			cmd := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", cam.URL(),
				"-c", "copy", "-f", "flv", sim.RTMPURL(name))
			plain = append(plain, first(name, func() {
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
			}))
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		copied, encoded := measure("copy"), measure("h264")
		what := fmt.Sprintf("attempt to first picture, standby: hot, 1080p camera, GOP %s, ", gop)
		table.add(what+"copy", spread(copied), "plain ffmpeg "+spread(plain), "",
			goal("≤ 250 ms p50, ≤ 400 ms p99", median(copied) <= 250*time.Millisecond &&
				percentile(copied, 99) <= 400*time.Millisecond))
		table.add(what+"h264", spread(encoded), "", "", "")
		if gop == 2*time.Second {
			benchHotCosts(t, s, table, ready)
		}
		s.term()
	}
}

// benchHotCosts measures the processes that hold one 1080p input of 5 Mb/s open.
func benchHotCosts(t *testing.T, s *site, table *table, ready func(string) *controller.EncoderView) {
	t.Helper()
	s.mode("h264", controller.ModeOff)
	ready("copy")
	var pids []int
	s.await("one relay and its reader", func() bool {
		pids = pids[:0]
		for _, pid := range s.encoders() {
			line := readFile(t, fmt.Sprintf("/proc/%d/cmdline", pid))
			if strings.Contains(line, "ffmpeg") || strings.Contains(line, "relay") {
				pids = append(pids, pid)
			}
		}
		return len(pids) == 2
	})
	const window = 20 * time.Second
	used := func() (all time.Duration) {
		for _, pid := range pids {
			all += cpuOf(t, pid)
		}
		return all
	}
	before := used()
	<-time.After(window)
	share := float64(used()-before) / float64(window) * 100
	var rss, pss int
	for _, pid := range pids {
		rss += rssOf(t, pid)
		pss += memoryOf(t, pid, "smaps_rollup", "Pss:")
	}
	table.add("standby: hot, a 1080p camera of 5 Mb/s, copied", fmt.Sprintf("%.1f %% of a core, %.0f MB", share,
		float64(pss)/1e6), fmt.Sprintf("resident %.0f MB, shared pages counted in both", float64(rss)/1e6), "",
		goal("≤ 2 %, ≤ 60 MB", share <= 2 && pss <= 60e6))
}
