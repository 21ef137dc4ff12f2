package sandbox

import "golang.org/x/sys/unix"

const (
	filterKnown = true
	auditArch   = unix.AUDIT_ARCH_AARCH64
	x32Bit      = 0
)

// nameCalls change the permissions of a file.
var nameCalls = nameCallsAll
