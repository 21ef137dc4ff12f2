// Package controller decides when encoders run.
//
// It holds the domain: hooks become facts ([Facts]), facts, holds, schedule and policy make demand (demand.go), and [Decide] moves each encoder one step
// towards what is wanted. Decide is pure. Around it, one goroutine owns each stream while there is something to do (stream.go): it decides, saves, publishes,
// and only then acts; whatever it sets off comes back to it as an [Event]. A hook that finds its stream with nothing to do is decided by the goroutine that
// brings it, and stored together with the state that it leads to: one sync of the disk lies between a viewer and the encoder. [Controller] holds the streams
// together.
//
// An encoder in a state is an [Instance], and stays what was started until it is off, whatever the configuration says of
// its name by then. Which stream may use a device follows from the states (claims.go). All streams that use one are told of
// the same looks at it (device.go), and each look names the stream whose run it shows.
//
// Begin with Decide, then read the stories in testdata: each is a transcript of what happens to a stream, with what the machine makes of it.
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
package controller
