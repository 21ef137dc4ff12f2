package store

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

var update = flag.Bool("update", false, "write testdata anew")

func TestSettingsThatDurabilityHangsOn(t *testing.T) {
	s := open(t, t.TempDir())
	onWriter(t, s, func(c *commit.Conn) error {
		for pragma, want := range map[string]int64{"synchronous": 2, "auto_vacuum": 2, "wal_autocheckpoint": 0,
			"page_size": commit.PageSize, "foreign_keys": 1} {
			if got, err := c.Number("PRAGMA " + pragma); err != nil || got != want {
				t.Errorf("%s is %d, want %d (%v)", pragma, got, want, err)
			}
		}
		return nil
	})
	for _, db := range []*sql.DB{s.handles.Load().ro} {
		if _, err := db.Exec("DELETE FROM journal"); err == nil {
			t.Error("the readers' handle can write")
		}
	}
	if text, number := sqliteVersion(); number < oldestSQLite {
		t.Error(text)
	}
}

func TestAnotherUsesTheDirectory(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	_, err := Open(t.Context(), Options{Dir: dir})
	if want := fmt.Sprintf("another oncue (pid %d) uses %s", os.Getpid(), dir); err == nil ||
		!strings.Contains(err.Error(), want) {
		t.Fatalf("want %q, got %v", want, err)
	}
	// A planned restart: the next one waits while the first finishes.
	opened := make(chan error)
	go func() {
		s, err := Open(context.Background(), Options{Dir: dir, LockWait: time.Minute})
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	mustAppend(t, first, 0, 10)
	closeStore(t, first)
	if err := <-opened; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	open(t, dir)
	if _, err := Open(ctx, Options{Dir: dir, LockWait: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	onWriter(t, s, func(c *commit.Conn) error { return c.Exec("PRAGMA user_version = 7") })
	closeStore(t, s)
	_, err := Open(t.Context(), Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "schema version 7") {
		t.Fatal(err)
	}
	if len(corruptFiles(t, dir)) > 0 {
		t.Fatal("a newer file is not a corrupt one")
	}
}

func TestMigrate(t *testing.T) {
	db, err := sql.Open("sqlite3", filepath.Join(t.TempDir(), "x.db")+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	backups := 0
	backup := func() error { backups++; return nil }
	steps := fstest.MapFS{
		"migrations/0001_a.sql": {Data: []byte("CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);")},
	}
	if err := migrate(t.Context(), db, steps, backup); err != nil || backups != 0 {
		t.Fatal(err, backups)
	}
	const second = "UPDATE a SET x = 2; CREATE TABLE b (y INTEGER);"
	steps["migrations/0002_b.sql"] = &fstest.MapFile{Data: []byte(second + " SELECT wrong;")}
	if err := migrate(t.Context(), db, steps, backup); err == nil || backups != 1 {
		t.Fatal(err, backups)
	}
	var x, version int
	const state = "SELECT x, (SELECT user_version FROM pragma_user_version) FROM a"
	if err := db.QueryRow(state).Scan(&x, &version); err != nil || x != 1 || version != 1 {
		t.Fatal("a failed step left something behind:", x, version, err)
	}
	steps["migrations/0002_b.sql"] = &fstest.MapFile{Data: []byte(second)}
	for range 2 {
		if err := migrate(t.Context(), db, steps, backup); err != nil || backups != 2 {
			t.Fatal(err, backups)
		}
	}
	if err := db.QueryRow(state).Scan(&x, &version); err != nil || x != 2 || version != 2 {
		t.Fatal(x, version, err)
	}
}

// TestGolden opens a file of each schema version that was ever released.
func TestGolden(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 123_000_000, time.UTC)
	record := controller.Record{
		Seq: 1, Received: at, Sent: at.Add(-time.Second), Account: "ABC", Stream: "ABC/lobby", Type: "feeds",
		Event:   "started",
		Verdict: controller.Accepted, Note: "", Size: 2, Body: []byte("{}"),
	}
	if *update {
		steps, err := fs.Glob(migrations, "migrations/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		newest := fmt.Sprintf("testdata/v%d.db", len(steps))
		dir := t.TempDir()
		s := open(t, dir)
		err = errors.Join(
			saveStream(t.Context(), s, controller.Saved{ID: "ABC/lobby", At: at, State: []byte(`{"phase":"live"}`)},
				[]controller.Transition{{Stream: "ABC/lobby", At: controller.Time{Time: at}, From: "idle",
					To: "starting", Event: "ViewerAttempt",
					Reason: "a viewer is waiting", Encoder: "cam",
					Deadline: &controller.Time{Time: at.Add(time.Minute)}}}),
			s.SetSetting(t.Context(), "webhook/ABC", "c2VjcmV0"))
		if _, _, appendErr := s.Append(t.Context(), record); err != nil || appendErr != nil {
			t.Fatal(err, appendErr)
		}
		closeStore(t, s)
		if err := copyFile(filepath.Join(dir, fileName), newest); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob("testdata/v*.db")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		dir := t.TempDir()
		if err := copyFile(file, filepath.Join(dir, fileName)); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		var hooks []controller.Record
		err := s.Replay(t.Context(), at, func(r controller.Record) error {
			r.Sum = [32]byte{}
			hooks = append(hooks, r)
			return nil
		})
		if diff := cmp.Diff([]controller.Record{record}, hooks); diff != "" || err != nil {
			t.Errorf("%s: hooks: %v\n%s", file, err, diff)
		}
		streams, err := s.LoadStreams(t.Context())
		if diff := cmp.Diff([]controller.Saved{{ID: "ABC/lobby", At: at, State: []byte(`{"phase":"live"}`)}},
			streams); diff != "" || err != nil {
			t.Errorf("%s: streams: %v\n%s", file, err, diff)
		}
		story, err := s.History(t.Context(), "ABC/lobby", 10, 0)
		if err != nil || len(story) != 1 || story[0].Reason != "a viewer is waiting" ||
			!story[0].Deadline.Equal(at.Add(time.Minute)) {
			t.Errorf("%s: history: %v %v", file, story, err)
		}
		if v, err := s.Setting(t.Context(), "webhook/ABC"); err != nil || v != "c2VjcmV0" {
			t.Errorf("%s: setting: %q %v", file, v, err)
		}
		if len(corruptFiles(t, dir)) > 0 {
			t.Errorf("%s was taken for corrupt", file)
		}
	}
}
