// Package runner runs the machine for all streams: [Controller] holds them, with the encoders, the
// deadlines and the questions to the platform that they share.
//
// Around machine.Decide, one goroutine owns each stream while there is something to do (stream.go):
// it decides, saves, publishes, and only then acts; whatever it sets off comes back to it as an
// event. A hook that finds its stream with nothing to do is decided by the goroutine that brings it,
// and stored together with the state that it leads to: one sync of the disk lies between a viewer
// and the encoder.
//
// Which stream may use a device follows from the states (claims.go). All streams that use one are
// told of the same looks at it (device.go), and each look names the stream whose run it shows.
//
// Begin with config.go, then the step of a stream in stream.go.
//
//	config.go                        what the wiring gives
//	controller.go                    all streams: start, stop, reload, people's words
//	stream.go, take.go, workers.go   one stream at work: decide, save, publish, act
//	box.go, device.go, claims.go     calls to encoders, looks at them, who may have one
//	alarms.go, timers.go, clock.go   deadlines, jobs that come again, the machine's time
//	poll.go, known.go                the platform is asked; since when streams are known
//	publish.go, hub.go               what readers get, and how they hear of changes
//
// .github/CONTRIBUTING.md says in which order locks are taken.
package runner
