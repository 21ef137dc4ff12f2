package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/oncue/oncue/store/commit"
)

const (
	probeEvery   = time.Second // of the size, and of the disk while the last write failed
	ballastEvery = time.Minute

	// checkLimit is how many bytes a file may have for its journal to be read through after each
	// start. A larger one would keep the disk busy for too long.
	checkLimit = 2 << 30
)

// keep looks after the file beside the writer until ctx ends: it checks it once, keeps the ballast
// and the bound on the size, and finds out when a fault has passed.
func (s *Store) keep(ctx context.Context) {
	begin := time.NewTimer(s.options.UpkeepAfter)
	defer begin.Stop()
	probe, ballast := time.NewTicker(probeEvery), time.NewTicker(ballastEvery)
	defer probe.Stop()
	defer ballast.Stop()
	var last sized
	gone := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-begin.C:
			s.makeBallast()
			s.check(ctx)
		case <-s.health.failed:
			s.relieve(ctx)
		case <-probe.C:
			if _, err := os.Stat(s.path); !errors.Is(err, fs.ErrNotExist) {
				gone = 0
			} else if gone++; gone == 2 { // it is missing for a moment while it is replaced
				s.suspect(fmt.Errorf("%w: its file was removed while it was in use", errCorrupt))
			}
			if err := s.health.last(); err != nil {
				limited, cancel := context.WithTimeout(ctx, 2*lockedWait)
				s.Ready(limited) //nolint:errcheck // it keeps the result itself
				cancel()
			}
			if err := s.keepSize(ctx, &last); err != nil && ctx.Err() == nil {
				s.log.Error("store: the database is larger than its bound, and retention failed", "error", err)
			}
		case <-ballast.C:
			s.makeBallast()
		}
	}
}

// check reads the database through, table by table, so that no long read keeps the log from being
// emptied.
func (s *Store) check(ctx context.Context) {
	tables := []string{"streams", "settings", "history", "swept", "journal"}
	if size, err := s.size(); err != nil || size > checkLimit {
		tables = tables[:3]
	}
	for _, table := range tables {
		err := quickCheck(ctx, s.reader(), table)
		if errors.Is(err, errCorrupt) || faultOf(err) == faultCorrupt {
			s.suspect(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("store: the check after opening did not finish", "table", table, "error", err)
			return
		}
	}
}

func (s *Store) makeBallast() {
	if err := s.health.last(); err != nil {
		return
	}
	if err := s.ballast.make(); err != nil {
		s.log.Warn("store: the ballast for a full disk was not made", "error", err)
		return
	}
}

// relieve frees space on a full disk: it removes the ballast, and runs retention in its space.
func (s *Store) relieve(ctx context.Context) {
	err := s.health.takeFull()
	if err == nil {
		return
	}
	dropped := s.ballast.drop()
	s.log.Error("store: the disk is full; hooks are refused until there is space",
		"error", err, "ballast_dropped", dropped)
	s.notice("disk_full", "The disk is full. Hooks are refused until there is space.")
	if p := s.policy.Load(); p != nil {
		if _, err := s.Sweep(ctx, *p); err != nil {
			s.log.Error("store: retention could not free space", "error", err)
		}
	}
}

// admit says why hooks may not use the free space, or nil. After the ballast was removed, half of
// its space is for retention.
func (s *Store) admit(c *commit.Conn) error {
	if !s.ballast.dropped.Load() {
		return nil
	}
	free, _, err := freeSpace(s.options.Dir)
	if err != nil || free >= ballastSize/2 {
		return err
	}
	pages, err := c.Number("PRAGMA freelist_count")
	if err == nil && pages < sparePages/4 {
		err = errReserved
	}
	return err
}
