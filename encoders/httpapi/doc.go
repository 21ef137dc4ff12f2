// Package httpapi drives encoders that are started and stopped by HTTP calls, as their settings
// describe them.
//
// Read [Settings] first: where the box is, how it is logged in to, the requests that start and stop
// it, and the one that reads its state, with rules over the answer. Presets (package
// configs/presets) are such settings with a name. [Devices.New] opens an encoder; encoders of the
// same Devices take turns at a box, because embedded servers are easily confused.
//
// What it shares with other drivers of described boxes, placeholders, rules and the life of a box,
// is package boxes.
//
// The files:
//
//	settings.go                             what a user can set
//	compile.go, compile_auth.go, words.go   settings become a plan, and mistakes get their key
//	encoder.go, send.go                     the driver; the requests of its calls
//	call.go, session.go, retry.go           one conversation: turns, logins, tries
//	render.go, body.go, transport.go        a request, and how it gets to the box
//	sigv4.go                                signatures for AWS
//	socket.go                               boxes behind a unix socket of this host
//	answer.go, state.go                     an answer, and what it says of the box
//	trace.go, check.go                      what people can ask for
package httpapi
