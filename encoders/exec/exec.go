package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// Encoder runs at most one program at a time.
type Encoder struct {
	// set at construction
	settings  Settings
	env       encoders.Env
	turn      chan struct{} // holds one token: Start and Stop take turns
	closed    chan struct{}
	shut      sync.Once
	followers sync.WaitGroup

	mu      sync.Mutex
	running *process // nil when there is none
	status  encoders.Status
	changed chan struct{} // closed and replaced when status changes
	noted   encoders.Job
	mask    *secret.Masker // for the noted job
}

// Encoder implements these optional interfaces.
var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Closer  = (*Encoder)(nil)
	_ encoders.Logger  = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)

// New opens the encoder in env.Dir, and adopts the program that runs there. Without Dir the encoder
// can only plan and check. The caller closes it.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	settings.secrets = env.Secrets
	e := &Encoder{settings: settings, env: env, turn: make(chan struct{}, 1), closed: make(chan struct{}),
		changed: make(chan struct{}), status: encoders.Status{State: encoders.StateStopped}}
	e.mask = e.newMask(encoders.Job{})
	e.turn <- struct{}{}
	if env.Dir == "" {
		return e, nil
	}
	if err := e.adopt(); errors.Is(err, proc.ErrLocked) { // the next start or stop tries again
		e.status = encoders.Status{State: encoders.StateUnknown, Error: err.Error()}
	} else if err != nil {
		return nil, err
	}
	return e, nil
}

// Close releases the program, which continues. It cancels a start or stop that is in progress.
func (e *Encoder) Close() error {
	e.shut.Do(func() {
		close(e.closed)
		<-e.turn // never returned
		e.mu.Lock()
		p := e.running
		e.mu.Unlock()
		if p != nil {
			p.Handle.Close()
		}
		e.followers.Wait()
	})
	return nil
}

// enter waits until no other start or stop is in progress, and notes the job.
func (e *Encoder) enter(ctx context.Context, job encoders.Job) error {
	e.note(job)
	if e.env.Dir == "" {
		return errors.New("exec: opened without a folder, it can only plan and check")
	}
	return proc.TakeTurn(ctx, "exec", e.turn, e.closed)
}

func (e *Encoder) leave() { e.turn <- struct{}{} }

// note remembers the job, whose secrets must not be shown.
func (e *Encoder) note(job encoders.Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if job.Publish.Set() && (!e.noted.Publish.Same(job.Publish) || e.noted.Name != job.Name) {
		e.noted, e.mask = job, e.newMask(job)
	}
}

func (e *Encoder) masker() *secret.Masker {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mask
}

// Start starts the program and returns once it runs.
func (e *Encoder) Start(ctx context.Context, job encoders.Job) error {
	if err := e.enter(ctx, job); err != nil {
		return err
	}
	defer e.leave()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start the program: %w", err)
	}
	p, err := e.present()
	switch {
	case err != nil:
		return err
	case p != nil && p.Stopping.Load():
		return fmt.Errorf("start the program: process %d of the run before is not gone yet", p.PID)
	case p != nil && p.Stream == job.ID():
		return nil
	case p != nil:
		return fmt.Errorf("the program runs for %s as process %d: %w", p.Stream, p.PID, encoders.ErrBusy)
	}
	c, err := e.build(job)
	if err != nil {
		return e.masker().Error(err)
	}
	return e.masker().Error(e.launch(c, job))
}

// Stop ends the program and all that it has started. A program that ignores two TERM is killed when
// most of the time is over.
func (e *Encoder) Stop(ctx context.Context, job encoders.Job) error {
	if err := e.enter(ctx, job); err != nil {
		return err
	}
	defer e.leave()
	p, err := e.present()
	if err != nil {
		return err
	}
	if p != nil && p.Stream != job.ID() && p.Stream != "" && job.Name != "" {
		return nil // nothing of that stream is on
	}
	if p == nil {
		e.stopped()
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stop the program: %w", err)
	}
	p.Stopping.Store(true)
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopping {
			s.State, s.Since, s.Error = encoders.StateStopping, time.Now(), ""
		}
	})
	if err := p.End(ctx, e.closed, job.Grace); err != nil {
		return err
	}
	e.stopped() // even if it failed a moment before
	return nil
}

// stopped sets the status of a program that was stopped on purpose.
func (e *Encoder) stopped() {
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopped {
			*s = encoders.Status{State: encoders.StateStopped, Since: time.Now(), Run: s.Run, Stream: s.Stream}
		}
	})
}
