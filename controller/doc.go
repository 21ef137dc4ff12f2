// Package controller holds the nouns of the domain, and the contracts between those who work with
// them: what the platform reports ([Hook]) and how the journal keeps it ([Record]), what readers
// see of a stream ([StreamView]) and of its past ([Transition]), what the controller asks of a
// [Store] and of the [Platform].
//
// Two packages below decide when encoders run. machine is the decision, a pure function. runner
// carries it out. To learn how the program thinks, read machine/testdata/01-happy-day.txt, then
// machine.Decide. millicast, web, notify and store know the nouns alone; cmd/oncue brings all
// together.
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
