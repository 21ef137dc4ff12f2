package systemtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// Wrong requests are refused with the right status, learn nothing of the inside, and leave no
// trace; honest hooks are still accepted.
func testBadInput(t *testing.T, s *site) {
	s.configure("encoders: {box: {fake: {}}}\nstreams: {lobby: {encoder: box}}\n")
	s.start()
	good := millicastViewer("lobby")
	sign := func(body []byte) http.Header {
		return http.Header{
			millicast.SignatureHeader: {millicast.Sign(testSecret, body)}, "Content-Type": {millicast.ContentJSON},
		}
	}
	other := secret.New("YW5vdGhlci1rZXktZm9yLXRlc3Rz")
	foreign := millicast.ViewerMessage(controller.HookAttempt, "ELSE99", "lobby", time.Now()).Body()
	large := []byte(`{"type":"` + strings.Repeat("x", millicast.MaxJSON) + `"}`)
	with := func(h http.Header, name, value string) http.Header { h.Set(name, value); return h }
	without := func(h http.Header, name string) http.Header { h.Del(name); return h }
	for _, tt := range []struct {
		name   string
		body   []byte
		header http.Header
		want   int
	}{
		{"no signature", good, without(sign(good), millicast.SignatureHeader), 401},
		{"wrong secret", good, with(sign(good), millicast.SignatureHeader, millicast.Sign(other, good)), 401},
		{"of another body", good, sign(foreign), 401},
		{"cut", good, with(sign(good), millicast.SignatureHeader, millicast.Sign(testSecret, good)[:30]), 401},
		{"SHA-256", good, with(sign(good), millicast.SignatureHeader, "sha256="+strings.Repeat("0", 64)), 401},
		{"empty", good, with(sign(good), millicast.SignatureHeader, ""), 401},
		{"another account", foreign, sign(foreign), 401},
		{"too large", large, sign(large), 413},
		{"a form", good, with(sign(good), "Content-Type", "application/x-www-form-urlencoded"), 415},
		{"compressed", good, with(sign(good), "Content-Encoding", "gzip"), 415},
	} {
		req, err := http.NewRequest(http.MethodPost, "http://"+s.hooks+millicast.HookPath,
			strings.NewReader(string(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = tt.header
		resp, err := s.client.Do(req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want || !strings.HasPrefix(string(answer), `{"status":"error","error":"`) {
			t.Errorf("%s: %d %s, want %d", tt.name, resp.StatusCode, answer, tt.want)
		}
	}
	if code := s.slowBody(); code != http.StatusRequestTimeout {
		t.Errorf("a body that never ends: %d, want 408", code)
	}
	for path, want := range map[string]int{
		"/healthz": 200, "/": 404, "/status": 404, "/metrics": 404, "/hooks/millicast/": 404,
	} {
		resp, err := s.client.Get("http://" + s.hooks + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("public %s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if _, events := s.get("/api/v1/events"); strings.TrimSpace(string(events)) != "[]" {
		t.Errorf("the refused ones left traces: %s", events)
	}
	if v := s.see("lobby"); v.Phase != controller.PhaseIdle {
		t.Errorf("the refused ones moved the stream: %s", v.Reason)
	}
	s.hook(controller.HookAttempt, "lobby")
}

// slowBody sends half of a hook and waits.
func (s *site) slowBody() int {
	s.t.Helper()
	c, err := net.Dial("tcp", s.hooks)
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c,
		"POST %s HTTP/1.1\r\nHost: oncue\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		millicast.HookPath)
	return readStatus(c)
}

// testReload sends SIGHUP with good and bad files while a stream is live: nothing running is
// touched, and a bad file changes nothing.
func testReload(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{})
	const body = `
encoders: {cam: ` + testPicture + `, box: {fake: {}}}
streams:
  lobby: {encoder: cam, publish: "RTMP:", join_timeout: %s}
  %s
`
	s.configure(fmt.Sprintf(body, "10m", "gone: {encoder: box, confirm: encoder, idle_timeout: 10m}"))
	s.start()
	sim.Join("lobby")
	before := s.awaitPhase("lobby", controller.PhaseLive)
	s.hook(controller.HookAttempt, "gone")
	s.awaitPhase("gone", controller.PhaseLive)
	s.hook(controller.HookFirstViewer, "gone")

	reloads := 0
	reload := func(outcome string) {
		t.Helper()
		s.signal(syscall.SIGHUP)
		reloads++
		s.await("the reload is done", func() bool {
			log := s.log()
			return strings.Count(log, `"the configuration was reloaded`)+
				strings.Count(log, `"the configuration was not reloaded`) == reloads
		})
		if !strings.Contains(s.logTail(2000), outcome) {
			t.Errorf("the reload did not say %q:\n%s", outcome, s.logTail(2000))
		}
	}
	s.configure(fmt.Sprintf(body, "10m", "new: {encoder: box, confirm: encoder}"))
	reload("the configuration was reloaded")
	if v := s.see("gone"); v.Phase != controller.PhaseLive || !v.Draining || !s.box("box").on() {
		t.Errorf("the removed stream was cut, not drained: %+v", v)
	}
	good, err := os.ReadFile(s.config())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"", ":", "streams: [", string(good[:len(good)/2]), string(good) + "surprise: 1\n",
		strings.Replace(string(good), "10m", "-1s", 1), "\x00\xff",
	} {
		s.write(bad)
		reload("the configuration was not reloaded")
	}
	if err := os.Remove(s.config()); err != nil {
		t.Fatal(err)
	}
	reload("the configuration was not reloaded")
	s.write(string(good))
	reload("the configuration was reloaded; nothing has changed")

	after := s.see("lobby")
	if *after.Encoders[0].PID != *before.Encoders[0].PID || after.Starts != 1 || sim.Connections() != 1 {
		t.Errorf("a reload touched what runs: %+v", after)
	}
	s.hook(controller.HookNoViewers, "gone")
	s.mode("gone", controller.ModeOff)
	s.await("the drained stream is forgotten", func() bool { _, there := s.stream("gone"); return !there })
	s.hook(controller.HookAttempt, "new")
	s.awaitPhase("new", controller.PhaseLive)
}

// testSecrets gives every secret of the configuration a recognizable value, lets things succeed and
// fail, and looks for the values wherever somebody could read them.
func testSecrets(t *testing.T, s *site) {
	needFFmpeg(t)
	const (
		publishing = "cafe0123cafe0123cafe0123cafe0123"
		camera     = "canary-of-the-camera"
		people     = "canary-of-the-messenger"
	)
	sim := s.platform(simulator.Settings{Scale: 30, Token: secret.New(publishing)})
	s.token = "canary-of-the-operator"
	canaries := []string{publishing, camera, people, s.token, testSecret.Reveal(), sim.APISecret().Reveal()}
	s.configure(`
encoders:
  cam: ` + testPicture + `
  ip-cam: {ffmpeg: {input: "rtsp://viewer:` + camera + `@127.0.0.1:9/stream"}}
defaults: {idle_timeout: 500ms, restart: {initial: 200ms, max: 500ms}}
streams:
  lobby: {encoder: cam, publish: "` + "rtmp://" + sim.RTMPAddr() + "/v2/pub/{stream}?token=" + publishing + `"}
  yard: {encoder: ip-cam, publish: "` + "rtmp://" + sim.RTMPAddr() + "/v2/pub/{stream}?token=" + publishing + `"}
notify: [{url: "http://127.0.0.1:9/` + people + `"}]
`)
	s.start()
	look := func(when string) {
		t.Helper()
		for place, text := range s.readable() {
			for _, c := range canaries {
				// What a program prints of its own input is in its output file, for the eyes of the
				// file's owner alone.
				if strings.Contains(text, c) &&
					!(c == camera && strings.HasPrefix(place, "file /encoders/ip-cam/ffmpeg.log")) {
					t.Errorf("%s: %s shows %q", when, place, c[:8]+"…")
				}
			}
		}
	}
	sim.Refuse("lobby", "no such stream")
	sim.SetAPIFaults(simulator.APIFaults{Status: http.StatusUnauthorized})
	viewer, other := sim.Join("lobby"), sim.Join("yard")
	s.awaitStream("lobby", "failing",
		func(v controller.StreamView) bool { return v.Encoders[0].Restarts > 0 && v.Encoders[0].Error != nil })
	s.awaitStream("yard", "failing",
		func(v controller.StreamView) bool { return v.Encoders[0].Restarts > 0 && v.Encoders[0].Error != nil })
	look("while it is refused")
	sim.Refuse("lobby", "")
	sim.SetAPIFaults(simulator.APIFaults{})
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	s.awaitPhase("lobby", controller.PhaseLive)
	look("while it is live")
	viewer.Leave()
	other.Leave()
	s.awaitPhase("lobby", controller.PhaseIdle)
	s.term()
	look("at the end")
	if places := s.readable(); len(places) < 4 {
		t.Errorf("only %d places were looked at", len(places))
	}
}

// readable collects what others could read: command lines and environments of the processes, the
// log, the admin side, the data directory.
func (s *site) readable() map[string]string {
	s.t.Helper()
	places := map[string]string{"the log": s.log()}
	for _, pid := range s.holders() {
		for _, file := range []string{"cmdline", "environ"} {
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)); err == nil {
				places[fmt.Sprintf("%s of process %d", file, pid)] = string(text)
			}
		}
	}
	if s.running() {
		for _, path := range []string{"/status", "/metrics", "/api/v1/events?limit=1000", "/readyz", "/",
			"/api/v1/streams/ABC123%2Flobby/history", "/api/v1/streams/ABC123%2Flobby/log",
			"/api/v1/streams/ABC123%2Fyard/history", "/api/v1/streams/ABC123%2Fyard/log",
		} {
			code, body := s.get(path)
			if code != http.StatusOK {
				s.t.Errorf("%s: %d %s", path, code, body)
			}
			places[path] = string(body)
		}
	}
	err := filepath.WalkDir(s.data(), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile, or no file
		}
		text, err := os.ReadFile(path)
		if err == nil {
			places["file "+strings.TrimPrefix(path, s.data())] = string(text)
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return places
}
