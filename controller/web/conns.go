package web

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// conns bounds a server's open connections. A connection is waiting until its whole request is
// read. When the bound is reached, the connection that has waited longest is closed to make room,
// but not before minWait. So silent and slow peers, however many, lose their place to those that
// send.
type conns struct {
	max     int
	refusal func(status int) (kind string, body []byte) // nil, or the answer to a malformed request

	mu      sync.Mutex
	changed sync.Cond // on mu; signalled when open or idle changes, and when closing is set
	open    int
	idle    int        // of open: between two requests of a keep-alive connection
	waiting *list.List // of *conn, longest wait first
	closing bool       // add no longer waits for room
}

func newConns(max int) *conns {
	c := &conns{max: max, waiting: list.New()}
	c.changed.L = &c.mu
	return c
}

// minWait is how long every connection may wait: a peer that comes among many silent ones needs
// that time to send its request. New connections queue in the kernel meanwhile.
const minWait = 100 * time.Millisecond

// listener counts the connections that it accepts.
type listener struct {
	net.Listener
	conns *conns
}

// Accept also makes room when the process has run out of file descriptors.
func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			if l.conns.closeOldest() {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		return l.conns.add(c), nil
	}
}

// conn is one counted connection. conns.mu guards its fields. Its methods do nothing on nil.
type conn struct {
	net.Conn
	conns  *conns
	place  *list.Element // in conns.waiting; nil while a request is answered
	since  time.Time     // when it began to wait
	idle   bool
	closed bool
}

// add counts c. When there is no room, it first closes the connection that has waited longest; when
// every connection is being answered, it blocks, and new peers queue in the kernel.
func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	for s.open >= s.max && !s.closing {
		oldest := s.oldest()
		if oldest == nil {
			s.changed.Wait()
			continue
		}
		if left := minWait - time.Since(oldest.since); left > 0 {
			s.waitFor(left)
			continue
		}
		s.mu.Unlock()
		_ = oldest.Close()
		s.mu.Lock()
	}
	counted := &conn{Conn: c, conns: s, since: time.Now()}
	counted.place = s.waiting.PushBack(counted)
	s.open++
	s.mu.Unlock()
	return counted
}

// waitFor waits for a change, but not longer than d. The caller has mu.
func (s *conns) waitFor(d time.Duration) {
	timer := time.AfterFunc(d, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	s.changed.Wait()
	timer.Stop()
}

// closeOldest closes the connection that has waited longest and reports whether there was one.
func (s *conns) closeOldest() bool {
	s.mu.Lock()
	oldest := s.oldest()
	s.mu.Unlock()
	return oldest != nil && oldest.Close() == nil
}

func (s *conns) oldest() *conn {
	if front := s.waiting.Front(); front != nil {
		return front.Value.(*conn)
	}
	return nil
}

// wait returns when all open connections are idle, or with ctx's error.
func (s *conns) wait(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.open > s.idle && ctx.Err() == nil {
		s.changed.Wait()
	}
	return ctx.Err()
}

// close makes add return at once, because the listener is being closed.
func (s *conns) close() {
	s.mu.Lock()
	s.closing = true
	s.changed.Broadcast()
	s.mu.Unlock()
}

// Close also makes room for another connection.
func (c *conn) Close() error {
	s := c.conns
	s.mu.Lock()
	if !c.closed {
		c.closed = true
		s.open--
		c.unmark()
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer properly while the peer still sends.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// markAnswering protects the connection from being closed to make room. Handlers call it once they
// have read their request.
func (c *conn) markAnswering() {
	if c == nil {
		return
	}
	c.conns.mu.Lock()
	defer c.conns.mu.Unlock()
	c.unmark()
}

// markIdle is for a connection that waits for its next request.
func (c *conn) markIdle() {
	if c == nil {
		return
	}
	s := c.conns
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.closed && !c.idle {
		c.unmark()
		c.place, c.since = s.waiting.PushBack(c), time.Now()
		c.idle = true
		s.idle++
		s.changed.Broadcast()
	}
}

// markActive is for a connection whose next request has begun. It still waits.
func (c *conn) markActive() {
	if c == nil {
		return
	}
	c.conns.mu.Lock()
	defer c.conns.mu.Unlock()
	if c.idle {
		c.idle = false
		c.conns.idle--
	}
}

// unmark makes the connection neither waiting nor idle. The caller has mu.
func (c *conn) unmark() {
	if c.place != nil {
		c.conns.waiting.Remove(c.place)
		c.place = nil
	}
	if c.idle {
		c.idle = false
		c.conns.idle--
	}
}

// counted finds the counted connection under c, which may be a TLS one.
func counted(c net.Conn) *conn {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = over.NetConn()
	}
	found, _ := c.(*conn)
	return found
}

// connState is for http.Server.ConnState.
func connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateActive:
		counted(c).markActive()
	case http.StateIdle:
		counted(c).markIdle()
	}
}

type connKey struct{}

// connContext is for http.Server.ConnContext.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, counted(c))
}

// connOf returns the connection that r came by, nil when it is not one of a Server.
func connOf(r *http.Request) *conn {
	c, _ := r.Context().Value(connKey{}).(*conn)
	return c
}
