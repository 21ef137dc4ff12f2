package systemtest

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// chaosKills kills the daemon at random while hooks come, and compares every answer with the store.
func chaosKills(c *chaos) {
	s := c.site
	s.configure("encoders: {nvr: {fake: {}}}\ndefaults: {confirm: encoder, idle_timeout: 1s}\nstreams: " +
		"{\"cam-*\": {encoder: nvr}}\n")
	answered := map[string]bool{}
	kills, sent := 0, int64(0)
	for end := time.Now().Add(*chaosTime / 2); kills < 4 || time.Now().Before(end); kills++ {
		s.start()
		l := s.load(16, loadClient(), "cam-1", "cam-2", "cam-3", "cam-4")
		pass(c.between(50*time.Millisecond, 1500*time.Millisecond))
		s.kill()
		l.stop()
		maps.Copy(answered, l.answered)
		sent += l.sent.Load() - l.failed.Load()
	}
	lost := s.audit(answered)
	c.says("%d kills, %d hooks answered, %d of them lost", kills, len(answered), lost)
	if lost > 0 {
		c.Errorf("%d answered hooks are not stored", lost)
	}
}

// chaosBoundaries runs one stream's life again and again, and kills the daemon at the first,
// second, third … write to its database. Whatever was done until then, the next process must bring
// the stream to its end.
func chaosBoundaries(c *chaos) {
	const most = 400
	boundaries, skip := 0, 1
	if !c.long {
		skip = 9
	}
	for at := 1 + c.random.IntN(skip); at < most; at += skip {
		s := newSite(c.T, c.binary)
		c.site = s
		s.configure("encoders: {box: {fake: {}}}\ndefaults: {confirm: encoder, idle_timeout: 50ms, restart: " +
			"{initial: 50ms}}\nstreams: {lobby: {encoder: box}}\n")
		c.badDisk(fmt.Sprintf("DISK_KILL_AT=%d", at))
		s.launch()
		answered := map[string]bool{}
		for _, step := range []struct {
			hook controller.HookKind
			then controller.Phase
		}{
			{controller.HookAttempt, controller.PhaseLive},
			{controller.HookFirstViewer, controller.PhaseLive},
			{controller.HookNoViewers, controller.PhaseIdle},
			{controller.HookAttempt, controller.PhaseLive},
			{controller.HookNoViewers, controller.PhaseIdle},
		} {
			c.surviving(step.hook, answered)
			s.await(fmt.Sprintf("%s after %s, killed at write %d", step.then, step.hook, at), func() bool {
				s.revive()
				v, ok := s.stream("lobby")
				return ok && v.Phase == step.then
			})
		}
		died := len(s.env) == 0
		if b := s.box("box"); b.on() || b.Starts > 2 {
			c.Errorf("killed at write %d: the box is %+v", at, b)
		}
		s.kill()
		if lost := s.audit(answered); lost > 0 {
			c.Errorf("killed at write %d: %d answered hooks are lost", at, lost)
		}
		if !died { // it never came that far: every boundary has been seen
			break
		}
		boundaries++
	}
	c.says("%d boundaries, each killed once and gone on from", boundaries)
}

// surviving delivers a hook, even if the daemon is killed meanwhile; then it sends another, as the
// platform would.
func (c *chaos) surviving(kind controller.HookKind, answered map[string]bool) {
	c.Helper()
	c.site.await(string(kind)+" is taken", func() bool {
		body := millicast.ViewerMessage(kind, testAccount, "lobby", time.Now()).Body()
		if status, _, err := c.site.post(body, millicast.ContentJSON,
			testSecret); err != nil || status != http.StatusOK {
			c.site.revive()
			return false
		}
		answered[string(body)] = true
		return true
	})
}

// revive starts the daemon again when it has died, on a disk without faults.
func (s *site) revive() {
	if !s.running() {
		s.env = nil
		s.launch()
	}
}

// chaosEncoderBoundaries lets the encoder itself kill the daemon: as it begins to run, and as it is
// told to stop. There must be one process of it at most, and none at the end.
func chaosEncoderBoundaries(c *chaos) {
	s := c.site
	runs := filepath.Join(s.dir, "runs")
	script := c.script(fmt.Sprintf(`
[ -e %[1]q.start ] && rm %[1]q.start && kill -9 $PPID
trap '[ -e %[1]q.stop ] && rm %[1]q.stop && kill -9 $(cat %[1]q.daemon); exit 0' TERM
while :; do sleep 0.05; done`, runs))
	s.configure(fmt.Sprintf("encoders: {cam: {ffmpeg: {binary: %q, args: [run], sandbox: \"off\"}}}\ndefaults: "+
		"{idle_timeout: 100ms, stop_timeout: 5s}\nstreams: {lobby: {encoder: cam}}\n",
		script))
	touch := func(name, text string) {
		if err := os.WriteFile(runs+name, []byte(text), 0o600); err != nil {
			c.Fatal(err)
		}
	}
	kills := 0
	for range c.times(2, 10) {
		s.launch()
		s.ready()
		touch(".start", "")
		s.surely(controller.HookAttempt)
		s.gone() // killed by its own encoder
		kills++
		s.start()
		s.awaitPID("lobby")
		s.hook(controller.HookFirstViewer, "lobby")
		s.awaitPhase("lobby", controller.PhaseLive)
		leaders := slices.DeleteFunc(s.encoders(),
			func(pid int) bool { group, err := syscall.Getpgid(pid); return err != nil || group != pid })
		if len(leaders) != 1 {
			c.Errorf("encoders %v after a kill at the start", leaders)
		}
		touch(".daemon", fmt.Sprint(s.proc.Process.Pid))
		touch(".stop", "")
		s.hook(controller.HookNoViewers, "lobby")
		s.gone()
		kills++
		s.start()
		s.awaitPhase("lobby", controller.PhaseIdle)
		if left := s.encoders(); len(left) != 0 {
			c.Errorf("encoder processes %v are left after a kill at the stop", left)
		}
		s.term()
	}
	c.says("%d kills, never two encoders, none left", kills)
}

// surely sends a hook and ignores the answer.
func (s *site) surely(kind controller.HookKind) {
	_, _, _ = s.post(millicast.ViewerMessage(kind, testAccount, "lobby", time.Now()).Body(), millicast.ContentJSON,
		testSecret)
}

// encoders lists the processes that hold files of the data directory beside the daemon itself.
func (s *site) encoders() []int {
	var pids []int
	for _, pid := range s.holders() {
		if pid != s.proc.Process.Pid && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// chaosOrphans kills the daemon over several live FFmpegs.
func chaosOrphans(c *chaos) {
	needFFmpeg(c)
	s, streams, kills := c.site, c.times(3, 6), c.times(2, 10)
	sim := s.platform(simulator.Settings{})
	s.configure("encoders: {cam: " + testPicture + "}\nstreams: {\"cam-*\": {encoder: cam, publish: \"RTMP:\", " +
		"join_timeout: 10m}}\n")
	s.start()
	names := make([]string, streams)
	pids := map[string]int{}
	for n := range streams {
		names[n] = fmt.Sprintf("cam-%d", n)
		sim.Join(names[n])
	}
	for _, name := range names {
		s.awaitPhase(name, controller.PhaseLive)
		pids[name] = *s.awaitPID(name)
	}
	for range kills {
		s.kill()
		pass(c.between(0, 300*time.Millisecond))
		s.start()
		for _, name := range names {
			s.awaitPhase(name, controller.PhaseLive)
			if pid := *s.awaitPID(name); pid != pids[name] {
				c.Errorf("%s: process %d became %d", name, pids[name], pid)
			}
		}
	}
	if n := sim.Connections(); n != int64(streams) {
		c.Errorf("the ingest saw %d connections of %d encoders", n, streams)
	}
	for _, name := range names {
		s.mode(name, controller.ModeOff)
		s.awaitPhase(name, controller.PhaseIdle)
		if alive(pids[name]) {
			c.Errorf("process %d of %s is left", pids[name], name)
		}
	}
	c.says("%d kills over %d encoders: all adopted, %d connections at the ingest", kills, streams, sim.Connections())
}

func (s *site) awaitPID(name string) *int {
	s.t.Helper()
	return s.awaitStream(name, "with a process",
		func(v controller.StreamView) bool { return v.Encoders[0].PID != nil }).Encoders[0].PID
}

// chaosRestarts restarts the daemon as planned.
func chaosRestarts(c *chaos) {
	s := c.site
	s.passSockets()
	s.configure("encoders: {nvr: {fake: {}}}\ndefaults: {confirm: encoder}\nstreams: {\"cam-*\": {encoder: nvr}}\n")
	s.start()
	n := c.times(2, 40)
	l := s.restartUnderLoad(n)
	lost := s.audit(l.answered)
	c.says("%d restarts, %d hooks, %d failed, %d lost", n, l.sent.Load(), l.failed.Load(), lost)
	if l.failed.Load() > 0 || lost > 0 {
		c.Errorf("hooks failed: %v; %d lost", l.failures, lost)
	}
}
