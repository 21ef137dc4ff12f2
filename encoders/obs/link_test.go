package obs

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestClosedAtFirst(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{})
	server.Crash()
	s := r.status()
	if want := "obs at " + server.Address + " is not reachable: connection refused"; s.State != encoders.StateUnknown ||
		s.Error != want {
		t.Errorf("status %+v; want unknown, %q", s, want)
	}
	if err := r.Start(r.within(patience), r.job); err == nil || encoders.IsPermanent(err) ||
		!strings.Contains(err.Error(), "not reachable") {
		t.Errorf("start: %v", err)
	}
	if err := r.Stop(r.within(patience), r.job); err == nil {
		t.Error("stop is confirmed by an OBS that never answered")
	}
	await(t, "several attempts", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.link.ended > 4 })
	if n := strings.Count(r.log.String(), "no connection to obs"); n != 1 {
		t.Errorf("the outage was logged %d times; want once:\n%s", n, r.log)
	}
	server.Open()
	r.awaitState(encoders.StateStopped)
	if !strings.Contains(r.log.String(), "reachable again") {
		t.Errorf("the end of the outage was not logged:\n%s", r.log)
	}
}

func TestStartBringsTheConnectionBackAtOnce(t *testing.T) {
	t.Parallel()
	l := fast()
	l.backoffMin, l.backoffMax = time.Hour, time.Hour
	server := obstest.NewServer(t, obstest.Settings{})
	r := newRig(t, settingsFor(server), l)
	server.Crash()
	r.awaitState(encoders.StateUnknown)
	server.Open()
	r.start()
	r.awaitState(encoders.StatePublishing)
}

func TestHalfOpen(t *testing.T) {
	t.Parallel()
	l := fast()
	l.pollOff = time.Hour // so that only the start can find out
	server := obstest.NewServer(t, obstest.Settings{})
	r := newRig(t, settingsFor(server), l)
	r.awaitState(encoders.StateStopped)
	server.Deafen()
	r.start()
	r.awaitState(encoders.StatePublishing)
	server.Deafen()
	r.awaitState(encoders.StateUnknown)
	if s := r.awaitState(encoders.StatePublishing); server.Requests("StartStream") != 1 || s.Run != r.job.Run {
		t.Errorf("%d times StartStream; status %+v", server.Requests("StartStream"), s)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{Password: "right"})
	for name, password := range map[string]string{"refuses the password": "wrong",
		"asks for a password, and none is configured": ""} {
		t.Run(name, func(t *testing.T) {
			s := settingsFor(server)
			s.Password = secret.New(password)
			l := fast()
			l.backoffAuth = time.Hour
			r := newRig(t, s, l)
			if got := r.status(); !strings.HasSuffix(got.Error, name) {
				t.Errorf("the status says %q", got.Error)
			}
			for range 3 {
				if err := r.Start(r.within(patience), r.job); !encoders.IsPermanent(err) ||
					!strings.HasSuffix(err.Error(), name) {
					t.Errorf("start: %v; want a permanent %q", err, name)
				}
			}
			if r.mu.Lock(); r.link.ended != 1 {
				t.Errorf("%d attempts; a refused password must not be tried again soon", r.link.ended)
			}
			r.mu.Unlock()
		})
	}
}

func TestPasswordIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{Password: "another"})
	r.awaitState(encoders.StateUnknown)
	server.Set(func(s *obstest.Settings) { s.Password = encodertest.Canary })
	r.awaitState(encoders.StateStopped)
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*obstest.Server){
		"broken off":  func(s *obstest.Server) { s.Drop(0) },
		"kicked":      func(s *obstest.Server) { s.Drop(4011) },
		"going away":  func(s *obstest.Server) { s.Drop(websocket.StatusGoingAway) },
		"no JSON":     func(s *obstest.Server) { s.Raw([]byte("OBS")) },
		"wrong types": func(s *obstest.Server) { s.Raw([]byte(`{"op":5,"d":[7]}`)) },
		"too large": func(s *obstest.Server) {
			s.Raw([]byte(`{"op":99,"d":"` + strings.Repeat("x", maxMessage) +
				`"}`))
		},
		"unknown kind": func(s *obstest.Server) { s.Raw([]byte(`{"op":99,"d":{}}`)); s.Drop(0) },
	} {
		t.Run(name, func(t *testing.T) {
			server, r := played(t, obstest.Settings{})
			r.start()
			r.awaitState(encoders.StatePublishing)
			lose(server)
			await(t, "the loss is seen",
				func() bool { return strings.Contains(r.log.String(), "no connection to obs") })
			s := r.awaitState(encoders.StatePublishing)
			if s.Run != r.job.Run || s.ByHand || server.Requests("StartStream") != 1 {
				t.Errorf("after the loss it is %+v, with %d times StartStream", s, server.Requests("StartStream"))
			}
			r.stop()
		})
	}
}

func TestChangedWhileAway(t *testing.T) {
	t.Parallel()
	for _, part := range []struct {
		name   string
		before bool
		change func(*obstest.Server)
		state  encoders.State
		byHand bool
	}{
		{"stopped", true, func(s *obstest.Server) { s.PressStop() }, encoders.StateStopped, true},
		{"started", false, func(s *obstest.Server) { s.PressStart() }, encoders.StatePublishing, true},
		{"nothing", true, func(*obstest.Server) {}, encoders.StatePublishing, false},
		{"crashed while on", true, func(s *obstest.Server) { s.Crash(); s.Open() }, encoders.StateFailed, false},
		{"crashed while off", false, func(s *obstest.Server) { s.Crash(); s.Open() }, encoders.StateStopped, false},
		{"closed while on", true, func(s *obstest.Server) { s.Exit(); s.Open() }, encoders.StateFailed, false},
	} {
		t.Run(part.name, func(t *testing.T) {
			l := fast()
			l.backoffMin, l.backoffMax = time.Hour, time.Hour // it comes back when it is told to
			server := obstest.NewServer(t, obstest.Settings{})
			r := newRig(t, settingsFor(server), l)
			if part.before {
				r.start()
				r.awaitState(encoders.StatePublishing)
				await(t, "a second of OBS has been seen",
					func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.out.rendered > 15 })
			} else {
				r.awaitState(encoders.StateStopped)
			}
			server.Drop(0)
			r.awaitState(encoders.StateUnknown)
			part.change(server)
			r.wantAttempt()
			s := r.awaitStatus("known", func(s encoders.Status) bool { return s.State != encoders.StateUnknown })
			if s.State != part.state || s.ByHand != part.byHand {
				t.Errorf("it is %+v; want %s, by hand %t", s, part.state, part.byHand)
			}
		})
	}
}

func TestClosedOBSIsStopped(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{})
	r.start()
	r.awaitState(encoders.StatePublishing)
	server.Exit()
	if s := r.awaitState(encoders.StateUnknown); !strings.Contains(s.Error, "not reachable") {
		t.Errorf("status %+v", s)
	}
	r.stop() // it said good-bye
}

func TestListenStrangers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mute := Defaults()
	mute.Addr = l.Addr().String() // takes connections, as the kernel does for a frozen OBS
	old := settingsFor(obstest.NewServer(t, obstest.Settings{Greeting: `{"update-type":"Heartbeat"}`}))
	for want, s := range map[string]Settings{
		"does not answer within 1s":             mute,
		"does not speak obs-websocket 5":        old,
		"is not reachable: no address is known": {Addr: "no.such.host.invalid:4455", StallTimeout: time.Second},
		"is not reachable: connection refused":  {Addr: "127.0.0.1:1", StallTimeout: time.Second},
	} {
		t.Run(want, func(t *testing.T) {
			r := newRig(t, s, fast())
			if got := r.status(); !strings.Contains(got.Error, want) {
				t.Errorf("the status says %q; want %q", got.Error, want)
			}
			found := r.Check(r.within(patience), r.job)
			if len(found) != 1 || found[0].Level != encoders.Bad || found[0].Hint == "" ||
				!strings.Contains(found[0].What, want) {
				t.Errorf("the check finds %+v", found)
			}
		})
	}
}
