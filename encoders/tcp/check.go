package tcp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// Check reads the state, which also tries the address, the greeting and the rules.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	c := e.call(job, boxes.Read)
	var found []encoders.Finding
	for _, x := range slices.Concat(e.plan.start, e.plan.stop) {
		wanted, err := c.wants(x)
		if err == nil && wanted {
			_, _, _, err = c.render(x)
		}
		if err != nil && !errors.Is(err, boxes.ErrNotYet) {
			found = append(found, bad(boxes.Clean(c.Mask, err.Error()), "set it with the stream or in vars"))
		}
	}
	began := time.Now()
	var l boxes.Reading
	leave, err := c.Turn(ctx)
	if err != nil {
		l = boxes.Silent(err, false)
	} else {
		l = c.Read(ctx)
		leave()
	}
	where := boxes.Clean(c.Mask, c.e.plan.words.Outline(e.plan.address))
	if c.address != "" {
		where = boxes.Clean(c.Mask, c.address)
	}
	switch {
	case l.State != encoders.StateUnknown:
		found = append(found, encoders.Finding{
			Level: encoders.OK,
			What:  fmt.Sprintf("%s answers in %s: %s", where, time.Since(began).Round(time.Millisecond), l.State),
		})
	case !l.Answered:
		found = append(found, bad(where+": "+l.Text, "is the box on, and is address its host and port?"))
	default:
		found = append(found, bad(where+": "+l.Text,
			"is it the device that the settings are for? `oncue try` shows all that it says"))
	}
	if e.plan.settings.StatusIsConfigOnly {
		found = append(found, encoders.Finding{
			Level: encoders.Warn, What: where + " says whether it is switched on, not whether it delivers",
			Hint: "keep `confirm: feed`, so that the platform decides what is live",
		})
	}
	return found
}

func bad(what, hint string) encoders.Finding {
	return encoders.Finding{Level: encoders.Bad, What: what, Hint: hint}
}

// Plan lists what is sent for a start and a stop, secrets masked.
func (e *Encoder) Plan(job encoders.Job) []string {
	c := e.call(job, "plan")
	address := boxes.Clean(c.Mask, e.plan.words.Outline(e.plan.address))
	lines := []string{"connect: " + e.plan.settings.Network + " " + address}
	add := func(step boxes.Step, x *exchange) {
		wanted, err := c.wants(x)
		if err != nil || !wanted || x.send == nil {
			return
		}
		_, shown, _, err := c.render(x)
		if err != nil {
			shown = boxes.Clean(c.Mask, e.plan.words.Outline(x.send))
		}
		lines = append(lines, string(step)+": "+shown)
	}
	for _, part := range []struct {
		step  boxes.Step
		steps []*exchange
	}{
		{connecting, e.plan.connect}, {boxes.Start, e.plan.start}, {boxes.Read, []*exchange{e.plan.status}},
		{boxes.Stop, e.plan.stop},
	} {
		for _, x := range part.steps {
			add(part.step, x)
		}
	}
	return lines
}
