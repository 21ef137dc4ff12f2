package sandbox

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The versions of Landlock's interface that added something. Landlock itself came with Linux 5.13.
const (
	abiRefer    = 2 // 5.19: moving files between folders
	abiTruncate = 3 // 6.2
	abiPorts    = 4 // 6.7: TCP ports
	abiDevices  = 5 // 6.10: ioctl on devices
	abiScopes   = 6 // 6.12: signals and abstract unix sockets
)

// abi is this kernel's version of Landlock; 0 when it has none, or may not be asked.
var abi = sync.OnceValue(func() int {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(v)
})

// What may be done with files, by Landlock's names (linux/landlock.h).
const (
	readFile  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	writeFile = readFile | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	device    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_IOCTL_DEV

	readFolder  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeFolder = readFolder | writeFile | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
		unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	deviceFolder = device | unix.LANDLOCK_ACCESS_FS_READ_DIR

	everything = writeFolder | deviceFolder | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK
	ports      = unix.LANDLOCK_ACCESS_NET_CONNECT_TCP | unix.LANDLOCK_ACCESS_NET_BIND_TCP

	rulePort = 2 // LANDLOCK_RULE_NET_PORT
)

// handled returns what this kernel's Landlock denies unless a rule allows it.
func handled(v int) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: everything}
	if v < abiRefer {
		a.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if v < abiTruncate {
		a.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if v >= abiPorts {
		a.Handled_access_net = ports
	}
	if v < abiDevices {
		a.Handled_access_fs &^= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if v >= abiScopes {
		a.Scoped = unix.LANDLOCK_SCOPE_SIGNAL | unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	return a
}

// rules is a Landlock ruleset, whose descriptor the owner closes, and the files of [Base] that it
// allows.
type rules struct {
	fd   int
	all  unix.LandlockRulesetAttr
	base map[string]file
}

// file identifies a file. While a rule refers to it, the kernel does not reuse its inode number.
type file struct{ dev, ino uint64 }

func fileAt(path string) (f file, err error) {
	var st unix.Stat_t
	err = unix.Stat(path, &st)
	return file{uint64(st.Dev), st.Ino}, err
}

// baseRules makes rules that allow what every process has.
func baseRules(sockets bool) (*rules, error) {
	r := &rules{all: handled(abi()), base: make(map[string]file, len(Base))}
	if sockets {
		r.all.Scoped &^= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&r.all)),
		unsafe.Sizeof(r.all), 0)
	if errno != 0 {
		return nil, fmt.Errorf("landlock: %w", errno)
	}
	r.fd = int(fd)
	err := errors.Join(r.renew(), r.paths(baseDevices, device, deviceFolder),
		r.port(0)) // a client binds to port 0 to choose its source address
	if err != nil {
		unix.Close(r.fd)
		return nil, fmt.Errorf("landlock: %w", err)
	}
	return r, nil
}

// renew allows the paths of Base that were created or replaced since the last call.
func (r *rules) renew() error {
	for _, path := range Base {
		now, err := fileAt(path)
		if err != nil || r.base[path] == now {
			continue
		}
		if err := r.paths([]string{path}, readFile, readFolder); err != nil {
			return err
		}
		r.base[path] = now
	}
	return nil
}

// add allows what the policy allows.
func (r *rules) add(p Policy) error {
	err := errors.Join(
		r.paths(p.Read, readFile, readFolder), r.paths(p.Write, writeFile, writeFolder),
		r.paths(p.Devices, device, deviceFolder), r.paths(p.Names, 0, unix.LANDLOCK_ACCESS_FS_READ_DIR),
	)
	for _, port := range p.Ports {
		err = errors.Join(err, r.port(port))
	}
	return err
}

func (r *rules) port(port int) error {
	if r.all.Handled_access_net == 0 {
		return nil
	}
	rule := struct{ access, port uint64 }{r.all.Handled_access_net, uint64(port)}
	if err := addRule(r.fd, rulePort, unsafe.Pointer(&rule)); err != nil {
		return fmt.Errorf("port %d: %w", port, err)
	}
	return nil
}

func (r *rules) paths(paths []string, file, folder uint64) error {
	for _, path := range paths {
		if err := allow(r.fd, path, file&r.all.Handled_access_fs, folder&r.all.Handled_access_fs); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// allow adds a rule for a path. A path that does not exist, or that we cannot see ourselves, needs
// none.
func allow(set int, path string, file, folder uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: folder, Parent_fd: int32(fd)}
	err = addRule(set, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule))
	if errors.Is(err, unix.EINVAL) { // not a folder
		rule.Allowed_access = file
		err = addRule(set, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule))
	}
	return err
}

func addRule(set int, kind uintptr, rule unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), kind, uintptr(rule), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
