// Package runner runs the machine for all streams: [Controller] holds them, with the encoders, the
// deadlines and the questions to the platform that they share.
//
// There is one way for an event, whoever brings it: it is put in the inbox of its stream, and a
// worker takes steps until the inbox is empty (step.go). A step decides all that is there with
// machine.Decide, commits the hooks among it together with the state that they lead to, and only
// then shows that state, acts on it, and answers those who wait. So one sync of the disk lies
// between a viewer and the encoder, and hooks that come while a stream waits for the disk share the
// next one. What a step sets off comes back to the stream as an event.
//
// Which stream may use a device follows from the states (claims.go). All streams that use one get
// the same statuses of it (device.go), and each status names the stream whose run it shows.
//
// Begin with config.go, then [Controller.Take] in hooks.go, then step.go.
//
//	config.go                        what the wiring gives
//	controller.go                    the controller: start, stop, whether it is well
//	restore.go, adopt.go             what an earlier process left: states, hooks, encoders that run
//	streams.go                       which streams there are, and what a reload makes of them
//	hooks.go, people.go              hooks come in; what people ask and say
//	stream.go, step.go, workers.go   one stream: its inbox; decide, commit, publish, act
//	caller.go, device.go, claims.go  calls to encoders, their statuses, who may have one
//	needs.go                         helpers are told who needs them
//	alarms.go, timers.go, clock.go   deadlines, jobs that come again, the machine's time
//	poll.go, known.go                the platform is asked; since when streams are known
//	publish.go, hub.go               what readers get, and how they hear of changes
//	wake.go                          pages that ask for a stream, and are told when it is live
//
// Whoever holds one of these locks takes only ones further down:
//
//	Controller.clockMu   nobody moves the clock under a step; let go while the disk syncs
//	device.opening       one opens or closes a driver at a time, however long that takes
//	device.telling       one tells a driver at a time what to keep ready
//	claims.mu, needs.mu  who has which device or helper, and who waits; also while events are posted
//	Controller.mu        which streams there are, and the configuration
//	poller.mu            the poll of one account
//	device.mu            the open driver and its users; also while statuses are posted
//	stream.mu            the inbox, whether a worker has the stream, what readers see
//	the leaves           devices.mu, hub.mu, followers.mu, alarms.mu, firstKnown.mu; then Clock.mu
//
// None but those two of a device is held while a driver, the store or the platform is called.
// stream.state has no lock: it is the worker's, and CheckClock moves its times with clockMu held
// for writing.
package runner
