package exec

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/exec/handover"
)

// TestMain plays the handover when a test starts it, as the daemon's binary does.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == handover.Command {
		os.Exit(handover.Main())
	}
	os.Exit(m.Run())
}

// sink is an RTMP server that counts its publishers and their pictures.
type sink struct {
	addr string

	mu     sync.Mutex
	refuse error
	now    map[*rtmp.Publisher]bool
	keys   []string
	frames int
}

func newSink(t testing.TB) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return newSinkAt(t, l)
}

func newSinkAt(t testing.TB, l net.Listener) *sink {
	s := &sink{addr: l.Addr().String(), now: map[*rtmp.Publisher]bool{}}
	server := rtmp.NewServer(rtmp.Settings{Handler: s, Silence: time.Minute})
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return s
}

func (s *sink) Publish(p *rtmp.Publisher) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, p.Key.Reveal())
	if s.refuse == nil {
		s.now[p] = true
	}
	return s.refuse
}

func (s *sink) Tag(_ *rtmp.Publisher, t rtmp.Tag) {
	if t.Kind == rtmp.Video {
		s.mu.Lock()
		s.frames++
		s.mu.Unlock()
	}
}

func (s *sink) Unpublish(p *rtmp.Publisher, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now, p)
}

func (s *sink) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.now)
}

func (s *sink) published() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.keys)
}

func (s *sink) pictures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

func (s *sink) publisher(t testing.TB) *rtmp.Publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.now {
		return p
	}
	t.Fatal("nobody publishes")
	return nil
}

// job publishes to the sink, with the canary as its token.
func (s *sink) job() encoders.Job {
	return encodertest.NewJob("rtmp://" + s.addr + "/v2/pub/lobby?token=" + encodertest.Canary)
}

// ffmpeg is a command that publishes a test picture.
func ffmpeg(t testing.TB) Settings {
	need(t, "ffmpeg")
	s := Defaults()
	s.Command = strings.Fields("ffmpeg -nostdin -hide_banner -re -f lavfi -i testsrc2=size=160x90:rate=30 -c:v libx264 " +
		"-preset ultrafast -tune zerolatency -g 30 -f flv {publish}")
	return s
}

// shell is a command of a shell.
func shell(script string) Settings {
	s := Defaults()
	s.Command = []string{"sh", "-c", script}
	return s
}

func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := osexec.LookPath(p); err != nil {
			t.Skipf("%s is not installed: %v", p, err)
		}
	}
}

func openIn(t testing.TB, s Settings, dir string, secrets ...secret.Value) *Encoder {
	t.Helper()
	e, err := New(s, encoders.Env{Name: "cam", Dir: dir, Log: slog.New(slog.DiscardHandler), Secrets: secrets})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// opened opens an encoder that is stopped and closed at the end.
func opened(t testing.TB, s Settings, secrets ...secret.Value) *Encoder {
	t.Helper()
	e := openIn(t, s, t.TempDir(), secrets...)
	t.Cleanup(func() { end(t, e) })
	return e
}

func end(t testing.TB, e *Encoder) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.Stop(ctx, encoders.Job{}); err != nil {
		t.Errorf("stop at the end: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func start(t testing.TB, e *Encoder, job encoders.Job) {
	t.Helper()
	if err := e.Start(t.Context(), job); err != nil {
		t.Fatalf("start: %v", err)
	}
}

// stateOf waits for a state and returns the status then.
func stateOf(t testing.TB, e *Encoder, want encoders.State) encoders.Status {
	t.Helper()
	var s encoders.Status
	await(t, fmt.Sprintf("state %s", want), func() bool {
		s, _ = e.now()
		if s.State.Gone() && want != s.State {
			lines, _ := e.Log(t.Context(), 20)
			t.Fatalf("it is %+v, not %s; it said %q", s, want, lines)
		}
		return s.State == want
	})
	return s
}

// await waits until ok, for as long as a busy machine may need.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for limit := time.After(60 * time.Second); !ok(); {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// said waits until the output has a line with these words.
func said(t testing.TB, e *Encoder, words string) string {
	t.Helper()
	var found string
	await(t, "the output has "+words, func() bool {
		lines, err := e.Log(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if strings.Contains(line, words) {
				found = line
			}
		}
		return found != ""
	})
	return found
}

// canaryIn lists the places below /proc in which processes of this user show the canary to others:
// command lines, and with environ true environments.
func canaryIn(t testing.TB, name, canary string) (found []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if body, err := os.ReadFile(path); err == nil && strings.Contains(string(body), canary) {
			found = append(found, path+": "+strings.ReplaceAll(string(body), "\x00", " "))
		}
	}
	return found
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
