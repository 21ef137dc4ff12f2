package daemon

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oncue/oncue/configs"
)

// TestGuardIsShared: encoders keep one guard together, and a new file in the data directory is in
// the next one.
func TestGuardIsShared(t *testing.T) {
	dir := t.TempDir()
	cfg := &configs.Config{DataDir: dir, File: filepath.Join(dir, "oncue.yaml")}
	d := new(Daemon)
	a, b := d.guard(cfg), d.guard(cfg)
	if &a.Paths[0] != &b.Paths[0] || &a.Hidden[0] != &b.Hidden[0] {
		t.Error("each encoder has a guard of its own")
	}
	file := filepath.Join(dir, "oncue.new")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if g := d.guard(cfg); !slices.Contains(g.Paths, file) || !slices.Contains(g.Hidden, file) {
		t.Errorf("a new file is not guarded: %+v", g)
	}
}

// Programs behind sockets of this host can be driven, but never oncue itself.
func TestGuardNamesOwnSockets(t *testing.T) {
	t.Parallel()
	cfg := configs.Default()
	cfg.DataDir = t.TempDir()
	cfg.Listen, cfg.Admin.Listen, cfg.Admin.Socket = "unix:/run/a.sock", "unix:/run/b.sock", "/run/c.sock"
	g := guardOf(cfg)
	for _, path := range []string{"/run/a.sock", "/run/b.sock", "/run/c.sock"} {
		if !slices.Contains(g.Paths, path) || !slices.Contains(g.Hidden, path) {
			t.Errorf("%s is not guarded: %+v", path, g)
		}
	}
}
