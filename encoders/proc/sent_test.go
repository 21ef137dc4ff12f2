package proc

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

// TestSent counts what a process in a session of its own has sent to this one.
func TestSent(t *testing.T) {
	bash, err := LookUp("bash", "PATH")
	if err != nil {
		t.Skip(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	script := fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; head -c 50000 /dev/zero >&3; read <&3",
		l.Addr().(*net.TCPAddr).Port)
	h, pid, err := Start(nil, bash, []string{"bash", "-c", script}, os.ProcAttr{Files: []*os.File{nil, nil, nil}})
	if err != nil {
		t.Fatal(err)
	}
	defer Abandon(h, pid)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 50_000)); err != nil {
		t.Fatal(err)
	}
	id, err := Identify(h, pid, "none")
	if err != nil {
		t.Fatal(err)
	}
	s := Sent{ID: id}
	n, err := s.Bytes(time.Now())
	for end := time.Now().Add(10 * time.Second); err == nil && n < 50_000 && time.Now().Before(end); {
		n, err = s.Bytes(time.Now()) // the last acknowledgement may be under way
	}
	if n < 50_000 || n > 50_001 || err != nil { // the kernel counts the connection itself as one
		t.Errorf("it has sent 50000 bytes, and %d are counted, %v", n, err)
	}
	child, ours := c.RemoteAddr().(*net.TCPAddr).AddrPort(), c.LocalAddr().(*net.TCPAddr).AddrPort()
	if !Owns(id, child, ours) {
		t.Error("the family does not own its connection")
	}
	if Owns(id, ours, child) || Owns(id, child, netip.AddrPortFrom(ours.Addr(), 1)) {
		t.Error("the family owns another's connection")
	}
}
