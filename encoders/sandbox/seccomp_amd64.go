package sandbox

import "golang.org/x/sys/unix"

const (
	filterKnown = true
	auditArch   = unix.AUDIT_ARCH_X86_64
	x32Bit      = 0x40000000 // x32 system calls have their own numbers
)

// nameCalls change the permissions of a file.
var nameCalls = append([]uintptr{
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
}, nameCallsAll...)
