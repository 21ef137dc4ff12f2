package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller/millicast/simulator"
)

// TestHost is what the program owes to the machine that it runs on, and to those who administer it.
func TestHost(t *testing.T) {
	binary := buildOncue(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T, s *site)
	}{
		{"SIGHUP while it starts", testReloadWhileStarting},
		{"an address that cannot be had", testTakenAddress},
		{"root in another's data directory", testRootAsGuest},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.run(t, newSite(t, binary))
		})
	}
}

const oneFake = "encoders: {bench: {fake: {}}}\nstreams: {lobby: {encoder: bench}}\n"

// testReloadWhileStarting sends SIGHUP to a daemon that waits for the one before to let go of the data directory.
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

// testTakenAddress starts a second daemon on an address of the first. It says so once, and nothing that looks like lost data.
func testTakenAddress(t *testing.T, s *site) {
	s.configure(oneFake)
	s.start()
	other := newSite(t, s.binary)
	other.listen = s.hooks
	other.configure(oneFake)
	other.launch()
	other.gone()
	text := other.log()
	if code := other.proc.ProcessState.ExitCode(); code != 1 || !strings.Contains(text, "error: listen "+s.hooks+": address already in use\nhint: another process uses the address: ss -ltnp shows which") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	if strings.Contains(text, "ERROR") || strings.Count(text, s.hooks) != 1 {
		t.Errorf("more than the cause is told:\n%s", text)
	}
	s.term()
}

// testRootAsGuest has root use a data directory that belongs to another user, in which a link leads to a file of root's.
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
	if text := s.log(); s.proc.ProcessState.ExitCode() != 1 || !strings.Contains(text, "error: open the store: "+s.data()+" belongs to nobody, and this runs as root") ||
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
