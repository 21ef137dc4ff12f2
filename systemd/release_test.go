package systemd

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestReproducible builds the package of one commit in two places: the bytes must be the same.
func TestReproducible(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds two packages; not with -short")
	}
	needPackages(t) // what both have in common is then compiled
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
