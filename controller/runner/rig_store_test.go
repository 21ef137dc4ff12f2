package runner_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store"
)

// flaky is the store, which can be made to refuse.
type flaky struct {
	*store.Store
	r *rig
}

func (f flaky) Commit(ctx context.Context, c controller.Commit) ([]controller.Receipt, error) {
	if err := f.r.write(); err != nil {
		return nil, err
	}
	if c.Saved != nil {
		f.r.waitUnblocked()
	}
	return f.Store.Commit(ctx, c)
}

// write counts a commit of the controller's, unless it is refused.
func (r *rig) write() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saveErr != nil {
		return r.saveErr
	}
	r.commits++
	return nil
}

func (r *rig) waitUnblocked() {
	r.mu.Lock()
	blocked := r.blocked
	r.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
}

// refuses has the store refuse commits with the error, or take them again with nil.
func (r *rig) refuses(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saveErr = err
}

// blockStates has states wait in the store, and what comes with them, until the channel is closed.
func (r *rig) blockStates() (free chan struct{}) {
	free = make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blocked = free
	return free
}

// saved is the state of the one stream that the store has.
func (r *rig) saved() string {
	r.t.Helper()
	all, err := r.store.LoadStreams(context.Background())
	if err != nil || len(all) != 1 {
		r.t.Fatal(all, err)
	}
	return string(all[0].State)
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
