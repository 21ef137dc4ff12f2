package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked means that a process of the encoder is alive.
var ErrLocked = errors.New("an encoder process of an earlier start still runs")

// TakeLock locks a lock file of the folder. The lock belongs to the open file, so a process that
// inherits the descriptor holds it, too. Whoever asks by [Locked] has it for a moment, and so may a
// process that has just ended: it is tried for a tenth of a second.
func TakeLock(dir, name string) (*os.File, error) {
	f, err := OpenLock(dir, name)
	if err != nil {
		return nil, err
	}
	err = Lock(f)
	for n := 0; errors.Is(err, ErrLocked) && n < 20; n++ {
		time.Sleep(5 * time.Millisecond)
		err = Lock(f)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// OpenLock opens a lock file of the folder, for [Lock].
func OpenLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	return f, nil
}

// Lock locks an open lock file, or returns ErrLocked.
func Lock(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	}
	return fmt.Errorf("lock the encoder's folder: %w", err)
}

// Locked reports whether a process that holds the lock file is alive.
func Locked(dir, name string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the lock file: %w", err)
	}
	err = errors.Join(Lock(f), f.Close())
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	return false, err
}
