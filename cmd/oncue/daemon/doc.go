// Package daemon is the whole house at work: the store at the bottom, the controller on it, the
// platform's side and the web on top.
//
// [Serve] runs it on a file until its context ends; [Start] runs it inside another process, as the
// demo does. A new driver of encoders is a line in drivers.go.
//
//	run.go                             from the file to the end: signals, reloads
//	daemon.go                          the parts, and how they meet
//	load.go, specs.go, inforce.go      a configuration read, translated, in force
//	verdict.go                         the result of a reload, for the process that asked for it
//	drivers.go, opened.go, open.go     drivers, and with what each encoder was opened
//	accounts.go, secrets.go, tokens.go the platform, its webhooks' secrets, its publishing tokens
//	upkeep.go, memory.go, pictures.go  what is done by the clock, and a picture of what has gone live
//	doors.go, datadir.go, guard.go     listeners, folders, what encoders must not reach
//	logging.go, logsink.go             its log
package daemon
