package ffmpeg

import (
	"context"
	"path/filepath"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// change lets f change the status, and wakes watchers if it then says anything new.
func (e *Encoder) change(f func(*encoders.Status)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.status
	f(&e.status)
	if differs(old, e.status) {
		e.announce()
	}
}

// announce wakes watchers. The caller holds mu.
func (e *Encoder) announce() {
	close(e.changed)
	e.changed = make(chan struct{})
}

func differs(a, b encoders.Status) bool {
	return a.State != b.State || a.Run != b.Run || a.PID != b.PID || a.Error != b.Error
}

// Status returns what is known; a goroutine observes the process all the time.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	e.note(job)
	s, _ := e.now()
	return s, ctx.Err()
}

// now returns the status, and a channel that is closed when it changes.
func (e *Encoder) now() (encoders.Status, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.At = time.Now()
	if !s.State.Gone() && e.lastBlock != emptyBlock() {
		s.Health = e.lastBlock.health()
	}
	s.Standby, s.Warning = e.readiness(), e.warning
	return s, e.changed
}

const healthEvery = 2 * time.Second

// Watch reports each change as soon as it is observed.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	e.note(job)
	timer := time.NewTimer(healthEvery)
	defer timer.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, changed := e.now()
		report(s)
		var due <-chan time.Time
		if s.Health != nil || s.Standby != nil && s.Standby.AgeMS != nil {
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

// Log returns the last lines of output, including those of earlier runs.
func (e *Encoder) Log(_ context.Context, n int) ([]string, error) {
	if e.env.Dir == "" || n <= 0 {
		return nil, nil
	}
	out, err := proc.Tail(filepath.Join(e.env.Dir, logFile), e.settings.LogSize, n)
	r := e.redactor()
	for i, line := range out {
		out[i] = r.clean(line)
	}
	return out, err
}
