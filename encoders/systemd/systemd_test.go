package systemd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

func (h *host) bus() *Bus {
	b := NewBus()
	b.address = "unix:path=" + h.socket
	return b
}

func (h *host) open(t *testing.T, s Settings, dir string) *Encoder {
	t.Helper()
	if s.Unit == "" {
		s.Unit = "enc@lobby.service"
	}
	e, err := h.bus().New(s, encoders.Env{Name: "enc", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func TestConformance(t *testing.T) {
	encodertest.Run(t, encodertest.Harness{EchoesRun: true, OneStream: true,
		New: func(t *testing.T) encodertest.Rig {
			h, dir := newHost(t), t.TempDir()
			s := Settings{PublishFile: filepath.Join(dir, "{stream}.url")}
			return encodertest.Rig{
				Encoder:     h.open(t, s, dir),
				Copies:      h.copies,
				Reopen:      func(t *testing.T) encoders.Encoder { return h.open(t, s, dir) },
				Die:         func(*testing.T) { h.exits(1) },
				Unreachable: func(*testing.T) { h.down() },
				Freeze:      func(*testing.T) { h.freeze() },
				Press: func(_ *testing.T, _ encoders.Job, on bool) {
					h.systemctl(map[bool]string{true: "start", false: "stop"}[on])
				},
			}
		}})
}

var job = encoders.Job{Account: "ABC123", Name: "lobby", Run: "r1", Grace: time.Second,
	Publish: secret.New("rtmps://127.0.0.1:1/v2/pub/lobby?token=canary")}

func (e *Encoder) begin(t *testing.T) {
	t.Helper()
	if err := e.Start(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func (e *Encoder) look(t *testing.T) encoders.Status {
	t.Helper()
	s, err := e.Status(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// shows waits for a status.
func (e *Encoder) shows(t *testing.T, state encoders.State, run string, hand bool, words string) {
	t.Helper()
	var s encoders.Status
	defer func() {
		if t.Failed() {
			t.Logf("it is %+v", s)
		}
	}()
	eventually(t, "it is "+string(state)+": "+words, func() bool {
		s = e.look(t)
		return s.State == state && s.Run == run && s.ByHand == hand && strings.Contains(s.Error, words) &&
			(words == "") == (s.Error == "")
	})
}

// TestWhoseStartItIs tells of what people and systemd do with a unit that a Start has begun.
func TestWhoseStartItIs(t *testing.T) {
	const ours, nobodys = "r1", ""
	for _, c := range []struct {
		name string
		play func(t *testing.T, h *host, e *Encoder)
	}{
		{"systemd starts it again by itself", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			before := e.look(t).PID
			h.restarts(true)
			e.shows(t, encoders.StatePublishing, ours, false, "")
			if s := e.look(t); s.PID == before {
				t.Errorf("it still shows process %d", before)
			}
			if err := e.Stop(t.Context(), job); err != nil || h.copies() != 0 {
				t.Errorf("stop: %v, %d left", err, h.copies())
			}
		}},
		{"systemd starts it again while the controller is away", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			_ = e.Close()
			h.restarts(false)
			e = h.open(t, e.settings, e.env.Dir)
			e.shows(t, encoders.StatePublishing, ours, false, "")
		}},
		{"systemd starts it again, and it fails before anybody looks", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.mu.Lock()
			h.restart(true)
			h.exit(3)
			h.mu.Unlock()
			e.shows(t, encoders.StateFailed, ours, false, "its program ended with exit status 3")
		}},
		{"somebody restarts it", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.systemctl("restart")
			e.shows(t, encoders.StatePublishing, ours, false, "")
			if err := e.Stop(t.Context(), job); err != nil || h.copies() != 0 {
				t.Errorf("stop: %v, %d left", err, h.copies())
			}
		}},
		{"somebody stops it, and starts it later", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.systemctl("stop")
			e.shows(t, encoders.StateStopped, ours, true, "")
			h.systemctl("start")
			e.shows(t, encoders.StatePublishing, nobodys, true, "")
			if err := e.Stop(t.Context(), job); err != nil || h.copies() != 1 {
				t.Errorf("stop: %v, %d left of somebody else's", err, h.copies())
			}
			if err := e.Start(t.Context(), job); !errors.Is(err, encoders.ErrBusy) {
				t.Errorf("start: %v", err)
			}
		}},
		{"somebody starts it anew while the controller is away", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			_ = e.Close()
			h.systemctl("stop")
			h.systemctl("start")
			e = h.open(t, e.settings, e.env.Dir)
			e.shows(t, encoders.StatePublishing, nobodys, true, "")
		}},
		{"somebody stops it, and its program does not like that", func(t *testing.T, h *host, e *Encoder) {
			h.set(func(u *testUnit) { u.exits = 255 })
			e.begin(t)
			h.systemctl("stop")
			e.shows(t, encoders.StateStopped, ours, true, "")
		}},
		{"its program fails", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.exits(3)
			e.shows(t, encoders.StateFailed, ours, false, "its program ended with exit status 3")
		}},
		{"its program ends well, after somebody has reloaded it", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.systemctl("reload")
			eventually(t, "the reload was heard of, and the unit seen on since", func() bool {
				e.look(t)
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.heard == 2 && len(e.ended) == 1
			})
			h.exits(0)
			e.shows(t, encoders.StateFailed, ours, false, "exit status 0")
		}},
		{"it ends while the controller is away", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			_ = e.Close()
			h.exits(0)
			e = h.open(t, e.settings, e.env.Dir)
			e.shows(t, encoders.StateFailed, ours, false, "it was found off")
			e.begin(t)
			e.shows(t, encoders.StatePublishing, ours, false, "")
		}},
		{"the bus goes, and comes back", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			h.down()
			e.shows(t, encoders.StateUnknown, "", false, "bus")
			h.up()
			e.shows(t, encoders.StatePublishing, ours, false, "")
			h.systemctl("stop")
			e.shows(t, encoders.StateStopped, ours, true, "")
		}},
		{"the controller is killed before it knows what the start began", func(t *testing.T, h *host, e *Encoder) {
			e.begin(t)
			_ = e.Close()
			c := e.remembered()
			c.Invocation, c.Before = "", "0123"
			if err := c.save(e.env.Dir); err != nil {
				t.Fatal(err)
			}
			e = h.open(t, e.settings, e.env.Dir)
			e.shows(t, encoders.StatePublishing, ours, false, "")
		}},
		{"the controller is killed before systemd hears of the start", func(t *testing.T, h *host, e *Encoder) {
			if err := (started{Stream: job.ID(), Run: "r1"}).save(e.env.Dir); err != nil {
				t.Fatal(err)
			}
			e = h.open(t, e.settings, e.env.Dir)
			e.shows(t, encoders.StateFailed, ours, false, "systemd did not carry out the start")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			c.play(t, h, h.open(t, Defaults(), t.TempDir()))
		})
	}
}

// TestRefusals holds what people read when a start does not work.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name      string
		fault     func(h *host, u *testUnit)
		words     string
		permanent bool
	}{
		{"polkit", func(h *host, _ *testUnit) { h.denied = true },
			"does not let this user start it (unit enc@lobby.service): name the unit in /etc/polkit-1/", true},
		{"not found", func(h *host, _ *testUnit) { delete(h.units, testUnitName) }, "there is no unit", true},
		{"masked", func(_ *host, u *testUnit) { u.refuse = systemdName + ".UnitMasked" }, "systemctl unmask", true},
		{"its program is missing", func(_ *host, u *testUnit) { u.jobResult = "failed" },
			"its program cannot be executed (EXEC)", true},
		{"what it needs fails", func(_ *host, u *testUnit) { u.jobResult = "dependency" },
			"a unit that it needs has failed", false},
		{"a condition", func(_ *host, u *testUnit) { u.jobResult = "unmet done" }, "its Condition… settings", false},
		{"systemd's own words", func(_ *host, u *testUnit) { u.refuse = "org.freedesktop.systemd1.ShuttingDown" },
			"start it (unit enc@lobby.service): refused", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.set(func(u *testUnit) { c.fault(h, u) })
			dir := t.TempDir()
			e := h.open(t, Settings{PublishFile: filepath.Join(dir, "url")}, dir)
			err := e.Start(t.Context(), job)
			if err == nil || !strings.Contains(err.Error(), c.words) || encoders.IsPermanent(err) != c.permanent {
				t.Errorf("start: %v, permanent: %v", err, encoders.IsPermanent(err))
			}
			if s := e.look(t); s.State != encoders.StateStopped {
				t.Errorf("afterwards it is %+v", s)
			}
			if left, _ := filepath.Glob(dir + "/*"); len(left) > 0 {
				t.Errorf("it has left %v", left)
			}
		})
	}
}

// TestSlowUnit: a start returns as soon as the program runs, and the state tells the rest.
func TestSlowUnit(t *testing.T) {
	h := newHost(t)
	h.set(func(u *testUnit) { u.slow = true })
	e := h.open(t, Defaults(), t.TempDir())
	e.begin(t)
	e.shows(t, encoders.StateStarting, "r1", false, "")
	e.begin(t)
	h.ready("done")
	e.shows(t, encoders.StatePublishing, "r1", false, "")
	if err := e.Stop(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	e.begin(t)
	h.ready("failed")
	e.shows(t, encoders.StateFailed, "r1", false, "exit status 1")
	const want = "start enc@lobby.service, stop enc@lobby.service, start enc@lobby.service"
	if got := strings.Join(h.asked(), ", "); got != want {
		t.Errorf("systemd was told to %s", got)
	}
}

// TestStubbornUnit: what does not stop in time is killed.
func TestStubbornUnit(t *testing.T) {
	h := newHost(t)
	h.set(func(u *testUnit) { u.stubborn = true })
	e := h.open(t, Defaults(), t.TempDir())
	e.begin(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := e.Stop(ctx, job); err != nil || h.copies() != 0 {
		t.Errorf("stop: %v, %d left", err, h.copies())
	}
	if got := h.asked(); got[len(got)-1] != "kill enc@lobby.service 9" {
		t.Errorf("systemd was told to %v", got)
	}
}

// TestRefusedStop: a stop that polkit forbids is not confirmed, and works once it does not.
func TestRefusedStop(t *testing.T) {
	h := newHost(t)
	e := h.open(t, Defaults(), t.TempDir())
	e.begin(t)
	h.set(func(*testUnit) { h.denied = true })
	const words = "stop: not confirmed: systemd does not let this user stop it"
	if err := e.Stop(t.Context(), job); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("stop: %v", err)
	}
	e.shows(t, encoders.StatePublishing, "r1", false, "")
	h.set(func(*testUnit) { h.denied = false })
	if err := e.Stop(t.Context(), job); err != nil || h.copies() != 0 {
		t.Errorf("stop: %v, %d left", err, h.copies())
	}
}

// TestPublishFile: the URL is there for the unit alone, and for no longer than it is needed.
func TestPublishFile(t *testing.T) {
	h, dir := newHost(t), t.TempDir()
	e := h.open(t, Settings{Unit: "enc@{stream}.service", PublishFile: dir + "/{stream}.url"}, t.TempDir())
	file := filepath.Join(dir, "lobby.url")
	there := func() bool { _, err := os.Stat(file); return err == nil }
	e.begin(t)
	text, err := os.ReadFile(file)
	if err != nil || string(text) != job.Publish.Reveal() {
		t.Errorf("the file holds %q: %v", text, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v: %v", info.Mode(), err)
	}
	if err := e.Stop(t.Context(), job); err != nil || there() {
		t.Errorf("stop: %v; the file is left: %v", err, there())
	}
	e.begin(t)
	h.exits(1)
	e.shows(t, encoders.StateFailed, "r1", false, "exit status 1")
	if there() {
		t.Error("the file is left by a run that failed")
	}
}

// TestSystemdExecutedAnew: after systemctl daemon-reexec, and an upgrade of systemd, changes are
// still told at once.
func TestSystemdExecutedAnew(t *testing.T) {
	h := newHost(t)
	e := h.open(t, Defaults(), t.TempDir())
	e.begin(t)
	seen := make(chan encoders.Status, 100)
	go e.Watch(t.Context(), job, func(s encoders.Status) { seen <- s })
	h.mu.Lock()
	old := h.conn
	h.mu.Unlock()
	old.Close()
	h.boot()
	h.exits(1)
	limit := time.After(lookEvery / 2)
	for {
		select {
		case s := <-seen:
			if s.State != encoders.StateFailed {
				continue
			}
		case <-limit:
			t.Error("the failure is not told")
		}
		break
	}
}

func TestCheck(t *testing.T) {
	h := newHost(t)
	e := h.open(t, Settings{PublishFile: "/nowhere/url"}, "")
	found := func() string {
		var lines []string
		for _, f := range e.Check(t.Context(), job) {
			lines = append(lines, string(f.Level)+": "+f.What)
		}
		return strings.Join(lines, "\n")
	}
	for _, want := range []string{
		"ok: unit enc@lobby.service is inactive", "ok: this user may start unit enc@lobby.service",
		"error: publish_file: a file in /nowhere cannot be made: no such file or directory",
		"warning: systemd knows whether unit enc@lobby.service is on, not whether it delivers",
	} {
		if got := found(); !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if h.copies() != 0 {
		t.Error("a check has started the unit")
	}
	h.set(func(*testUnit) { h.denied = true })
	const denied = "error: systemd does not let this user start and stop unit enc@lobby.service"
	if got := found(); !strings.Contains(got, denied) {
		t.Error(got)
	}
	h.set(func(u *testUnit) { u.Load = "masked" })
	if got := found(); got != "error: unit enc@lobby.service is masked" {
		t.Error(got)
	}
	h.set(func(u *testUnit) { delete(h.units, testUnitName) })
	if got := found(); got != "error: there is no unit enc@lobby.service" {
		t.Error(got)
	}
	h.down()
	_ = os.Remove(h.socket)
	eventually(t, "the want of a bus is told", func() bool {
		return strings.HasPrefix(found(), "error: no systemd answers here, as in most containers: ")
	})
}

// TestNames compares names with what systemd's own program makes of a text.
func TestNames(t *testing.T) {
	texts := map[string]string{"lobby": "lobby", "cam-3": `cam\x2d3`, "a/b": "a-b", ".x.": `\x2ex.`,
		"grün 1": `gr\xc3\xbcn\x201`, `back\slash`: `back\x5cslash`, "a:b_c@d": `a:b_c\x40d`}
	for text, want := range texts {
		if got := escape(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
		if out, err := exec.Command("systemd-escape", text).Output(); err == nil && strings.TrimSpace(string(out)) != want {
			t.Errorf("%q: systemd-escape writes %q, want %q", text, out, want)
		}
	}
	if got := unitPath("enc@lobby-1.service"); got != "/org/freedesktop/systemd1/unit/enc_40lobby_2d1_2eservice" {
		t.Error(got)
	}
}

func TestValidate(t *testing.T) {
	const must = ", must be the name of a unit that ends in .service or .target; {stream}, {account}, {1} … are filled in"
	for _, c := range []struct{ unit, file, want string }{
		{"obs.service", "", ""}, {"enc@{stream}.service", "/run/oncue/{stream}", ""}, {"studio.target", "", ""},
		{"", "", "unit: is missing; name the unit, such as obs-headless.service"},
		{"obs", "", `unit: is "obs"` + must},
		{"enc@{camera}.service", "", `unit: is "enc@{camera}.service"` + must},
		{"enc@.service", "", `unit: is "enc@.service", a template; write which instance, such as enc@{stream}.service`},
		{"obs.service", "url", `publish_file: is "url", must be a whole path, such as /run/oncue/obs.url`},
	} {
		got := ""
		if err := (Settings{Unit: c.unit, PublishFile: c.file}).Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%q, %q: %q, want %q", c.unit, c.file, got, c.want)
		}
	}
}
