package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
