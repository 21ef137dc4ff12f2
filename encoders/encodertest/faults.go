package encodertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
)

func (b *bench) dies() {
	if b.Die == nil {
		b.Skip("the harness cannot make the encoder end by itself")
	}
	var v *view
	if w, ok := b.Encoder.(encoders.Watcher); ok {
		v = b.open(w)
		defer v.end()
	}
	failed := func(s encoders.Status) bool { return s.State == encoders.StateFailed }
	b.start()
	b.awaitPublishing()
	b.Die(b.T)
	s := b.await("failed", b.h.Soon, failed)
	if s.Error == "" {
		b.Errorf("it failed and does not say why: %+v", s)
	}
	b.clean("the status of a failed encoder", s)
	if v != nil {
		v.await("the failure", b.h.Soon, 0, failed)
	}
	b.Job.Run = "run2"
	b.start()
	b.awaitPublishing()
	b.stop()
	if s := b.status(); s.State != encoders.StateStopped || s.Error != "" {
		b.Errorf("after a failure, a start and a stop it is %+v", s)
	}
}

func (b *bench) unreachable() {
	if b.Unreachable == nil {
		b.Skip("the harness cannot make the box unreachable")
	}
	b.start()
	b.awaitPublishing()
	b.broken = true
	b.Unreachable(b.T)
	s := b.await("unknown", b.h.Soon, func(s encoders.Status) bool { return s.State == encoders.StateUnknown })
	if s.Error == "" {
		b.Errorf("it is unknown and does not say why: %+v", s)
	}
	b.clean("the status of an unreachable encoder", s)
	ctx, cancel := context.WithTimeout(b.Context(), time.Second)
	defer cancel()
	b.soon("a stop of an unreachable box", func() {
		err := b.Encoder.Stop(ctx, b.Job)
		if err == nil {
			b.Error("stop is confirmed by a box that cannot be asked")
		}
		b.clean("the error of a stop", err)
	})
	if w, ok := b.Encoder.(encoders.Watcher); ok {
		v := b.open(w)
		v.await("unknown", b.h.Soon, 0, func(s encoders.Status) bool { return s.State == encoders.StateUnknown })
		v.end()
	}
}

func (b *bench) frozen() {
	if b.Freeze == nil {
		b.Skip("the harness cannot freeze the box")
	}
	b.start()
	b.awaitPublishing()
	b.broken = true
	b.Freeze(b.T)
	for what, call := range map[string]func(context.Context) error{
		"start":  func(ctx context.Context) error { return b.Encoder.Start(ctx, b.Job) },
		"stop":   func(ctx context.Context) error { return b.Encoder.Stop(ctx, b.Job) },
		"status": func(ctx context.Context) error { _, err := b.Encoder.Status(ctx, b.Job); return err },
	} {
		ctx, cancel := context.WithTimeout(b.Context(), 200*time.Millisecond)
		b.soon("a "+what+" of a frozen box", func() { b.clean("the error of a "+what, call(ctx)) })
		cancel()
	}
}

func (b *bench) byHand() {
	if b.Press == nil {
		b.Skip("the harness cannot press the box's buttons")
	}
	b.start() // a box that is told where to publish knows the place from now on
	b.awaitPublishing()
	b.stop()
	b.Press(b.T, b.Job, true)
	byHand := func(s encoders.Status) bool {
		return s.State == encoders.StatePublishing && s.ByHand && s.Run == "" && s.Stream == ""
	}
	b.await("started by hand", b.h.Live, byHand)
	b.leftAlone()
	b.await("still as it was started by hand", b.h.Live, byHand)
	if b.Reopen != nil { // and when the driver has not observed it before
		b.close()
		b.Encoder, b.closed = b.Reopen(b.T), false
		b.leftAlone()
		b.await("still as it was started by hand", b.h.Live, byHand)
	}
	b.Job.Adopt = true
	b.start()
	b.await("adopted", b.h.Live, func(s encoders.Status) bool {
		return s.State == encoders.StatePublishing && !s.ByHand && s.Run == b.Job.Run && s.Stream == b.Job.ID()
	})
	b.Job.Adopt = false
	b.awaitCopies(1)
	b.stop()
	b.awaitCopies(0)
	b.start()
	b.await("started by the controller", b.h.Live, func(s encoders.Status) bool {
		return s.State == encoders.StatePublishing && !s.ByHand
	})
	b.Press(b.T, b.Job, false)
	b.await("stopped by hand", b.h.Gone, func(s encoders.Status) bool { return s.State.Gone() && s.ByHand })
	b.stop()
}

// leftAlone calls Start and Stop for an encoder that somebody else has started, and neither may
// touch it.
func (b *bench) leftAlone() {
	ctx, cancel := context.WithTimeout(b.Context(), b.h.Live)
	defer cancel()
	if err := b.Encoder.Start(ctx, b.Job); !errors.Is(err, encoders.ErrBusy) {
		b.Errorf("a start of what somebody else has started: %v; want ErrBusy", err)
	}
	if err := b.Encoder.Stop(ctx, b.Job); err != nil {
		b.Errorf("a stop of what somebody else has started: %v; want nothing done", err)
	}
}

// noSecret checks everything an encoder says, in each of its states.
func (b *bench) noSecret() {
	look := func(when string) {
		b.clean("the status "+when, b.status())
		for what, text := range b.outputs(b.Context()) {
			b.clean(what+" "+when, text)
		}
	}
	look("before a start")
	b.start()
	look("while starting")
	b.awaitPublishing()
	look("while publishing")
	ctx, cancel := context.WithCancel(b.Context())
	cancel()
	other := b.Job
	other.Name = "foyer"
	b.soon("calls with a cancelled context", func() {
		b.clean("the error of a start", b.Encoder.Start(ctx, other))
		b.clean("the error of a stop", b.Encoder.Stop(ctx, b.Job))
	})
	b.stop()
	look("after a stop")
}

// outputs is what the encoder's optional interfaces say, by name.
func (b *bench) outputs(ctx context.Context) map[string]any {
	out := map[string]any{}
	if e, ok := b.Encoder.(encoders.Logger); ok {
		lines, err := e.Log(ctx, 1000)
		out["the log"] = fmt.Sprint(lines, err)
	}
	if e, ok := b.Encoder.(encoders.Planner); ok {
		out["the plan"] = e.Plan(b.Job)
	}
	if e, ok := b.Encoder.(encoders.Checker); ok {
		out["the check"] = e.Check(ctx, b.Job)
	}
	return out
}

// clean reports an error when value shows a secret, printed or as JSON.
func (b *bench) clean(what string, value any) {
	b.Helper()
	text := fmt.Sprintf("%+v", value)
	if _, isError := value.(error); !isError {
		body, err := json.Marshal(value)
		if err != nil {
			b.Errorf("%s does not marshal: %v", what, err)
		}
		text += string(body)
	}
	for _, s := range append([]string{Canary}, b.Secrets...) {
		if s != "" && strings.Contains(text, s) {
			b.Errorf("%s shows a secret: %s", what, strings.ReplaceAll(text, s, "<THE SECRET>"))
		}
	}
}
