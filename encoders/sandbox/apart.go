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

// Apart separates a process from ours, and allows it everything else: it cannot signal our process
// or read its memory, and it finds nothing at the Hidden paths. It is for the user's own programs,
// whose files cannot be known in advance. It needs a mount namespace, so only root can use it: see
// [CanPartApart].
type Apart struct {
	Hidden []string // files and folders
	Own    string   // a folder that stays visible inside a hidden one; "" for none
}

// CanPartApart reports whether this process may make mount namespaces.
var CanPartApart = sync.OnceValue(func() bool {
	try := func() error { return unix.Unshare(unix.CLONE_NEWNS) }
	return abi() >= abiScopes && newApart().run(try) == nil
})

// Do runs start in a thread that is set apart, so that the process which start forks is, too. The
// thread ends afterwards.
func (a Apart) Do(start func() error) error {
	defer func() { go apart.refill() }()
	return apart.next().run(func() error {
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
	// Later mounts of the host appear here; mounts made here do not appear on the host.
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
		if n == 0 { // a socket that nobody listens on cannot be opened
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

// kinds separates folders from other files, and leaves out missing paths.
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

// empty covers the path with an empty folder that contains only the Own folder, if that lies below.
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

// domain puts the thread into a Landlock domain: it can no longer signal our other threads or read
// their memory.
func (a Apart) domain() error {
	scope := unix.LandlockRulesetAttr{Scoped: unix.LANDLOCK_SCOPE_SIGNAL}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&scope)),
		unsafe.Sizeof(scope), 0)
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
