package rtmp

import (
	"net"
	"syscall"
)

// quickAck asks the kernel to acknowledge the next segments at once. The kernel soon forgets it, so
// it is asked before every read. Without it a publisher that waits for acknowledgements between
// small writes (Nagle's algorithm) loses 40 ms at each of them.
func quickAck(nc net.Conn) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) })
}
