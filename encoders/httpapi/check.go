package httpapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// Check reads the state, which also tries the address, the certificate, the login and the rules.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	c := e.call(job, "status")
	var found []encoders.Finding
	for _, r := range append(append([]*request{}, e.plan.start...), e.plan.stop...) {
		wanted, err := c.wants(r)
		if err == nil && wanted {
			_, err = r.render(c.values, nil)
		}
		if err != nil && !errors.Is(err, boxes.ErrNotYet) {
			found = append(found, bad(boxes.Clean(c.Mask, err.Error()), "set it with the stream or in vars"))
		}
	}
	l := c.readNow(ctx)
	where := boxes.Clean(c.Mask, e.where(c))
	switch {
	case l.State != encoders.StateUnknown:
		took := l.answer.took.Round(time.Millisecond)
		found = append(found, encoders.Finding{
			Level: encoders.OK, What: fmt.Sprintf("%s answers in %s: %s", where, took, l.State),
		})
	case l.Refused:
		found = append(found, bad(where+": "+l.Text,
			"are username and password right, and is auth the kind that the box wants?"))
	case l.answer == nil && e.plan.socket != "":
		found = append(found, bad(where+": "+l.Text,
			"is its service on, and is the user that oncue runs as in the socket's group?"))
	case l.answer == nil:
		found = append(found, bad(where+": "+l.Text,
			"is the box on, and is url its address, with http or https and the port?"))
	default:
		found = append(found, bad(where+": "+l.Text,
			"is it the device that the settings are for? `oncue try` shows the whole answer"))
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

func (e *Encoder) where(c *call) string {
	base, err := e.plan.base(c.Values, true)
	if err != nil {
		return e.plan.settings.URL
	}
	return strings.TrimSuffix(base, ":")
}

// Plan lists the requests of a start and a stop, secrets masked.
func (e *Encoder) Plan(job encoders.Job) []string {
	c := e.call(job, "plan")
	var lines []string
	add := func(step string, r *request) {
		if wanted, err := c.wants(r); err != nil || !wanted {
			return
		}
		line := step + ": " + r.method + " "
		base, target, err := r.address(c.values, nil, true)
		shown := base + target
		if err != nil {
			shown = strings.TrimPrefix(r.outline(e.plan), r.method+" ")
		}
		line += shown
		if body, err := r.body.fill(c.values, true); err == nil && len(body) > 0 {
			line += " " + string(body)
		}
		lines = append(lines, boxes.Clean(c.Mask, line))
	}
	if e.plan.login != nil {
		add("login", e.plan.login.request)
	}
	for _, r := range e.plan.start {
		add("start", r)
	}
	add("status", e.plan.status.request)
	for _, r := range e.plan.stop {
		add("stop", r)
	}
	return lines
}
