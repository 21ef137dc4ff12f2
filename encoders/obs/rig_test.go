package obs

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fast are limits for a server on the same machine.
func fast() limits {
	l := defaultLimits()
	l.dial, l.request, l.status = time.Second, time.Second, 500*time.Millisecond
	l.pollOn, l.pollOff, l.pollUnsure, l.retry = 50*time.Millisecond, 200*time.Millisecond, 10*time.Millisecond,
		10*time.Millisecond
	l.quiet = 50 * time.Millisecond
	l.backoffMin, l.backoffMax, l.backoffAuth = 20*time.Millisecond, 100*time.Millisecond, time.Second
	return l
}

// journal is a log that tests can read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// rig is one encoder at work on an OBS, played or real.
type rig struct {
	*Encoder
	t   *testing.T
	job encoders.Job
	log *journal
}

func newRig(t *testing.T, s Settings, l limits) *rig {
	t.Helper()
	return newRigIn(t, t.TempDir(), s, l)
}

func newRigIn(t *testing.T, dir string, s Settings, l limits) *rig {
	t.Helper()
	log := &journal{}
	e, err := newEncoder(s,
		encoders.Env{Name: "studio", Dir: dir,
			Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if strings.Contains(log.String(), encodertest.Canary) {
			t.Error("the log shows a secret")
		}
	})
	return &rig{Encoder: e, t: t, job: encodertest.NewJob(""), log: log}
}

// played is a rig on a server that plays OBS.
func played(t *testing.T, s obstest.Settings) (*obstest.Server, *rig) {
	t.Helper()
	server := obstest.NewServer(t, s)
	return server, newRig(t, settingsFor(server), fast())
}

func settingsFor(server *obstest.Server) Settings {
	s := Defaults()
	s.Addr, s.Password = server.Address, secret.New(encodertest.Canary)
	return s
}

const patience = time.Minute // far beyond what a busy machine needs

func (r *rig) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), d)
	r.t.Cleanup(cancel)
	return ctx
}

func (r *rig) start() {
	r.t.Helper()
	if err := r.Start(r.within(patience), r.job); err != nil {
		r.t.Fatalf("start: %v", err)
	}
}

func (r *rig) stop() {
	r.t.Helper()
	if err := r.Stop(r.within(patience), r.job); err != nil {
		r.t.Fatalf("stop: %v", err)
	}
}

func (r *rig) status() encoders.Status {
	r.t.Helper()
	s, err := r.Status(r.within(patience), r.job)
	if err != nil {
		r.t.Fatalf("status: %v", err)
	}
	return s
}

// awaitState waits for a state, through Watch.
func (r *rig) awaitState(want encoders.State) encoders.Status {
	r.t.Helper()
	return r.awaitStatus(string(want), func(s encoders.Status) bool { return s.State == want })
}

func (r *rig) awaitStatus(what string, ok func(encoders.Status) bool) encoders.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	var last encoders.Status
	found := false
	r.Watch(ctx, r.job, func(s encoders.Status) {
		if last = s; ok(s) && !found {
			found = true
			cancel()
		}
	})
	if !found {
		r.t.Fatalf("not %s within %v; it is %+v", what, patience, last)
	}
	return last
}

// await waits until a condition holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
