package systemd

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestVersionsSort makes commits within one day and one second: the package of a later commit has
// the newer version.
func TestVersionsSort(t *testing.T) {
	t.Parallel()
	need(t, "make", "git", "dpkg")
	dir := t.TempDir()
	copyFile(t, "../Makefile", filepath.Join(dir, "Makefile"), 0o644)
	before := ""
	run(t, "git", "-C", dir, "init", "--quiet")
	for n, at := range []string{"2026-01-31T23:59:59+01:00", "2026-01-31T23:59:59+01:00", "2026-01-31T23:00:00+00:00",
		"2026-02-01T00:30:00+01:00", "2026-02-01T00:30:00+01:00"} {
		run(t, "env", "GIT_COMMITTER_DATE="+at, "git", "-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com",
			"commit", "--quiet", "--allow-empty", "-m", strconv.Itoa(n))
		version := strings.TrimSpace(run(t, "make", "--silent", "-C", dir, "--no-print-directory",
			"--eval=version:;@echo '$(VERSION)'", "version"))
		if before != "" {
			run(t, "dpkg", "--compare-versions", before, "lt", version)
		}
		if !regexp.MustCompile(`^0\.0\.0~20260[12][0-9]{8}\.` + strconv.Itoa(n+1) +
			`\.[0-9a-f]+$`).MatchString(version) {
			t.Errorf("commit %d has the version %s", n, version)
		}
		before = version
	}
}

// TestReproducible builds the package of one commit in two places: the bytes must be the same.
func TestReproducible(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds two packages; not with -short")
	}
	needPackages(t) // it compiles what both builds share
	var packages [2][]byte
	for i := range packages {
		dir := t.TempDir()
		if out, err := try(t, "git", "clone", "--quiet", "--no-hardlinks", ".", dir); err != nil {
			t.Skipf("this is no git repository: %v: %s", err, out)
		}
		run(t, "make", "-C", dir, "release", "VERSION=2.0.0", "DIST=dist", "ARCHES=amd64", "HOST=amd64")
		for _, name := range []string{"oncue_2.0.0_amd64.deb", "SHA256SUMS"} {
			data, err := os.ReadFile(filepath.Join(dir, "dist", name))
			if err != nil {
				t.Fatal(err)
			}
			packages[i] = append(packages[i], data...)
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("the same commit gives two different packages")
	}
}
