package systemtest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

// TestEndToEnd runs the real program, with real encoders, against the simulated platform.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	binary := buildOncue(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, s *site)
	}{
		{"cycle", testCycle},
		{"adopted after kill -9", testAdoption},
		{"stopped at exit", testStopAtExit},
		{"shared encoder", testShared},
		{"pattern", testPattern},
		{"real OBS", testOBS},
		{"killed in every phase", testKilledInPhase},
		{"planned restarts", testPlannedRestarts},
		{"lost hooks", testLostHooks},
		{"automatic token", testAutoToken},
		{"renditions", testRenditions},
		{"redundant ingest", testRedundantIngest},
		{"hot standby", testHotStandby},
		{"hot standby of a real server", testHotCamera},
		{"cover", testCover},
		{"cover killed", testCoverKilled},
		{"helpers", testHelpers},
		{"picture at once", testPictureAtOnce},
		{"bad input", testBadInput},
		{"strangers", testStrangers},
		{"wake links", testWakeLink},
		{"readers of MediaMTX", testMediaMTX},
		{"bridge for other servers", testBridge},
		{"hostile encoder", testHostileEncoder("strict")},
		{"hostile program", testHostileEncoder("auto")},
		{"closed memory", testClosedMemory},
		{"reload", testReload},
		{"another file while down", testFileChangedWhileDown},
		{"store lost", testStoreLost},
		{"secrets", testSecrets},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, newSite(t, binary))
		})
	}
}

// testPicture is a camera for FFmpeg that costs little.
const testPicture = `{ffmpeg: {input: "lavfi:testsrc2=size=160x90:rate=10", audio: none, ` +
	`preset: ultrafast, bitrate: 100k, gop: 1s}}`

// The whole way: a viewer comes, FFmpeg publishes, the viewer watches and leaves, and nothing keeps
// running.
func testCycle(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{Scale: 30})
	s.configure(`
encoders: {cam: ` + testPicture + `}
streams: {lobby: {encoder: cam, publish: "RTMP:", idle_timeout: 500ms}}
`)
	s.start()
	viewer := sim.Join("lobby")
	s.await("the viewer sees a picture",
		func() bool { return viewer.State() == simulator.Watching && !sim.Truth("lobby").FirstVideo.IsZero() })
	v := s.awaitPhase("lobby", controller.PhaseLive)
	if v.Encoders[0].PID == nil || !alive(*v.Encoders[0].PID) {
		t.Fatalf("live without a process: %+v", v.Encoders[0])
	}
	if truth := sim.Truth("lobby"); !truth.Feeds[0].KeyIs("lobby?token=" + testToken) {
		t.Error("published with another key")
	}
	viewer.Leave()
	s.awaitPhase("lobby", controller.PhaseIdle)
	s.await("the platform has lost the feed", func() bool { return sim.Truth("lobby").Connections == 0 })
	if alive(*v.Encoders[0].PID) {
		t.Error("the process is still there")
	}
	want := []controller.Phase{
		controller.PhaseStarting, controller.PhaseLive, controller.PhaseLingering, controller.PhaseStopping,
		controller.PhaseIdle,
	}
	if got := s.phases("lobby"); !slices.Equal(got, want) {
		t.Errorf("the phases went %v, want %v", got, want)
	}
	if n := sim.Connections(); n != 1 {
		t.Errorf("the ingest saw %d connections", n)
	}
	s.term()
}

// The daemon is killed while FFmpeg publishes; the next one adopts FFmpeg as it is, and stops it
// later.
func testAdoption(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{Scale: 30})
	s.configure(`
encoders: {cam: ` + testPicture + `}
streams: {lobby: {encoder: cam, publish: "RTMP:", idle_timeout: 500ms}}
`)
	s.start()
	viewer := sim.Join("lobby")
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	before := s.awaitPhase("lobby", controller.PhaseLive)
	s.kill()
	if sim.Truth("lobby").Connections != 1 {
		t.Fatal("the encoder went with the daemon")
	}
	seen := sim.Truth("lobby").Feeds[0].Pictures
	s.await("pictures come without a daemon", func() bool { return sim.Truth("lobby").Feeds[0].Pictures > seen+5 })
	s.start()
	after := s.awaitStream("lobby", "live with its process", func(v controller.StreamView) bool {
		return v.Phase == controller.PhaseLive && v.Encoders[0].PID != nil
	})
	if *after.Encoders[0].PID != *before.Encoders[0].PID {
		t.Errorf("pid %d became %d", *before.Encoders[0].PID, *after.Encoders[0].PID)
	}
	if after.Starts != before.Starts {
		t.Errorf("%d starts became %d", before.Starts, after.Starts)
	}
	seen = sim.Truth("lobby").Feeds[0].Pictures
	s.await("pictures go on coming", func() bool { return sim.Truth("lobby").Feeds[0].Pictures > seen+5 })
	viewer.Leave()
	s.awaitPhase("lobby", controller.PhaseIdle)
	s.await("the feed is gone", func() bool { return sim.Truth("lobby").Connections == 0 })
	if n := sim.Connections(); n != 1 {
		t.Errorf("the ingest saw %d connections, want the one", n)
	}
	if pid := *before.Encoders[0].PID; alive(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// With on_exit: stop the encoders end with the daemon, and come back with it.
func testStopAtExit(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{Scale: 30})
	s.configure(`
on_exit: stop
encoders: {cam: ` + testPicture + `}
streams: {lobby: {encoder: cam, publish: "RTMP:"}}
`)
	s.start()
	viewer := sim.Join("lobby")
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	s.awaitPhase("lobby", controller.PhaseLive)
	s.term()
	s.await("the feed ends with the daemon", func() bool { return sim.Truth("lobby").Connections == 0 })
	if left := s.holders(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	s.start()
	s.await("the viewer sees a picture again",
		func() bool { return viewer.State() == simulator.Watching && sim.Truth("lobby").Connections == 1 })
}

// Two streams share one encoder: the second one waits, says so, and gets it as soon as the first
// lingers.
func testShared(t *testing.T, s *site) {
	s.configure(`
encoders: {box: {fake: {}}}
defaults: {confirm: encoder, idle_timeout: 10m}
streams: {one: {encoder: box}, two: {encoder: box}}
`)
	s.start()
	s.hook(controller.HookAttempt, "one")
	s.awaitPhase("one", controller.PhaseLive)
	s.hook(controller.HookFirstViewer, "one")
	s.hook(controller.HookAttempt, "two")
	v := s.awaitPhase("two", controller.PhaseWaiting)
	if v.WaitsFor == nil || *v.WaitsFor != testAccount+"/one" {
		t.Errorf("waits for %v: %s", v.WaitsFor, v.Reason)
	}
	s.hook(controller.HookNoViewers, "one")
	s.awaitPhase("two", controller.PhaseLive)
	s.awaitPhase("one", controller.PhaseIdle)
	if b := s.box("box"); b.Stream != testAccount+"/two" || b.Starts != 2 || !b.on() {
		t.Errorf("the box is %+v", b)
	}
}

// A pattern makes an instance for each plain name, and none for a name with other characters.
func testPattern(t *testing.T, s *site) {
	s.configure(`
encoders: {nvr: {fake: {}}}
defaults: {confirm: encoder}
streams: {"cam-*": {encoder: nvr}, "odd/../name; ü": {encoder: nvr}}
`)
	s.start()
	for name, box := range map[string]string{
		"cam-1": "nvr@ABC123/cam-1", "cam-2": "nvr@ABC123/cam-2", "odd/../name; ü": "nvr",
	} {
		s.hook(controller.HookAttempt, name)
		s.awaitPhase(name, controller.PhaseLive)
		if b := s.box(box); b.Stream != testAccount+"/"+name || !b.on() {
			t.Errorf("the box of %s is %+v", name, b)
		}
	}
	for _, name := range []string{
		"dam-1", "cam-../../../../etc/x", "cam-;reboot", "cam-a b", "cam-ü", "cam-$(id)", "cam-%2e%2e", "cam-a/b",
	} {
		s.await("a hook for "+name+" is answered", func() bool {
			status, answer, err := s.post(millicastViewer(name), millicast.ContentJSON, testSecret)
			if err != nil || status == 200 && string(answer) != `{"status":"ignored"}` {
				t.Fatalf("%s: %s %v", name, answer, err)
			}
			return status == 200
		})
		if _, ok := s.stream(name); ok {
			t.Errorf("a stream was made of %s", name)
		}
	}
	folders, err := os.ReadDir(filepath.Join(s.data(), "encoders"))
	if err != nil || len(folders) != 3 {
		t.Errorf("the folders of encoders are %v, %v", folders, err)
	}
}

// A real OBS is started for a viewer and stopped after the viewer has left.
func testOBS(t *testing.T, s *site) {
	sim := s.platform(simulator.Settings{Scale: 30})
	server, _, _ := strings.Cut(sim.RTMPURL("studio"), "/studio")
	o := obstest.Start(t, obstest.Config{Server: server, Key: "studio?token=" + testToken, NoReconnect: true})
	s.configure(`
encoders: {studio-obs: {obs: {address: "` + o.Address + `", password: "` + o.Password.Reveal() + `"}}}
streams: {studio: {encoder: studio-obs, idle_timeout: 500ms}}
`)
	s.start()
	for range 2 {
		viewer := sim.Join("studio")
		s.await("the viewer sees OBS",
			func() bool { return viewer.State() == simulator.Watching && !sim.Truth("studio").FirstVideo.IsZero() })
		s.awaitPhase("studio", controller.PhaseLive)
		viewer.Leave()
		s.awaitPhase("studio", controller.PhaseIdle)
		s.await("OBS is off", func() bool { return sim.Truth("studio").Connections == 0 })
	}
}
