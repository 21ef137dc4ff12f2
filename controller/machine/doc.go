// Package machine decides when encoders run. It decides and does nothing: [Decide] takes the state
// of one stream, what happened, what the configuration says and what time it is, and returns the
// next state and what is to be done. It reads no clock, waits for nobody and calls nobody; a test
// of cmd/oncue holds that, and package runner does the rest.
//
// Hooks become facts ([Facts]); facts, holds, schedule and policy make demand (demand.go); each
// encoder is then moved one step towards what is wanted (drive.go). Hooks may come late, twice or
// never, so what is wanted is worked out anew from the facts each time.
//
// An encoder in a state is an [Instance], and stays what was started until it is off, whatever the
// configuration says of its name by then.
//
// Begin with a story of testdata, each a transcript of what happens to a stream and what the
// machine makes of it; 01-happy-day.txt is the first. Then read [Decide]: settle in decide.go is
// its table of contents.
//
//	event.go, action.go       what comes in, what goes out
//	policy.go, schedule.go    what the configuration says of one stream
//	state.go, facts.go        what is known and wanted; what the platform told
//	contribution.go           whose feed is whose, and who is on the air
//	decide.go                 merge an event, then set the phase
//	demand.go, drive.go       who asks for the stream; each encoder's next step
//	helper.go                 what has to be on for an encoder
//	cover.go                  the slate that is shown while no encoder is live
//	wait.go                   how long those waited who asked
//
// TestStories plays the stories. The tests of properties let random viewers, faults and crashes
// loose on the machine, in a simulated world.
package machine
