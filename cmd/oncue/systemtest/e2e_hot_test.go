package systemtest

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// A camera is held open for the next start: not while the stream is held off, over a kill -9 of the
// daemon, while it publishes, and no longer once the configuration has it no more. It never has two
// readers.
func testHotStandby(t *testing.T, s *site) {
	needFFmpeg(t)
	sim, cam := s.platform(simulator.Settings{}), cameratest.Small(t)
	configure := func(standby, schedule string) {
		s.configure(fmt.Sprintf(`
on_exit: stop
encoders: {cam: {ffmpeg: {input: %q, video: copy, standby: %s}}}
streams: {lobby: {encoder: cam, publish: "RTMP:", schedule: [%s]}}
`, cam.URL(), standby, schedule))
	}
	configure("hot", "")
	s.start()
	ready := func(what string) {
		t.Helper()
		s.awaitStream("lobby", "ready, "+what, func(v controller.StreamView) bool {
			b := v.Encoders[0].Standby
			now, _, _ := cam.Players() // the status may be of a moment before the camera was let go
			return b != nil && b.Kind == "hot" && b.Ready && b.AgeMS != nil && now == 1
		})
	}
	letGo := func(what string) {
		t.Helper()
		s.await("the camera is let go, "+what, func() bool { now, _, _ := cam.Players(); return now == 0 })
	}
	ready("before anybody came")
	if n := sim.Truth("lobby").Connections; n != 0 {
		t.Errorf("with nobody there, there are %d connections to the ingest", n)
	}
	s.mode("lobby", controller.ModeOff)
	letGo("held off")
	s.mode("lobby", controller.ModeAuto)
	ready("no longer held off")
	_, _, before := cam.Players()
	s.kill()
	s.start()
	ready("after a kill -9")

	viewer := sim.Join("lobby")
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	pid := s.awaitPID("lobby")
	s.kill()
	s.start()
	ready("after a kill -9 while it publishes")
	if again := s.awaitPID("lobby"); *again != *pid {
		t.Errorf("process %d publishes; want %d as before", *again, *pid)
	}
	if now, _, all := cam.Players(); now != 1 || all != before {
		t.Errorf("after two kills the camera has %d readers, and %d more than before", now, all-before)
	}
	if s.metric(`oncue_encoder_standby_ready{account="`+testAccount+`",encoder="cam",stream="lobby"}`) != 1 {
		t.Error("metrics do not say that the standby is ready")
	}
	viewer.Leave()
	s.mode("lobby", controller.ModeOff)
	letGo("held off while it publishes")
	s.mode("lobby", controller.ModeAuto)
	ready("again")

	minute := time.Now().Add(-time.Minute)
	configure("hot", fmt.Sprintf(`{cron: "%d %d * * *", for: 30m, do: off}`, minute.Minute(), minute.Hour()))
	s.signal(syscall.SIGHUP)
	letGo("in a window of do: off")
	configure("hot", "")
	s.signal(syscall.SIGHUP)
	ready("the window is gone")
	configure("none", "")
	s.signal(syscall.SIGHUP)
	letGo("with standby: none")
	configure("hot", "")
	s.signal(syscall.SIGHUP)
	ready("with standby: hot again")
	s.term()
	letGo("on_exit: stop")
	if _, most, _ := cam.Players(); most != 1 {
		t.Errorf("the camera had %d readers at a time", most)
	}
}
