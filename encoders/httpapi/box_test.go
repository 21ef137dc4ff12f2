package httpapi

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// password is the boxes' password.
const password = encodertest.Canary

// phase is what a fake box is doing.
type phase string

const (
	off      phase = "off"
	starting phase = "starting"
	on       phase = "on"
	stopping phase = "stopping"
	failing  phase = "failing" // on, and not delivering
	failed   phase = "failed"
)

// box is the state of every fake device: it starts and stops with a delay, and counts requests.
type box struct {
	startDelay, stopDelay time.Duration
	harmless              bool // a second start does nothing; else it makes a second copy

	mu       sync.Mutex
	phase    phase
	due      time.Time // when starting or stopping ends
	copies   int
	starts   int
	sessions map[string]bool
	logins   int
	frozen   chan struct{} // nil: not frozen
	requests []string
}

func (b *box) now() phase {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tick()
}

func (b *box) tick() phase {
	if time.Now().After(b.due) {
		switch b.phase {
		case starting:
			b.phase = on
		case stopping:
			b.phase, b.copies = off, 0
		}
	}
	return b.phase
}

// start is what the start button and the API do. It reports whether the box was on before.
func (b *box) start() (already bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.starts++
	switch b.tick() {
	case off, failed:
		b.phase, b.copies, b.due = starting, 1, time.Now().Add(b.startDelay)
		return false
	}
	if !b.harmless {
		b.copies++
	}
	return true
}

func (b *box) stop() (already bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.tick() {
	case off:
		return true
	case failed:
		b.phase = off
		return false
	}
	b.phase, b.due = stopping, time.Now().Add(b.stopDelay)
	return false
}

func (b *box) set(p phase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase = p; p == off || p == failed {
		b.copies = 0
	}
}

func (b *box) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tick()
	return b.copies
}

// logIn opens a session and returns its id.
func (b *box) logIn() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins++
	id := fmt.Sprintf("0000000e-5Qn9session%d", b.logins)
	b.sessions = map[string]bool{id: true}
	return id
}

func (b *box) knows(session string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sessions[session]
}

// expire ends all sessions, as boxes do.
func (b *box) expire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sessions = nil
}

// serve adds to a device's handler the faults that all devices can have.
func (b *box) serve(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		frozen := b.frozen
		b.requests = append(b.requests, r.Method+" "+r.URL.RequestURI())
		b.mu.Unlock()
		if frozen != nil {
			select {
			case <-frozen:
			case <-r.Context().Done():
			}
			return
		}
		if len(r.TransferEncoding) > 0 {
			http.Error(w, "this firmware cannot read chunks", http.StatusLengthRequired)
			return
		}
		handler(w, r)
	})
}

func reply(w http.ResponseWriter, format string, args ...any) {
	_, _ = fmt.Fprintf(w, format, args...)
}

func bodyOfRequest(r *http.Request) string {
	text, _ := io.ReadAll(r.Body)
	return string(text)
}

// rig makes a fresh box of the kind and an encoder for it.
func (d kind) rig(t *testing.T) (encodertest.Rig, *box, *httptest.Server) {
	b := &box{phase: off, startDelay: 60 * time.Millisecond, stopDelay: 60 * time.Millisecond, harmless: d.harmless}
	server := httptest.NewUnstartedServer(b.serve(d.handler(b)))
	if d.socket {
		server.Listener.Close()
		server.Listener = listenSocket(t)
	}
	server.Start()
	t.Cleanup(server.Close)
	if d.socket {
		server.URL = "unix://" + server.Listener.Addr().String()
	}
	dir := t.TempDir()
	open := func(t *testing.T) encoders.Encoder {
		text := "url: " + server.URL + "\n" + quick + d.settings
		if d.preset != "" {
			text = "preset: " + d.preset + "\n" + text
		}
		e, err := New(settingsOf(t, text), env(dir))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	rig := encodertest.Rig{
		Encoder: open(t), Secrets: []string{password, "5Qn9session"}, Copies: b.count, Reopen: open,
		Unreachable: func(t *testing.T) { server.CloseClientConnections(); server.Close() },
		Freeze: func(t *testing.T) {
			b.mu.Lock()
			b.frozen = make(chan struct{})
			b.mu.Unlock()
			t.Cleanup(func() { close(b.frozen) })
		},
	}
	if d.dies {
		rig.Die = func(*testing.T) { b.set(failed) }
	}
	if d.hand {
		rig.Press = func(_ *testing.T, _ encoders.Job, start bool) {
			if start {
				b.start()
			} else {
				b.stop()
			}
		}
	}
	return rig, b, server
}

// quick shortens the driver's times for tests.
const quick = `
interval: 100ms
quick_interval: 20ms
timeout: 2s
`

func env(dir string) encoders.Env {
	return encoders.Env{Name: "box", Dir: dir, Log: slog.New(slog.DiscardHandler)}
}

// kind is one kind of device.
type kind struct {
	preset   string
	settings string
	handler  func(*box) http.HandlerFunc
	harmless bool // a second start does nothing
	dies     bool // it can tell that it has failed
	hand     bool // found stopped means that somebody stopped it
	socket   bool // it listens on a unix socket
}

func basic(r *http.Request, user string) bool {
	u, p, ok := r.BasicAuth()
	return ok && u == user && p == password
}

func pick[T any](p phase, choices map[phase]T) T { return choices[p] }

func has(s string, parts ...string) bool {
	for _, p := range parts {
		if !strings.Contains(s, p) {
			return false
		}
	}
	return true
}
