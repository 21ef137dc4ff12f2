package systemtest

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// benchWakeLink measures from the opening of a page in a real browser, on a site of its own, until
// the page is told that the stream is live: script, wake link, store, encoder, the platform's hook
// and the event to the page. Beside it is FFmpeg's plainest command line, until the platform has
// its feed.
func benchWakeLink(t *testing.T, table *table) {
	needFFmpeg(t)
	const tries, picture = 15, "testsrc2=size=1280x720:rate=30"
	browser := openBrowser(t)
	s := newSite(t, buildFast(t))
	sim := s.platform(simulator.Settings{Scale: 60})
	page := wakePage(t, func() wakeLink { return s.wakeLink("lobby") })
	s.configure(fmt.Sprintf("on_exit: stop\npublic_url: http://%s\nwake: {secret: 0123456789abcdef0123, origins: [%q]}\n"+
		"encoders: {cam: {ffmpeg: {input: \"lavfi:%s\"}}}\nstreams: {lobby: {encoder: cam, publish: \"RTMP:\"}}\n",
		s.hooks, page.URL, picture))
	s.start()
	var plain, told []time.Duration
	for range tries {
		began := time.Now()
		cmd := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i", picture,
			"-c:v", "libx264", "-f", "flv", sim.RTMPURL("plain"))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := sim.Wait(t.Context(), func() bool { return sim.Truth("plain").Live }); err != nil {
			t.Fatal(err)
		}
		plain = append(plain, time.Since(began))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		s.await("the plain one's end", func() bool { return sim.Truth("plain").Connections == 0 })

		tab, leave := visit(t, browser, page.URL)
		s.await("the page is told", func() bool { return evaluate[int](t, tab, "lives") > 0 })
		told = append(told, time.Duration(evaluate[float64](t, tab, "liveAfter")*float64(time.Millisecond)))
		leave()
		s.mode("lobby", controller.ModeOff)
		s.awaitPhase("lobby", controller.PhaseIdle)
		if code, body := s.call("DELETE", "/api/v1/streams/ABC123%2Flobby/demand?by=a+page", nil); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		s.mode("lobby", controller.ModeAuto)
		s.await("nothing is wanted", func() bool { return !s.see("lobby").Wanted })
	}
	s.term()
	p50 := median(told)
	table.add("page load to \"live\" told to the page, wake link, test source", spread(told),
		"plain ffmpeg to its feed "+spread(plain), fmt.Sprintf("%.1f times", float64(p50)/float64(median(plain))),
		goal("p50 ≤ 0.9 s", p50 <= 900*time.Millisecond))
}
