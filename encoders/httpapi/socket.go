package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// socket takes what follows unix: in url.
func (c *compiler) socket(path string) {
	path = strings.TrimPrefix(path, "//")
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path:
		c.Fail("url", "must name the socket by its whole path, such as unix:///run/docker.sock")
	case strings.ContainsAny(path, "{}?#"):
		c.Fail("url", "must be a path without placeholders, ? and #")
	case c.plan.settings.TLS != TLS{}:
		c.Fail("tls", "has no meaning for a unix socket")
	}
	c.plan.socket = path
}

// base is where the box is, without a slash at its end. With shown, it is for people.
func (p *plan) base(v *boxes.Values, shown bool) (string, error) {
	switch {
	case p.socket == "":
		return p.url.Fill(v, boxes.InHost, shown)
	case shown:
		return "unix://" + p.socket + ":", nil
	}
	return "http://localhost", nil // what a server behind a socket wants to see in Host
}

// socketError is why a socket cannot be used. It is in the chain of every such error.
type socketError struct {
	path  string
	cause error
}

func (e *socketError) Error() string { return e.path + ": " + e.cause.Error() }
func (e *socketError) Unwrap() error { return e.cause }

func isSocket(err error) bool {
	var s *socketError
	return errors.As(err, &s)
}

// errOwn means that the socket is the controller's.
var errOwn = errors.New("is oncue's own: an encoder must not reach it")

// dialSocket connects to the box's socket, wherever links in its path lead, but never to what is
// the controller's own: requests to that would come from a user whom it trusts.
func dialSocket(p *plan, guard encoders.Guard) func(context.Context, string, string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: p.settings.Timeout}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		path, err := filepath.EvalSymlinks(p.socket)
		if err == nil && isOwn(path, guard) {
			err = errOwn
		}
		if err != nil {
			return nil, &socketError{p.socket, err}
		}
		conn, err := dialer.DialContext(ctx, "unix", path)
		if errno := syscall.Errno(0); errors.As(err, &errno) {
			err = &socketError{p.socket, errno}
		}
		return conn, err
	}
}

// isOwn reports whether the path, which has no links, is one of the guard's or below one.
func isOwn(path string, guard encoders.Guard) bool {
	info, err := os.Stat(path)
	for _, own := range guard.Paths {
		if own == "" {
			continue
		}
		if real, err := filepath.EvalSymlinks(own); err == nil {
			own = real
		}
		if rest, below := strings.CutPrefix(path, own); below && (rest == "" || rest[0] == '/') {
			return true
		}
		if same, ownErr := os.Stat(own); err == nil && ownErr == nil && os.SameFile(info, same) {
			return true // another name of it
		}
	}
	return false
}

// socketReason says in words why a socket cannot be used.
func socketReason(err error) string {
	var s *socketError
	errors.As(err, &s)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("there is no socket %s", s.path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("no permission to use %s%s", s.path, access(s.path))
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("connection refused: nothing listens at %s", s.path)
	case errors.Is(err, syscall.EPROTOTYPE):
		return fmt.Sprintf("%s is not a socket of the kind that HTTP needs", s.path)
	}
	return s.Error()
}

// access says who may use a socket, "" when that cannot be seen.
func access(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ", or to look at it"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	owner, group := strconv.Itoa(int(stat.Uid)), strconv.Itoa(int(stat.Gid))
	if u, err := user.LookupId(owner); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(group); err == nil {
		group = g.Name
	}
	return fmt.Sprintf(": it is for user %s and group %s (%s)", owner, group, info.Mode().Perm())
}
