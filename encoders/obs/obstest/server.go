// Package obstest gives tests an OBS: [NewServer] plays one, with faults that a real one cannot be
// asked for, and [Start] runs a real one without a screen.
package obstest

import (
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Server plays an OBS as obs-websocket 5 shows it. It reports a test error when a second
// StartStream comes while it is starting, which would crash a real OBS.
type Server struct {
	Address string

	t        testing.TB
	handlers sync.WaitGroup

	mu       sync.Mutex
	settings Settings
	listener net.Listener
	http     *http.Server
	conns    map[*conn]bool
	frozen   chan struct{} // closed when it thaws; nil when it is not frozen
	stream   stream
	requests map[string]int    // by type
	current  map[string]string // profile, scene collection and scene, by the request that lists them
	down     bool
}

// Settings is how the server behaves. [Server.Set] changes them at any time.
type Settings struct {
	Password   string
	OBS        string           // version of OBS
	StartTakes time.Duration    // from StartStream to its end
	StartFails bool             // that end is STOPPED
	StopTakes  time.Duration    // from StopStream to STOPPED
	Closes     time.Duration    // from STOPPED to the end of the output
	Refuse     map[string][]int // codes to refuse the next requests of a type with, in order
	Ignore     map[string]bool  // request types that are never answered
	Stuck      bool             // streams, but delivers nothing
	Records    bool             // records
	Greeting   string           // sent in place of the real greeting
}

// NewServer starts a server on a loopback port, and ends it with the test.
func NewServer(t testing.TB, settings Settings) *Server {
	t.Helper()
	if settings.OBS == "" {
		settings.OBS = "29.0.2"
	}
	s := &Server{t: t, settings: settings, conns: map[*conn]bool{}, requests: map[string]int{}, down: true}
	s.current = map[string]string{"GetProfileList": "ci", "GetSceneCollectionList": "ci", "GetSceneList": "ci"}
	s.stream.service = map[string]any{"streamServiceType": "rtmp_custom",
		"streamServiceSettings": map[string]any{"server": "rtmp://127.0.0.1/live", "key": "own", "use_auth": false}}
	s.Open()
	t.Cleanup(func() { s.Thaw(); s.Crash(); s.handlers.Wait() })
	return s
}

// Open lets OBS run again after Crash or Exit, as a new process.
func (s *Server) Open() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down {
		return
	}
	address := s.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatalf("obs server: %v", err)
	}
	s.listener = l
	s.Address, s.down = l.Addr().String(), false
	s.stream.reset()
	s.http = &http.Server{Handler: http.HandlerFunc(s.serve)}
	go s.http.Serve(l)
}

// Set changes how the server behaves from now on.
func (s *Server) Set(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.settings)
}

// Crash ends OBS as SIGKILL does: connections break off, and nothing listens.
func (s *Server) Crash() { s.end(websocket.StatusCode(0)) }

// Exit closes OBS as its window's close button does.
func (s *Server) Exit() {
	s.mu.Lock()
	s.event("ExitStarted", nil)
	s.mu.Unlock()
	s.end(websocket.StatusGoingAway)
}

func (s *Server) end(code websocket.StatusCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return
	}
	s.down = true
	s.listener.Close()
	s.http.Close()
	s.stream.reset()
	s.drop(code)
}

// Drop breaks the connections off, or closes them with a code that is not 0. OBS keeps running.
func (s *Server) Drop(code websocket.StatusCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(code)
}

func (s *Server) drop(code websocket.StatusCode) {
	for c := range s.conns {
		if code != 0 {
			c.enqueue(outgoing{code: code})
		} else {
			c.ws.CloseNow()
		}
		delete(s.conns, c)
	}
}

// Deafen makes the present connections half open: they stay, and nothing comes through them. New
// ones work.
func (s *Server) Deafen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.deaf.Store(true)
	}
}

// Freeze stops OBS as SIGSTOP does: connections stay open, and the kernel accepts new ones;
// nothing is answered.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen == nil {
		s.frozen = make(chan struct{})
	}
}

// Thaw continues OBS.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.frozen != nil {
		close(s.frozen)
		s.frozen = nil
	}
}

// Requests counts the requests of a type.
func (s *Server) Requests(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[kind]
}

// Raw sends text to all clients unchanged.
func (s *Server) Raw(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw(text)
}

func (s *Server) raw(text []byte) {
	for c := range s.conns {
		c.send(text)
	}
}

// event sends an event to all clients.
func (s *Server) event(kind string, data any) {
	s.raw(encode(5, map[string]any{"eventType": kind, "eventIntent": 64, "eventData": data}))
}

func encode(op int, d any) []byte {
	data, err := json.Marshal(map[string]any{"op": op, "d": d})
	if err != nil {
		panic(err) // only values of this package come here
	}
	return data
}
