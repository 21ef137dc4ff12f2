package tcp

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// password is the boxes' password, and the key that they held before.
const password = encodertest.Canary

// phase is what a fake box is doing.
type phase string

const (
	off      phase = "off"
	starting phase = "starting"
	on       phase = "on"
	stopping phase = "stopping"
	failed   phase = "failed"
)

// box is the state of every fake device: it starts and stops with a delay.
type box struct {
	startDelay, stopDelay time.Duration

	mu      sync.Mutex
	phase   phase
	due     *time.Timer // ends starting or stopping
	starts  int
	stops   int
	told    map[string]string // settings that the device keeps
	clients map[net.Conn]bool
	changed func(b *box) // pushes; mu is held
	frozen  bool
}

// start is what the start button and the protocol do. It reports whether the box was on before. mu
// is held.
func (b *box) start() (already bool) {
	b.starts++
	if b.phase == on || b.phase == starting || b.phase == stopping {
		return true
	}
	b.move(starting, on, b.startDelay)
	return false
}

func (b *box) stop() (already bool) {
	b.stops++
	if b.phase == off || b.phase == stopping {
		return true
	}
	b.move(stopping, off, b.stopDelay)
	return false
}

func (b *box) move(now, then phase, delay time.Duration) {
	b.set(now)
	if b.due != nil {
		b.due.Stop()
	}
	b.due = time.AfterFunc(delay, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.phase == now {
			b.set(then)
		}
	})
}

// set changes the phase, and tells the clients. mu is held.
func (b *box) set(p phase) {
	b.phase = p
	if b.changed != nil {
		b.changed(b)
	}
}

func (b *box) press(start bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if start {
		b.start()
	} else {
		b.stop()
	}
}

func (b *box) copies() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase == off || b.phase == failed {
		return 0
	}
	return 1
}

// say sends a text to every client. mu is held.
func (b *box) say(text string) {
	for c := range b.clients {
		_, _ = c.Write([]byte(text))
	}
}

// serve listens, and runs handler for each client, with mu held while it handles what one has sent.
func (b *box) serve(t testing.TB, client func(b *box, c net.Conn)) *net.TCPListener {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	clients.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.clients[c] = true
			b.mu.Unlock()
			clients.Go(func() {
				client(b, c)
				c.Close()
				b.mu.Lock()
				delete(b.clients, c)
				b.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		b.hangUp()
		clients.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.due != nil {
			b.due.Stop()
		}
	})
	return l
}

// hangUp ends all connections.
func (b *box) hangUp() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.clients {
		c.Close()
	}
}

// kind is one kind of device.
type kind struct {
	preset   string
	settings string
	client   func(b *box, c net.Conn)
	changed  func(b *box)                         // what it says by itself
	udp      func(b *box, packet []byte) [][]byte // the packets of the answer
	dies     bool                                 // it can tell that it has failed
	blind    bool                                 // it cannot tell its state
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

func newBox(k kind) *box {
	return &box{
		phase: off, startDelay: 60 * time.Millisecond, stopDelay: 60 * time.Millisecond, changed: k.changed,
		clients: map[net.Conn]bool{}, told: map[string]string{},
	}
}

// open opens an encoder for a box at the address.
func (k kind) open(t testing.TB, address, dir, more string) *Encoder {
	t.Helper()
	settings := quick
	if strings.Contains(k.settings+more, "timeout: ") {
		settings = strings.Replace(quick, "timeout: 2s\n", "", 1)
	}
	text := "address: \"" + address + "\"\n" + settings + k.settings + "\n" + more
	if k.preset != "" {
		text = "preset: " + k.preset + "\n" + text
	}
	e, err := New(settingsOf(t, text), env(dir))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rig makes a fresh box of the kind and an encoder for it.
func (k kind) rig(t *testing.T) (encodertest.Rig, *box) {
	b := newBox(k)
	var address string
	var end func()
	if k.udp != nil {
		address, end = b.serveUDP(t, k.udp)
	} else {
		l := b.serve(t, k.client)
		address, end = l.Addr().String(), func() { l.Close(); b.hangUp() }
	}
	dir := t.TempDir()
	open := func(t *testing.T) encoders.Encoder { return k.open(t, address, dir, "") }
	rig := encodertest.Rig{
		Encoder: open(t), Secrets: []string{password, "seldomkey"}, Copies: b.copies, Reopen: open,
		Unreachable: func(*testing.T) { end() },
		Freeze: func(*testing.T) {
			b.mu.Lock()
			b.frozen = true
			b.mu.Unlock()
		},
		Job: encodertest.NewJob("rtmps://127.0.0.1:1/v2/pub/lobby?token=" + password),
	}
	if k.dies {
		rig.Die = func(*testing.T) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.set(failed)
		}
	}
	if !k.blind {
		rig.Press = func(_ *testing.T, _ encoders.Job, start bool) { b.press(start) }
	}
	return rig, b
}

// serveUDP answers packets.
func (b *box) serveUDP(t testing.TB, answer func(b *box, packet []byte) [][]byte) (address string, end func()) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := c.ReadFromUDP(packet)
			if err != nil {
				return
			}
			b.mu.Lock()
			if !b.frozen {
				for _, out := range answer(b, packet[:n]) {
					_, _ = c.WriteToUDP(out, from)
				}
			}
			b.mu.Unlock()
		}
	})
	end = func() { c.Close() }
	t.Cleanup(func() { end(); served.Wait() })
	return c.LocalAddr().String(), end
}

// within is a context that ends after d.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// await waits for a status.
func await(t testing.TB, e *Encoder, job encoders.Job, what string, ok func(encoders.Status) bool) encoders.Status {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for {
		s, err := e.Status(ctx, job)
		if err != nil {
			t.Fatalf("not %s: %v", what, err)
		}
		if ok(s) {
			return s
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("not %s: it is %+v", what, s)
		}
	}
}

func is(state encoders.State) func(encoders.Status) bool {
	return func(s encoders.Status) bool { return s.State == state }
}
