package exec

import (
	"context"
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
	if !old.Alike(e.status) {
		close(e.changed)
		e.changed = make(chan struct{})
	}
}

// now returns the status, and a channel that is closed when it changes.
func (e *Encoder) now() (encoders.Status, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.status
	s.At = time.Now()
	return s, e.changed
}

// Status returns what is known; a goroutine observes the program all the time.
func (e *Encoder) Status(ctx context.Context, job encoders.Job) (encoders.Status, error) {
	e.note(job)
	s, _ := e.now()
	return s, ctx.Err()
}

const healthEvery = 2 * time.Second

// Watch reports each change as soon as it is observed.
func (e *Encoder) Watch(ctx context.Context, job encoders.Job, report func(encoders.Status)) error {
	e.note(job)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		s, changed := e.now()
		report(s)
		var due <-chan time.Time
		if s.Health != nil {
			due = time.After(healthEvery)
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
	out, err := proc.Tail(e.logOf(), e.settings.LogSize, n)
	mask := e.masker()
	for i, line := range out {
		out[i] = mask.Mask(line)
	}
	return out, err
}
