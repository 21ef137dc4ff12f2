package sandbox

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The versions of Landlock's interface that brought something. Landlock itself came with Linux
// 5.13.
const (
	abiRefer    = 2 // 5.19: moving files between folders
	abiTruncate = 3 // 6.2
	abiPorts    = 4 // 6.7: TCP ports
	abiDevices  = 5 // 6.10: what devices are told by ioctl
	abiScopes   = 6 // 6.12: signals and abstract unix sockets
)

// abi is the version that this kernel has; 0 when it has none, or may not be asked.
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

// handled returns what this kernel's Landlock forbids unless a rule allows it.
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

// rules is the descriptor of a policy's rules, which its owner closes.
type rules struct {
	fd  int
	err error
}

// ruleset makes the policy's rules.
func (p Policy) ruleset() rules {
	all := handled(abi())
	if p.Sockets {
		all.Scoped &^= unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&all)), unsafe.Sizeof(all), 0)
	if errno != 0 {
		return rules{err: fmt.Errorf("landlock: %w", errno)}
	}
	if err := p.fill(int(fd), all); err != nil {
		unix.Close(int(fd))
		return rules{err: fmt.Errorf("landlock: %w", err)}
	}
	return rules{fd: int(fd)}
}

// fill adds all that the policy allows.
func (p Policy) fill(set int, all unix.LandlockRulesetAttr) error {
	for _, grant := range []struct {
		paths        []string
		file, folder uint64
	}{
		{Base, readFile, readFolder}, {p.Read, readFile, readFolder}, {p.Write, writeFile, writeFolder},
		{baseDevices, device, deviceFolder}, {p.Devices, device, deviceFolder},
	} {
		for _, path := range grant.paths {
			err := allow(set, path, grant.file&all.Handled_access_fs, grant.folder&all.Handled_access_fs)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	if all.Handled_access_net == 0 {
		return nil
	}
	for _, port := range append([]int{0}, p.Ports...) { // to 0 a client binds that asks for an address of its own
		rule := struct{ access, port uint64 }{all.Handled_access_net, uint64(port)}
		if err := addRule(set, rulePort, unsafe.Pointer(&rule)); err != nil {
			return fmt.Errorf("port %d: %w", port, err)
		}
	}
	return nil
}

// allow adds a rule for a path. One that is not there, or cannot be seen by us either, needs none.
func allow(set int, path string, file, folder uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	rule := unix.LandlockPathBeneathAttr{Allowed_access: folder, Parent_fd: int32(fd)}
	err = addRule(set, unix.LANDLOCK_RULE_PATH_BENEATH, unsafe.Pointer(&rule))
	if errors.Is(err, unix.EINVAL) { // no folder
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
