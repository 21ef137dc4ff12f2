// Package controller decides when encoders run.
//
// It holds the domain: hooks become facts ([Facts]), facts, holds, schedule and policy make demand
// (demand.go), and [Decide] moves each encoder one step towards what is wanted. Decide is pure.
// Around it, one goroutine owns each stream while there is something to do (stream.go): it decides,
// saves, publishes, and only then acts; whatever it sets off comes back to it as an [Event]. A hook
// that finds its stream with nothing to do is decided by the goroutine that brings it, and stored
// together with the state that it leads to: one sync of the disk lies between a viewer and the
// encoder. [Controller] holds the streams together.
//
// An encoder in a state is an [Instance], and stays what was started until it is off, whatever the
// configuration says of its name by then. Which stream may use a device follows from the states
// (claims.go). All streams that use one are told of the same looks at it (device.go), and each look
// names the stream whose run it shows.
//
// Begin with a story of testdata, each a transcript of what happens to a stream and what the machine
// makes of it; then read [Decide].
//
// The phases, as they are seen from outside:
//
//	            ┌────────────► waiting ───────────┐
//	            │ (encoder held, limit)           ▼
//	idle ───────┴──────────────────────────► starting ──────► live ◄────► lingering
//	 ▲  ▲            somebody comes            │   ▲            │  nobody's    │
//	 │  │                                      │   │            │  there       │
//	 │  │                              failure │   │ retry      │ failure      │ idle_timeout
//	 │  │                                      ▼   │            │              │
//	 │  └───── nobody waits any more ───── backoff ◄┴────────────┘              │
//	 │                                         │ given up                       │
//	 │                                         ▼                                │
//	 │                                       failed                             │
//	 └──────── encoder and feed are gone ──── stopping ◄────────────────────────┘
//
// The files, from the nouns to the loops:
//
//	hook.go, event.go, action.go, config.go what comes in, what goes out, what is configured
//	policy.go, schedule.go                 what the configuration says of one stream
//	state.go, facts.go                     what is known and wanted; what the platform told
//	decide.go                              the machine: merge an event, set the phase
//	demand.go, drive.go                    who asks for the stream; each encoder's next step
//	view.go, publish.go, hub.go            what readers get, and how they hear of changes
//	ports.go                               the store and the platform, as they are needed here
//	controller.go                          all streams: start, stop, reload, people's words
//	stream.go, take.go, workers.go         one stream at work: decide, save, publish, act
//	box.go, device.go, claims.go           calls to encoders, looks at them, who may have one
//	alarms.go, timers.go, clock.go         deadlines, jobs that come again, the machine's time
//	poll.go, known.go                      the platform is asked; since when streams are known
//
// The machine is pure: nothing in decide.go, demand.go, drive.go, facts.go, state.go, policy.go and
// schedule.go reads a clock, waits or calls anybody. The rest takes locks, in the order that
// .github/CONTRIBUTING.md gives.
package controller
