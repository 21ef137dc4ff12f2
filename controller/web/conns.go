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

// conns bounds a server's open connections. A connection waits until its request is read whole; when the bound is reached, the one that has
// waited longest is closed to make room, once it has had its chance. So silent and slow peers lose their place to those who have something to
// say, whatever their number.
type conns struct {
	max     int
	refusal func(status int) (kind string, body []byte) // nil, or the answer to what net/http cannot read

	mu      sync.Mutex
	changed sync.Cond // on mu; open or idle fell, or closing began
	open    int
	idle    int        // of open: between two requests of a keep-alive connection
	waiting *list.List // of *conn, longest wait first
	closing bool       // no connection waits for room any more
}

func newConns(max int) *conns {
	c := &conns{max: max, waiting: list.New()}
	c.changed.L = &c.mu
	return c
}

// chance is how long a connection may wait in any case: a peer who comes among many silent ones needs it to say what it wants. Meanwhile the
// others queue in the kernel.
const chance = 100 * time.Millisecond

// listener counts what it accepts.
type listener struct {
	net.Listener
	conns *conns
}

// Accept makes room also when the process has run out of file descriptors.
func (l listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			if l.conns.shed() {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		return l.conns.add(c), nil
	}
}

// conn is one counted connection. Its fields belong to conns.mu.
type conn struct {
	net.Conn
	conns  *conns
	place  *list.Element // in waiting; nil while a request is answered
	since  time.Time     // when it began to wait
	idle   bool
	closed bool
}

// add counts c, and closes the longest waiting connection first when there is no room. When every connection is being answered it blocks: the
// peers queue in the kernel then.
func (s *conns) add(c net.Conn) *conn {
	s.mu.Lock()
	for s.open >= s.max && !s.closing {
		oldest := s.oldest()
		if oldest == nil {
			s.changed.Wait()
			continue
		}
		if left := chance - time.Since(oldest.since); left > 0 {
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

// waitFor waits for a change, under mu, but not longer than d.
func (s *conns) waitFor(d time.Duration) {
	timer := time.AfterFunc(d, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	s.changed.Wait()
	timer.Stop()
}

// shed closes the longest waiting connection, and says whether there was one.
func (s *conns) shed() bool {
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

// wait returns when no connection is open but idle ones, or with ctx's error.
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

// close lets connections in that wait for room: the listener is going away.
func (s *conns) close() {
	s.mu.Lock()
	s.closing = true
	s.changed.Broadcast()
	s.mu.Unlock()
}

// Close also gives the place free.
func (c *conn) Close() error {
	s := c.conns
	s.mu.Lock()
	if !c.closed {
		c.closed = true
		s.open--
		c.leaveLocked()
		s.changed.Broadcast()
	}
	s.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets net/http end an answer without cutting it off when the peer still sends.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// served marks the connection as one that is being answered: it is not closed to make room.
func (c *conn) served() {
	c.conns.mu.Lock()
	c.leaveLocked()
	c.conns.mu.Unlock()
}

// between marks the connection as waiting for its next request.
func (c *conn) between() {
	s := c.conns
	s.mu.Lock()
	if !c.closed && !c.idle {
		c.leaveLocked()
		c.place, c.since = s.waiting.PushBack(c), time.Now()
		c.idle = true
		s.idle++
		s.changed.Broadcast()
	}
	s.mu.Unlock()
}

// busy marks a connection that was idle as one that has begun a request.
func (c *conn) busy() {
	c.conns.mu.Lock()
	if c.idle {
		c.idle = false
		c.conns.idle--
	}
	c.conns.mu.Unlock()
}

func (c *conn) leaveLocked() {
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
	found := counted(c)
	if found == nil {
		return
	}
	switch state {
	case http.StateActive:
		found.busy()
	case http.StateIdle:
		found.between()
	}
}

type connKey struct{}

// connContext is for http.Server.ConnContext.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, counted(c))
}

// served marks the connection of r as being answered: call it when the request is read.
func served(r *http.Request) {
	if c, _ := r.Context().Value(connKey{}).(*conn); c != nil {
		c.served()
	}
}
