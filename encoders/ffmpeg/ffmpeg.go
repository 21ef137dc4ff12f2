package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/encoders"
)

// Encoder supervises at most one process at a time.
type Encoder struct {
	// set at construction
	settings  Settings
	env       encoders.Env
	turn      chan struct{} // holds one token: Start and Stop take turns
	closed    chan struct{}
	shut      sync.Once
	followers sync.WaitGroup

	// for who has the turn
	standby *standby // nil when no process is kept warm

	mu        sync.Mutex
	running   *process // nil when there is none
	status    encoders.Status
	lastBlock block         // of the running process, or of the last one
	changed   chan struct{} // closed and replaced when status changes
	redact    redactor      // for the job noted
	noted     encoders.Job
}

// The driver is all that an encoder can be.
var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Closer  = (*Encoder)(nil)
	_ encoders.Logger  = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)

// New opens the encoder in env.Dir, and adopts the process that runs there. With no Dir it can only plan and check. Close it.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	e := &Encoder{
		settings: settings, env: env, turn: make(chan struct{}, 1), closed: make(chan struct{}), changed: make(chan struct{}),
		status:    encoders.Status{State: encoders.StateStopped},
		lastBlock: emptyBlock(), redact: newRedactor(settings, encoders.Job{}),
	}
	e.turn <- struct{}{}
	if env.Dir != "" {
		e.clearGate()
		if err := e.adopt(); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// Close lets go of the process, which goes on. A start or stop under way is given up.
func (e *Encoder) Close() error {
	e.shut.Do(func() {
		close(e.closed)
		<-e.turn // and nobody gets it again
		e.cool()
		e.mu.Lock()
		p := e.running
		e.mu.Unlock()
		if p != nil {
			p.handle.close()
		}
		e.followers.Wait()
	})
	return nil
}

var errClosed = errors.New("ffmpeg: the encoder is closed")

// enter waits for its turn, and notes the job.
func (e *Encoder) enter(ctx context.Context, job encoders.Job) error {
	e.note(job)
	if e.env.Dir == "" {
		return errors.New("ffmpeg: opened without a folder, it can only plan and check")
	}
	select {
	case <-e.closed:
		return errClosed
	default:
	}
	select {
	case <-e.turn:
		return nil
	case <-e.closed:
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("ffmpeg: another start or stop is under way: %w", ctx.Err())
	}
}

func (e *Encoder) leave() { e.turn <- struct{}{} }

// note remembers what must not be shown.
func (e *Encoder) note(job encoders.Job) {
	e.mu.Lock()
	same := e.noted.Publish == job.Publish && e.noted.Name == job.Name
	e.mu.Unlock()
	if same {
		return
	}
	r := newRedactor(e.settings, job)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.redact, e.noted = r, job
}

func (e *Encoder) redactor() redactor {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.redact
}

// Start starts the process. It returns once it runs; that it publishes is seen by its progress.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	if err := e.enter(ctx, job); err != nil {
		return err
	}
	defer e.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start ffmpeg: %w", err)
	}
	p, err := e.present()
	switch {
	case err != nil:
		return err
	case p != nil && p.stopping.Load():
		return fmt.Errorf("start ffmpeg: process %d of the run before is not gone yet", p.PID)
	case p != nil && p.Stream == job.ID():
		return nil
	case p != nil:
		return fmt.Errorf("ffmpeg publishes %s as process %d: %w", p.Stream, p.PID, encoders.ErrBusy)
	}
	c, err := build(e.settings, job, !e.probesFully(job))
	if err != nil {
		return err
	}
	if c.whip {
		if err := hasMuxer(ctx, c.binary, "whip"); err != nil {
			return err
		}
	}
	woken, err := e.wake(c, job)
	if err != nil {
		e.env.Log.Warn("the process that was kept warm is of no use", "encoder", e.env.Name, "error", err)
	}
	if woken != nil {
		return nil
	}
	e.cool()
	_, err = e.spawn(c, job)
	return err
}

// keepWarm makes a standby if there is nothing else to do.
func (e *Encoder) keepWarm(job encoders.Job) {
	if e.settings.Standby != "warm" || e.env.Dir == "" {
		return
	}
	select {
	case <-e.closed:
	case <-e.turn:
		defer e.leave()
		e.mu.Lock()
		idle := e.running == nil
		e.mu.Unlock()
		if idle {
			e.warm(job)
		}
	default: // a start or stop is under way
	}
}

// present returns the process that runs, adopting one that somebody else has started.
func (e *Encoder) present() (*process, error) {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	alive, err := locked(e.env.Dir)
	if err != nil || !alive {
		return nil, err
	}
	if err := e.adopt(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil {
		return nil, errLocked
	}
	return e.running, nil
}

// adopt finds the process of an earlier controller, by the state file or, when that is lost, by who holds the lock.
func (e *Encoder) adopt() error {
	alive, err := locked(e.env.Dir)
	if err != nil {
		return err
	}
	st, written, err := loadState(e.env.Dir)
	if err != nil {
		e.env.Log.Warn("the state file is of no use", "encoder", e.env.Name, "error", err)
		written = false
	}
	if written {
		if h, err := find(st.identity); err == nil {
			return e.takeOver(h, st)
		}
	}
	if alive {
		return e.adoptHolder()
	}
	if written { // it ended while nobody looked
		f := e.explain(newProcess(e.settings, st), exit{})
		e.change(func(s *encoders.Status) {
			*s = encoders.Status{State: encoders.StateFailed, Since: time.Now(), Run: st.Run, Permanent: f.permanent,
				Error: "it ended while the controller was away: " + f.text}
		})
		return dropState(e.env.Dir)
	}
	return nil
}

// takeOver opens a process with what it reported last.
func (e *Encoder) takeOver(h *handle, st state) error {
	p := newProcess(e.settings, st)
	if err := e.catchUp(p); err != nil {
		e.env.Log.Warn("the progress of an adopted process cannot be read", "encoder", e.env.Name, "pid", st.PID, "error", err)
	}
	e.env.Log.Info("ffmpeg adopted", "encoder", e.env.Name, "pid", st.PID, "run", st.Run)
	e.open(p, h)
	return nil
}

// adoptHolder takes over a process that is known by its lock alone. Its environment tells what it is for.
func (e *Encoder) adoptHolder() error {
	who := holders(filepath.Join(e.env.Dir, lockFile))
	if e.standby != nil { // it has the file open, and not the lock
		who = slices.DeleteFunc(who, func(pid int) bool { return pid == e.standby.PID })
	}
	h, id, err := findByCookie(who)
	if err != nil {
		return fmt.Errorf("%w: processes %v hold the lock in its folder, and none of them is known", errLocked, who)
	}
	stream, err := url.PathUnescape(environ(id.PID, streamName))
	if err != nil {
		stream = ""
	}
	st := state{identity: id, Stream: stream, Run: runOf(id.Cookie), Started: time.Now(), Progress: true}
	if err := st.save(e.env.Dir); err != nil {
		h.close()
		return err
	}
	return e.takeOver(h, st)
}

// change lets f change the status, and wakes who watches if it says anything new then.
func (e *Encoder) change(f func(*encoders.Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.status
	f(&e.status)
	if differs(old, e.status) {
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

func differs(a, b encoders.Status) bool {
	return a.State != b.State || a.Run != b.Run || a.PID != b.PID || a.Error != b.Error || a.ConfigOnly != b.ConfigOnly
}

// Status tells what is known; the process is watched all the time.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	e.note(job)
	e.keepWarm(job)
	s, _ := e.now()
	return s, ctx.Err()
}

// now returns the status, and what is closed when it changes.
func (e *Encoder) now() (encoders.Status, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.At = time.Now()
	if !s.State.Gone() && e.lastBlock.outTime >= 0 {
		s.Health = e.lastBlock.health()
	}
	return s, e.changed
}

const healthEvery = 2 * time.Second

// Watch reports what the process does as soon as it is seen.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	e.note(job)
	e.keepWarm(job)
	timer := time.NewTimer(healthEvery)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, changed := e.now()
		report(s)
		var due <-chan time.Time
		if s.Health != nil {
			timer.Reset(healthEvery)
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due:
		}
	}
}

// Log returns the last lines of output, of earlier runs too.
func (e *Encoder) Log(_ context.Context, n int) ([]string, error) {
	if e.env.Dir == "" || n <= 0 {
		return nil, nil
	}
	path := filepath.Join(e.env.Dir, logFile)
	var out []string
	for _, part := range []string{path + ".1", path} {
		body, err := lastBytes(part, 0, e.settings.LogSize)
		if err != nil {
			return nil, fmt.Errorf("read the encoder's output: %w", err)
		}
		out = append(out, lines(body)...)
	}
	out = out[max(0, len(out)-n):]
	r := e.redactor()
	for i, line := range out {
		out[i] = r.clean(line)
	}
	return out, nil
}
