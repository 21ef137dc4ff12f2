package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
)

const (
	// defaultGrace limits a stop when the job does not.
	defaultGrace = 10 * time.Second
	// lastWait is how long a killed process has to disappear.
	lastWait = 500 * time.Millisecond
)

// Stop ends the process and its whole family. An FFmpeg that waits for a server obeys only the
// second TERM; a process that ignores both is killed when most of the time is over.
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
	e.renewWanted(job)
	e.mu.Lock()
	e.told = true // who stops it without a word about its next start does not need one
	e.mu.Unlock()
	defer e.nudge()
	if p == nil {
		e.stopped()
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stop ffmpeg: %w", err)
	}
	p.stopping.Store(true)
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopping {
			s.State, s.Since, s.Error = encoders.StateStopping, time.Now(), ""
		}
	})
	if err := e.end(ctx, p, stopTime(ctx, job.Grace)); err != nil {
		return err
	}
	e.stopped() // even if it failed a moment before
	return nil
}

// stopped sets the status of an encoder that was stopped on purpose.
func (e *Encoder) stopped() {
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopped {
			*s = encoders.Status{State: encoders.StateStopped, Since: time.Now(), Run: s.Run, Stream: s.Stream}
		}
	})
}

// stopTime is how long a stop may take: the grace, or less if the context ends earlier.
func stopTime(ctx context.Context, grace time.Duration) time.Duration {
	if grace <= 0 {
		grace = defaultGrace
	}
	if deadline, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(deadline)-lastWait)
	}
	return max(grace, 0)
}

// end sends TERM, TERM after three tenths of the time, and KILL after seven tenths.
func (e *Encoder) end(ctx context.Context, p *process, limit time.Duration) error {
	if e.link.alive() { // an FFmpeg that waits for its input would not hear the signal
		e.link.HangUp()
	}
	for _, step := range []struct {
		signal unix.Signal
		share  time.Duration // of the time, in tenths
	}{{unix.SIGTERM, 3}, {unix.SIGTERM, 4}, {unix.SIGKILL, 3}} {
		if step.signal == unix.SIGKILL {
			p.forced.Store(true)
		}
		if err := p.signal(step.signal); err != nil {
			return err
		}
		wait := limit * step.share / 10
		if step.signal == unix.SIGKILL {
			wait = max(wait, 10*lastWait) // unless the context ends sooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-p.done:
			timer.Stop()
			return nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("process %d is not gone yet: %w", p.PID, ctx.Err())
		case <-e.closed:
			timer.Stop()
			return errClosed
		}
	}
	return fmt.Errorf("process %d is not gone although it was killed: %w", p.PID, errStuck)
}

var errStuck = errors.New("it waits inside the kernel, for a device or a disk")
