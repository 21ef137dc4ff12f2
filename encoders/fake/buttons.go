package fake

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/oncue/oncue/encoders"
)

// PressStart switches the box on as a person does at its front. The stream is the one of the last
// start.
func (e *Encoder) PressStart() {
	e.press(func(now time.Time, p phase) {
		if p.state.Gone() {
			e.st = state{Stream: e.st.Stream, Started: now, ByHand: true, Starts: e.st.Starts, Stops: e.st.Stops}
		}
	})
}

// PressStop switches the box off as a person does. The box follows at once, whatever its settings
// make of stops.
func (e *Encoder) PressStop() {
	e.press(func(_ time.Time, p phase) {
		if !p.state.Gone() {
			e.st = state{Stream: e.st.Stream, ByHand: true, Starts: e.st.Starts, Stops: e.st.Stops}
		}
	})
}

// Die makes a running box end by itself, because of err.
func (e *Encoder) Die(err error) {
	e.press(func(now time.Time, p phase) {
		if !p.state.Gone() {
			e.st.Died, e.st.Why, e.st.ByHand = now, err.Error(), false
		}
	})
}

// Stall makes a running box deliver nothing from now on.
func (e *Encoder) Stall() {
	e.press(func(now time.Time, p phase) {
		if !p.state.Gone() {
			e.st.Stalled = now
		}
	})
}

// SetUnreachable cuts the box off, or reconnects it. The box itself keeps running.
func (e *Encoder) SetUnreachable(cut bool) {
	e.press(func(time.Time, phase) { e.unreachable = cut })
}

// Face is what a person sees at the box's front, whether or not it can be reached.
func (e *Encoder) Face() encoders.Status {
	s, _, _ := e.face()
	return s
}

// WatchFace reports the box as Watch does, whether or not it can be reached.
func (e *Encoder) WatchFace(ctx context.Context, report func(encoders.Status)) error {
	return e.watch(ctx, e.face, report)
}

// Starts is how many starts were asked for, refused ones included, since the box was new.
func (e *Encoder) Starts() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.st.Starts
}

func (e *Encoder) press(button func(now time.Time, p phase)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	button(now, e.st.at(now, e.settings))
	if err := e.commit(); err != nil {
		e.log.Warn("a press of the fake box cannot be saved", "error", err)
	}
}

// pressByFile presses the button that the press file names, if there is one, and removes the file.
func (e *Encoder) pressByFile() {
	// Access is far cheaper than a failing open, and every box asks again and again.
	if e.pressPath == "" || syscall.Access(e.pressPath, 0) != nil {

		return
	}
	body, err := os.ReadFile(e.pressPath)
	if err != nil || len(body) == 0 { // empty: the shell has made it and not written yet
		return
	}
	if os.Remove(e.pressPath) != nil { // another process has taken it
		return
	}
	switch button := strings.TrimSpace(string(body)); button {
	case "start":
		e.PressStart()
	case "stop":
		e.PressStop()
	case "die":
		e.Die(errPressed)
	case "stall":
		e.Stall()
	default:
		e.log.Warn("the fake box has no such button: start, stop, die, stall", "button", button)
	}
}

// The driver implements every optional interface but Logger: it has no output to show.
var (
	_ encoders.Encoder = (*Encoder)(nil)
	_ encoders.Watcher = (*Encoder)(nil)
	_ encoders.Checker = (*Encoder)(nil)
	_ encoders.Planner = (*Encoder)(nil)
)
