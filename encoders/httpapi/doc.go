// Package httpapi drives encoders that are started and stopped by HTTP calls, as their settings
// describe them.
//
// Read [Settings] first: where the box is, how it is logged in to, the requests that start and stop
// it, and the one that reads its state, with rules over the answer. Presets (package
// configs/presets) are such settings with a name. [Devices.New] opens an encoder; encoders of the
// same Devices take turns at a box, because embedded servers are easily confused.
//
// Only the box's own state counts: a start is sent once and never again before the state was read,
// and a stop has ended when the box says stopped. Who started the box is remembered in a small
// file, so that a restarted controller knows its own stream.
//
// The files:
//
//	settings.go                             what a user can set
//	compile.go, compile_auth.go, plain.go   settings become a plan, and mistakes get their key
//	template.go, values.go, rules.go        placeholders and what they stand for; conditions
//	encoder.go, device.go, started.go       the driver, turns at a box, who started it
//	start.go, stop.go, status.go, watch.go  the calls of the controller
//	call.go, session.go, retry.go           one conversation: turns, logins, tries
//	render.go, body.go, transport.go        a request, and how it gets to the box
//	answer.go, state.go                     an answer, and what it says of the box
//	mask.go, trace.go, check.go             what may be shown; what people can ask for
package httpapi
