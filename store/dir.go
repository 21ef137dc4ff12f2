package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	lockName    = "oncue.lock"
	ballastName = "oncue.ballast"
	backupsName = "backups"
)

// traces are names by which the data directory of an earlier start is known.
var traces = []string{fileName, lockName, ballastName, backupsName, "encoders", "thumbnails", "acme"}

// A ForeignDirError says why a folder is not taken as the data directory. Nothing in it was
// changed.
type ForeignDirError struct {
	Dir    string
	Owner  int  // user id
	Others bool // it belongs to another user than the one who runs this; else it is for other things
	reason string
}

func (e *ForeignDirError) Error() string { return e.Dir + " " + e.reason }

// CheckDir says whether Open would take dir as its data directory, now and for the user who runs
// this; one that is not there yet is good. It changes nothing. The data directory is made private,
// and links in it would be followed with the rights of this user: so it must belong to this user
// and be the store's own. Shared is that of Options. The error is a *ForeignDirError, or one of the
// system's.
func CheckDir(dir string, shared bool) error {
	_, err := lookAtDir(dir, shared)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lookAtDir is CheckDir; private says whether dir may be made private.
func lookAtDir(dir string, shared bool) (private bool, err error) {
	self := os.Geteuid()
	if link, err := os.Lstat(dir); err != nil {
		return false, err
	} else if owner := ownerOf(link); link.Mode().Type() == fs.ModeSymlink && owner != self && owner != 0 {
		return false, &ForeignDirError{dir, owner, true, "is a link that belongs to " + userName(owner)}
	}
	info, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	owner := ownerOf(info)
	foreign := func(others bool, reason string) (bool, error) {
		return false, &ForeignDirError{dir, owner, others, reason}
	}
	switch {
	case !info.IsDir():
		return false, &fs.PathError{Op: "open", Path: dir, Err: unix.ENOTDIR}
	case info.Mode()&fs.ModeSticky != 0 && !mountedFor(dir):
		return foreign(false, "is a folder that many users share (it has the sticky bit)")
	case owner != self:
		return foreign(true, fmt.Sprintf("belongs to %s, and this runs as %s", userName(owner), userName(self)))
	}
	own, err := isOwn(dir)
	if err != nil || own {
		return own, err
	}
	if !shared && info.Mode().Perm()&0o077 != 0 {
		return foreign(false, "holds other things than oncue's, and other users may look into it")
	}
	return false, nil
}

// mountedFor reports whether dir is a file system of its own that holds nothing of others: a tmpfs
// has the sticky bit unless its mode is said.
func mountedFor(dir string) bool {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil || slices.Contains([]string{"/tmp", "/var/tmp", "/dev/shm"}, real) {
		return false
	}
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(dir+"/..", &above) != nil || here.Dev == above.Dev {
		return false
	}
	names, err := os.ReadDir(dir)
	return err == nil && !slices.ContainsFunc(names, func(e os.DirEntry) bool {
		info, err := e.Info()
		ours := slices.Contains(traces, e.Name()) || strings.HasPrefix(e.Name(), fileName)
		return err != nil || ownerOf(info) != os.Geteuid() || !ours
	})
}

// isOwn reports whether a folder is empty, or was a data directory before.
func isOwn(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer f.Close()
	for seen := false; ; seen = true {
		names, err := f.Readdirnames(256)
		if errors.Is(err, io.EOF) {
			return !seen, nil
		}
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(names, func(name string) bool { return slices.Contains(traces, name) }) {
			return true, nil
		}
		if !seen && slices.Equal(names, []string{"lost+found"}) { // a file system of its own
			return true, nil
		}
	}
}

// prepareDir makes the data directory, private, and returns its absolute path.
func prepareDir(dir string, shared bool) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	private, err := lookAtDir(dir, shared)
	if err != nil || !private {
		return dir, err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return "", fmt.Errorf("make the data directory private: %w", err)
		}
	}
	return dir, nil
}

// openOwn opens a regular file of the data directory for its owner alone, and follows no link.
func openOwn(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%s is a link, and none is followed here: "+
			"let data_dir name the folder that it leads to", path)
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, f.Close(), fmt.Errorf("%s is no regular file", path))
	}
	return f, nil
}

func ownerOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "the user " + strconv.Itoa(uid)
}
