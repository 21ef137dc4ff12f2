//go:build !linux

package rtmp

import "net"

// quickAck is for Linux: elsewhere the kernel decides when it acknowledges.
func quickAck(net.Conn) {}
