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
	"github.com/oncue/oncue/store/commit"
)

// Store is an open data directory. All methods may be called from any goroutine.
type Store struct {
	// set at construction
	options Options
	path    string
	log     *slog.Logger
	now     func() time.Time
	lock    *os.File
	writer  *commit.Writer[request]
	health  *health
	stopped chan struct{} // closed when the writer has ended

	recent  recent // as of the last commit; the writer owns it
	written recent // and with the batch that is being committed

	movedTo    string // where a corrupt file was moved until another is in its place; run owns it
	ballast    *ballast
	policy     atomic.Pointer[Policy] // of the last sweep
	backupMu   sync.Mutex
	stopKeeper context.CancelFunc
	keeper     sync.WaitGroup

	handles   atomic.Pointer[handles]
	closeOnce sync.Once
	closeErr  error
}

var _ controller.Store = (*Store)(nil)

// Corrupt is the kind of the notice that the database was replaced: by the newest good backup, or
// by an empty one.
const Corrupt = "store_corrupt"

// Options says where and how to open.
type Options struct {
	// Dir is the data directory. It is made when missing, private to its owner. CheckDir says which
	// are refused.
	Dir         string
	Shared      bool          // Dir may hold other things, too; its mode stays as it is
	Log         *slog.Logger  // nil: discard
	LockWait    time.Duration // how long to wait for another oncue to release Dir
	UpkeepAfter time.Duration // how long checks and upkeep wait after Open, so as not to slow down a start

	// Notice is told what people want to know: Corrupt, disk_full. It is called from the store's
	// goroutines and must return soon. May be nil.
	Notice func(controller.Notice)
}

// Open makes the calling process the one that uses the data directory. It returns at once when the
// file is in order.
func Open(ctx context.Context, o Options) (*Store, error) {
	if err := checkBuild(); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{options: o, log: o.Log, now: time.Now, health: newHealth(), stopped: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s.writer = s.newWriter()
	go s.run()
	ctx, s.stopKeeper = context.WithCancel(context.WithoutCancel(ctx))
	s.keeper.Go(func() { s.keep(ctx) })
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.options.Dir, err = prepareDir(s.options.Dir, s.options.Shared); err != nil {
		return err
	}
	s.path = filepath.Join(s.options.Dir, fileName)
	if s.lock, err = lockDir(ctx, s.options.Dir, s.options.LockWait); err != nil {
		return err
	}
	s.ballast = newBallast(s.options.Dir)
	h, err := s.openFile(ctx)
	if err != nil {
		return errors.Join(err, s.lock.Close())
	}
	s.handles.Store(h)
	return nil
}

func (s *Store) reader() *sql.DB { return s.handles.Load().ro }

// suspect has the file replaced.
func (s *Store) suspect(err error) {
	s.health.wrote(err)
	s.writer.Interrupt(err)
}

// size returns the bytes of the database file.
func (s *Store) size() (int64, error) {
	info, err := os.Stat(s.path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Close writes what waits, and releases the data directory.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.stopKeeper()
		s.keeper.Wait()
		s.writer.Close()
		<-s.stopped
		s.closeErr = errors.Join(s.handles.Load().Close(), s.lock.Close())
	})
	return s.closeErr
}
