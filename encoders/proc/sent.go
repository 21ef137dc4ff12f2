package proc

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Sent counts what a family of processes has sent over TCP and the other side has acknowledged.
// What its processes send to each other does not count. The kernel knows (struct tcp_info,
// linux/tcp.h), so no program has to tell.
type Sent struct {
	ID Identity // of the leader

	sockets []socket
	listed  time.Time        // when sockets was listed; zero: not yet
	known   map[uint32]int64 // by inode: what of a socket is counted
	total   int64
}

// search is how often new connections are looked for, while there are others.
const search = 10 * time.Second

// Bytes returns how many have been sent since the family began, as far as they were seen. The error
// says that this kernel does not tell.
func (s *Sent) Bytes(now time.Time) (int64, error) {
	if len(s.sockets) == 0 || now.Sub(s.listed) >= search {
		s.sockets, s.listed = s.outward(), now
	}
	if s.known == nil {
		s.known = map[uint32]int64{}
	}
	silent := false
	err := diagnose(s.sockets, func(one socket, a answer) {
		silent = silent || a.acked < 0
		s.total += max(0, a.acked-s.known[one.inode])
		s.known[one.inode] = max(a.acked, s.known[one.inode])
	})
	switch {
	case errors.Is(err, errSocketGone):
		s.sockets = nil // look again the next time
		return s.total, nil
	case err == nil && silent:
		err = errors.New("it is older than Linux 4.2")
	}
	if err != nil {
		return s.total, fmt.Errorf("ask the kernel what was sent: %w", err)
	}
	return s.total, nil
}

// outward lists the family's connections to others.
func (s *Sent) outward() []socket {
	inodes := map[uint64]bool{}
	family := Family(s.ID)
	for _, pid := range family {
		own, _ := socketInodes(pid) // a process may have ended meanwhile
		for inode := range own {
			inodes[inode] = true
		}
	}
	if len(inodes) == 0 {
		return nil
	}
	var rows []tcpRow
	locals := map[netip.AddrPort]bool{}
	_ = eachTCP(family[0], func(row tcpRow) { // they share one network
		if inodes[row.inode] && row.state == tcpEstablished {
			rows = append(rows, row)
			locals[row.end(row.local, 0)] = true
		}
	})
	var found []socket
	for _, row := range rows {
		if !locals[row.end(row.remote, 1)] {
			found = append(found, row.socket())
		}
	}
	return found
}

// end is one end of a connection: its local one, with port 0, or its remote one, with port 1.
func (r tcpRow) end(address []byte, port int) netip.AddrPort {
	a, _ := netip.AddrFromSlice(address)
	return netip.AddrPortFrom(a.Unmap(), r.ports[port])
}

// Owns reports whether a process of the family has the TCP connection between two ends of this
// host, of which local is its own. It looks into the session first, for somebody waits.
func Owns(id Identity, local, remote netip.AddrPort) bool {
	inode := uint64(0)
	_ = eachTCP(id.PID, func(row tcpRow) {
		if row.end(row.local, 0) == local && row.end(row.remote, 1) == remote {
			inode = row.inode
		}
	})
	has := func(pid int) bool {
		inodes, err := socketInodes(pid)
		return err == nil && inodes[inode]
	}
	inSession := func(pid int) bool {
		st, err := ReadStat(pid)
		return err == nil && st.sid == id.PID && has(pid)
	}
	return inode != 0 && (slices.ContainsFunc(PIDs(), inSession) || slices.ContainsFunc(Family(id), has))
}
