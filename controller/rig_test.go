package controller_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders/fake"
	"github.com/oncue/oncue/store"
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

// bootWithTraces is boot for a host on which files of encoders are found.
func (r *rig) bootWithTraces() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(context.Background(), store.Options{Dir: filepath.Join(r.dir, "data")}); err != nil {
		r.t.Fatal(err)
	}
	r.boxes = map[string]*fake.Encoder{}
	r.c = controller.New(controller.Config{
		Find: r.find, Streams: r.specs, Accounts: r.accounts, Store: r.store, Open: r.open, Traces: func(string) bool { return true },
		Clock: controller.ClockOf(time.Now, func() time.Duration { return time.Since(r.begun) }),
	})
	if err := r.c.Start(context.Background()); err != nil {
		r.t.Fatal(err)
	}
	synctest.Wait()
}
