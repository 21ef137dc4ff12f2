package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Apart keeps a process away from ours, and leaves it all else: it cannot signal ours or look into
// its memory, and finds nothing at the paths of Hidden. It is for programs of the user's own, whose
// files nobody can guess. It takes a mount namespace, so only root can do it: see [CanPartApart].
type Apart struct {
	Hidden []string // files and folders
	Own    string   // a folder that stays, though it is in a hidden one; "" is none
}

// CanPartApart reports whether this process may make mount namespaces.
var CanPartApart = sync.OnceValue(func() bool {
	try := func() error { return unix.Unshare(unix.CLONE_NEWNS) }
	return abi() >= abiScopes && newApart().run(try) == nil
})

// Do runs start in a thread that is apart, so that the process which start forks is, too. The
// thread ends with it.
func (a Apart) Do(start func() error) error {
	defer func() { go apart.refill() }()
	return apart.take().run(func() error {
		if err := a.enter(); err != nil {
			return fmt.Errorf("set the process apart: %w", err)
		}
		return start()
	})
}

func (a Apart) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	// What the host mounts later comes through; what is mounted here stays here.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	own := -1
	if a.Own != "" {
		var err error
		if own, err = unix.Open(a.Own, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		defer unix.Close(own)
	}
	folders, files := kinds(a.Hidden)
	nothing := os.DevNull
	for n, path := range folders {
		if err := a.empty(path, own); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
		if n == 0 { // a socket that nobody listens at: it cannot be opened
			nothing = filepath.Join(path, ".nothing")
			if err := unix.Mknod(nothing, unix.S_IFSOCK, 0); err != nil {
				return err
			}
		}
	}
	for _, path := range files {
		if err := unix.Mount(nothing, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	for _, path := range folders {
		if err := unix.Mount("none", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return a.domain()
}

// kinds tells folders from all else; what is not there is left out.
func kinds(paths []string) (folders, files []string) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			folders = append(folders, path)
		} else if err == nil && !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	return folders, files
}

// empty puts an empty folder in the place of the path, with the own folder in it.
func (a Apart) empty(path string, own int) error {
	if err := unix.Mount("none", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=64k"); err != nil {
		return err
	}
	inside := strings.TrimSuffix(path, "/") + "/"
	if own < 0 || !strings.HasPrefix(a.Own, inside) {
		return nil
	}
	if err := os.MkdirAll(a.Own, 0o755); err != nil {
		return err
	}
	return unix.Mount(filepath.Join("/proc/self/fd", strconv.Itoa(own)), a.Own, "", unix.MS_BIND, "")
}

// domain makes the thread one that Landlock keeps from ours: their memory, and their signals.
func (a Apart) domain() error {
	scope := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&scope)), unsafe.Sizeof(scope), 0)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	defer unix.Close(int(fd))
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}
