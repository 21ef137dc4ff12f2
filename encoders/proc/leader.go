package proc

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Leader is a running process that leads a session, and all that belongs to it: its family.
type Leader struct {
	ID     Identity
	Handle *Handle
	Done   chan struct{} // closed by the driver, when the whole family has ended and its status says so

	Alone bool // set by the driver: TERM is for the leader alone, which is to end the others

	Stopping atomic.Bool // set by the driver: somebody wants it to end
	Forced   atomic.Bool // TERM did not help, so KILL is used
}

// NewLeader returns a leader without a handle.
func NewLeader(id Identity) *Leader { return &Leader{ID: id, Done: make(chan struct{})} }

const (
	// defaultGrace limits a stop when the job does not.
	defaultGrace = 10 * time.Second
	// lastWait is how long a killed process has to disappear.
	lastWait = 500 * time.Millisecond
)

// ErrClosed means that the encoder was closed while a call was in progress.
var ErrClosed = errors.New("the encoder is closed")

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

// End sends TERM, TERM after three tenths of the grace (0: ten seconds), and KILL after seven
// tenths, and waits until Done is closed. A context that ends sooner shortens the times.
func (l *Leader) End(ctx context.Context, closed <-chan struct{}, grace time.Duration) error {
	limit := stopTime(ctx, grace)
	for _, step := range []struct {
		signal unix.Signal
		share  time.Duration // of the time, in tenths
	}{{unix.SIGTERM, 3}, {unix.SIGTERM, 4}, {unix.SIGKILL, 3}} {
		if step.signal == unix.SIGKILL {
			l.Forced.Store(true)
		}
		if err := l.Signal(step.signal); err != nil {
			return err
		}
		wait := limit * step.share / 10
		if step.signal == unix.SIGKILL {
			wait = max(wait, 10*lastWait) // unless the context ends sooner
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.Done:
			timer.Stop()
			return nil
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("process %d is not gone yet: %w", l.ID.PID, ctx.Err())
		case <-closed:
			timer.Stop()
			return ErrClosed
		}
	}
	return fmt.Errorf("process %d is not gone although it was killed: %w", l.ID.PID, errStuck)
}

var errStuck = errors.New("it waits inside the kernel, for a device or a disk")

// EndFamily ends the processes that an ended leader leaves behind. It returns false when the
// encoder is closed meanwhile.
func (l *Leader) EndFamily(closed <-chan struct{}) bool {
	wait := 20 * time.Millisecond
	for n := 0; ; n++ {
		left := Family(l.ID)
		if len(left) == 0 {
			return true
		}
		sig := unix.SIGTERM
		if l.Forced.Load() || n > 5 {
			sig = unix.SIGKILL
		}
		if n == 0 || sig == unix.SIGKILL {
			SignalFamily(l.ID, left, sig)
		}
		select {
		case <-closed:
			return false
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// SignalFamily signals members of the family one by one, each verified behind its handle.
func SignalFamily(id Identity, pids []int, sig unix.Signal) {
	for _, pid := range pids {
		h, err := OpenHandle(pid)
		if err != nil {
			continue
		}
		st, err := ReadStat(pid)
		if err == nil && (st.sid == id.PID || st.pgrp == id.PID || Environ(pid, CookieVar) == id.Cookie) {
			_ = h.SignalOne(sig)
			_ = h.SignalOne(unix.SIGCONT)
		}
		h.Close()
	}
}

// Signal signals the process's group, including stopped members, or the leader alone. Processes
// that have left the group are ended after the leader.
func (l *Leader) Signal(sig unix.Signal) error {
	if l.Alone && sig != unix.SIGKILL {
		_ = l.Handle.SignalOne(sig) // it may have ended
		return nil
	}
	err := l.Handle.Signal(sig, l.ID.PID)
	if cont := l.Handle.Signal(unix.SIGCONT, l.ID.PID); err == nil {
		err = cont
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", l.ID.PID, err)
	}
	return nil
}
