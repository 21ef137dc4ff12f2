package systemd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unitRoot is a root with the units, and with the drop-ins of examples/ as an administrator
// installs them.
func unitRoot(t *testing.T, dropIns ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, unit := range []string{"oncue.service", "oncue.socket"} {
		copyFile(t, unit, filepath.Join(root, "usr/lib/systemd/system", unit), 0o644)
	}
	for _, d := range dropIns {
		copyFile(t, filepath.Join("examples", d), filepath.Join(root, "etc/systemd/system/oncue.service.d", d), 0o644)
	}
	return root
}

// TestExposure checks systemd's rating of the sandbox: 1.3 of 10 with cameras, and less for the
// unit alone.
func TestExposure(t *testing.T) {
	t.Parallel()
	need(t, "systemd-analyze")
	for _, c := range []struct {
		threshold string // tenths
		dropIns   []string
	}{
		{"12", nil},
		{"13", []string{"cameras.conf"}},
		{"13", []string{"cameras.conf", "credentials.conf"}},
		{"14", []string{"cameras.conf", "credentials.conf", "gpu.conf"}},
	} {
		t.Run(strings.Join(append([]string{"unit"}, c.dropIns...), "+"), func(t *testing.T) {
			out, err := try(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold="+
				c.threshold, "--root="+unitRoot(t, c.dropIns...), "oncue.service")
			t.Log(lastLine(out))
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestVerify has systemd read the units as they are shipped, with every drop-in.
func TestVerify(t *testing.T) {
	t.Parallel()
	need(t, "systemd-analyze")
	if _, err := os.Stat("/lib/systemd/system/sysinit.target"); err != nil {
		t.Skip("systemd's own units are missing")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "oncue")
	writeFile(t, program, "#!/bin/sh\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	unit, err := os.ReadFile("oncue.service")
	if err != nil {
		t.Fatal(err)
	}
	// The program and the manual are not installed where the test runs; everything else is as
	// shipped.
	text := strings.ReplaceAll(string(unit), "/usr/bin/oncue", program)
	text = strings.Replace(text, "man:oncue(1) ", "", 1)
	writeFile(t, filepath.Join(dir, "oncue.service"), text)
	socket, err := os.ReadFile("oncue.socket")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "oncue.socket"),
		strings.Replace(string(socket), "Documentation=man:oncue(1)\n", "", 1))
	for _, d := range []string{"cameras.conf", "credentials.conf", "gpu.conf"} {
		copyFile(t, filepath.Join("examples", d), filepath.Join(dir, "oncue.service.d", d), 0o644)
	}
	copyFile(t, "examples/open-port.conf", filepath.Join(dir, "oncue.socket.d", "open-port.conf"), 0o644)
	if out := run(t, "systemd-analyze", "verify", "--recursive-errors=no", filepath.Join(dir, "oncue.service"),
		filepath.Join(dir, "oncue.socket")); out != "" {
		t.Error(out)
	}
}
