package runner_test

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

// copyStore copies a database in the place of another.
func (r *rig) copyStore(t *testing.T, from, to string) {
	t.Helper()
	for _, file := range []string{"oncue.db", "oncue.db-wal"} {
		data, err := os.ReadFile(filepath.Join(r.dir, from, file))
		if os.IsNotExist(err) {
			_ = os.Remove(filepath.Join(r.dir, to, file))
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mkdir(t, filepath.Join(r.dir, to)), file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(filepath.Join(r.dir, to, "oncue.db-shm"))
}
