//go:build !amd64 && !arm64

package sandbox

const (
	filterKnown = false
	auditArch   = 0
	x32Bit      = 0
)

var nameCalls []uintptr
