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
	// The ballast is removed when the disk is full, so that retention can run: it must write before
	// it frees anything.
	ballastSize = 16 << 20

	// Space is set aside only while more than 64 MiB and a twentieth of the disk are free.
	reserveMinFree = 64 << 20
	reserveShare   = 20
)

// ballast is a file that only takes up space.
type ballast struct {
	path    string
	dropped atomic.Bool // removed, and not made again yet
}

func newBallast(dir string) *ballast { return &ballast{path: filepath.Join(dir, ballastName)} }

// make reserves the space if there is plenty.
func (b *ballast) make() error {
	if info, err := os.Lstat(b.path); err == nil && info.Mode().IsRegular() && info.Size() == ballastSize {
		b.dropped.Store(false)
		return nil
	}
	if ok, err := plenty(filepath.Dir(b.path)); err != nil || !ok {
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
		return errors.Join(fmt.Errorf("make the ballast: %w", err), os.Remove(b.path))
	}
	b.dropped.Store(false)
	return nil
}

// drop removes the file and reports whether there was one.
func (b *ballast) drop() bool {
	if os.Remove(b.path) != nil {
		return false
	}
	b.dropped.Store(true)
	return true
}

// plenty reports whether there is space at path for more than hooks.
func plenty(path string) (bool, error) {
	free, total, err := freeSpace(path)
	return free > reserveMinFree && free > total/reserveShare, err
}

// freeSpace returns how many bytes of the file system at path this process may still use, and how
// many there are.
func freeSpace(path string) (free, total int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space at %s: %w", path, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}
