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
	// defaultGrace is the time for a stop when neither the job nor the context bounds it.
	defaultGrace = 10 * time.Second
	// lastWait is what a killed process is given to vanish.
	lastWait = 500 * time.Millisecond
)

// Stop ends the process and all of its family. An FFmpeg that waits for a server obeys the second TERM only; what obeys neither is
// killed when most of the time is over.
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
		e.warm(job)
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
	e.stopped() // also when it had failed just before
	e.warm(job)
	return nil
}

// stopped makes the status that of an encoder that was stopped on purpose.
func (e *Encoder) stopped() {
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopped {
			*s = encoders.Status{State: encoders.StateStopped, Since: time.Now(), Run: s.Run, Stream: s.Stream}
		}
	})
}

// stopTime is how long a stop may take: the grace, or less when the context ends before.
func stopTime(ctx context.Context, grace time.Duration) time.Duration {
	if grace <= 0 {
		grace = defaultGrace
	}
	if deadline, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(deadline)-lastWait)
	}
	return max(grace, 0)
}

// end climbs the ladder: TERM, TERM after three tenths of the time, KILL after seven.
func (e *Encoder) end(ctx context.Context, p *process, limit time.Duration) error {
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
			wait = max(wait, 10*lastWait) // the context ends it sooner
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
