// Command oncue starts encoders when viewers arrive and stops them when nobody watches.
//
// This folder wires the house together and talks to people: one file for each subcommand. serve.go
// and daemon.go run the controller; drivers.go is the registry of encoder drivers; specs.go says a
// configuration in the controller's words; the other commands ask the running daemon through its
// admin side.
//
// The daemon:
//
//	serve.go, daemon.go                the command, and the house at work
//	load.go, specs.go, inforce.go      a configuration read, translated, in force
//	drivers.go, opened.go, open.go     drivers, and with what each encoder was opened
//	accounts.go, upkeep.go, memory.go  the platform's side; what is done by the clock
//	doors.go, datadir.go, guard.go     listeners, folders, what is nobody's to touch
//	logging.go, logsink.go             its log
//
// What its commands share, beside the packages term and client:
//
//	main.go        the command line
//	duration.go    durations as flags
//	completion.go  completion of names
//
// And a file for each command or family of commands:
//
//	status.go, watch.go, history.go, events.go, logs.go
//	hold.go (on, off, auto), reload.go, dashboard.go
//	init.go, check.go, check_reload.go, presets.go, try.go, trace.go
//	doctor.go, doctor_host.go, doctor_platform.go, doctor_reach.go, bundle.go
//	webhook.go, webhook_change.go, webhook_rotate.go, sendhook.go (hook)
//	demo.go, demo_stage.go, demo_page.go
//	man.go, version.go
package main
