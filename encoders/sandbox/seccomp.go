package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// filter is a seccomp program: it sees the number of each system call and its arguments, but not
// what they point to.
type filter []unix.SockFilter

// Offsets in struct seccomp_data (linux/seccomp.h).
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16 // eight bytes each, the lower half first
)

// filterFor denies what Landlock does not cover: unix sockets, ways to reach a TCP port around
// Landlock, and calls that change files and processes of the same user by their name or number. It
// is empty on a processor whose system calls are not listed here.
func filterFor(sockets bool) filter {
	if !filterKnown {
		return nil
	}
	f := filter{load(offArch), jump(unix.BPF_JEQ, auditArch, 1, 0), fail(unix.EPERM), load(offNumber)}
	if x32Bit != 0 {
		f = append(f, jump(unix.BPF_JGE, x32Bit, 0, 1), fail(unix.EPERM))
	}
	for _, number := range nameCalls {
		f.on(number, fail(unix.EPERM))
	}
	if abi() < abiTruncate {
		f.on(unix.SYS_TRUNCATE, fail(unix.EPERM))
	}
	f.on(unix.SYS_IO_URING_SETUP, fail(unix.EPERM)) // its operations would bypass this filter
	f.on(unix.SYS_PRLIMIT64, arg(0), jump(unix.BPF_JEQ, 0, 1, 0), fail(unix.EPERM))
	var socket []unix.SockFilter
	if !sockets {
		socket = append(socket, arg(0), jump(unix.BPF_JEQ, unix.AF_UNIX, 0, 1), fail(unix.EACCES))
	}
	if abi() >= abiPorts {
		// Landlock covers plain TCP alone, and of it only connect and bind.
		socket = append(socket, arg(0), jump(unix.BPF_JEQ, unix.AF_SMC, 0, 1), fail(unix.EACCES),
			arg(2), jump(unix.BPF_JEQ, unix.IPPROTO_MPTCP, 0, 1), fail(unix.EACCES),
			jump(unix.BPF_JEQ, ipprotoSMC, 0, 1), fail(unix.EACCES))
		f.on(unix.SYS_SENDTO, arg(3), jump(unix.BPF_JSET, unix.MSG_FASTOPEN, 0, 1), fail(unix.EACCES))
		f.on(unix.SYS_SENDMSG, arg(2), jump(unix.BPF_JSET, unix.MSG_FASTOPEN, 0, 1), fail(unix.EACCES))
		f.on(unix.SYS_SENDMMSG, arg(3), jump(unix.BPF_JSET, unix.MSG_FASTOPEN, 0, 1), fail(unix.EACCES))
		f.on(unix.SYS_SETSOCKOPT, arg(1), jump(unix.BPF_JEQ, unix.IPPROTO_TCP, 0, 3),
			arg(2), jump(unix.BPF_JEQ, unix.TCP_FASTOPEN_CONNECT, 0, 1), fail(unix.EACCES))
	}
	if len(socket) > 0 {
		f.on(unix.SYS_SOCKET, socket...)
	}
	return append(f, give(unix.SECCOMP_RET_ALLOW))
}

const ipprotoSMC = 256

// nameCallsAll are the entries of nameCalls that all processors have.
var nameCallsAll = []uintptr{
	unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHMODAT2, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT,
	unix.SYS_SETXATTR, unix.SYS_LSETXATTR, unix.SYS_FSETXATTR, unix.SYS_SETXATTRAT,
	unix.SYS_REMOVEXATTR, unix.SYS_LREMOVEXATTR, unix.SYS_FREMOVEXATTR, unix.SYS_REMOVEXATTRAT,
}

// on adds the instructions for a system call; when they reach their end, the call is allowed.
func (f *filter) on(number uintptr, body ...unix.SockFilter) {
	*f = append(*f, jump(unix.BPF_JEQ, uint32(number), 0, uint8(len(body)+1)))
	*f = append(append(*f, body...), give(unix.SECCOMP_RET_ALLOW))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// arg loads the lower half of an argument: all arguments examined here are ints.
func arg(n uint32) unix.SockFilter { return load(offArgs + 8*n) }

// jump compares the loaded value with k, and skips `so` instructions when the comparison holds,
// else `not`.
func jump(how uint16, k uint32, so, not uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | how | unix.BPF_K, K: k, Jt: so, Jf: not}
}

func give(answer uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: answer}
}

func fail(errno unix.Errno) unix.SockFilter { return give(unix.SECCOMP_RET_ERRNO | uint32(errno)) }

// install installs the filter for the calling thread.
func (f filter) install() error {
	if len(f) == 0 {
		return nil
	}
	program := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	// By prctl instead of seccomp(2): our systemd unit allows only prctl.
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	return nil
}
