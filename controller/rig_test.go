package controller_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

var nolog = slog.New(slog.DiscardHandler)

func mkdir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// loseStore loses the database.
func (r *rig) loseStore(t *testing.T) {
	t.Helper()
	if err := os.Rename(filepath.Join(r.dir, "data"), filepath.Join(r.dir, "lost")); err != nil {
		t.Fatal(err)
	}
}
