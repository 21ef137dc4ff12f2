package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// serveHandler opens an encoder for a handler.
func serveHandler(t *testing.T, settings string, handler http.HandlerFunc) (*Encoder, *httptest.Server) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return open(t, "url: "+server.URL+"\n"+quick+settings), server
}

func open(t *testing.T, settings string) *Encoder {
	t.Helper()
	e, err := New(settingsOf(t, settings), env(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func status(t *testing.T, e *Encoder) encoders.Status {
	t.Helper()
	s, err := e.Status(within(t, 10*time.Second), encodertest.NewJob(""))
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", s); strings.Contains(text, password) {
		t.Errorf("the status shows a secret: %s", text)
	}
	return s
}

func await(t *testing.T, e *Encoder, want encoders.State) encoders.Status {
	t.Helper()
	end := time.After(10 * time.Second)
	for {
		s := status(t, e)
		if s.State == want {
			return s
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("not %s; it is %+v", want, s)
		}
	}
}

func mustSay(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q does not say %q", text, p)
		}
	}
	if strings.Contains(text, password) {
		t.Errorf("it shows a secret: %s", text)
	}
}

func TestBadAnswersAreUnknown(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		say     string
	}{
		"garbage": {func(w http.ResponseWriter, r *http.Request) {
			reply(w, "\x00\x01<<<%s\x1b[31m", password)
		}, "got 200 OK"},
		"html": {func(w http.ResponseWriter, r *http.Request) {
			reply(w, "<html><body>Router login</body></html>")
		}, "Router login"},
		"empty": {func(w http.ResponseWriter, r *http.Request) {}, "cannot judge the answer"},
		"500": {func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "boom", http.StatusInternalServerError)
		}, "got 500 Internal Server Error: boom"},
		"no rule": {func(w http.ResponseWriter, r *http.Request) { reply(w, `{"state":"rebooting"}`) }, "no rule fits"},
		"huge": {func(w http.ResponseWriter, r *http.Request) {
			chunk := strings.Repeat("x", 1<<20)
			for range 200 {
				if _, err := w.Write([]byte(chunk)); err != nil {
					return
				}
			}
		}, "larger than 1 MiB"},
		"not http": {func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n"))
			_ = conn.Close()
		}, "not HTTP"},
		"reset": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "GET /api/state"},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := serveHandler(t, "retries: 0\n"+ownBox, c.handler)
			began := time.Now()
			s := status(t, e)
			if s.State != encoders.StateUnknown || s.Error == "" {
				t.Errorf("it is %+v; want unknown, and why", s)
			}
			if name != "garbage" {
				mustSay(t, s.Error, c.say)
			}
			if strings.ContainsAny(s.Error, "\x00\x1b\n") {
				t.Errorf("control characters in %q", s.Error)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			job := encodertest.NewJob("")
			err := e.Start(within(t, 5*time.Second), job)
			if err == nil {
				t.Fatal("a start is taken by a box that makes no sense")
			}
			mustSay(t, err.Error(), "start: ")
		})
	}
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stolen.Add(1)
		reply(w, `{"state":"on"}`)
	}))
	t.Cleanup(thief.Close)
	elsewhere := strings.Replace(thief.URL, "127.0.0.1", "localhost", 1)
	e, _ := serveHandler(t, "username: admin\npassword: "+password+"\n"+ownBox,
		func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+"/api/state?token="+password, http.StatusFound)
		})
	s := status(t, e)
	if s.State != encoders.StateUnknown || stolen.Load() > 0 {
		t.Errorf("it is %+v, and %d requests went elsewhere", s, stolen.Load())
	}
	mustSay(t, s.Error, "302 Found, a redirect to "+elsewhere+"/api/state that is not followed")

	e, _ = serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/state" {
			http.Redirect(w, r, "/v2/state", http.StatusFound)
			return
		}
		reply(w, `{"state":"on"}`)
	})
	if s := status(t, e); s.State != encoders.StatePublishing {
		t.Errorf("after a redirect on the same box it is %+v", s)
	}
}

func TestDigest(t *testing.T) {
	for _, algorithm := range []string{"MD5", "SHA-256"} {
		t.Run(algorithm, func(t *testing.T) {
			b := &box{phase: off}
			guard := digestGuard(algorithm, "admin", password)
			own := ownHandler(b)
			handler := func(w http.ResponseWriter, r *http.Request) {
				if guard(w, r) {
					own(w, r)
				}
			}
			job := encodertest.NewJob("")
			e, _ := serveHandler(t, "auth: digest\nusername: admin\npassword: "+password+"\n"+ownBox, handler)
			for range 4 { // past the end of a nonce
				if err := e.Start(within(t, 5*time.Second), job); err != nil {
					t.Fatal(err)
				}
				await(t, e, encoders.StatePublishing)
				if err := e.Stop(within(t, 5*time.Second), job); err != nil {
					t.Fatal(err)
				}
			}
			if b.starts != 4 {
				t.Errorf("the box was started %d times; want 4", b.starts)
			}
			e, _ = serveHandler(t, "auth: digest\nusername: admin\npassword: wrong-one\n"+ownBox, handler)
			err := e.Start(within(t, 5*time.Second), job)
			if !encoders.IsPermanent(err) {
				t.Fatalf("start with a wrong password: %v; want a permanent error", err)
			}
			mustSay(t, err.Error(), "401 Unauthorized")
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for name, code := range map[string]int{"429": http.StatusTooManyRequests, "503": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			b := &box{phase: off}
			own := ownHandler(b)
			var order []string
			var mu sync.Mutex
			refuse := true
			e, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				order = append(order, r.URL.Path)
				no := refuse && r.URL.Path == "/api/start"
				if no {
					refuse = false
				}
				mu.Unlock()
				if no {
					w.Header().Set("Retry-After", "1")
					w.WriteHeader(code)
					return
				}
				own(w, r)
			})
			began := time.Now()
			if err := e.Start(within(t, 10*time.Second), encodertest.NewJob("")); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 900*time.Millisecond {
				t.Errorf("the box was asked again after %v; it asked for 1 s", took)
			}
			if got := strings.Join(order, " "); got != "/api/state /api/start /api/state /api/start" {
				t.Errorf("requests were %s; want the state read before each start", got)
			}
		})
	}
	t.Run("longer than the deadline", func(t *testing.T) {
		e, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		})
		began := time.Now()
		s := status(t, e)
		if s.State != encoders.StateUnknown || time.Since(began) > 5*time.Second {
			t.Errorf("after %v it is %+v", time.Since(began), s)
		}
		if s := status(t, e); !strings.Contains(s.Error, "asked to be left alone") {
			t.Errorf("the next status says %q", s.Error)
		}
	})
}

// TestStartIsNotRepeatedBlindly loses the answer to a start.
func TestStartIsNotRepeatedBlindly(t *testing.T) {
	b := &box{phase: off}
	own := ownHandler(b)
	e, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
		own(w, r)
		if r.URL.Path == "/api/start" {
			panic(http.ErrAbortHandler)
		}
	})
	if err := e.Start(within(t, 10*time.Second), encodertest.NewJob("")); err != nil {
		t.Fatal(err)
	}
	if b.starts != 1 || b.count() != 1 {
		t.Errorf("the box was started %d times", b.starts)
	}
}

func TestLostStartRequest(t *testing.T) {
	b := &box{phase: off}
	own := ownHandler(b)
	var lost atomic.Bool
	e, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/start" && lost.CompareAndSwap(false, true) {
			panic(http.ErrAbortHandler)
		}
		own(w, r)
	})
	if err := e.Start(within(t, 10*time.Second), encodertest.NewJob("")); err != nil {
		t.Fatal(err)
	}
	if b.starts != 1 {
		t.Errorf("the box was started %d times", b.starts)
	}
}

// TestFailingBox tries devices that are on and do not deliver.
func TestFailingBox(t *testing.T) {
	for _, k := range kinds {
		switch k.preset {
		case "", "vmix", "kiloview-e", "kiloview-e3", "wowza-target", "kubernetes-scale",
			"aws-ec2", "shelly-gen2", "tasmota", "panasonic-aw", "millicast-transcoder", "optiview-live-channel":
			continue // these cannot tell
		}
		t.Run(k.preset, func(t *testing.T) {
			rig, b, _ := k.rig(t)
			e := rig.Encoder.(*Encoder)
			t.Cleanup(func() { _ = e.Close() })
			job := encodertest.NewJob("")
			if err := e.Start(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			await(t, e, encoders.StatePublishing)
			b.set(failing)
			if s := await(t, e, encoders.StateStalled); s.Error == "" || s.Run != job.Run {
				t.Errorf("it is %+v; want to know why", s)
			}
			b.set(on)
			await(t, e, encoders.StatePublishing)
			b.set(failing)
			if err := e.Stop(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			await(t, e, encoders.StateStopped)
		})
	}
}

// TestWrongPassword tries devices without a login request.
func TestWrongPassword(t *testing.T) {
	for _, k := range kinds {
		switch k.preset {
		case "epiphan-pearl", "vlc", "kiloview-e", "wowza-target":
		default:
			continue
		}
		t.Run(k.preset, func(t *testing.T) {
			k.settings = strings.Replace(k.settings, password, "wrong-one", 1)
			rig, b, _ := k.rig(t)
			e := rig.Encoder.(*Encoder)
			t.Cleanup(func() { _ = e.Close() })
			err := e.Start(within(t, 5*time.Second), encodertest.NewJob(""))
			if !encoders.IsPermanent(err) || b.starts > 0 {
				t.Fatalf("start with a wrong password: %v; want a permanent error", err)
			}
			mustSay(t, err.Error(), "401 Unauthorized")
			if f := e.Check(within(t, 5*time.Second), encodertest.NewJob("")); f[0].Level != encoders.Bad ||
				!strings.Contains(f[0].Hint, "password") {
				t.Errorf("found %+v", f)
			}
		})
	}
}

func TestSessions(t *testing.T) {
	for _, k := range kinds {
		switch k.preset {
		case "aja-helo", "magewell-ultra", "datarhei-core", "haivision-makito-x4", "kiloview-e3":
		default:
			continue
		}
		t.Run(k.preset, func(t *testing.T) {
			rig, b, server := k.rig(t)
			e := rig.Encoder.(*Encoder)
			t.Cleanup(func() { _ = e.Close() })
			job := encodertest.NewJob("")
			if err := e.Start(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			await(t, e, encoders.StatePublishing)
			b.expire()
			if s := status(t, e); s.State != encoders.StatePublishing {
				t.Errorf("after the session has ended it is %+v", s)
			}
			b.expire()
			if err := e.Stop(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			if b.logins != 3 {
				t.Errorf("%d logins; want 3", b.logins)
			}
			wrong := strings.Replace(k.settings, password, "not-the-password", 1)
			e = open(t, "preset: "+k.preset+"\nurl: "+server.URL+"\n"+quick+wrong)
			err := e.Start(within(t, 5*time.Second), job)
			if !encoders.IsPermanent(err) {
				t.Fatalf("start with a wrong password: %v; want a permanent error", err)
			}
			mustSay(t, err.Error(), "log in", "the login was refused")
			asked := len(b.requests)
			if s := status(t, e); !strings.Contains(s.Error, "the next try is in") && k.preset != "aja-helo" {
				t.Errorf("after a refused login, the next status says %q", s.Error)
			}
			if n := len(b.requests) - asked; n > 1 {
				t.Errorf("%d more requests after a refused login", n)
			}
		})
	}
}

// TestOneAtATime runs several encoders at one box.
func TestOneAtATime(t *testing.T) {
	var inside, most atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := inside.Add(1)
		defer inside.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		for range 50 {
			runtime.Gosched()
		}
		reply(w, `{"state":"off"}`)
	}))
	t.Cleanup(server.Close)
	devices := &Devices{}
	var group sync.WaitGroup
	for range 4 {
		e, err := devices.New(settingsOf(t, "url: "+server.URL+"\n"+ownBox), env(""))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		for range 2 {
			group.Go(func() {
				for range 10 {
					_, _ = e.Status(within(t, 10*time.Second), encodertest.NewJob(""))
				}
			})
		}
	}
	group.Wait()
	if most.Load() != 1 {
		t.Errorf("%d requests at once at one box", most.Load())
	}
}

func TestStubbornBox(t *testing.T) {
	b := &box{phase: on, copies: 1}
	own := ownHandler(b)
	stops := 0
	e, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/stop" {
			if stops++; stops == 1 {
				return // taken, and not followed
			}
		}
		own(w, r)
	})
	adopted := encodertest.NewJob("")
	adopted.Adopt = true
	if err := e.Stop(within(t, 6*time.Second), adopted); err != nil {
		t.Fatal(err)
	}
	if stops != 2 || b.now() != off {
		t.Errorf("after %d stops it is %s", stops, b.now())
	}
	b.set(on)
	stops = -100
	err := e.Stop(within(t, 300*time.Millisecond), encodertest.NewJob(""))
	if err != nil || stops != -100 {
		t.Errorf("a box that somebody else has switched on was stopped %d times: %v", stops+100, err)
	}
	dead, _ := serveHandler(t, ownBox, func(w http.ResponseWriter, r *http.Request) { reply(w, `{"state":"on"}`) })
	err = dead.Stop(within(t, 300*time.Millisecond), adopted)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("stop of a box that goes on: %v", err)
	}
	mustSay(t, err.Error(), "not confirmed: the box still says publishing")
}

func TestRestartedBoxIsAFailure(t *testing.T) {
	b := &box{phase: off}
	own := ownHandler(b)
	var down atomic.Bool
	e, _ := serveHandler(t, "retries: 0\n"+ownBox, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		own(w, r)
	})
	if err := e.Start(within(t, 5*time.Second), encodertest.NewJob("")); err != nil {
		t.Fatal(err)
	}
	await(t, e, encoders.StatePublishing)
	down.Store(true)
	await(t, e, encoders.StateUnknown)
	b.set(off)
	down.Store(false)
	if s := await(t, e, encoders.StateFailed); s.ByHand || s.Error == "" {
		t.Errorf("a box that came back stopped is %+v", s)
	}
}

func TestStall(t *testing.T) {
	var frames atomic.Int64
	e, _ := serveHandler(t, `
start: {method: POST, path: /start}
stop: {method: POST, path: /stop}
status: {path: /, live: "true", stopped: "false", progress: body.frames, stall_after: 50ms, frames: body.frames}
`, func(w http.ResponseWriter, r *http.Request) { reply(w, `{"frames":%d}`, frames.Load()) })
	await(t, e, encoders.StatePublishing)
	s := await(t, e, encoders.StateStalled)
	mustSay(t, s.Error, "has sent nothing")
	frames.Add(25)
	if s := status(t, e); s.State != encoders.StatePublishing || s.Health == nil || *s.Health.Frames != 25 {
		t.Errorf("when it gets on it is %+v", s)
	}
}

func TestTraceHidesSecrets(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.preset, func(t *testing.T) {
			rig, _, _ := k.rig(t)
			e := rig.Encoder.(*Encoder)
			t.Cleanup(func() { _ = e.Close() })
			var mu sync.Mutex
			var seen []TraceEntry
			e.Trace(func(t TraceEntry) { mu.Lock(); defer mu.Unlock(); seen = append(seen, t) })
			job := encodertest.NewJob("")
			if err := e.Start(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			await(t, e, encoders.StatePublishing)
			if err := e.Stop(within(t, 5*time.Second), job); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			text := fmt.Sprintf("%+v", seen)
			for _, s := range []string{password, "5Qn9session"} {
				if strings.Contains(text, s) {
					t.Errorf("the trace shows a secret: %s", strings.ReplaceAll(text, s, "<THE SECRET>"))
				}
			}
			steps := map[string]bool{}
			for _, s := range seen {
				steps[s.Step] = true
			}
			if !steps["start"] || !steps["status"] || !steps["stop"] {
				t.Errorf("the trace has only %v", steps)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	e, server := serveHandler(t, "retries: 0\n"+ownBox,
		func(w http.ResponseWriter, r *http.Request) { reply(w, `{"state":"off"}`) })
	f := e.Check(within(t, 5*time.Second), encodertest.NewJob(""))
	if len(f) != 1 || f[0].Level != encoders.OK {
		t.Errorf("found %+v", f)
	}
	server.Close()
	f = e.Check(within(t, 5*time.Second), encodertest.NewJob(""))
	if len(f) != 1 || f[0].Level != encoders.Bad || f[0].Hint == "" {
		t.Fatalf("found %+v", f)
	}
	mustSay(t, f[0].What, "connection refused")
}
