// Package ffmpeg publishes with an FFmpeg process, or with any other program that takes its place.
//
// Read [Settings] for what a user can say, then [Encoder]. The rest follows one run of the process:
//
//	settings.go, ffmpeg.go                     what a user can say, and the encoder
//	command.go, input.go, sound.go, env.go     what to run
//	output.go, video.go
//	gpu.go, gputry.go                          what encodes: x264, or hardware that was tried
//	check.go, probe.go                         what can be tested before a start
//	output.go, inputlist.go, shown.go          how keys and passwords stay out of argv
//	spawn.go, state.go, files.go               the start: lock, output files, process, state file
//	confine.go, paths.go, ports.go             what the process may touch: files, TCP ports,
//	hardware.go, programs.go, wrapper.go       devices, programs, and FFmpegs by another name
//	adopt.go                                   what an earlier controller left
//	standby.go, hot.go                         what is kept ready: a warm process, an open input
//	watch.go, progress.go, watchdog.go         the goroutine per process: exits, progress, stalls
//	status.go                                  what is reported of it
//	stop.go                                    TERM, TERM, KILL, until nothing of it is left
//	failure.go, redact.go                      why it ended, in plain words
//
// Package proc has what it shares with other drivers of processes: handles, identity, lock, output
// files, and what the kernel says of a process.
//
// The process has its own session and no pipe to us, so that it continues when the controller is
// killed or replaced. The next [New] on the same folder adopts it: same process, no second copy,
// counters continued. It is identified by its pid, start time, boot, pidfd inode and a cookie in
// its environment, and never signalled before all of them match. A lock on a file of the folder,
// held by the process itself, makes a second copy impossible: the kernel releases it when the last
// process of the family ends, whatever else was lost.
//
// A hot encoder's input is opened by another process, which package relay describes. It survives
// the controller as well, and has a lock of its own, so that the input never has two readers. What
// publishes is a process as above, which reads from the relay instead of the input.
//
// The process reads what strangers send, so its output is not trusted blindly, and it can use only
// what its settings name: see package sandbox. Inside the encoder's folder it may write only to its
// output files and to one subfolder, so that it cannot replace any of ours.
//
// The package needs Linux 5.10 or later. Exit statuses of adopted processes need 6.15.
package ffmpeg
