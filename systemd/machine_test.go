package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machine is a container of this host's Debian, with a systemd of its own. Its changes vanish with
// it.
type machine struct {
	t    *testing.T
	init string // pid of its systemd
}

func boot(t *testing.T, files map[string]string) *machine {
	t.Helper()
	needRoot(t)
	need(t, "systemd-nspawn", "nsenter", "ffmpeg", "dpkg")
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("this machine has no systemd to run in a container")
	}
	root := layer(t, "/")
	for to, from := range files {
		copyFile(t, from, filepath.Join(root, to), 0o644)
	}
	_ = os.Remove(filepath.Join(root, "usr/sbin/policy-rc.d")) // images for building forbid services to start
	said := &output{}
	cmd := exec.Command("systemd-nspawn", "--directory="+root, "--boot", "--register=no", "--keep-unit",
		"--private-network", "--link-journal=no", "--console=pipe",
		"--machine=oncue-"+strings.ToLower(t.Name()),
		// The test is about what the unit allows, not the container: nspawn forbids calls that it
		// does not know.
		"--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
		"--", "--unit=basic.target")
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Second):
				_ = cmd.Process.Signal([]syscall.Signal{syscall.SIGTERM, syscall.SIGKILL}[min(i, 1)])
			}
		}
	})
	m := &machine{t: t}
	await(t, "the container's systemd runs", func() (string, bool) {
		select {
		case <-ended:
			t.Skipf("systemd cannot run in a container here:\n%s", said)
		default:
		}
		children, _ := os.ReadFile("/proc/" + strconv.Itoa(cmd.Process.Pid) + "/task/" + strconv.Itoa(cmd.Process.Pid) +
			"/children")
		if m.init = strings.TrimSpace(string(children)); m.init == "" || strings.Contains(m.init, " ") {
			return said.String(), false
		}
		out, err := m.try("systemctl is-active basic.target")
		return said.String() + out, err == nil
	})
	return m
}

func (m *machine) try(line string) (string, error) {
	m.t.Helper()
	return try(m.t, "nsenter", "--target="+m.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root",
		"--wd", "/bin/sh", "-c", line)
}

func (m *machine) run(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s\n%s", line, err, out, m.state())
	}
	return strings.TrimSpace(out)
}

// fails runs a command line that must fail and returns its output.
func (m *machine) fails(line string) string {
	m.t.Helper()
	out, err := m.try(line)
	if err == nil {
		m.t.Errorf("%s: it did not fail\n%s\n%s", line, out, m.state())
	}
	return out
}

// state is what a person would check when something is wrong: the units, their processes, and the
// end of the journal.
func (m *machine) state() string {
	text, _ := m.try(
		"systemctl status --no-pager --full oncue.service oncue.socket; ps -eo " +
			"pid,stat,wchan:20,etime,cgroup:60,args; journalctl --no-pager | tail -n 120")
	return text
}

// await is await for a condition inside the machine; when it fails, it shows the machine's state.
func (m *machine) await(what string, ask func() (string, bool)) string {
	m.t.Helper()
	said, ok := eventually(ask)
	if !ok {
		m.t.Fatalf("waited in vain until %s; last:\n%s\n%s", what, said, m.state())
	}
	return said
}

// show asks systemd for one property of the service.
func (m *machine) show(property string) string {
	m.t.Helper()
	return m.run("systemctl show --value --property=" + property + " oncue.service")
}
