// Package boxes is what the drivers of boxes share that settings describe: the language of those
// settings, and the life of a box, of which only the box's own word counts.
//
// Words, templates and rules come first: [Compiler] reads them from a driver's settings, and
// [Values] gives placeholders their values in one call. [Life] is Start, Stop, Status and Watch for
// any box whose state can be read: a start is sent once and never again before the state was read,
// a stop has ended when the box says stopped, and who started the box is remembered in a small
// file, so that a restarted controller knows its own stream. A driver gives it a [Talk]: how to
// wait for its turn at the box, to read the state, and to send a start or a stop.
//
// The files:
//
//	compile.go, words.go      settings become words and templates, and mistakes get their key
//	template.go, rules.go     placeholders and what they stand for; conditions
//	values.go, mask.go        what placeholders stand for in one call; what may be shown
//	state.go                  the rules that make a state of what the box says
//	life.go, started.go       the life of a box, and who started it
//	start.go, stop.go         the calls of the controller
//	status.go, watch.go
//	device.go                 turns at a box
package boxes
