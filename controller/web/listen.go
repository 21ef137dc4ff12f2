package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// SocketMode is the permission of a unix socket that Listen makes: its owner and group may connect.
// Put a proxy or an operator into the group.
const SocketMode = 0o660

// Sockets are the listening sockets that systemd passed to this process. Its zero value holds none.
type Sockets struct {
	passed []passedSocket
}

type passedSocket struct {
	name string // FileDescriptorName= of the socket unit
	ls   net.Listener
	used bool
}

// PassedSockets takes over the sockets that systemd passed and clears the environment variables
// that name them. Call it once, at the start.
func PassedSockets() (*Sockets, error) {
	s := &Sockets{}
	var errs []error
	for _, file := range activation.Files(true) {
		l, err := net.FileListener(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("socket %q passed by systemd: %w", file.Name(), err))
		} else {
			s.passed = append(s.passed, passedSocket{name: file.Name(), ls: l})
		}
		_ = file.Close()
	}
	return s, errors.Join(errs...)
}

// The names that FileDescriptorName= may give to a passed socket.
const (
	SocketHooks = "hooks"
	SocketAdmin = "admin"
)

// ErrNoSocket is Listen's when systemd passed no socket at all.
var ErrNoSocket = errors.New("systemd passed no socket")

// Listen opens the address of a listen setting: "host:port", "unix:/path", or "systemd" for the
// passed sockets of that name (SocketHooks or SocketAdmin). Where no passed socket has a known
// name, the first is for the hooks and the second for the admin side. Its errors name only the
// cause, with the system's error number in their chain: the caller adds the address.
func (s *Sockets) Listen(addr, name string) ([]net.Listener, error) {
	switch {
	case addr == "systemd":
		return s.take(name)
	case strings.HasPrefix(addr, "unix:"):
		l, err := listenUnix(strings.TrimPrefix(addr, "unix:"))
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	default:
		var config net.ListenConfig
		l, err := config.Listen(context.Background(), "tcp", addr)
		if err != nil {
			return nil, plainListen(err)
		}
		return []net.Listener{l}, nil
	}
}

func (s *Sockets) take(name string) ([]net.Listener, error) {
	if len(s.passed) == 0 {
		return nil, ErrNoSocket
	}
	var found []net.Listener
	named := false
	for i := range s.passed {
		p := &s.passed[i]
		named = named || p.name == SocketHooks || p.name == SocketAdmin
		if p.name == name && !p.used {
			p.used = true
			found = append(found, p.ls)
		}
	}
	if at := map[string]int{SocketHooks: 0, SocketAdmin: 1}[name]; !named && at < len(s.passed) && !s.passed[at].used {
		s.passed[at].used = true
		found = append(found, s.passed[at].ls)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("systemd passed no socket that is named %q (FileDescriptorName=)", name)
	}
	return found, nil
}

// listenUnix replaces a socket file that an earlier instance left behind, but never one on which a
// process answers.
func listenUnix(path string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the old socket: %w", err)
		}
		l, err = config.Listen(context.Background(), "unix", path)
	}
	if err != nil {
		return nil, plainListen(err)
	}
	if err := os.Chmod(path, SocketMode); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// plainListen unwraps an error of package net, which repeats the address.
func plainListen(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
