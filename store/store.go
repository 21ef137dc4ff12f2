// Package store keeps what oncue must not forget in one SQLite file: the journal of hooks, each stream's state and history, and small
// settings. [Open] is the way in; [Store] implements [controller.Store].
//
// One goroutine writes. What waits for it is committed together and synced once, so a durable answer costs each caller a share of an
// fsync, and everybody is answered after the commit. Reads go their own way and wait for nobody.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller"
)

// Store is an open data directory. All methods may be called from any goroutine.
type Store struct {
	// set at construction
	options Options
	path    string
	log     *slog.Logger
	now     func() time.Time
	lock    *os.File
	queue   *queue
	health  *health
	stopped chan struct{} // closed when the writer has ended

	handles   atomic.Pointer[handles]
	closeOnce sync.Once
	closeErr  error
}

var _ controller.Store = (*Store)(nil)

// Options says where and how to open.
type Options struct {
	Dir      string        // the data directory; made when missing, private to its owner
	Log      *slog.Logger  // nil: discard
	LockWait time.Duration // how long to wait for another oncue to let go of Dir
}

// Open makes the calling process the one that uses the data directory. It returns at once when the file is in order.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := checkBuild(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{options: o, log: o.Log, now: time.Now, queue: newQueue(), health: &health{}, stopped: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	go s.write()
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.options.Dir, err = prepareDir(s.options.Dir); err != nil {
		return err
	}
	s.path = filepath.Join(s.options.Dir, fileName)
	if s.lock, err = lockDir(ctx, s.options.Dir, s.options.LockWait); err != nil {
		return err
	}
	h, err := openHandles(ctx, s.path)
	if err != nil {
		return errors.Join(err, s.lock.Close())
	}
	if err := migrate(ctx, h.rw, func() error { return nil }); err != nil {
		return errors.Join(err, h.Close(), s.lock.Close())
	}
	s.handles.Store(h)
	return nil
}

func (s *Store) write() {
	defer close(s.stopped)
	w := newWriter(s.queue, s.health, s.now)
	if err := w.serve(s.handles.Load().rw); err != nil {
		s.log.Error("store: the writer ended", "error", err)
	}
}

func (s *Store) reader() *sql.DB { return s.handles.Load().ro }

func (s *Store) suspect(err error) { s.health.wrote(err) }

// Close writes what waits, and lets go of the data directory.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.queue.close()
		<-s.stopped
		s.closeErr = errors.Join(s.handles.Load().Close(), s.lock.Close())
	})
	return s.closeErr
}
