package systemtest

import (
	"context"
	"errors"
	"flag"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/store"
)

var restarts = flag.Int("e2e.restarts", 6, "planned restarts under load in TestEndToEnd")

// millicastViewer is a hook that no other equals: the platform counts in milliseconds, a test sends
// more than one in each.
func millicastViewer(name string) []byte {
	return millicast.ViewerMessage(controller.HookAttempt, testAccount, name, time.Now()).Body()
}

// testKilledInPhase kills the daemon in each phase. The next one must continue from there: to what
// a viewer wants, and off again when the viewer has left.
func testKilledInPhase(t *testing.T, s *site) {
	s.configure(`
defaults: {confirm: encoder, idle_timeout: 300ms, join_timeout: 10m, start_timeout: 20s, stop_timeout: 20s,
  restart: {initial: 2s}}
encoders:
  plain: {fake: {}}
  slow: {fake: {start_delay: 3s}}
  clinging: {fake: {stop_delay: 3s}}
  shy: {fake: {fail_starts: 1}}
  broken: {fake: {start_error: "the lens cap is on", permanent: true}}
  live-box: {fake: {}}
  lingering-box: {fake: {}}
  common: {fake: {}}
streams:
  idle: {encoder: plain}
  starting: {encoder: slow}
  live: {encoder: live-box}
  lingering: {encoder: lingering-box, idle_timeout: 4s}
  stopping: {encoder: clinging}
  backoff: {encoder: shy}
  failed: {encoder: broken}
  holder: {encoder: common, idle_timeout: 10m}
  waiting: {encoder: common}
`)
	s.start()
	// The long ones first, the short ones last, then kill with each in its phase.
	for _, name := range []string{"live", "lingering", "stopping", "failed", "holder"} {
		s.hook(controller.HookAttempt, name)
	}
	for _, name := range []string{"live", "lingering", "stopping", "holder"} {
		s.awaitPhase(name, controller.PhaseLive)
		s.hook(controller.HookFirstViewer, name)
	}
	s.awaitPhase("failed", controller.PhaseFailed)
	s.hook(controller.HookAttempt, "waiting")
	s.awaitPhase("waiting", controller.PhaseWaiting)
	s.hook(controller.HookNoViewers, "lingering")
	s.hook(controller.HookNoViewers, "stopping")
	s.awaitPhase("stopping", controller.PhaseStopping)
	s.hook(controller.HookAttempt, "starting")
	s.hook(controller.HookAttempt, "backoff")
	s.awaitPhase("starting", controller.PhaseStarting)
	s.awaitPhase("backoff", controller.PhaseBackoff)
	lingers := s.see("lingering")
	s.kill()
	s.start()

	for _, name := range []string{"starting", "backoff"} {
		s.awaitPhase(name, controller.PhaseLive)
	}
	for _, name := range []string{"lingering", "stopping"} {
		s.awaitPhase(name, controller.PhaseIdle)
	}
	for name, phase := range map[string]controller.Phase{
		"idle": controller.PhaseIdle, "live": controller.PhaseLive, "failed": controller.PhaseFailed,
		"waiting": controller.PhaseWaiting, "holder": controller.PhaseLive,
	} {
		if v := s.awaitPhase(name,
			phase); name == "failed" && (v.Encoders[0].Error == nil ||
			!strings.Contains(*v.Encoders[0].Error, "the lens cap is on")) {
			t.Errorf("the failed one forgot why: %+v", v.Encoders[0])
		}
	}
	if lingers.Phase == controller.PhaseLingering && lingers.Deadline != nil {
		off := s.box("lingering-box").Stopped
		if early := lingers.Deadline.Sub(off); early > 100*time.Millisecond {
			t.Errorf("the lingering one was stopped %v early", early)
		}
	}
	for encoder, starts := range map[string]int{
		"plain": 0, "slow": 1, "live-box": 1, "lingering-box": 1, "clinging": 1, "shy": 2, "broken": 1, "common": 1,
	} {
		if b := s.box(encoder); b.Starts != starts {
			t.Errorf("box %s was started %d times, want %d", encoder, b.Starts, starts)
		}
	}

	// Every viewer goes; nothing stays on.
	s.hook(controller.HookNoViewers, "holder")
	s.awaitPhase("waiting", controller.PhaseLive)
	for _, name := range []string{"starting", "live", "backoff", "waiting"} {
		s.hook(controller.HookFirstViewer, name)
		s.hook(controller.HookNoViewers, name)
		s.awaitPhase(name, controller.PhaseIdle)
	}
	s.mode("failed", controller.ModeOff)
	s.awaitPhase("failed", controller.PhaseIdle)
	for _, encoder := range []string{
		"plain", "slow", "live-box", "lingering-box", "clinging", "shy", "broken", "common",
	} {
		if b := s.box(encoder); b.on() {
			t.Errorf("box %s is still on: %+v", encoder, b)
		}
	}
}

// passSockets makes the site's daemons listen on sockets that the test holds, as systemd's socket
// units do.
func (s *site) passSockets() {
	s.t.Helper()
	for _, addr := range []string{s.hooks, s.admin} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		l.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		s.files = append(s.files, f)
		s.t.Cleanup(func() { f.Close() })
	}
	s.listen, s.adminListen, s.token = "systemd", "systemd", "what-only-the-operator-knows"
	s.env = append(s.env, "LISTEN_FDS=2", "LISTEN_FDNAMES=hooks:admin")
	s.wrap = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}
}

// loadClient opens a connection for each request, as the platform's senders may.
func loadClient() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
}

// load sends hooks as fast as a few senders get their answers, until stop is called. It sends none
// twice.
type load struct {
	sent, failed atomic.Int64
	stop         func()

	mu       sync.Mutex
	answered map[string]bool // bodies
	took     []time.Duration // of those that were answered
	failures []string        // the first few
}

func (s *site) load(senders int, client *http.Client, names ...string) *load {
	l := &load{answered: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	serial := time.Now().UnixNano()
	for i := range senders {
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n += senders {
				body := viewerBody(names[n%len(names)], serial+int64(n))
				l.sent.Add(1)
				at := time.Now()
				if err := s.deliver(client, body); err != nil {
					l.fail(err)
					continue
				}
				l.mu.Lock()
				l.answered[string(body)] = true
				l.took = append(l.took, time.Since(at))
				l.mu.Unlock()
			}
		})
	}
	l.stop = func() { cancel(); wg.Wait() }
	return l
}

func (l *load) fail(err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failures) < 5 {
		l.failures = append(l.failures, err.Error())
	}
}

// viewerBody is a hook with a serial number that makes it unique.
func viewerBody(name string, serial int64) []byte {
	return millicast.Message{
		Type: millicast.TypeViewers, Event: string(controller.HookAttempt), Sent: time.Now(),
		Data: struct {
			millicast.StreamData
			Serial int64 `json:"serial"`
		}{millicast.StreamData{Name: name, AccountID: testAccount, StreamID: testAccount + "/" + name}, serial},
	}.Body()
}

// deliver posts a hook that has to be accepted.
func (s *site) deliver(client *http.Client, body []byte) error {
	req, err := millicast.NewRequest(context.Background(), "http://"+s.hooks+millicast.HookPath, testSecret,
		millicast.ContentJSON, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// audit counts the answered hooks that the store does not have. The daemon must be down.
func (s *site) audit(answered map[string]bool) (lost int) {
	s.t.Helper()
	kept, err := store.Open(context.Background(), store.Options{Dir: s.data(), LockWait: patience})
	if err != nil {
		s.t.Fatal(err)
	}
	defer kept.Close()
	lost = len(answered)
	seen := map[string]bool{}
	err = kept.Replay(context.Background(), time.Time{}, func(r controller.Record) error {
		if body := string(r.Body); answered[body] && !seen[body] {
			seen[body] = true
			lost--
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return lost
}

// testPlannedRestarts replaces the daemon again and again under load, with sockets that outlive it:
// not one hook may fail.
func testPlannedRestarts(t *testing.T, s *site) {
	s.passSockets()
	s.configure(`
encoders: {nvr: {fake: {}}}
defaults: {confirm: encoder}
streams: {"cam-*": {encoder: nvr}}
`)
	s.start()
	l := s.restartUnderLoad(*restarts)
	t.Logf("%d planned restarts: %d hooks sent, %d failed, %d answered", *restarts, l.sent.Load(), l.failed.Load(),
		len(l.answered))
	for _, f := range l.failures {
		t.Errorf("a hook failed: %s", f)
	}
	if lost := s.audit(l.answered); lost > 0 {
		t.Errorf("%d hooks were answered and are not stored", lost)
	}
}

// restartUnderLoad replaces the running daemon n times while hooks come: one after the other, and
// the next one started before the last one ends. It leaves none running.
func (s *site) restartUnderLoad(n int) *load {
	s.t.Helper()
	l := s.load(8, loadClient(), "cam-1", "cam-2", "cam-3")
	for n := range n {
		sent := l.sent.Load()
		s.await("hooks come", func() bool { return l.sent.Load() > sent+50 })
		if n%2 == 0 {
			s.term()
			s.start()
			continue
		}
		old := *s
		s.launch() // waits for the old one to let go of the data
		old.term()
		s.ready()
	}
	l.stop()
	s.term()
	return l
}
