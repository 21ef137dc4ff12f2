package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// The ballast is given up when the disk is full, so that retention, which must write before it frees, can run.
	ballastSize = 16 << 20

	// Space is set aside only while more than 64 MiB and a twentieth of the disk are free.
	reserveMinFree = 64 << 20
	reserveShare   = 20
)

// ballast is a file that only takes up room.
type ballast struct {
	path    string
	dropped atomic.Bool // given up, and not set aside again yet
}

func newBallast(dir string) *ballast { return &ballast{path: filepath.Join(dir, ballastName)} }

// make sets the room aside if there is plenty.
func (b *ballast) make() error {
	if info, err := os.Lstat(b.path); err == nil && info.Mode().IsRegular() && info.Size() == ballastSize {
		b.dropped.Store(false)
		return nil
	}
	free, total, err := freeSpace(filepath.Dir(b.path))
	if err != nil || free <= reserveMinFree || free <= total/reserveShare {
		return err
	}
	f, err := openOwn(b.path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, ballastSize)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.WriteAt(make([]byte, ballastSize), 0)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("set the ballast aside: %w", err), os.Remove(b.path))
	}
	b.dropped.Store(false)
	return nil
}

// drop gives the room back and reports whether there was any.
func (b *ballast) drop() bool {
	if os.Remove(b.path) != nil {
		return false
	}
	b.dropped.Store(true)
	return true
}

// freeSpace returns what this process may still use of the file system at path, and its size, bytes.
func freeSpace(path string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space at %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
