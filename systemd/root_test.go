package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds each program that a test runs; a clean Debian, or a build from nothing, takes
// minutes on a busy machine.
const patience = 15 * time.Minute

// run runs a program to its end and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "GOFLAGS=")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// need skips a test that this host cannot run.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("the program %s is missing", p)
		}
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make a Debian root")
	}
}

// packages are two versions of the package, older and newer, built once for all tests.
type packages struct{ older, newer string }

var built = sync.OnceValues(func() (packages, error) {
	dir, err := os.MkdirTemp("", "oncue-packages-")
	if err != nil {
		return packages{}, err
	}
	var p packages
	for version, path := range map[string]*string{"1.0.0": &p.older, "1.1.0": &p.newer} {
		host, err := exec.Command("go", "env", "GOARCH").Output()
		if err != nil {
			return p, fmt.Errorf("ask go for the architecture: %w", err)
		}
		arch := strings.TrimSpace(string(host))
		cmd := exec.Command("make", "-C", "..", "deb", "DIST="+dir, "VERSION="+version, "ARCHES="+arch)
		cmd.Env = append(os.Environ(), "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("make deb: %w\n%s", err, out)
		}
		*path = filepath.Join(dir, "oncue_"+version+"_"+arch+".deb")
	}
	return p, nil
})

func needPackages(t *testing.T) packages {
	t.Helper()
	need(t, "make", "git", "gcc", "dpkg-deb")
	p, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dirs, err := filepath.Glob(filepath.Join(os.TempDir(), "oncue-packages-*")); err == nil && len(dirs) > 0 {
		if p, err := built(); err == nil {
			_ = os.RemoveAll(filepath.Dir(p.newer))
		}
	}
	os.Exit(code)
}

// layer mounts a writable root over a read-only one, and removes it after the test.
func layer(t *testing.T, base string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		t.Skipf("mount is not allowed here: %v", err)
	}
	t.Cleanup(func() { unmount(t, dir) })
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", base, dir, dir)
	if err := syscall.Mount("overlay", root, "overlay", 0, options); err != nil {
		t.Skipf("overlay cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { unmount(t, root) })
	return root
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Unmount(dir, 0); err != nil {
		if err = syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	}
}

// cleanDebian returns a minimal Debian of this machine's release, made once and kept in the user's
// cache.
func cleanDebian(t *testing.T) string {
	t.Helper()
	need(t, "debootstrap")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no place to keep a Debian root: %v", err)
	}
	release := strings.TrimSpace(run(t, "sh", "-c", `. /etc/os-release; echo "$VERSION_CODENAME"`))
	root := filepath.Join(cache, "oncue-debian", release)
	if _, err := os.Stat(root); err == nil {
		return root
	}
	mirror := strings.TrimSpace(run(t, "sh", "-c",
		`cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -oE 'https?://[^ ]+/debian/?( |$)' | `+
			`head -n 1`))
	making := fmt.Sprintf("%s.%d", root, os.Getpid())
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"--variant=minbase", "--include=ca-certificates", release, making}
	if mirror != "" {
		args = append(args, mirror)
	}
	if out, err := try(t, "debootstrap", args...); err != nil {
		_ = os.RemoveAll(making)
		t.Skipf("no clean Debian can be had: %v: %s", err, lastLine(out))
	}
	if err := os.Rename(making, root); err != nil && !errors.Is(err, os.ErrExist) {
		t.Fatal(err)
	}
	return root
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, data, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// await waits until ask says yes. When it never does, the test shows its last text.
func await(t *testing.T, what string, ask func() (string, bool)) string {
	t.Helper()
	said, ok := eventually(ask)
	if !ok {
		t.Fatalf("waited in vain until %s; last:\n%s", what, said)
	}
	return said
}

// eventually asks until the answer is yes. The limit is a safety net for busy hosts.
func eventually(ask func() (string, bool)) (said string, ok bool) {
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); <-time.After(200 * time.Millisecond) {
		if said, ok = ask(); ok {
			return said, true
		}
	}
	return said, false
}

// output is a program's output as it comes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
