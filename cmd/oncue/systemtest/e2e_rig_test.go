package systemtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// This file is what the tests of the whole program share: the binary, a daemon in a process of its
// own, and a platform beside it.

// patience is how long anything may take on a busy machine before a test gives up.
const patience = 90 * time.Second

const (
	testAccount = "ABC123"
	testToken   = "0123456789abcdef0123456789abcdef" // publishes every stream
)

var testSecret = secret.New("c2VjcmV0LWtleS1mb3ItdGVzdHM=")

// atOnce is how many tests run at once unless -parallel says otherwise: most of them wait for
// timers and for other processes. More would make them wait for the processors.
const atOnce = "4"

var binaries string // the folder of what was built

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "oncue-systemtest-"); err != nil {
		panic(err)
	}
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(binaries)
	os.Exit(code)
}

var (
	built       = sync.OnceValues(func() (string, error) { return build("oncue", raceDetector()) })
	builtNoRace = sync.OnceValues(func() (string, error) { return build("oncue-no-race", false) })
)

// buildOncue makes the program once for all tests, with the race detector when they have it.
func buildOncue(t testing.TB) string { return must(t, built) }

// buildFast makes the program without the race detector, to be measured.
func buildFast(t testing.TB) string { return must(t, builtNoRace) }

func must(t testing.TB, built func() (string, error)) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build(name string, race bool) (string, error) {
	path := filepath.Join(binaries, name)
	out, err := exec.Command("go", "build", "-o", path, fmt.Sprintf("-race=%t", race), "..").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build oncue: %w\n%s", err, out)
	}
	return path, err
}

func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// site is one oncue with its folder, its addresses and, while it runs, its process. Each has a
// loopback address of its own, so no two tests meet, and a daemon that starts again finds its ports
// free.
type site struct {
	t      testing.TB
	binary string
	dir    string
	hooks  string // address of the public side
	admin  string
	args   []string // beside serve and --config
	env    []string
	wrap   []string // a command line that oncue's follows, such as a shell that sets limits
	files  []*os.File
	stderr *os.File // instead of the log file; nil: the log file
	client *http.Client
	token  string // of the admin side

	listen, adminListen string // what the configuration says; "" for the addresses

	sim       *simulator.Simulator // nil without platform
	hooksOnly bool                 // no API: it would deny the viewers of whom the test's own hooks tell

	notify *net.UnixConn // gets the daemon's words for systemd; nil: nobody listens

	proc *exec.Cmd
	end  chan struct{} // closed when proc is reaped
	said time.Time     // by the latest hook
}

var sites atomic.Int32

func newSite(t testing.TB, binary string) *site {
	t.Helper()
	pid, n := os.Getpid(), int(sites.Add(1))
	ip := fmt.Sprintf("127.%d.%d.%d", 16+pid>>8&0x7f, pid&0xff, 1+n%250)
	s := &site{
		t: t, binary: binary, dir: t.TempDir(), hooks: ip + ":8080", admin: ip + ":8081",
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience},
	}
	t.Cleanup(s.clear)
	return s
}

// platform puts a simulated platform beside the site.
func (s *site) platform(set simulator.Settings) *simulator.Simulator {
	s.t.Helper()
	set.Account, set.Secret, set.WebhookURL = testAccount, testSecret, "http://"+s.hooks+millicast.HookPath
	if !set.Token.Set() {
		set.Token = secret.New(testToken)
	}
	sim, err := simulator.Start(context.Background(), set)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sim = sim
	s.t.Cleanup(func() { _ = sim.Close() })
	return sim
}

// configure writes the configuration: what every site needs, and what the test adds. In that, RTMP:
// stands for the platform's ingest.
func (s *site) configure(rest string) {
	s.t.Helper()
	api := ""
	if s.sim != nil {
		rest = strings.ReplaceAll(rest, "RTMP:", "rtmp://"+s.sim.RTMPAddr()+"/v2/pub/{stream}?token="+testToken)
	}
	if s.sim != nil && !s.hooksOnly {
		api = fmt.Sprintf(", api_secret: %q, api_url: %q, poll_interval: 1s", s.sim.APISecret().Reveal(),
			s.sim.APIURL())
	}
	s.write(fmt.Sprintf("listen: %q\nadmin: {listen: %q, token: %q}\ndata_dir: %q\nlog: {level: debug, format: "+
		"json}\naccounts: {%s: {webhook_secrets: [%q]%s}}\n%s",
		cmp.Or(s.listen, s.hooks), cmp.Or(s.adminListen, s.admin), s.token, s.data(), testAccount, testSecret.Reveal(),
		api, rest))
}

// write replaces the configuration in one step.
func (s *site) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config()+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.config()+".new", s.config()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) config() string  { return filepath.Join(s.dir, "oncue.yaml") }
func (s *site) data() string    { return filepath.Join(s.dir, "data") }
func (s *site) logFile() string { return filepath.Join(s.dir, "oncue.log") }

// launch begins a process and does not wait for it to be ready.
func (s *site) launch() {
	s.t.Helper()
	log, err := os.OpenFile(s.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	line := slices.Concat(s.wrap, []string{s.binary, "serve", "--config", s.config()}, s.args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = log, log, s.files
	if s.stderr != nil {
		cmd.Stderr = s.stderr
	}
	cmd.Env = append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	end := make(chan struct{})
	go func() { _ = cmd.Wait(); close(end) }()
	s.proc, s.end = cmd, end
}

// start runs the daemon until it is ready.
func (s *site) start() {
	s.t.Helper()
	s.launch()
	s.ready()
}

func (s *site) ready() {
	s.t.Helper()
	s.await("oncue is ready", func() bool {
		select {
		case <-s.end:
			s.t.Fatalf("oncue has ended: %v\n%s", s.proc.ProcessState, s.logTail(4000))
		default:
		}
		code, _ := s.get("/readyz")
		return code == http.StatusOK
	})
}

func (s *site) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.proc.Process.Signal(sig); err != nil {
		s.t.Fatalf("signal oncue: %v", err)
	}
}

// kill is kill -9.
func (s *site) kill() { s.t.Helper(); s.signal(syscall.SIGKILL); s.gone() }

// term ends the daemon as systemd does.
func (s *site) term() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	s.gone()
	if code := s.proc.ProcessState.ExitCode(); code != 0 {
		s.t.Errorf("oncue ended with %v after SIGTERM\n%s", s.proc.ProcessState, s.logTail(4000))
	}
}

func (s *site) gone() {
	s.t.Helper()
	select {
	case <-s.end:
	case <-time.After(patience):
		s.t.Fatalf("oncue does not end within %v\n%s", patience, s.logTail(4000))
	}
}

func (s *site) running() bool {
	if s.end == nil {
		return false
	}
	select {
	case <-s.end:
		return false
	default:
		return true
	}
}

// clear leaves nothing of the site behind, encoders included, and shows the log of a test that
// failed.
func (s *site) clear() {
	if s.running() {
		_ = s.proc.Process.Kill()
		<-s.end
	}
	for _, pid := range s.holders() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.t.Failed() {
		s.t.Logf("the end of oncue's log:\n%s", s.logTail(16000))
	}
}

// holders lists the processes that have files of the data directory open: the daemon and its
// encoders, orphans included.
func (s *site) holders() []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(to, s.data()+"/") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link,
			"/")[2]); err == nil && pid != os.Getpid() && !slices.Contains(pids, pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *site) log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func (s *site) logTail(n int) string {
	text, _ := os.ReadFile(s.logFile())
	return string(text[max(0, len(text)-n):])
}

// await waits until ok.
func (s *site) await(what string, ok func() bool) {
	s.t.Helper()
	await(s.t, what, ok)
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// get asks the admin side; 0 means that nobody answered.
func (s *site) get(path string) (int, []byte) { return s.call(http.MethodGet, path, nil) }

func (s *site) call(method, path string, body any) (int, []byte) {
	var r io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, "http://"+s.admin+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, text
}

// stream returns a stream; ok is false when the daemon does not answer or does not know it.
func (s *site) stream(name string) (v controller.StreamView, ok bool) {
	s.t.Helper()
	code, body := s.get("/api/v1/streams/" + url.PathEscape(testAccount+"/"+name))
	if code != http.StatusOK {
		return v, false
	}
	if err := json.Unmarshal(body, &v); err != nil {
		s.t.Fatalf("status of %s: %v\n%s", name, err, body)
	}
	return v, true
}

// see returns a stream that must exist.
func (s *site) see(name string) controller.StreamView {
	s.t.Helper()
	v, ok := s.stream(name)
	if !ok {
		s.t.Fatalf("the daemon does not show %s", name)
	}
	return v
}

func (s *site) awaitStream(name, what string, ok func(controller.StreamView) bool) controller.StreamView {
	s.t.Helper()
	var v controller.StreamView
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		var there bool
		if v, there = s.stream(name); there && ok(v) {
			return v
		}
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("not within %v: %s is %s; it is %s (%s)", patience, name, what, v.Phase, v.Reason)
		}
	}
}

func (s *site) awaitPhase(name string, p controller.Phase) controller.StreamView {
	s.t.Helper()
	return s.awaitStream(name, string(p), func(v controller.StreamView) bool { return v.Phase == p })
}

// history is a stream's past, oldest step first.
func (s *site) history(name string) []controller.Transition {
	s.t.Helper()
	code, body := s.get("/api/v1/streams/" + url.PathEscape(testAccount+"/"+name) + "/history?limit=1000")
	var steps []controller.Transition
	if err := json.Unmarshal(body, &steps); code != http.StatusOK || err != nil {
		s.t.Fatalf("history of %s: %d %v\n%s", name, code, err, body)
	}
	slices.Reverse(steps)
	return steps
}

// phases is that past as the phases that followed each other.
func (s *site) phases(name string) []controller.Phase {
	s.t.Helper()
	var list []controller.Phase
	for _, step := range s.history(name) {
		if len(list) == 0 || list[len(list)-1] != step.To {
			list = append(list, step.To)
		}
	}
	return list
}

func (s *site) mode(name string, m controller.Mode) {
	s.t.Helper()
	code, body := s.call(http.MethodPut, "/api/v1/streams/"+url.PathEscape(testAccount+"/"+name)+"/mode",
		map[string]string{"mode": string(m), "by": "test"})
	if code != http.StatusOK {
		s.t.Fatalf("mode %s of %s: %d %s", m, name, code, body)
	}
}

// hook sends a viewer hook until one is accepted: a disk that is busy with other tests may make the
// daemon refuse one for now.
func (s *site) hook(kind controller.HookKind, name string) {
	s.t.Helper()
	s.await(string(kind)+" for "+name+" is accepted", func() bool {
		at := time.Now().Truncate(time.Millisecond)
		if !at.After(s.said) { // of two hooks of one millisecond nobody knows which came first
			at = s.said.Add(time.Millisecond)
		}
		s.said = at
		status, answer, err := s.post(millicast.ViewerMessage(kind, testAccount, name, at).Body(),
			millicast.ContentJSON, testSecret)
		if status == http.StatusServiceUnavailable {
			return false
		}
		if err != nil || status != http.StatusOK || string(answer) != `{"status":"accepted"}` {
			s.t.Fatalf("%s for %s: %d %s %v", kind, name, status, answer, err)
		}
		return true
	})
}

// post delivers a body.
func (s *site) post(body []byte, contentType string, key secret.Value) (status int, answer []byte, err error) {
	req, err := millicast.NewRequest(context.Background(), "http://"+s.hooks+millicast.HookPath, key, contentType, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, bytes.TrimSpace(answer), err
}

// fakeBox is what a fake encoder keeps of itself.
type fakeBox struct {
	Stream  string    `json:"stream"`
	Started time.Time `json:"started"`
	Stopped time.Time `json:"stopped"`
	Starts  int       `json:"starts"`
	Stops   int       `json:"stops"`
}

func (b fakeBox) on() bool { return !b.Started.IsZero() && b.Stopped.IsZero() }

// box reads the box of a fake encoder. One that was never switched on is a zero box.
func (s *site) box(encoder string) (b fakeBox) {
	s.t.Helper()
	body, err := os.ReadFile(filepath.Join(s.data(), "encoders", daemon.DeviceDir(encoder), "fake.json"))
	if errors.Is(err, os.ErrNotExist) {
		return b
	}
	if err == nil {
		err = json.Unmarshal(body, &b)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// needFFmpeg skips the test without FFmpeg.
func needFFmpeg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("needs ffmpeg: ", err)
	}
}

// alive reports whether a process exists and is no zombie.
func alive(pid int) bool {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(body), ") ")
	return ok && !strings.HasPrefix(rest, "Z")
}

// many runs work n times at once and waits for all.
func many(n int, work func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { work(i) })
	}
	wg.Wait()
}

// readStatus reads one answer from a connection; 0 means that it ended without one.
func readStatus(c net.Conn) int {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
