// Package term is how oncue's commands talk to people on a terminal.
//
// A [Screen] lays out tables and paragraphs within the width of the page. [Hint], [Usage] and
// [Said] make the errors that decide what the program prints last and how it exits. What comes from
// outside passes [Harmless] before it is shown.
//
//	screen.go    a page: its width, tables, paragraphs, colours
//	words.go     foreign texts made harmless, cut and wrapped; durations and times for people
//	errors.go    wrong usage, hints, errors that were printed already
//	journald.go  lines with a priority where journald reads them
//	status.go    the table of all streams
//	stream.go    everything about one stream
//	history.go   the steps of a stream
package term
