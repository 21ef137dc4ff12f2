package web

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	hookWriteTimeout  = 15 * time.Second // from the header on, so that a slow body is still answered with 408
	adminWriteTimeout = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
	maxConns          = 1024
)

// Server is one side of the daemon, made by NewHooks or NewAdmin. It takes mu and conns.mu one at a
// time.
type Server struct {
	log   *slog.Logger
	http  *http.Server
	tls   *tls.Config // nil: plain
	conns *conns
	check func(net.Listener) error // says why a listener must not be served; may be nil
	end   func()                   // ends the answers that would never end; may be nil

	mu        sync.Mutex
	listeners []net.Listener
	draining  bool
	serving   sync.WaitGroup
}

type serverOptions struct {
	log          *slog.Logger
	tls          *tls.Config
	keepAlive    bool
	writeTimeout time.Duration
	maxConns     int
	check        func(net.Listener) error
	end          func()
	refusal      func(status int) (kind string, body []byte)
}

func newServer(h http.Handler, o serverOptions) *Server {
	s := &Server{log: o.log, tls: o.tls, conns: newConns(roomFor(o.maxConns)), check: o.check, end: o.end}
	s.conns.refusal = o.refusal
	s.http = &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            readHeaderTimeout,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 o.writeTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(o.log.Handler(), slog.LevelDebug),
		BaseContext: func(l net.Listener) context.Context {
			return context.WithValue(context.Background(), placeKey{}, placeOf(l.Addr()))
		},
		ConnState:   connState,
		ConnContext: connContext,
		Protocols:   new(http.Protocols),
	}
	s.http.Protocols.SetHTTP1(true)
	s.http.SetKeepAlivesEnabled(o.keepAlive)
	return s
}

// roomFor limits want to half of the files that the process may open, which leaves the other half
// to the store and the encoders.
func roomFor(want int) int {
	if want <= 0 {
		want = maxConns
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil && files.Cur/2 < uint64(want) {
		want = int(files.Cur / 2)
	}
	return max(want, 1)
}

// Serve answers on all of the listeners and owns them from now on. It returns nil once Drain or
// Close has closed them; after an error of one listener, it closes all and returns the error.
func (s *Server) Serve(listeners ...net.Listener) error {
	s.mu.Lock()
	err := s.adopt(listeners)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		var counting net.Listener = listener{Listener: l, conns: s.conns}
		if s.tls != nil {
			counting = tls.NewListener(counting, s.tls)
		}
		go func() {
			defer s.serving.Done()
			ended <- fmt.Errorf("serve on %s: %w", l.Addr(), s.http.Serve(counting))
		}()
	}
	for range listeners {
		if e := <-ended; err == nil && !s.leaving() {
			err = e
			s.closeListeners()
		}
	}
	return err
}

// adopt takes the listeners over, or closes them when they cannot be served. The caller has mu.
func (s *Server) adopt(listeners []net.Listener) error {
	var err error
	for _, l := range listeners {
		if err == nil && s.check != nil {
			err = s.check(l)
		}
	}
	if s.draining || err != nil {
		for _, l := range listeners {
			_ = l.Close()
		}
		return err
	}
	s.listeners = append(s.listeners, listeners...)
	s.serving.Add(len(listeners))
	return nil
}

func (s *Server) leaving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// closeListeners closes this process's copies. A socket that systemd passed stays open in systemd:
// clients that connect meanwhile wait for the next instance.
func (s *Server) closeListeners() {
	s.conns.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.listeners = nil
}

// Drain ends the server without losing a request that was sent to it. It stops accepting, waits
// until every connection is answered, and only then shuts down: http.Server.Shutdown alone closes a
// connection without an answer when its request arrives after Shutdown began
// (golang.org/issue/75591). When ctx ends first, Drain closes the open connections and returns
// ctx's error.
func (s *Server) Drain(ctx context.Context) error {
	s.leave()
	s.serving.Wait() // from here on, every accepted connection is counted
	err := s.conns.wait(ctx)
	s.http.SetKeepAlivesEnabled(false)
	if err == nil {
		err = s.http.Shutdown(ctx)
	}
	if err != nil {
		_ = s.http.Close()
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Close ends the server at once.
func (s *Server) Close() error {
	s.leave()
	return s.http.Close()
}

// leave stops accepting.
func (s *Server) leave() {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	s.closeListeners()
	if s.end != nil {
		s.end()
	}
}

// place says who can reach a listener.
type place int

const (
	placeNetwork  place = iota // other hosts
	placeLoopback              // everybody on this host, browsers included
	placeUnix                  // those whom the socket file's permissions allow
)

type placeKey struct{}

func placeOf(addr net.Addr) place {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return placeUnix
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return placeLoopback
		}
	}
	return placeNetwork
}

// reachedAt is the place of the listener that r came through.
func reachedAt(r *http.Request) place {
	p, _ := r.Context().Value(placeKey{}).(place)
	return p
}
