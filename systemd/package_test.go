package systemd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// chroot runs a command line in a root.
func chroot(t *testing.T, root, line string) string {
	t.Helper()
	return run(t, "chroot", root, "/bin/sh", "-c", line)
}

// TestLifeOfPackage installs, upgrades, removes and purges the package in a Debian without systemd,
// as in a container or an image being built.
func TestLifeOfPackage(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := needPackages(t)
	root := layer(t, cleanDebian(t))
	for name, path := range map[string]string{"older.deb": p.older, "newer.deb": p.newer} {
		copyFile(t, path, filepath.Join(root, name), 0o644)
	}
	before := chroot(t, root, "find / -xdev | sort")

	chroot(t, root, "dpkg --install /older.deb")
	if out := chroot(t, root, "oncue version"); !strings.HasPrefix(out, "oncue 1.0.0\ncommit ") {
		t.Errorf("the version is %q", out)
	}
	const owners = "stat -c '%U:%G %a' /etc/oncue/oncue.yaml /etc/oncue/admin.token /etc/oncue/oncue.env"
	out := chroot(t, root, "oncue check && "+owners+" && id -un oncue && dpkg --verify oncue")
	if !strings.Contains(out, "is good") ||
		!strings.Contains(out, "root:oncue 640\nroot:oncue 640\nroot:root 600\n") {
		t.Errorf("as installed:\n%s", out)
	}
	for _, path := range []string{
		"/usr/share/man/man1/oncue.1.gz", "/usr/share/man/man1/oncue-serve.1.gz",
		"/usr/share/bash-completion/completions/oncue", "/usr/share/doc/oncue/copyright",
		"/usr/share/doc/oncue/README.md", "/usr/share/doc/oncue/NOTICE.gz", "/usr/share/doc/oncue/sbom.cdx.json",
		"/usr/share/doc/oncue/examples/cameras.conf", "/lib/systemd/system/oncue.socket",
		"/etc/systemd/system/sockets.target.wants/oncue.socket",
		"/etc/systemd/system/multi-user.target.wants/oncue.service",
	} {
		if _, err := os.Lstat(filepath.Join(root, path)); err != nil {
			t.Errorf("installed, but: %v", err)
		}
	}

	token := chroot(t, root, "cat /etc/oncue/admin.token")
	if len(strings.TrimSpace(token)) != 48 {
		t.Errorf("the token is %q", token)
	}
	chroot(t, root,
		"echo '# mine' >> /etc/oncue/oncue.yaml && install -d /var/lib/oncue && touch /var/lib/oncue/oncue.db")
	chroot(t, root, "dpkg --install /newer.deb")
	out = chroot(t, root, "oncue version && tail -n 1 /etc/oncue/oncue.yaml")
	if !strings.HasPrefix(out, "oncue 1.1.0\n") || !strings.HasSuffix(out, "# mine\n") {
		t.Errorf("upgraded, it says:\n%s", out)
	}

	if got := chroot(t, root, "cat /etc/oncue/admin.token"); got != token {
		t.Errorf("the upgrade has changed the token from %q to %q", token, got)
	}

	chroot(t, root, "dpkg --remove oncue")
	out = chroot(t, root, "ls /etc/oncue/oncue.yaml /var/lib/oncue/oncue.db && "+
		"! ls /usr/bin/oncue /lib/systemd/system/oncue.service 2>&1 && getent passwd oncue")
	if !strings.Contains(out, "oncue.db") {
		t.Errorf("removed, it says:\n%s", out)
	}
	chroot(t, root, "dpkg --install /older.deb && dpkg --remove oncue && dpkg --purge oncue")
	chroot(t, root, "! getent passwd oncue && ! getent group oncue")
	if left := added(before, chroot(t, root, "find / -xdev | sort")); len(left) > 0 {
		t.Errorf("purged, but still there:\n%s", strings.Join(left, "\n"))
	}
}

// added lists the paths of the second listing that are not in the first, without those that any
// package leaves behind.
func added(before, after string) []string {
	known := map[string]bool{}
	for path := range strings.Lines(before) {
		known[path] = true
	}
	var found []string
	for path := range strings.Lines(after) {
		path := strings.TrimSpace(path)
		usual := slices.ContainsFunc([]string{"/var/lib/dpkg/", "/var/lib/systemd", "/var/log/", "/etc/passwd",
			"/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/sub", "/run/"},
			func(prefix string) bool { return strings.HasPrefix(path, prefix) })
		if !known[path+"\n"] && !usual {
			found = append(found, path)
		}
	}
	return found
}

// TestPackageIsSound inspects the package file.
func TestPackageIsSound(t *testing.T) {
	t.Parallel()
	p := needPackages(t)
	if out := run(t, "dpkg-deb", "--field", p.newer); !strings.Contains(out, "Version: 1.1.0\n") ||
		!strings.Contains(out, "Depends: libc6 (>= 2.34), adduser") {
		t.Error(out)
	}
	conffiles := strings.TrimSpace(run(t, "dpkg-deb", "--info", p.newer, "conffiles"))
	if out := conffiles; out != "/etc/oncue/oncue.env\n/etc/oncue/oncue.yaml\n/etc/polkit-1/rules.d/50-oncue.rules" {
		t.Errorf("conffiles: %q", out)
	}
	for line := range strings.Lines(run(t, "dpkg-deb", "--contents", p.newer)) {
		if f := strings.Fields(line); f[1] != "root/root" || strings.Contains(f[0][1:], "s") ||
			strings.HasSuffix(f[0], "w-") || strings.HasSuffix(f[0], "wx") {
			t.Errorf("owner or mode: %s", line)
		}
	}
	t.Run("lintian", func(t *testing.T) {
		need(t, "lintian")
		if out, err := try(t, "lintian", "--allow-root", "--fail-on", "error", p.newer); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
