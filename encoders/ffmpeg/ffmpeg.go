package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
	"github.com/oncue/oncue/encoders/proc"
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

	nudged chan struct{} // tells tend to look at what is to be kept ready

	// guarded by turn
	standby *standby // nil when no process is kept warm
	link    *link    // nil, or gone, when no relay holds the input open

	mu        sync.Mutex
	running   *process // nil when there is none
	status    encoders.Status
	lastBlock block         // of the running process, or of the last one
	changed   chan struct{} // closed and replaced when status changes
	noted     encoders.Job
	redact    redactor      // for the noted job; made when first needed
	wanted    *encoders.Job // of the next start, for which something is to be kept ready; nil: nothing is
	told      bool          // by KeepReady, which of the two it is
	warmPID   int           // of the process that is kept warm; 0: none
	report    relay.Report  // the relay's latest; zero: there is none
	mark      string        // of the relay that fits
	heldError string        // why the relay is not ready, in plain words
	costs     costs         // of what is kept ready

	outcomes map[string]outcome // of hardware encoders, by their names
	warning  string             // what stands in for them, and why; "": nothing does

	// guarded by trying, which holds a token while a binary is tried
	trying chan struct{}
	tried  trial // whether the binary hands its args on to FFmpeg; zero before it was tried
}

// Encoder implements every optional interface.
var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Closer  = (*Encoder)(nil)
	_ encoders.Logger  = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Prober  = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
	_ encoders.Readier = (*Encoder)(nil)
)

// New opens the encoder in env.Dir, and adopts the process that runs there. Without Dir the encoder
// can only plan and check. The caller closes it.
func New(settings Settings, env encoders.Env) (*Encoder, error) {
	if err := errors.Join(settings.Validate(), settings.RefuseSecrets(env.Secrets)); err != nil {
		return nil, err
	}
	settings.secrets = env.Secrets
	e := &Encoder{
		settings: settings, env: env, turn: make(chan struct{}, 1), trying: make(chan struct{}, 1),
		closed: make(chan struct{}), changed: make(chan struct{}),
		nudged: make(chan struct{}, 1),
		status: encoders.Status{State: encoders.StateStopped}, lastBlock: emptyBlock(),
	}
	e.turn <- struct{}{}
	e.recallGPUs()
	if env.Dir != "" {
		e.clearGate()
		if err := e.adopt(); errors.Is(err, proc.ErrLocked) {
			// The next start or stop tries again.
			e.status = encoders.Status{State: encoders.StateUnknown, Error: err.Error()}
		} else if err != nil {
			return nil, err
		}
		if settings.mayWrap() {
			e.followers.Go(e.tryBinary)
		}
		e.beginTries()
		e.followers.Go(e.tend)
		e.nudge()
	}
	return e, nil
}

// tryBinary finds out what the binary is before a viewer has to wait for it.
func (e *Encoder) tryBinary() {
	ctx, cancel := e.untilClosed()
	defer cancel()
	e.known(ctx)
}

// untilClosed is a context that ends when the encoder is closed. The caller cancels it.
func (e *Encoder) untilClosed() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-e.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Close releases the process, which continues, and the relay, which waits for the next controller
// for [relayPatience]. It ends a process that is only kept warm, and cancels a start or stop that
// is in progress.
func (e *Encoder) Close() error {
	e.shut.Do(func() {
		close(e.closed)
		<-e.turn // never returned
		e.cool()
		if e.unwanted() {
			e.dismiss()
		}
		e.unlink()
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
		return errors.New("ffmpeg: opened without a folder, it can only plan and check")
	}
	return proc.TakeTurn(ctx, "ffmpeg", e.turn, e.closed)
}

func (e *Encoder) leave() { e.turn <- struct{}{} }

// note remembers the job, whose secrets must not be shown.
func (e *Encoder) note(job encoders.Job) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if job.Publish.Set() && (e.noted.Publish != job.Publish || e.noted.Name != job.Name) {
		e.redact, e.noted = redactor{}, job
	}
}

func (e *Encoder) redactor() redactor {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.redact.Masker == nil {
		e.redact = newRedactor(e.settings, e.noted)
	}
	return e.redact
}

// Start starts the process and returns once it runs. Its progress shows later that it publishes.
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
	case p != nil && p.Stopping.Load():
		return fmt.Errorf("start ffmpeg: process %d of the run before is not gone yet", p.PID)
	case p != nil && p.Stream == job.ID():
		return nil
	case p != nil:
		return fmt.Errorf("ffmpeg publishes %s as process %d: %w", p.Stream, p.PID, encoders.ErrBusy)
	}
	e.renewWanted(job)
	defer e.nudge()
	if e.settings.hot() {
		if err := e.holdInput(job); err != nil {
			return err
		}
	}
	c, err := build(e.known(ctx).published(), job, !e.probesFully(job))
	if err != nil {
		return err
	}
	if c.whip {
		if err := e.hasMuxer(ctx, c.binary, "whip"); err != nil {
			return err
		}
	}
	woken, err := e.wake(c, job)
	if err != nil {
		e.env.Log.Warn("the warm process cannot be used", "error", err)
	}
	if woken != nil {
		return nil
	}
	e.cool()
	_, err = e.spawn(c, job)
	return err
}
