package handover

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// counter keeps in a file how much the real servers have acknowledged. A controller could ask the
// kernel itself, but not where its service may not use netlink.
type counter struct {
	file *os.File

	mu    sync.Mutex
	total int64
}

// countEach is how often it is counted.
const countEach = 250 * time.Millisecond

// follow counts a connection until done is closed.
func (c *counter) follow(server net.Conn, done <-chan struct{}) {
	if t, ok := server.(*tls.Conn); ok {
		server = t.NetConn()
	}
	raw, err := server.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(countEach)
	defer tick.Stop()
	was := int64(0)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		var info *unix.TCPInfo
		_ = raw.Control(func(fd uintptr) {
			info, _ = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		})
		if now := acked(info); now > was {
			c.add(now - was)
			was = now
		}
	}
}

func acked(info *unix.TCPInfo) int64 {
	if info == nil {
		return 0
	}
	return int64(info.Bytes_acked)
}

func (c *counter) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total += n
	_, _ = c.file.WriteAt(fmt.Appendf(nil, "%20d\n", c.total), 0)
}

// Delivered reads what a handover has counted; 0 before the first word.
func Delivered(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil || len(text) == 0 {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
