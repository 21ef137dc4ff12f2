package obs

import (
	"fmt"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// Plan lists the requests of a start, in order.
func (e *Encoder) Plan(job encoders.Job) []string {
	t := e.targetFor(job)
	with := "without a password"
	if t.password.Set() {
		with = "with the password " + secret.Mask
	}
	steps := []string{fmt.Sprintf("connect to %s (obs-websocket 5) %s", t.url(), with)}
	for _, c := range e.settings.choices(job) {
		steps = append(steps, fmt.Sprintf("%s: %s %q, unless it is selected already", c.set, c.what, c.name))
	}
	wanted, err := e.settings.service(job)
	switch {
	case err != nil:
		return append(steps, "no start: "+err.Error())
	case wanted.isZero():
		steps = append(steps, "leave the stream settings of obs as they are")
	case wanted.kind == "":
		steps = append(steps, "SetStreamServiceSettings: the service that obs has, key "+secret.Mask)
	default:
		steps = append(steps, fmt.Sprintf("SetStreamServiceSettings: %s, %s, key %s", wanted.kind, wanted.shown,
			secret.Mask))
	}
	return append(steps, "StartStream, unless it is on")
}
