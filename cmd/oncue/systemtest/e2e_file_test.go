package systemtest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders"
)

// webBox is a box with an HTTP API and a password, as a device on the network is: it goes on
// whatever happens to oncue.
type webBox struct {
	addr string
	mu   sync.Mutex
	on   bool
}

const boxPassword = "canary-of-the-box"

func newWebBox(t *testing.T) *webBox {
	t.Helper()
	b := &webBox{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: b}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	b.addr = l.Addr().String()
	return b
}

func (b *webBox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, password, _ := r.BasicAuth(); password != boxPassword {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.URL.Path {
	case "/start":
		b.on = true
	case "/stop":
		b.on = false
	}
	_ = json.NewEncoder(w).Encode(map[string]bool{"on": b.on})
}

func (b *webBox) isOn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.on
}

// settings is the box in a configuration.
func (b *webBox) settings() string {
	return fmt.Sprintf(`{http: {url: "http://%s", username: admin, password: %q, interval: 500ms, `+
		`start: {method: POST, path: /start}, stop: {method: POST, path: /stop}, `+
		`status: {path: /state, live: body.on, stopped: not body.on}}}`, b.addr, boxPassword)
}

const quick = "defaults: {confirm: encoder, idle_timeout: 300ms, join_timeout: 10m, start_timeout: 20s, " +
	"stop_timeout: 20s}\n"

// testFileChangedWhileDown restarts the daemon with another file while encoders run. The daemon
// finds each by the settings of its start, lets it serve on, and stops it by them.
func testFileChangedWhileDown(t *testing.T, s *site) {
	needFFmpeg(t)
	s.platform(simulator.Settings{})
	s.hooksOnly = true
	moved, gone, before, after := newWebBox(t), newWebBox(t), newWebBox(t), newWebBox(t)
	s.configure(quick + `
encoders:
  moved: ` + before.settings() + `
  box: ` + gone.settings() + `
  cam: ` + testPicture + `
  a: {fake: {}}
  b: {fake: {}}
streams:
  moved: {encoder: moved}
  gone: {encoder: box}
  cam: {encoder: cam, publish: "RTMP:"}
  one: {encoder: a}
  two: {encoder: b}
`)
	s.start()
	all := []string{"moved", "gone", "cam", "one", "two"}
	for _, name := range all {
		s.hook(controller.HookAttempt, name)
	}
	for _, name := range all {
		s.awaitPhase(name, controller.PhaseLive)
		s.hook(controller.HookFirstViewer, name)
	}
	ffmpeg := *s.see("cam").Encoders[0].PID
	s.configure(quick + `
encoders:
  moved: ` + after.settings() + `
  other: ` + moved.settings() + `
  cam: {fake: {}}
  a: {fake: {}}
  b: {fake: {}}
streams:
  moved: {encoder: moved}
  cam: {encoder: cam}
  one: {encoder: b}
  two: {encoder: a}
`)
	out, err := exec.Command(s.binary, "check", "--config", s.config()).CombinedOutput()
	_, plan, _ := strings.Cut(string(out), "what runs now\n")
	if want := `  ABC123/cam             cam is kept as ffmpeg; its next start is by fake
  ABC123/gone            box is drained: it serves until nobody watches, and the stream is gone then
  ABC123/moved           moved is kept; settings that have changed count from its next start on
  ABC123/one             a is stopped, and b takes over
  ABC123/two             b is stopped, and a takes over

`; err != nil || !strings.HasPrefix(plan, want) {
		t.Errorf("%v: %s", err, out)
	}
	s.kill()
	s.start()
	v := s.awaitStream("moved", "seen on again",
		func(v controller.StreamView) bool { return v.Encoders[0].State == encoders.StatePublishing })
	if v.Phase != controller.PhaseLive || !v.Encoders[0].Outdated || after.isOn() || !before.isOn() {
		t.Errorf("the box whose address has changed: %+v; before on %v, after on %v", v, before.isOn(), after.isOn())
	}
	s.awaitStream("cam", "seen on again",
		func(v controller.StreamView) bool { return v.Encoders[0].PID != nil && *v.Encoders[0].PID == ffmpeg })
	s.awaitStream("one", "on its new encoder", func(v controller.StreamView) bool {
		return s.box("b").Stream == testAccount+"/one" && v.Phase == controller.PhaseLive
	})
	s.awaitStream("two", "on its new encoder", func(v controller.StreamView) bool {
		return s.box("a").Stream == testAccount+"/two" && v.Phase == controller.PhaseLive
	})

	for _, name := range all {
		s.hook(controller.HookNoViewers, name)
	}
	s.await("the box of a stream that is gone is off", func() bool { return !gone.isOn() })
	for _, name := range []string{"moved", "cam", "one", "two"} {
		s.awaitPhase(name, controller.PhaseIdle)
	}
	if before.isOn() || alive(ffmpeg) || s.box("a").on() || s.box("b").on() {
		t.Errorf("left running: box %v, ffmpeg %v, fakes %v %v", before.isOn(), alive(ffmpeg), s.box("a").on(),
			s.box("b").on())
	}
	s.hook(controller.HookAttempt, "moved")
	s.await("the new address is used", after.isOn)
	s.hook(controller.HookAttempt, "cam")
	s.await("the new driver is used", func() bool { return s.box("cam").on() })
	if before.isOn() {
		t.Error("the old box is on")
	}
	s.secretFree(boxPassword, testToken)
}

// testStoreLost removes the database while encoders run that only the database knows: they are
// found, and stopped if nobody watches.
func testStoreLost(t *testing.T, s *site) {
	needFFmpeg(t)
	s.platform(simulator.Settings{})
	s.hooksOnly = true
	box := newWebBox(t)
	s.configure(quick + `
encoders:
  box: ` + box.settings() + `
  nvr: ` + testPicture + `
  old: ` + testPicture + `
streams:
  one: {encoder: box}
  two: {encoder: box}
  "cam-*": {encoder: nvr, publish: "RTMP:"}
  removed: {encoder: old, publish: "RTMP:"}
`)
	s.start()
	var pids []int
	for _, name := range []string{"one", "cam-1", "removed"} {
		s.hook(controller.HookAttempt, name)
		v := s.awaitPhase(name, controller.PhaseLive)
		if pid := v.Encoders[0].PID; pid != nil {
			pids = append(pids, *pid)
		}
	}
	s.kill()
	files, err := filepath.Glob(filepath.Join(s.data(), "oncue.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s.configure(quick + `
encoders:
  box: ` + box.settings() + `
  nvr: ` + testPicture + `
streams:
  one: {encoder: box}
  two: {encoder: box}
  "cam-*": {encoder: nvr, publish: "RTMP:"}
`)
	s.start()
	s.await("what nobody needs is off", func() bool {
		return !box.isOn() && !alive(pids[0]) && !alive(pids[1])
	})
	for _, name := range []string{"one", "cam-1"} {
		found := false
		for _, step := range s.history(name) {
			found = found || strings.Contains(step.Reason, "found running and taken over")
		}
		if !found {
			t.Errorf("the history of %s does not tell that it was found: %+v", name, s.history(name))
		}
	}
}

// secretFree looks for secrets in every file below the data directory.
func (s *site) secretFree(secrets ...string) {
	s.t.Helper()
	err := filepath.WalkDir(s.data(), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			if strings.Contains(string(text), secret) {
				s.t.Errorf("%s holds a secret", path)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Error(err)
	}
}
