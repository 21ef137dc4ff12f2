package systemtest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// testAutoToken publishes with a token that oncue makes: the API is down at first, the daemon is
// killed twice, and the token is rotated under a live feed.
func testAutoToken(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{Scale: 30})
	down := simulator.APIFaults{Path: "/api/publish_token", Status: http.StatusServiceUnavailable}
	sim.SetAPIFaults(down)
	s.configure(`
encoders: {cam: ` + testPicture + `}
streams:
  lobby: {encoder: cam, publish: {token: auto, server: "rtmp://` + sim.RTMPAddr() + `"}, restart: {max: 1s}}
`)
	s.start()
	s.mode("lobby", controller.ModeOn)
	s.awaitStream("lobby", "the missing token as the cause", func(v controller.StreamView) bool {
		e := v.Encoders[0].Error
		return e != nil && strings.Contains(*e, "the publishing token is not there yet")
	})
	s.await("the missing token among the problems", func() bool {
		_, body := s.get("/status")
		return strings.Contains(string(body), "there is no publishing token yet for "+testAccount+"/lobby: ")
	})

	own := func() (list []simulator.Token) {
		return slices.DeleteFunc(sim.Tokens(), func(t simulator.Token) bool { return t.Label != "oncue:lobby" })
	}
	sim.SetAPIFaults(simulator.APIFaults{})
	pid := *s.awaitStream("lobby", "a process on the air", func(v controller.StreamView) bool {
		return v.Phase == controller.PhaseLive && v.Encoders[0].PID != nil
	}).Encoders[0].PID
	adopted := func() {
		t.Helper()
		s.kill()
		s.start()
		s.awaitStream("lobby", "the same process on the air", func(v controller.StreamView) bool {
			p := v.Encoders[0].PID
			return v.Phase == controller.PhaseLive && p != nil && *p == pid
		})
	}
	sim.SetAPIFaults(down)
	adopted()
	sim.SetAPIFaults(simulator.APIFaults{})

	if status, body := s.call("POST", "/api/v1/streams/"+testAccount+"%2Flobby/token/rotate", nil); status != 200 {
		t.Fatalf("rotate: %d %s", status, body)
	}
	adopted()
	made := own()
	if len(made) != 2 {
		t.Fatalf("under a live feed there are %d tokens", len(made))
	}
	s.mode("lobby", controller.ModeOff)
	s.awaitPhase("lobby", controller.PhaseIdle)
	s.await("the old token is deleted", func() bool { return len(own()) == 1 })
	if own()[0].ID != made[1].ID {
		t.Error("the new token was deleted")
	}
	sim.SetAPIFaults(down)
	s.mode("lobby", controller.ModeOn)
	s.awaitPhase("lobby", controller.PhaseLive)
	s.mode("lobby", controller.ModeOff)
	s.awaitPhase("lobby", controller.PhaseIdle)
	for _, token := range made {
		if strings.Contains(s.log(), token.Value.Reveal()) {
			t.Error("the log shows a token")
		}
	}
}

// testPictureAtOnce: a stream that goes live has a picture long before the platform's regular one,
// which comes after 30 s.
func testPictureAtOnce(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{Thumbnails: true})
	s.configure(`
encoders: {cam: ` + testPicture + `}
streams: {lobby: {encoder: cam, publish: "RTMP:"}}
`)
	s.start()
	sim.Join("lobby")
	s.awaitPhase("lobby", controller.PhaseLive)
	live := time.Now()
	const path = "/api/v1/streams/" + testAccount + "%2Flobby/thumbnail"
	s.await("a picture", func() bool {
		status, body := s.get(path)
		return status == http.StatusOK && len(body) > 0
	})
	if took := time.Since(live); took > 25*time.Second {
		t.Errorf("it took %s", took)
	}
}
