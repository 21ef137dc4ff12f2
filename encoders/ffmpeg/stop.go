package ffmpeg

import (
	"context"
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
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
	p.Stopping.Store(true)
	e.change(func(s *encoders.Status) {
		if s.State != encoders.StateStopping {
			s.State, s.Since, s.Error = encoders.StateStopping, time.Now(), ""
		}
	})
	if e.link.alive() { // an FFmpeg that waits for its input would not hear the signal
		e.link.HangUp()
	}
	if err := p.End(ctx, e.closed, job.Grace); err != nil {
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
