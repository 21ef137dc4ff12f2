package systemtest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

var wakes = flag.Int("bench-wakes", 48, "viewers who wake a camera in TestBenchTable")

// secondRetry is when the vendor's player tries for the third time, after its first attempt and a
// retry at 0.1 s. Whoever misses it waits for 6.3 s.
const secondRetry = 2200 * time.Millisecond

// wait is what one viewer saw, from the first attempt on.
type wait struct{ live, picture, in time.Duration }

// benchWakes has viewers wake an RTSP camera by the plain driver, at random moments of its group of
// pictures, and retry as the vendor's player does; and beside it, at the same moments of the group,
// FFmpeg's plain command line, begun at the first attempt without any hook.
func benchWakes(t *testing.T, table *table) {
	needFFmpeg(t)
	// A lane takes turns with its names: the platform tells of one attempt in 10 s.
	const lanes, names, gop = 16, 4, 2 * time.Second
	cam := cameratest.Small(t)
	source := cam.URL()
	s := newSite(t, buildFast(t))
	sim := s.platform(simulator.Settings{})
	s.configure(`
on_exit: stop
encoders: {nvr: {ffmpeg: {input: "` + source + `", video: copy}}}
streams: {"cam-*": {encoder: nvr, publish: "RTMP:"}}
`)
	s.start()
	var mu sync.Mutex
	var ours, plain []wait
	watch := func(into *[]wait, name string, begin func(), end func()) {
		t.Helper()
		came := time.Now()
		viewer := sim.Join(name)
		begin()
		s.await("a viewer is in, and has a picture", func() bool {
			return viewer.State() == simulator.Watching && !sim.Truth(name).FirstVideo.IsZero()
		})
		truth := sim.Truth(name)
		in, _ := viewer.Waited()
		viewer.Leave()
		end()
		s.await("the end", func() bool { return sim.Truth(name).Connections == 0 })
		mu.Lock()
		defer mu.Unlock()
		*into = append(*into, wait{truth.Since.Sub(came), truth.FirstVideo.Sub(came), in})
	}
	many(lanes, func(lane int) {
		for n := lane; n < *wakes; n += lanes {
			moment := time.Now().Add(rand.N(gop))
			<-time.After(time.Until(moment))
			name := fmt.Sprintf("cam-%d-%d", lane, n/lanes%names)
			watch(&ours, name, func() {}, func() {
				s.mode(name, controller.ModeOff)
				s.awaitPhase(name, controller.PhaseIdle)
				s.mode(name, controller.ModeAuto)
			})
			for moment.Before(time.Now()) {
				moment = moment.Add(gop)
			}
			<-time.After(time.Until(moment))
			name = fmt.Sprintf("plain-%d", lane)
			cmd := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", source,
				"-c", "copy", "-f", "flv", sim.RTMPURL(name))
			watch(&plain, name, func() {
				if err := cmd.Start(); err != nil {
					t.Error(err)
				}
			}, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		}
	})
	s.term()
	what := fmt.Sprintf("%d wakes of a camera, key frame every %v, attempt to live", len(ours), gop)
	early := share(ours, func(w wait) bool { return w.live <= 2*time.Second })
	table.add(what, spread(times(ours, func(w wait) time.Duration { return w.live })),
		"plain ffmpeg "+spread(times(plain, func(w wait) time.Duration { return w.live })),
		fmt.Sprintf("within 2 s: %.1f %%, plain %.1f %%", early,
			share(plain, func(w wait) bool { return w.live <= 2*time.Second })),
		goal("≥ 99 %", early >= 99))
	seen := func(w wait) bool { return w.in < 2*secondRetry && w.picture <= secondRetry }
	table.add("… to the first picture", spread(times(ours, func(w wait) time.Duration { return w.picture })),
		"plain ffmpeg "+spread(times(plain, func(w wait) time.Duration { return w.picture })),
		fmt.Sprintf("at the second retry: %.1f %%, plain %.1f %%", share(ours, seen), share(plain, seen)), "")
}

func times(v []wait, of func(wait) time.Duration) (d []time.Duration) {
	for _, w := range v {
		d = append(d, of(w))
	}
	return d
}

// share is how many of the waits are so, in percent.
func share(v []wait, so func(wait) bool) float64 {
	return 100 * float64(len(v)-len(slices.DeleteFunc(slices.Clone(v), so))) / float64(len(v))
}
