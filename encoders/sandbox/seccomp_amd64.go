package sandbox

import "golang.org/x/sys/unix"

const (
	filterKnown = true
	auditArch   = unix.AUDIT_ARCH_X86_64
	x32Bit      = 0x40000000 // system calls of the x32 interface have numbers of their own
)

// nameCalls change who may do what with a file.
var nameCalls = append([]uintptr{
	unix.SYS_CHMOD, unix.SYS_CHOWN, unix.SYS_LCHOWN,
}, nameCallsAll...)
