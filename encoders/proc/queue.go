package proc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SendQueue measures what waits in the TCP sockets of a process. The kernel has accepted these
// bytes, so FFmpeg counts them as written; a server that has stopped reading shows here 20 s
// earlier than anywhere else.
type SendQueue struct {
	PID     int
	sockets []socket
	listed  time.Time // when sockets was listed; zero: not yet
	denied  bool      // the kernel does not answer for single sockets: read the whole table
}

// relist is how often new connections are looked for.
const relist = 30 * time.Second

// socket identifies one TCP connection for the kernel (linux/inet_diag.h).
type socket struct {
	family uint8
	inode  uint32
	id     [48]byte // struct inet_diag_sockid
}

// Bytes returns the length of the longest queue; 0 without TCP sockets.
func (q *SendQueue) Bytes(now time.Time) (int64, error) {
	if now.Sub(q.listed) >= relist {
		sockets, err := tcpSockets(q.PID)
		if err != nil {
			return 0, err
		}
		q.sockets, q.listed = sockets, now
	}
	if len(q.sockets) == 0 {
		return 0, nil
	}
	if !q.denied {
		var longest int64
		err := diagnose(q.sockets, func(_ socket, a answer) { longest = max(longest, a.queue) })
		if err == nil {
			return longest, nil
		}
		if errors.Is(err, errSocketGone) { // it has reconnected
			q.listed = time.Time{}
			return 0, nil
		}
		q.denied = true
	}
	return q.fromTable()
}

// fromTable reads the queues from the table of all sockets, which takes a millisecond or more.
func (q *SendQueue) fromTable() (int64, error) {
	inodes, err := socketInodes(q.PID)
	if err != nil {
		return 0, err
	}
	var longest int64
	err = eachTCP(q.PID, func(row tcpRow) {
		if inodes[row.inode] {
			longest = max(longest, row.queue)
		}
	})
	return longest, err
}

// tcpSockets lists the connected TCP sockets of a process.
func tcpSockets(pid int) ([]socket, error) {
	inodes, err := socketInodes(pid)
	if err != nil || len(inodes) == 0 {
		return nil, err
	}
	var found []socket
	err = eachTCP(pid, func(row tcpRow) {
		if inodes[row.inode] && row.state == tcpEstablished {
			found = append(found, row.socket())
		}
	})
	return found, err
}

func socketInodes(pid int) (map[uint64]bool, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[uint64]bool{}
	for _, e := range entries {
		target, err := os.Readlink(dir + "/" + e.Name())
		if err != nil {
			continue
		}
		if text, ok := strings.CutPrefix(target, "socket:["); ok {
			if inode, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64); err == nil {
				found[inode] = true
			}
		}
	}
	return found, nil
}

const tcpEstablished = 1

// tcpRow is one line of /proc/PID/net/tcp or tcp6 (proc_net_tcp in the kernel's documentation).
type tcpRow struct {
	family        uint8
	local, remote []byte // address as the kernel holds it, 4 or 16 bytes
	ports         [2]uint16
	state         uint64
	queue         int64
	inode         uint64
}

func (r tcpRow) socket() socket {
	s := socket{family: r.family, inode: uint32(r.inode)}
	binary.BigEndian.PutUint16(s.id[0:], r.ports[0])
	binary.BigEndian.PutUint16(s.id[2:], r.ports[1])
	copy(s.id[4:], r.local)
	copy(s.id[20:], r.remote)
	// s.id[36:40] is the interface, any; s.id[40:48] the cookie, none
	for i := 40; i < 48; i++ {
		s.id[i] = 0xff
	}
	return s
}

func eachTCP(pid int, report func(tcpRow)) error {
	for _, table := range []struct {
		name   string
		family uint8
	}{{"tcp", unix.AF_INET}, {"tcp6", unix.AF_INET6}} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table.name))
		if errors.Is(err, os.ErrNotExist) && table.name == "tcp6" {
			continue // the kernel has no IPv6
		}
		if err != nil {
			return err
		}
		scanner := bufio.NewScanner(f)
		scanner.Scan() // the heading
		for scanner.Scan() {
			if row, ok := parseTCP(scanner.Text(), table.family); ok {
				report(row)
			}
		}
		f.Close()
	}
	return nil
}

// parseTCP reads "sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode …", numbers
// in hexadecimal.
func parseTCP(line string, family uint8) (row tcpRow, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 {
		return row, false
	}
	row.family = family
	var err [5]error
	row.local, row.ports[0], err[0] = parseAddress(f[1])
	row.remote, row.ports[1], err[1] = parseAddress(f[2])
	row.state, err[2] = strconv.ParseUint(f[3], 16, 8)
	queue, _, _ := strings.Cut(f[4], ":")
	row.queue, err[3] = strconv.ParseInt(queue, 16, 64)
	row.inode, err[4] = strconv.ParseUint(f[9], 10, 64)
	return row, errors.Join(err[:]...) == nil
}

// parseAddress reads an address, printed as words in the host's byte order, and a port.
func parseAddress(text string) ([]byte, uint16, error) {
	words, portText, _ := strings.Cut(text, ":")
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil {
		return nil, 0, err
	}
	var address []byte
	for i := 0; i+8 <= len(words); i += 8 {
		word, err := strconv.ParseUint(words[i:i+8], 16, 32)
		if err != nil {
			return nil, 0, err
		}
		address = binary.NativeEndian.AppendUint32(address, uint32(word))
	}
	return address, uint16(port), nil
}

var errSocketGone = errors.New("the socket is gone")

// answer is what the kernel says of a socket.
type answer struct {
	queue int64 // bytes that the other side has not accepted
	acked int64 // bytes that it has; -1: unknown
}

// diagnose asks the kernel about each socket (sock_diag(7)), until one is gone.
func diagnose(sockets []socket, report func(socket, answer)) error {
	if len(sockets) == 0 {
		return nil
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var reply [1024]byte
	for _, s := range sockets {
		if err := unix.Sendto(fd, s.question(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		n, _, err := unix.Recvfrom(fd, reply[:], unix.MSG_DONTWAIT) // the kernel answers within the send
		if err != nil {
			return err
		}
		a, err := s.answer(reply[:n])
		if err != nil {
			return err
		}
		report(s, a)
	}
	return nil
}

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	inetDiagInfo     = 2  // INET_DIAG_INFO: a struct tcp_info
)

// question is a netlink header and a struct inet_diag_req_v2.
func (s socket) question() []byte {
	const size = unix.SizeofNlMsghdr + 56
	q := make([]byte, 0, size)
	q = binary.NativeEndian.AppendUint32(q, size)
	q = binary.NativeEndian.AppendUint16(q, sockDiagByFamily)
	q = binary.NativeEndian.AppendUint16(q, unix.NLM_F_REQUEST)
	q = append(q, make([]byte, 8)...) // sequence and port
	q = append(q, s.family, unix.IPPROTO_TCP, 1<<(inetDiagInfo-1), 0)
	q = binary.NativeEndian.AppendUint32(q, 1<<tcpEstablished)
	return append(q, s.id[:]...)
}

// answer reads a struct inet_diag_msg, and the attribute that follows it.
func (s socket) answer(reply []byte) (answer, error) {
	const wqueue, inode, end = 4 + 48 + 4 + 4, 4 + 48 + 4 + 4 + 4 + 4, 4 + 48 + 20
	if len(reply) < unix.SizeofNlMsghdr {
		return answer{}, errors.New("short answer of the kernel")
	}
	kind, body := binary.NativeEndian.Uint16(reply[4:]), reply[unix.SizeofNlMsghdr:]
	if kind == unix.NLMSG_ERROR && len(body) >= 4 {
		errno := unix.Errno(-int32(binary.NativeEndian.Uint32(body)))
		if errno == unix.ENOENT {
			return answer{}, errSocketGone
		}
		return answer{}, errno
	}
	if kind != sockDiagByFamily || len(body) < end {
		return answer{}, errors.New("the kernel's answer is not understood")
	}
	if binary.NativeEndian.Uint32(body[inode:]) != s.inode {
		return answer{}, errSocketGone
	}
	a := answer{queue: int64(binary.NativeEndian.Uint32(body[wqueue:])), acked: -1}
	for rest := body[end:]; len(rest) >= unix.SizeofRtAttr; { // aligned to four bytes
		length := int(binary.NativeEndian.Uint16(rest))
		const at = unix.SizeofRtAttr + int(unsafe.Offsetof(unix.TCPInfo{}.Bytes_acked))
		if binary.NativeEndian.Uint16(rest[2:]) == inetDiagInfo && min(length, len(rest)) >= at+8 {
			a.acked = int64(binary.NativeEndian.Uint64(rest[at:]))
		}
		rest = rest[min(max((length+3)&^3, unix.SizeofRtAttr), len(rest)):]
	}
	return a, nil
}
