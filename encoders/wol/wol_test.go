package wol

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// computer sleeps until its card hears the magic packet, and then takes connections.
type computer struct {
	t     *testing.T
	card  net.HardwareAddr
	air   net.PacketConn // where its card listens
	check string         // host:port of what runs on it

	mu      sync.Mutex
	lose    int // how many packets the network loses first
	packets [][]byte
	service net.Listener // nil: it sleeps
}

func newComputer(t *testing.T, lose int) *computer {
	t.Helper()
	air, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0") // an address that is its own from now on
	if err != nil {
		t.Fatal(err)
	}
	c := &computer{t: t, card: net.HardwareAddr{0xa0, 0xb1, 0xc2, 0xd3, 0xe4, 0xf5}, air: air, check: l.Addr().String(),
		lose: lose}
	l.Close()
	var listening sync.WaitGroup
	listening.Go(c.listen)
	t.Cleanup(func() { air.Close(); listening.Wait(); c.sleep() })
	return c
}

func (c *computer) listen() {
	buf := make([]byte, 1500)
	for {
		n, _, err := c.air.ReadFrom(buf)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.packets = append(c.packets, bytes.Clone(buf[:n]))
		for i := 0; i+102 <= n && len(c.packets) > c.lose && c.service == nil; i++ { // it stands anywhere in a packet
			if bytes.Equal(buf[i:i+6], bytes.Repeat([]byte{0xff}, 6)) &&
				bytes.Equal(buf[i+6:i+102], bytes.Repeat(c.card, 16)) {
				c.wake()
			}
		}
		c.mu.Unlock()
	}
}

// wake starts what runs on the computer. The caller holds mu.
func (c *computer) wake() {
	l, err := net.Listen("tcp4", c.check)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.service = l
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
}

func (c *computer) sleep() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.service != nil {
		c.service.Close()
		c.service = nil
	}
}

func (c *computer) heard() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.packets)
}

func (c *computer) settings() Settings {
	return Settings{MAC: c.card.String(), Check: "tcp://" + c.check, Broadcast: c.air.LocalAddr().String()}
}

func open(t *testing.T, s Settings, dir string) *Encoder {
	t.Helper()
	e, err := New(s, encoders.Env{Name: "pc", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	e.every = 20 * time.Millisecond
	return e
}

func TestConformance(t *testing.T) {
	for name, dir := range map[string]func(t *testing.T) string{
		"in a folder": (*testing.T).TempDir, "in memory": func(*testing.T) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			encodertest.Run(t, encodertest.Harness{EchoesRun: true, OneStream: true,
				New: func(t *testing.T) encodertest.Rig {
					c, dir := newComputer(t, 2), dir(t)
					rig := encodertest.Rig{Encoder: open(t, c.settings(), dir), Die: func(*testing.T) { c.sleep() }}
					if dir != "" {
						rig.Reopen = func(t *testing.T) encoders.Encoder { return open(t, c.settings(), dir) }
					}
					return rig
				}})
		})
	}
}

var job = encoders.Job{Account: "ABC123", Name: "lobby", Run: "r1"}

// await looks at the computer until it is in a state.
func (e *Encoder) await(t *testing.T, state encoders.State) encoders.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var last encoders.Status
	err := e.Watch(ctx, job, func(s encoders.Status) {
		if last = s; s.State == state {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("it does not get %s, and is %+v: %v", state, last, err)
	}
	return last
}

// TestPacketsGetLost: packets are sent until one wakes the computer, and none afterwards; also by a
// controller that was killed meanwhile.
func TestPacketsGetLost(t *testing.T) {
	c, dir := newComputer(t, 5), t.TempDir()
	e := open(t, c.settings(), dir)
	if err := e.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	e.await(t, encoders.StateStarting)
	e = open(t, c.settings(), dir)
	e.await(t, encoders.StatePublishing)
	was := c.heard()
	if was < 6 {
		t.Errorf("it woke by packet %d", was)
	}
	for range 3 {
		if s, err := e.Status(t.Context(), job); err != nil || s.State != encoders.StatePublishing {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if err := e.Stop(t.Context(), job); err != nil || c.heard() != was {
		t.Errorf("stop: %v, %d more packets", err, c.heard()-was)
	}
	e.await(t, encoders.StateStopped)
}

// TestFallsAsleep: a computer that no longer answers has failed, and the next start wakes it.
func TestFallsAsleep(t *testing.T) {
	c := newComputer(t, 0)
	e := open(t, c.settings(), t.TempDir())
	for range 2 {
		if err := e.Start(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		e.await(t, encoders.StatePublishing)
		c.sleep()
		if s := e.await(t, encoders.StateFailed); !strings.Contains(s.Error, "it answers no more: ") {
			t.Errorf("%+v", s)
		}
	}
}

// TestHTTP: any answer below 500 says that the computer is ready.
func TestHTTP(t *testing.T) {
	status := http.StatusUnauthorized
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer web.Close()
	s := Settings{Check: web.URL + "/ready"}
	if err := s.ask(t.Context()); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := s.ask(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "/ready: 503 Service Unavailable") {
		t.Errorf("a server that is not ready: %v", err)
	}
}

// TestPacketCannotBeSent: a start that can wake nobody fails and leaves nothing.
func TestPacketCannotBeSent(t *testing.T) {
	c := newComputer(t, 0)
	s := c.settings()
	s.Interface = "nosuch0"
	e := open(t, s, t.TempDir())
	const want = "wake: this host has no interface nosuch0"
	if err := e.Start(t.Context(), job); err == nil || err.Error() != want {
		t.Errorf("start: %v, want %s", err, want)
	}
	e.await(t, encoders.StateStopped)
	if f := e.Check(t.Context(), job); len(f) != 1 || f[0].Level != encoders.Bad {
		t.Errorf("check: %+v", f)
	}
}

// TestCards compares the cards with those that package net finds.
func TestCards(t *testing.T) {
	all, err := cards()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		card, err := net.InterfaceByName(c.name)
		if err != nil {
			t.Fatal(err)
		}
		const wanted = net.FlagUp | net.FlagBroadcast
		if c.broadcasts != (card.Flags&wanted == wanted) {
			t.Errorf("%+v, and its flags are %v", c, card.Flags)
		}
		addrs, err := card.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		known := !c.network.IsValid()
		for _, a := range addrs {
			known = known || a.String() == c.network.String()
		}
		if !known {
			t.Errorf("%+v, and its addresses are %v", c, addrs)
		}
	}
	if len(all) == 0 {
		t.Error("none was found")
	}
}

// TestInterface sends by a card that is named, which takes no privilege.
func TestInterface(t *testing.T) {
	c := newComputer(t, 0)
	s := c.settings()
	s.Interface = "lo"
	e := open(t, s, t.TempDir())
	if err := e.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	e.await(t, encoders.StatePublishing)
}

func TestCheck(t *testing.T) {
	c := newComputer(t, 0)
	e := open(t, c.settings(), "")
	texts := func() (all string) {
		for _, f := range e.Check(t.Context(), job) {
			all += string(f.Level) + ": " + f.What + "\n"
		}
		return all
	}
	asleep := "ok: tcp://" + c.check + " does not answer, as when the computer sleeps: "
	if got := texts(); !strings.Contains(got, asleep) || c.heard() != 0 {
		t.Errorf("%d packets, and:\n%s", c.heard(), got)
	}
	c.mu.Lock()
	c.wake()
	c.mu.Unlock()
	if got := texts(); !strings.Contains(got, "answers: the computer is awake") {
		t.Error(got)
	}
	far := Settings{Check: "tcp://240.0.0.1:80", Broadcast: "255.255.255.255:9"}
	if at, elsewhere := far.elsewhere(broadcast); !elsewhere || at.String() != "240.0.0.1" {
		t.Errorf("%v, %v", at, elsewhere)
	}
}

func TestValidate(t *testing.T) {
	good := Settings{MAC: "a0:b1:c2:d3:e4:f5", Check: "tcp://10.0.0.5:4455", Broadcast: "255.255.255.255:9"}
	for _, c := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(*Settings) {}, ""},
		{func(s *Settings) { s.MAC, s.Check = "A0-B1-C2-D3-E4-F5", "https://pc.example.com/" }, ""},
		{func(s *Settings) { s.MAC = "a0:b1" }, `mac: is "a0:b1", must be six bytes in hex, such as a0:b1:c2:d3:e4:f5`},
		{func(s *Settings) { s.MAC = "" },
			"mac: is missing; it is the address of the computer's network card, such as a0:b1:c2:d3:e4:f5"},
		{func(s *Settings) { s.Check = "" },
			"check: is missing; say what answers once the computer is ready, such as tcp://10.0.0.5:4455"},
		{func(s *Settings) { s.Check = "tcp://10.0.0.5" }, `check: is "tcp://10.0.0.5", must be tcp://HOST:PORT`},
		{func(s *Settings) { s.Check = "http://me:it@10.0.0.5" },
			"check: holds a user or password; name a page that asks for none: any answer below 500 will do"},
		{func(s *Settings) { s.Check = "10.0.0.5:80" }, "check: must be tcp://HOST:PORT, or begin with http:// or https://"},
		{func(s *Settings) { s.Broadcast = "10.0.0.255" },
			`broadcast: is "10.0.0.255", must be an IP address and a port, such as "10.0.0.255:9"`},
	} {
		s, got := good, ""
		c.change(&s)
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", s, got, c.want)
		}
	}
}
