package systemtest

import (
	"encoding/json"
	"testing"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
)

// A plug and a camera are switched on before an encoder, and off after it, while the daemon is
// killed at each step of the way: nothing is started twice, and nothing is left on.
func testHelpers(t *testing.T, s *site) {
	s.configure(`
helpers:
  plug:   {fake: {start_delay: 600ms, stop_delay: 300ms, config_only: true}, linger: 1s}
  camera: {fake: {start_delay: 600ms, stop_delay: 300ms}, linger: 500ms}
encoders: {cam: {fake: {start_delay: 600ms}, needs: [plug, camera]}}
defaults: {confirm: encoder, idle_timeout: 1s, join_timeout: 2s}
streams: {show: {encoder: cam}}
`)
	s.start()
	helper := func(name string) (v controller.HelperView) {
		var all term.Status
		if _, body := s.get("/status"); json.Unmarshal(body, &all) == nil {
			for _, h := range all.Helpers {
				if h.Name == name {
					v = h
				}
			}
		}
		return v
	}
	again := func() {
		t.Helper()
		s.kill()
		s.start()
	}
	s.hook(controller.HookAttempt, "show")
	for _, name := range []string{"plug", "camera"} {
		s.await(name+" starts", func() bool { return helper(name).State == controller.HelperStarting })
		again()
		s.await(name+" is on", func() bool { return helper(name).State == controller.HelperOn })
		again()
	}
	s.awaitPhase("show", controller.PhaseStarting)
	again()
	s.awaitPhase("show", controller.PhaseLive)
	again()
	for _, name := range []string{"plug", "camera"} {
		s.await(name+" is on for the show", func() bool {
			h := helper(name)
			return h.State == controller.HelperOn && len(h.For) == 1 && h.For[0].Name() == "show"
		})
	}
	s.awaitPhase("show", controller.PhaseIdle)
	again()
	s.await("the camera stops", func() bool {
		return helper("camera").State == controller.HelperStopping || !s.box("camera").on()
	})
	again()
	s.await("the camera is off", func() bool { return helper("camera").State == controller.HelperOff })
	s.await("the plug is off", func() bool { return helper("plug").State == controller.HelperOff })
	for _, name := range []string{"plug", "camera", "cam"} {
		if b := s.box(name); b.on() || b.Starts != 1 {
			t.Errorf("%s: %+v, want one start, and off", name, b)
		}
	}
}
