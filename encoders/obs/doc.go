// Package obs drives an OBS over its own websocket server, obs-websocket version 5 (in OBS since
// 28).
//
// [Encoder] keeps one connection, made at first use and again whenever it is lost. On it, it
// follows the phase of OBS's stream output, in output.go, which also says what must be known about
// OBS: while it is starting it says that it is not active, refuses a stop, and crashes at a second
// start. Start, Stop and Watch only send requests and wait for that phase to change.
//
// While OBS is idle, KeepReady has service, scene, profile and scene collection set before the next
// start, which then only reads that they are as it wants them.
//
// OBS's websocket server listens on all interfaces and has no TLS: it belongs behind a firewall or
// in a tunnel.
//
// The files:
//
//	settings.go, service.go                   what a user can say; where OBS is to publish
//	obs.go, link.go, session.go, message.go   the encoder, its connection, the protocol on it
//	output.go, poll.go, meter.go              the phase of OBS's output; polls and measurements
//	start.go, prepare.go, stop.go, status.go  the calls of the controller
//	ready.go                                  what is prepared before a start
//	started.go                                whose start it was, over restarts
//	check.go, plan.go, errors.go              what people are told
package obs
