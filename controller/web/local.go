package web

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// This file finds out which user of this host is at the other end of a connection.

// localUser returns the user whose process made the connection of r; ok is false when that is not
// known, as for every peer on another host.
func localUser(r *http.Request) (uid int, ok bool) {
	counted := connOf(r)
	if counted == nil {
		return 0, false
	}
	switch c := counted.Conn.(type) {
	case *net.UnixConn:
		return unixPeer(c)
	case *net.TCPConn:
		local, _ := netip.ParseAddrPort(c.LocalAddr().String())
		remote, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		if remote.Addr().Unmap().IsLoopback() {
			return tcpPeer(remote, local)
		}
	}
	return 0, false
}

func unixPeer(c *net.UnixConn) (uid int, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			uid, ok = int(cred.Uid), true
		}
	})
	return uid, ok && err == nil
}

// tcpPeer finds the owner of the socket at the other end of a loopback connection: the one whose
// own address is peer and whose other end is here.
func tcpPeer(peer, here netip.AddrPort) (uid int, ok bool) {
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		f, err := os.Open(table)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(f)
		for !ok && lines.Scan() {
			uid, ok = ownerIn(lines.Text(), peer, here)
		}
		_ = f.Close()
		if ok {
			return uid, true
		}
	}
	return 0, false
}

const established = "01"

// ownerIn reads a line of /proc/net/tcp (proc_pid_net(5)): number, own address, other address,
// state, queues, timer, retransmissions, user, timeout, inode. A socket that its process has closed
// has no owner: its line names root, has no inode, and its state is no longer established.
func ownerIn(line string, own, other netip.AddrPort) (uid int, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || f[3] != established || f[9] == "0" || !sameAddr(f[1], own) || !sameAddr(f[2], other) {
		return 0, false
	}
	uid, err := strconv.Atoi(f[7])
	return uid, err == nil
}

// sameAddr compares an address as the kernel writes it: 32-bit words of the host's byte order, and
// the port, in hex.
func sameAddr(text string, want netip.AddrPort) bool {
	address, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	if err != nil || len(raw)%4 != 0 || port != fmt.Sprintf("%04X", want.Port()) {
		return false
	}
	for word := range slices.Chunk(raw, 4) {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	a, ok := netip.AddrFromSlice(raw)
	return ok && a.Unmap() == want.Addr().Unmap()
}

// proven reports whether the client that sent r may read and change secrets. It may when it has
// shown the token; or when it is not an encoder, and is root or the daemon's user on this host or
// came by a unix socket that is not open to everybody. On loopback without a token, everybody on
// this host can connect; and a request that a proxy passes on is its sender's, whatever user the
// proxy runs as.
func (a *Admin) proven(r *http.Request) bool {
	at := reachedAt(r)
	if a.opts.Token.Set() && !a.bySocket(r) {
		return true // authenticate has checked it
	}
	if at == placeLoopback && proxied(r) {
		return false
	}
	uid, ok := localUser(r)
	if a.mayBeEncoder(uid, ok) {
		return false
	}
	return ok && (uid == 0 || uid == a.user) || at == placeUnix && closedToOthers(r)
}

// mayBeEncoder reports whether a peer may be one of the daemon's encoders. They read input of
// strangers, which may have taken them over. Where the daemon is a service with a user of its own,
// only it and its encoders run as that user. A person who becomes that user to control the daemon
// can read the token and send it.
func (a *Admin) mayBeEncoder(uid int, known bool) bool {
	return a.service && known && uid == a.user && uid != 0
}

// isService reports whether systemd runs this process as a system service (systemd.exec(5)). In a
// terminal, and in a person's own service, the daemon's user is that person.
func isService() bool {
	return os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) && os.Getenv("MANAGERPID") == ""
}

// proxied reports whether a proxy has passed r on.
func proxied(r *http.Request) bool {
	return !loopbackName(r.Host) || slices.ContainsFunc(
		[]string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"},
		func(header string) bool { return len(r.Header[header]) > 0 })
}

// closedToOthers reports whether the file of r's unix socket excludes users who are neither its
// owner nor in its group.
func closedToOthers(r *http.Request) bool {
	at, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if at == nil {
		return false
	}
	info, err := os.Stat(at.String())
	return err == nil && info.Mode().Perm()&0o002 == 0
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "the user " + strconv.Itoa(uid)
}
