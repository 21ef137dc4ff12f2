package rtmp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Handler decides about publishers and gets their media. Its methods are called from the
// publishers' own goroutines, many at once, and must not wait for a publisher.
type Handler interface {
	// Publish is called before a publish command is answered. The publisher is shown the words of
	// an error, and its connection ends.
	Publish(p *Publisher) error
	// Tag gets one message of an accepted publisher. Its data is valid during the call.
	Tag(p *Publisher, t Tag)
	// Unpublish is called once for every accepted publisher: when it says goodbye, disconnects,
	// stays silent or is dropped. cause is nil for a goodbye.
	Unpublish(p *Publisher, cause error)
}

// Settings of a [Server]. Only Handler is needed.
type Settings struct {
	Handler Handler
	App     string        // the one RTMP application served, "v2/pub" if empty
	Silence time.Duration // a feed ends when its publisher sends nothing for so long; 10 s if zero
	Log     *slog.Logger  // nil: none
	// SlowAcks leaves TCP's acknowledgements to the kernel, which delays them by up to 40 ms.
	// Otherwise, on Linux, they are sent at once until the first picture has arrived.
	SlowAcks bool
}

// Server is the ingest. Make it with [NewServer], give it listeners with Serve, end it with Close.
type Server struct {
	set  Settings
	done chan struct{} // closed by Close
	work sync.WaitGroup

	connections atomic.Int64

	mu        sync.Mutex // guards the rest
	closed    bool
	muted     bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// Causes that Unpublish gets.
var (
	ErrSilent = errors.New("the publisher went silent")
	ErrGone   = errors.New("the publisher's connection ended without a goodbye")
	ErrClosed = errors.New("the ingest is closed")
)

const (
	maxConns    = 4096                  // connections held at once
	acceptPause = 50 * time.Millisecond // after a failed accept, most often for lack of file descriptors
)

// NewServer returns a server that listens nowhere yet.
func NewServer(set Settings) *Server {
	if set.App == "" {
		set.App = "v2/pub"
	}
	if set.Silence <= 0 {
		set.Silence = 10 * time.Second
	}
	if set.Log == nil {
		set.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{
		set:       set,
		done:      make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
}

// Serve accepts connections until Close, which makes it return ErrClosed. It owns l.
func (s *Server) Serve(l net.Listener) error {
	if !s.addListener(l) {
		l.Close()
		return ErrClosed
	}
	defer l.Close()
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.wait(acceptPause) {
				return ErrClosed
			}
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("rtmp: accept on %s: %w", l.Addr(), err)
			}
			s.set.Log.Warn("rtmp: cannot accept a connection", "error", err)
			continue
		}
		s.connections.Add(1)
		s.admit(nc)
	}
}

// wait sleeps for d and reports whether the server was closed meanwhile.
func (s *Server) wait(d time.Duration) (closed bool) {
	select {
	case <-s.done:
		return true
	case <-time.After(d):
		return false
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) admit(nc net.Conn) {
	c := newConn(s, nc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxConns {
		nc.Close()
		return
	}
	if s.muted {
		c.muted = true
		c.gate.shut()
	}
	s.conns[c] = struct{}{}
	s.work.Go(func() {
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	})
}

// Mute(true) makes the server accept connections and not answer them. After Mute(false) they are
// answered. Older connections are not affected.
func (s *Server) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.muted = on
	if on {
		return
	}
	for c := range s.conns {
		if c.muted {
			c.muted = false
			c.gate.open()
		}
	}
}

// Connections returns how many connections have been accepted since the start.
func (s *Server) Connections() int64 { return s.connections.Load() }

// Open returns how many connections are open now.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Close ends all listeners and connections and waits until their goroutines are gone. It must not
// be called from a Handler.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		c.close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return nil
}
