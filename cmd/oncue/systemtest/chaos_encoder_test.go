package systemtest

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// chaosHang has an encoder whose start never returns, beside others that must not be affected.
func chaosHang(c *chaos) {
	s := c.site
	s.configure(`
encoders: {stuck: {fake: {hang_start: true}}, nvr: {fake: {}}}
defaults: {confirm: encoder}
streams: {hangs: {encoder: stuck, start_timeout: 2s, restart: {initial: 10m, max: 10m}}, "cam-*": {encoder: nvr}}
`)
	s.start()
	at := time.Now()
	s.hook(controller.HookAttempt, "hangs")
	var others []time.Duration
	for n := range 10 {
		begun := time.Now()
		name := fmt.Sprintf("cam-%d", n)
		s.hook(controller.HookAttempt, name)
		s.awaitPhase(name, controller.PhaseLive)
		others = append(others, time.Since(begun))
	}
	v := s.awaitPhase("hangs", controller.PhaseBackoff)
	took := v.Since.Sub(at)
	c.says("given up after %v of start_timeout 2s; 10 others live within %v (median)", took.Round(time.Millisecond),
		median(others).Round(time.Millisecond))
	if took > 2*time.Second+10*time.Second {
		c.Errorf("the start was given up after %v", took)
	}
}

// watched brings a stream live whose encoder does not report its state: the platform confirms it.
func (s *site) watched(name string) {
	s.t.Helper()
	s.hook(controller.HookAttempt, name)
	s.awaitPID(name)
	s.hook(controller.HookFirstViewer, name)
	s.awaitPhase(name, controller.PhaseLive)
}

// chaosStubborn has an encoder, and a child of it, that ignore every signal but SIGKILL.
func chaosStubborn(c *chaos) {
	s := c.site
	script := c.script("trap '' TERM INT HUP\nsh -c 'trap \"\" TERM INT HUP; while :; do sleep 0.1; done' &\n" +
		"while :; do sleep 0.1; done")
	s.configure(fmt.Sprintf("encoders: {cam: {ffmpeg: {binary: %q, args: [run]}}}\ndefaults: {stop_timeout: 3s}\n"+
		"streams: {lobby: {encoder: cam}}\n",
		script))
	s.start()
	var slowest time.Duration
	for range c.times(1, 5) {
		s.watched("lobby")
		s.await("the encoder has a child", func() bool { return len(s.encoders()) >= 2 })
		at := time.Now()
		s.mode("lobby", controller.ModeOff)
		s.awaitPhase("lobby", controller.PhaseIdle)
		slowest = max(slowest, time.Since(at))
		if left := s.encoders(); len(left) > 0 {
			c.Errorf("processes %v are left", left)
		}
		s.mode("lobby", controller.ModeAuto)
	}
	c.says("gone with its child after %v of stop_timeout 3s", slowest.Round(time.Millisecond))
	if slowest > 8*time.Second {
		c.Errorf("it took %v", slowest)
	}
}

// chaosCrashLoop has an encoder that ends as soon as it starts.
func chaosCrashLoop(c *chaos) {
	s := c.site
	script := c.script("echo the lens cap is on >&2; exit 1")
	s.configure(fmt.Sprintf("encoders: {cam: {ffmpeg: {binary: %q, args: [run]}}}\nstreams: {lobby: {encoder: "+
		"cam, attempt_hold: 10m}}\n",
		script))
	s.start()
	s.hook(controller.HookAttempt, "lobby")
	v := s.awaitPhase("lobby", controller.PhaseBackoff)
	if e := v.Encoders[0].Error; e == nil || !strings.Contains(*e, "the lens cap is on") {
		c.Errorf("the status does not say why: %v", v.Reason)
	}
	window := time.Duration(c.times(8, 120)) * time.Second
	before := cpuOf(c, s.proc.Process.Pid)
	pass(window)
	share := float64(cpuOf(c, s.proc.Process.Pid)-before) / float64(window) * 100
	starts := s.see("lobby").Starts
	c.says("%d starts in %v, %.1f %% CPU", starts, window, share)
	if starts > 8 {
		c.Errorf("it was started %d times in %v", starts, window)
	}
}

// chaosFrozen stops a live FFmpeg with SIGSTOP: it is alive and delivers nothing.
func chaosFrozen(c *chaos) {
	needFFmpeg(c)
	s := c.site
	sim := s.platform(simulator.Settings{})
	cam := strings.Replace(testPicture, "audio: none", "audio: none, stall_timeout: 2s", 1)
	s.configure("encoders: {cam: " + cam + "}\ndefaults: {restart: {initial: 200ms}}\nstreams: {lobby: {encoder: " +
		"cam, publish: \"RTMP:\", join_timeout: 10m}}\n")
	s.start()
	viewer := sim.Join("lobby")
	var slowest time.Duration
	for range c.times(1, 5) {
		s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
		s.awaitPhase("lobby", controller.PhaseLive)
		pid := *s.awaitPID("lobby")
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			c.Fatal(err)
		}
		at := time.Now()
		s.await("the frozen one is replaced", func() bool {
			v, ok := s.stream("lobby")
			return ok && !alive(pid) && v.Phase == controller.PhaseLive && v.Encoders[0].PID != nil &&
				*v.Encoders[0].PID != pid
		})
		slowest = max(slowest, time.Since(at))
	}
	c.says("stall_timeout 2s: another process was live %v after the freeze", slowest.Round(time.Millisecond))
}

// chaosLogBlocked gives the daemon a log that nobody reads. Encoders and hooks must not be
// affected.
func chaosLogBlocked(c *chaos) {
	needFFmpeg(c)
	s := c.site
	sim := s.platform(simulator.Settings{})
	s.configure("encoders: {cam: " + testPicture + "}\nstreams: {lobby: {encoder: cam, publish: \"RTMP:\", " +
		"join_timeout: 10m}}\n")
	r, w, err := os.Pipe()
	if err != nil {
		c.Fatal(err)
	}
	defer r.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		c.Fatal(err)
	}
	s.stderr = w
	s.start()
	w.Close()
	sim.Join("lobby")
	s.awaitPhase("lobby", controller.PhaseLive)
	seen, at := sim.Truth("lobby").Feeds[0].Pictures, time.Now()
	answered, slowest := 0, time.Duration(0)
	for n := range c.times(600, 3000) { // each is worth a line or two
		status, took, _ := s.tryHook([]string{"lobby", "nobody"}[n%2])
		if status == 200 {
			answered++
		}
		slowest = max(slowest, took)
		if status != 200 {
			c.Errorf("hook %d: answered with %d after %v while nobody reads the log", n, status, took)
			break
		}
		if n%20 == 0 {
			s.mode("lobby", controller.ModeOn)
			s.mode("lobby", controller.ModeAuto)
		}
	}
	s.await("pictures come", func() bool { return sim.Truth("lobby").Feeds[0].Pictures > seen+20 })
	r.Close() // and now there is no log at all
	for range 20 {
		s.mode("lobby", controller.ModeOn)
		s.mode("lobby", controller.ModeAuto)
	}
	if !s.running() {
		c.Error("the daemon ended with its log")
	}
	fps := float64(sim.Truth("lobby").Feeds[0].Pictures-seen) / time.Since(at).Seconds()
	c.says("%d hooks answered, the slowest after %v, %.1f of 10 pictures a second", answered,
		slowest.Round(time.Millisecond), fps)
}

// chaosPartition cuts the daemon off from the platform's API, and the encoder from its ingest,
// again and again.
func chaosPartition(c *chaos) {
	needFFmpeg(c)
	s := c.site
	sim := s.platform(simulator.Settings{Scale: 10, Silence: 3 * time.Second})
	cam := strings.Replace(testPicture, "audio: none", "audio: none, stall_timeout: 2s", 1)
	s.configure("encoders: {cam: " + cam + "}\ndefaults: {restart: {initial: 200ms, max: 2s}, idle_timeout: 1s, " +
		"stop_timeout: 3s, start_timeout: 5s}\nstreams: {lobby: {encoder: cam, publish: \"RTMP:\"}}\n")
	s.start()
	viewer := sim.Join("lobby")
	var slowest time.Duration
	cuts := 0
	copies := 0
	for range c.times(3, 15) {
		s.await("the viewer is in", func() bool {
			copies = max(copies, len(s.encoders()))
			return viewer.State() == simulator.Watching
		})
		sim.SetAPIFaults([]simulator.APIFaults{{Hang: true}, {Status: 503}, {Garbage: true}}[c.random.IntN(3)])
		switch c.random.IntN(4) {
		case 0:
			sim.Drop("lobby", true)
		case 1:
			sim.Freeze("lobby")
		case 2:
			sim.Mute(true)
			sim.Drop("lobby", false)
		case 3:
			sim.Refuse("", "the platform is closed")
			sim.Drop("lobby", true)
		}
		cuts++
		for end := time.After(c.between(100*time.Millisecond, 5*time.Second)); ; {
			copies = max(copies, len(s.encoders()))
			select {
			case <-end:
			case <-time.After(50 * time.Millisecond):
				continue
			}
			break
		}
		sim.Mute(false)
		sim.Thaw("")
		sim.Refuse("", "")
		sim.SetAPIFaults(simulator.APIFaults{})
		healed := time.Now()
		s.await("the viewer is in again", func() bool {
			copies = max(copies, len(s.encoders()))
			return viewer.State() == simulator.Watching && sim.Truth("lobby").Connections == 1 &&
				s.see("lobby").Phase == controller.PhaseLive
		})
		slowest = max(slowest, time.Since(healed))
	}
	viewer.Leave()
	s.awaitPhase("lobby", controller.PhaseIdle)
	c.says("%d cuts, live again within %v, never more than %d encoder at once", cuts, slowest.Round(time.Millisecond),
		copies)
	if copies > 1 {
		c.Errorf("%d encoders ran at once", copies)
	}
	if slowest > 15*time.Second {
		c.Errorf("it took %v to be live again", slowest)
	}
}
