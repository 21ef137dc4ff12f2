// Command oncue starts encoders when viewers arrive and stops them when nobody watches.
//
// This folder has a file for each command, or family of commands. What they share is in the
// packages below it: daemon is what oncue serve runs, client asks a running one, demo runs one
// beside a simulated platform, and term is how all of them talk to people. The tests that run the
// whole program for long are in systemtest.
//
//	main.go                                 the command line
//	duration.go, completion.go              durations as flags, completion of names
//	serve.go
//	status.go, watch.go, history.go, events.go, logs.go
//	reload.go, hold.go (on, off, auto), demand.go, wakelink.go, dashboard.go
//	init.go, check.go, check_reload.go, presets.go, try.go, try_record.go, trace.go
//	doctor.go, doctor_host.go, doctor_platform.go, doctor_regions.go, doctor_tokens.go
//	doctor_reach.go, bundle.go
//	webhook.go, webhook_change.go, webhook_rotate.go, token.go, undo.go, sendhook.go (hook)
//	demo.go, man.go, version.go
package main
