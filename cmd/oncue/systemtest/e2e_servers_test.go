package systemtest

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders/httpapi/mediamtxtest"
)

// recipe is the code block of configs/docs/other-servers.md that begins with these words.
func recipe(t *testing.T, language, begins string) string {
	t.Helper()
	text, err := os.ReadFile("../../../configs/docs/other-servers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n"+begins)
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("the page has no block of %s that begins with %s", language, begins)
	}
	return begins + code
}

// beside runs another program until the test ends.
func (s *site) beside(cmd *exec.Cmd) {
	s.t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s says:\n%s", filepath.Base(cmd.Path), said.String())
		}
	})
}

// answers waits until somebody listens there.
func (s *site) answers(addr string) {
	s.t.Helper()
	s.await(addr+" answers", func() bool {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// testMediaMTX has a reader of a real MediaMTX bring a stream up, by the recipe of the page, and
// lets it end when the reader has gone.
func testMediaMTX(t *testing.T, s *site) {
	needFFmpeg(t)
	mediamtx := mediamtxtest.Program(t)
	ip, _, _ := net.SplitHostPort(s.hooks)
	s.configure(fmt.Sprintf("encoders: {cam: {ffmpeg: {input: test}}}\nstreams: {lobby: {encoder: cam, "+
		"publish: \"rtmp://%s:1935/live/{stream}\", confirm: encoder, idle_timeout: 2s}}\n", ip))
	s.start()
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(s.binary, filepath.Join(bin, "oncue")); err != nil {
		t.Fatal(err)
	}
	ask := filepath.Join(bin, "oncue-demand")
	if err := os.WriteFile(ask, []byte(recipe(t, "sh", "#!/bin/sh\n")), 0o700); err != nil {
		t.Fatal(err)
	}
	paths := strings.NewReplacer("/usr/local/bin/oncue-demand", ask, "CloseAfter: 10s", "CloseAfter: 1s").
		Replace(recipe(t, "yaml", "# mediamtx.yml\n"))
	config := filepath.Join(s.dir, "mediamtx.yml")
	text := fmt.Sprintf("rtsp: yes\nrtspAddress: %s:8554\nrtspTransports: [tcp]\nrtmp: yes\nrtmpAddress: %s:1935\n"+
		"hls: no\nwebrtc: no\nsrt: no\nmoq: no\n%s", ip, ip, paths)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(mediamtx, config)
	server.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "ONCUE_ADMIN=http://"+s.admin)
	s.beside(server)
	s.answers(ip + ":8554")
	s.answers(ip + ":1935")
	for range 2 {
		out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-rtsp_transport", "tcp",
			"-i", "rtsp://"+ip+":8554/live/lobby", "-t", "1", "-f", "null", "-").CombinedOutput()
		if err != nil {
			t.Fatalf("a reader of MediaMTX sees nothing: %v\n%s", err, out)
		}
		s.awaitStream("lobby", "no longer asked for", func(v controller.StreamView) bool { return len(v.Demand) == 0 })
		s.awaitPhase("lobby", controller.PhaseIdle)
	}
	if v := s.see("lobby"); v.Starts != 2 || v.Waits == nil || v.Waits.Of != 2 {
		t.Errorf("%d starts; waits %+v", v.Starts, v.Waits)
	}
}

// testBridge has the bridge of the page take what SRS and OvenMediaEngine post.
func testBridge(t *testing.T, s *site) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not in PATH: the bridge is not tried")
	}
	s.token = "a token of 0123456789"
	s.configure("encoders: {a: {fake: {}}, b: {fake: {}}}\nstreams: {lobby: {encoder: a, confirm: encoder}, " +
		"stage: {encoder: b, confirm: encoder}}\n")
	s.start()
	program := filepath.Join(s.dir, "oncue-bridge.py")
	if err := os.WriteFile(program, []byte(recipe(t, "python", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	bridge := exec.Command(python, program, port, "http://"+s.admin, testAccount)
	bridge.Env = append(os.Environ(), "ONCUE_ADMIN_TOKEN="+s.token)
	s.beside(bridge)
	s.answers(addr)
	const oven = `{"client":{"address":"192.0.2.4","port":29291},"request":{"direction":%q,"protocol":"webrtc",` +
		`"status":%q,"url":"wss://example.com:3333/app/stage?x=y","time":"2026-05-12T13:45:00.000Z"}}`
	for _, tt := range []struct{ body, answer, wanted string }{
		{`{"action":"on_play","client_id":"9308h583","ip":"192.0.2.4","vhost":"__defaultVhost__","app":"live",` +
			`"stream":"lobby","param":""}`, `{"code": 0}`, "lobby"},
		{`{"action":"on_stop","client_id":"9308h583","ip":"192.0.2.4","vhost":"__defaultVhost__","app":"live",` +
			`"stream":"lobby","param":""}`, `{"code": 0}`, "lobby"}, // until the demand has ended by itself
		{fmt.Sprintf(oven, "incoming", "opening"), `{"allowed": true}`, "lobby"},
		{fmt.Sprintf(oven, "outgoing", "opening"), `{"allowed": true}`, "lobby stage"},
		{fmt.Sprintf(oven, "outgoing", "closing"), `{}`, "lobby stage"},
	} {
		resp, err := s.client.Post("http://"+addr+"/", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || string(answer) != tt.answer {
			t.Errorf("%s\nis answered %s %s, want %s", tt.body, resp.Status, answer, tt.answer)
		}
		var wanted []string
		for _, name := range []string{"lobby", "stage"} {
			if v := s.see(name); len(v.Demand) == 1 && v.Demand[0].By == "bridge" {
				wanted = append(wanted, name)
			}
		}
		if got := strings.Join(wanted, " "); got != tt.wanted {
			t.Errorf("after %s\nwanted is %q, want %q", tt.body, got, tt.wanted)
		}
	}
	s.awaitPhase("stage", controller.PhaseLive)
}
