package store

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

// corruptFiles returns the names of what was moved aside, without logs.
func corruptFiles(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, fileName+".corrupt-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range all {
		if !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") {
			names = append(names, name)
		}
	}
	return names
}

// TestCorruptBytes damages a good file at random places, and expects the store to open and to take
// hooks, whatever that took.
func TestCorruptBytes(t *testing.T) {
	good := t.TempDir()
	s := open(t, good)
	mustAppend(t, s, 0, 3000)
	for range 20 {
		x := controller.Saved{ID: "ABC/x", State: []byte("{}")}
		if err := saveStream(t.Context(), s, x, []controller.Transition{{Stream: "ABC/x"}}); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	data, err := os.ReadFile(filepath.Join(good, fileName))
	if err != nil {
		t.Fatal(err)
	}
	replaced := 0
	seeds := uint64(40)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		bad := append([]byte(nil), data...)
		at, length := random.IntN(len(bad)), 1+random.IntN(4096)
		switch seed % 4 {
		case 0: // the first page
			at = random.IntN(4096)
		case 1: // cut
			bad = bad[:at]
		}
		for i := at; i < min(at+length, len(bad)); i++ {
			bad[i] ^= byte(1 + random.IntN(255))
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
			continue
		}
		eventually(t, "a hook is taken", func() bool {
			_, _, err := s.Append(t.Context(), hook(1_000_000))
			return err == nil
		})
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("seed %d: the first hook was taken after %v", seed, took)
		}
		// Both may find the damage.
		_, _ = s.Records(t.Context(), controller.RecordFilter{Stream: "ABC/cam-1"})
		_ = s.Replay(t.Context(), time.Time{}, func(controller.Record) error { return nil })
		eventually(t, "ready", func() bool { return s.Ready(t.Context()) == nil })
		if names := corruptFiles(t, dir); len(names) > 0 {
			replaced++
			if kept, err := os.ReadFile(names[0]); err != nil || len(kept) == 0 && len(bad) > 0 {
				t.Errorf("seed %d: what was moved aside is gone: %v", seed, err)
			}
		}
		closeStore(t, s)
	}
	t.Logf("%d of %d damaged files were replaced", replaced, seeds)
}

// TestCloseWhileCorrupt closes a store whose writer finds the damage as it is told of the end.
func TestCloseWhileCorrupt(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, 0, 10)
	s.suspect(errCorrupt)
	closeStore(t, s)
}

// TestCorruptWhileOpen damages the file under an open store that has a backup.
func TestCorruptWhileOpen(t *testing.T) {
	dir := t.TempDir()
	notices := make(chan controller.Notice, 10)
	s := openWith(t, Options{Dir: dir, Notice: func(n controller.Notice) { notices <- n }})
	mustAppend(t, s, 0, 100)
	if err := s.Backup(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 100, 200)
	s.suspect(errCorrupt)
	if n := wait(t, notices); n.Kind != "store_corrupt" || !strings.Contains(n.Text, "the backup oncue-") {
		t.Fatal(n)
	}
	eventually(t, "ready", func() bool { return s.Ready(t.Context()) == nil })
	if n := number(t, s, "SELECT count(*) FROM journal"); n != 100 {
		t.Fatalf("%d hooks came back, want 100", n)
	}
	if seq, duplicate, err := s.Append(t.Context(), hook(50)); err != nil || !duplicate || seq != 51 {
		t.Fatal(seq, duplicate, err)
	}
	mustAppend(t, s, 100, 110)
	names := corruptFiles(t, dir)
	if len(names) != 1 {
		t.Fatal(names)
	}
	closeStore(t, s)
	// The moved file and its log together still hold everything.
	moved := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(names[0]+suffix, filepath.Join(moved, fileName+suffix)); err != nil {
			t.Fatal(err)
		}
	}
	if n := number(t, open(t, moved), "SELECT count(*) FROM journal"); n != 200 {
		t.Fatalf("%d hooks are in the moved file, want 200", n)
	}
}

func TestBackupRestores(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	for n := range backupsKept + 2 {
		mustAppend(t, s, n*10, n*10+10)
		s.now = func() time.Time { return now.Add(time.Duration(n) * time.Hour) }
		if err := s.Backup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.backups()
	if err != nil || len(all) != backupsKept {
		t.Fatal(all, err)
	}
	if info, err := os.Stat(all[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	parts, err := filepath.Glob(filepath.Join(s.backupDir(), "*.part"))
	if err != nil || len(parts) > 0 {
		t.Fatal(parts, err)
	}
	// The newest is damaged, so the one before it comes back.
	if err := os.WriteFile(all[0], []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	bad := []byte(strings.Repeat("no database", 1000))
	if err := os.WriteFile(filepath.Join(dir, fileName), bad, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if n := number(t, s, "SELECT count(*) FROM journal"); n != 80 {
		t.Fatalf("%d hooks came back, want 80", n)
	}
	if len(corruptFiles(t, dir)) != 1 {
		t.Fatal("the bad file is gone")
	}
}

func TestPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s := open(t, dir)
	mustAppend(t, s, 0, 10)
	if err := s.Backup(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is open to others: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFileRemovedInUse removes the database under a store that works. It goes on with another file,
// and says so: nothing is written to a file that nobody can find.
func TestFileRemovedInUse(t *testing.T) {
	dir := t.TempDir()
	told := make(chan string, 10)
	s, err := Open(t.Context(), Options{Dir: dir, Notice: func(n controller.Notice) { told <- n.Kind }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	mustAppend(t, s, 0, 10)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(dir, fileName+suffix)); err != nil && suffix == "" {
			t.Fatal(err)
		}
	}
	select {
	case kind := <-told:
		if kind != Corrupt {
			t.Errorf("told of %s", kind)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody is told")
	}
	eventually(t, "hooks are taken", func() bool { return s.Ready(t.Context()) == nil })
	mustAppend(t, s, 20, 10)
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		t.Error(err)
	}
}
