package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// smallDisk mounts a file system of so many MiB.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a small disk is needed, and only root may mount one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("unmount:", err)
		}
	})
	return dir
}

// fill takes up the disk but for so many bytes, and returns what gives it back.
func fill(t *testing.T, dir string, but int64) func() {
	t.Helper()
	free, _, err := freeSpace(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Fallocate(int(f.Fd()), 0, 0, free-but), f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// appendUntilRefused returns how many hooks were taken before one was not, and the error.
func appendUntilRefused(t *testing.T, s *Store, from int) (int, error) {
	t.Helper()
	for n := from; n < from+1_000_000; n++ {
		if _, _, err := s.Append(t.Context(), hook(n)); err != nil {
			return n - from, err
		}
	}
	t.Fatal("the disk never filled up")
	return 0, nil
}

// saysOnce reports whether an error of Ready gives the reason, and says only once what that means.
func saysOnce(err error, reason string) bool {
	return err != nil && strings.Contains(err.Error(), reason) &&
		strings.Count(err.Error(), controller.ErrStore.Error()) == 1
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, "4m")
	release := fill(t, dir, 1<<20)
	s := open(t, filepath.Join(dir, "data"))
	taken, err := appendUntilRefused(t, s, 0)
	if !errors.Is(err, controller.ErrStore) {
		t.Fatal("want ErrStore, got", err)
	}
	if err := s.Ready(t.Context()); !saysOnce(err, "the disk is full") {
		t.Fatal("Ready says", err)
	}
	if n := number(t, s, "SELECT count(*) FROM journal"); n != int64(taken) {
		t.Fatalf("%d hooks were promised, %d are there", taken, n)
	}
	release()
	start := time.Now()
	eventually(t, "ready again", func() bool { return s.Ready(t.Context()) == nil })
	mustAppend(t, s, 1_000_000, 1_000_100)
	t.Logf("%d hooks taken, ready %v after there was space", taken, time.Since(start))
	if err := quickCheck(t.Context(), s.reader(), ""); err != nil {
		t.Fatal(err)
	}
}

func TestBallast(t *testing.T) {
	dir := smallDisk(t, "192m")
	notices := make(chan controller.Notice, 100)
	s := openWith(t, Options{Dir: dir, Notice: func(n controller.Notice) { notices <- n }})
	eventually(t, "ballast", func() bool { _, err := os.Stat(s.ballast.path); return err == nil })
	mustAppend(t, s, 0, 40) // too few for a checkpoint, which would use space while the disk is filled
	eventually(t, "the log is stretched", func() bool {
		info, err := os.Stat(s.path + "-wal")
		return err == nil && info.Size() == commit.LogSize
	})
	release := fill(t, dir, 64<<10)
	if _, err := appendUntilRefused(t, s, 1000); faultOf(err) != faultFull {
		t.Fatal("want a full disk, got", err)
	}
	if n := wait(t, notices); n.Kind != "disk_full" {
		t.Fatal(n)
	}
	eventually(t, "the ballast goes", func() bool { return s.ballast.dropped.Load() })
	// What it left is used until half of it is gone, and no further: the rest is for retention.
	if _, err := appendUntilRefused(t, s, 2_000_000); !errors.Is(err, errReserved) {
		t.Fatal("want the reserve kept, got", err)
	}
	if err := s.Ready(t.Context()); !saysOnce(err, "the disk is full") {
		t.Fatal("Ready says", err)
	}
	if err := saveStream(t.Context(), s, controller.Saved{ID: "ABC/x"}, nil); err != nil {
		t.Fatal("a stream's state may use the reserve:", err)
	}
	swept, err := s.Sweep(t.Context(), Policy{Journal: time.Nanosecond})
	if err != nil || swept.Hooks < 100 {
		t.Fatal(swept, err)
	}
	eventually(t, "ready after retention", func() bool { return s.Ready(t.Context()) == nil })
	mustAppend(t, s, 3_000_000, 3_000_010)
	release()
	s.makeBallast()
	if s.ballast.dropped.Load() {
		t.Fatal("the ballast was not set aside again")
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLockedByAnother(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, 0, 1)
	other, err := sql.Open("sqlite3", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	foreign, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	if _, err := foreign.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, _, err = s.Append(t.Context(), hook(1))
	if took := time.Since(start); !errors.Is(err, controller.ErrStore) || took > 2*time.Second {
		t.Fatalf("after %v: %v", took, err)
	}
	if err := s.Ready(t.Context()); !saysOnce(err, "locked by another process") {
		t.Fatal("Ready says", err)
	}
	if r, err := s.Records(t.Context(), controller.RecordFilter{}); err != nil || len(r) != 1 {
		t.Fatal("reads wait for nobody:", r, err)
	}
	if _, err := foreign.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, 1, 2)
}

func TestQueueFull(t *testing.T) {
	s := open(t, t.TempDir())
	release := holdWriter(s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for n := range commit.Limit {
		if _, _, err := s.Append(ctx, hook(n)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if _, _, err := s.Append(t.Context(), hook(-1)); !errors.Is(err, controller.ErrStore) {
		t.Fatal("want ErrStore at once, got", err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, commit.ErrFull) {
		t.Fatal("Ready says", err)
	}
	close(release)
	eventually(t, "ready", func() bool { return s.Ready(t.Context()) == nil })
	eventually(t, "all stored", func() bool { return number(t, s, "SELECT count(*) FROM journal") == commit.Limit })
}

func TestPoisonedRequest(t *testing.T) {
	s := open(t, t.TempDir())
	onWriter(t, s, func(c *commit.Conn) error {
		return c.Exec(`CREATE TRIGGER poison BEFORE INSERT ON journal WHEN new.note = 'poison'
			BEGIN SELECT raise(ABORT, 'poison'); END`)
	})
	release := holdWriter(s)
	type result struct {
		n   int
		err error
	}
	results := make(chan result)
	for n := range 50 {
		go func() {
			r := hook(n)
			if n == 20 {
				r.Note = "poison"
			}
			var err error
			if n%10 == 0 {
				id := fmt.Sprint("ABC/", n)
				_, _, err = commitOne(context.Background(), s, r, controller.Saved{ID: controller.StreamID(id)},
					[]controller.Transition{{Stream: controller.StreamID(id)}})
			} else {
				_, _, err = s.Append(context.Background(), r)
			}
			results <- result{n, err}
		}()
	}
	go func() {
		x := controller.Saved{ID: "ABC/x"}
		err := saveStream(context.Background(), s, x, []controller.Transition{{Stream: "ABC/x"}})
		results <- result{-1, err}
	}()
	eventually(t, "all queued", func() bool { return s.writer.Waiting() == 51 })
	close(release)
	for range 51 {
		if r := <-results; (r.err != nil) != (r.n == 20) {
			t.Errorf("request %d: %v", r.n, r.err)
		}
	}
	if n := number(t, s, "SELECT count(*) FROM journal"); n != 49 {
		t.Errorf("%d hooks are there, want 49", n)
	}
	if n := number(t, s, "SELECT max(seq) FROM journal"); n != 49 {
		t.Errorf("the last number is %d, want 49", n)
	}
	for _, table := range []string{"streams", "history"} {
		if n := number(t, s, "SELECT count(*) FROM "+table); n != 5 { // four that came with a hook, one alone
			t.Errorf("%d rows in %s, want 5", n, table)
		}
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	onWriter(t, s, func(c *commit.Conn) error { return c.Exec("DROP TRIGGER poison") })
	if _, duplicate, err := s.Append(t.Context(), hook(20)); err != nil || duplicate {
		t.Error("the refused hook must be as good as new:", duplicate, err)
	}
}
