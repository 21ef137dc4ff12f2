package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller/millicast/simulator"
)

// TestHost is how the program behaves on its host, and for the people who administer that.
func TestHost(t *testing.T) {
	t.Parallel()
	binary := buildOncue(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, s *site)
	}{
		{"SIGHUP while it starts", testReloadWhileStarting},
		{"an address that cannot be had", testTakenAddress},
		{"a refused reload is seen", testRefusedReload},
		{"a reload that waits", testReloadCommand},
		{"root in another's data directory", testRootAsGuest},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, newSite(t, binary))
		})
	}
}

const oneFake = "encoders: {bench: {fake: {}}}\nstreams: {lobby: {encoder: bench}}\n"

// testReloadWhileStarting sends SIGHUP to a daemon that waits for the one before to let go of the
// data directory.
func testReloadWhileStarting(t *testing.T, s *site) {
	s.configure(oneFake)
	if err := os.MkdirAll(s.data(), 0o700); err != nil {
		t.Fatal(err)
	}
	before, err := os.OpenFile(filepath.Join(s.data(), "oncue.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	if err := unix.Flock(int(before.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	s.launch()
	s.await("it waits for the lock", func() bool { return slices.Contains(s.holders(), s.proc.Process.Pid) })
	s.configure(strings.Replace(oneFake, "lobby", "foyer", 1))
	s.signal(syscall.SIGHUP)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	s.ready()
	s.await("the file as it was at the signal is in force", func() bool { _, ok := s.stream("foyer"); return ok })
	s.term()
}

// testTakenAddress starts a second daemon on an address of the first. It reports that once, and
// nothing that looks like lost data.
func testTakenAddress(t *testing.T, s *site) {
	s.configure(oneFake)
	s.start()
	other := newSite(t, s.binary)
	other.listen = s.hooks
	other.configure(oneFake)
	other.launch()
	other.gone()
	text := other.log()
	if code := other.proc.ProcessState.ExitCode(); code != 1 ||
		!strings.Contains(text,
			"error: listen "+s.hooks+": address already in use\nhint: another process uses the address: ss -ltnp "+
				"shows which") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if strings.Contains(text, "ERROR") || strings.Count(text, s.hooks) != 1 {
		t.Errorf("more than the cause is told:\n%s", text)
	}
	s.term()
}

// testRootAsGuest has root use a data directory that belongs to another user, in which a link leads
// to a file of root's.
func testRootAsGuest(t *testing.T, s *site) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const nobody = 65534
	s.platform(simulator.Settings{})
	s.configure("public_url: http://" + s.hooks + "\n" + oneFake)
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(s.data(), 0o700), os.Chown(s.data(), nobody, nobody)); err != nil {
		t.Fatal(err)
	}

	s.launch()
	s.gone()
	if text := s.log(); s.proc.ProcessState.ExitCode() != 1 ||
		!strings.Contains(text, "error: open the store: "+s.data()+" belongs to nobody, and this runs as root") ||
		!strings.Contains(text, "hint: root would follow that user's links.") {
		t.Errorf("%v\n%s", s.proc.ProcessState, text)
	}

	rotate := func() string {
		out, err := exec.Command(s.binary, "webhook", "rotate", "--config", s.config()).CombinedOutput()
		if err != nil {
			return string(out)
		}
		return ""
	}
	// The folders above are those of a test, which only their owner may enter.
	for dir := s.data(); dir != os.TempDir() && dir != "/"; {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(dir); err == nil && info.Mode()&fs.ModeSticky == 0 {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	lock := filepath.Join(s.data(), "oncue.lock")
	if err := os.Symlink(precious, lock); err != nil {
		t.Fatal(err)
	}
	if out := rotate(); !strings.Contains(out, "oncue.lock is a link, and none is followed here") {
		t.Errorf("over a link: %q", out)
	}
	if text := readFile(t, precious); text != "precious" {
		t.Errorf("root's file holds %q", text)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if out := rotate(); out != "" {
		t.Errorf("without a link: %s", out)
	}
	files, err := os.ReadDir(s.data())
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s is not the directory's owner's (%v)", f.Name(), err)
		}
	}
}

// testRefusedReload has a bad file refused, and checks all places where a person would look.
func testRefusedReload(t *testing.T, s *site) {
	word := notifications(t, s)
	s.configure(oneFake)
	s.start()
	run := func(args ...string) string {
		out, _ := exec.Command(s.binary, append(args, "--config", s.config())...).CombinedOutput()
		return strings.Join(strings.Fields(string(out)), " ") // wherever it was wrapped
	}
	good := readFile(t, s.config())
	s.write(good + "lisen: 1\nreferred: 2\n")
	s.signal(syscall.SIGHUP)
	const refused = "the configuration was not reloaded, and the one before stays in force: "
	line := fmt.Sprintf(`%s:%d:1: lisen: unknown key; did you mean "listen"?`, s.config(), s.lineOf("lisen"))
	var status struct {
		Problems []string
		Config   struct {
			File    string
			Refused []string
		}
	}
	s.await("the status tells of it", func() bool {
		_, body := s.get("/status")
		return json.Unmarshal(body, &status) == nil && len(status.Problems) == 1
	})
	if !strings.HasPrefix(status.Problems[0], refused+line) ||
		!strings.HasSuffix(status.Problems[0], " (and 1 more)") ||
		len(status.Config.Refused) != 2 || status.Config.File != s.config() {
		t.Errorf("the status is %+v", status)
	}
	await(t, "systemd is told of it", func() bool { return strings.HasPrefix(word(), "STATUS="+refused+line) })
	if out := run("status", "--admin",
		"http://"+s.admin); !strings.HasPrefix(out, "! the configuration was not reloaded, and") {
		t.Errorf("oncue status:\n%s", out)
	}
	if out := run("status", "lobby", "--admin",
		"http://"+s.admin); !strings.HasPrefix(out, "! the configuration was not reloaded, and") {
		t.Errorf("oncue status lobby:\n%s", out)
	}
	s.write(good + "# changed\n")
	if out := run("doctor"); !strings.Contains(out, "✗ daemon: the configuration was not reloaded") {
		t.Errorf("oncue doctor:\n%s", out)
	}

	// A good file is in force again; one that was changed since, and variables that were, are worth
	// a look.
	s.signal(syscall.SIGHUP)
	await(t, "systemd is told that all is well",
		func() bool { return strings.HasPrefix(word(), "STATUS=1 stream, 1 encoder; configuration of ") })
	if out := run("doctor"); !strings.Contains(out, "✓ daemon") || strings.Contains(out, "✗ daemon") ||
		strings.Contains(out, "! daemon") {
		t.Errorf("oncue doctor:\n%s", out)
	}
	s.write(good)
	if out := run("doctor"); !strings.Contains(out, "! daemon: "+s.config()) ||
		!strings.Contains(out, "has changed since the daemon read it at") {
		t.Errorf("oncue doctor:\n%s", out)
	}

	// A variable that the daemon's environment lacks, and its file has.
	env := filepath.Join(s.dir, "oncue.env")
	for text, want := range map[string]bool{"NEW_SECRET=x\n": true, "OTHER=x\n": false} {
		if err := os.WriteFile(env, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.write(good + "log: {level: \"${NEW_SECRET}\"}\n")
		s.write(strings.Replace(good, "level: debug", "level: \"${NEW_SECRET}\"", 1))
		_, body := s.call("POST", "/api/v1/reload", nil)
		older := "the environment of the running daemon is older than " + env + ": restart it"
		if got := strings.Contains(string(body),
			older); got != want || !strings.Contains(string(body), "the environment variable NEW_SECRET is not set") {
			t.Errorf("with %s, the reload says %s", text, body)
		}
		if out := run("check"); strings.Contains(out,
			"hint: the service has the variables of "+env+"; a shell gets them by: set -a; . "+env+"; set +a") != want {
			t.Errorf("with %s, oncue check says\n%s", text, out)
		}
	}
	s.write(good)
	if code, body := s.call("POST", "/api/v1/reload", nil); code != 200 {
		t.Errorf("a good reload: %d %s", code, body)
	}
	if out := run("doctor"); !strings.Contains(out, "! daemon: "+env) ||
		!strings.Contains(out, "has changed since the daemon started") {
		t.Errorf("oncue doctor:\n%s", out)
	}
	s.term()
}

// lineOf is the line of the configuration that begins with a word.
func (s *site) lineOf(word string) int {
	for n, line := range strings.Split(readFile(s.t, s.config()), "\n") {
		if strings.HasPrefix(line, word) {
			return n + 1
		}
	}
	s.t.Fatalf("%s has no line that begins with %s", s.config(), word)
	return 0
}

// notifications has the site's daemon notify the test instead of systemd. The function returns the
// last notification.
func notifications(t *testing.T, s *site) (last func() string) {
	t.Helper()
	addr := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	l, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s.env = append(s.env, "NOTIFY_SOCKET="+addr.Name)
	var word atomic.Value
	word.Store("")
	go func() {
		for message := make([]byte, 4096); ; {
			n, err := l.Read(message)
			if err != nil {
				return
			}
			word.Store(string(message[:n]))
		}
	}()
	return func() string { return word.Load().(string) }
}

// testReloadCommand reloads as the unit does, and as a person does: both wait, and print the
// result.
func testReloadCommand(t *testing.T, s *site) {
	runtime := "RUNTIME_DIRECTORY=" + t.TempDir()
	s.env = append(s.env, runtime)
	s.configure(oneFake)
	s.start()
	good := readFile(t, s.config())
	reload := func(args ...string) (string, error) {
		cmd := exec.Command(s.binary, append([]string{"reload"}, args...)...)
		cmd.Env = append(os.Environ(), runtime)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	unit := []string{"--pid", strconv.Itoa(s.proc.Process.Pid)}
	person := []string{"--admin", "http://" + s.admin}
	for range 3 { // a verdict of before is not taken for the one that is awaited
		for _, args := range [][]string{unit, person} {
			s.write(good + "lisen: 1\n")
			out, err := reload(args...)
			if err == nil || !strings.Contains(out, "lisen: unknown key") ||
				!strings.HasSuffix(out, "error: the configuration was not reloaded; the one before stays in force\n") {
				t.Errorf("%v, a bad file: %v\n%s", args, err, out)
			}
			s.write(good)
			if out, err := reload(args...); err != nil || out != "the configuration was reloaded\n" {
				t.Errorf("%v, a good file: %v\n%s", args, err, out)
			}
		}
	}
	s.term()
	if out, err := reload(unit...); err == nil || !strings.Contains(out, "error: signal the daemon, process ") {
		t.Errorf("without a daemon: %v\n%s", err, out)
	}
}
