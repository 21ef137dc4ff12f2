// Package ffmpeg publishes with an FFmpeg process, or with any other program that takes its place.
//
// Read [Settings] for what a user can say, then [Encoder]. The rest follows one run of the process:
//
//	settings.go, ffmpeg.go                     what a user can say, and the encoder
//	command.go, input.go, output.go, video.go  what to run
//	check.go, probe.go                         what can be tried before a start
//	output.go, inputlist.go, shown.go          how keys and passwords stay out of argv
//	spawn.go, state.go, files.go               the start: lock, output files, process, state file
//	confine.go, paths.go, ports.go             what the process may touch: files, TCP ports,
//	hardware.go, programs.go, wrapper.go       devices, programs, and FFmpegs by another name
//	adopt.go, lost.go, standby.go              what an earlier controller left, and one kept warm
//	watch.go, progress.go, watchdog.go         the goroutine per process: exits, progress, stalls
//	status.go                                  what is told of it
//	stop.go                                    TERM, TERM, KILL, until nothing of it is left
//	failure.go, redact.go                      why it ended, in words people understand
//	identity.go, handle.go, proc.go, queue.go  what the kernel tells of a process
//
// The process is a session of its own with no pipe to us, so that it goes on when the controller is
// killed or replaced. The next [New] on the same folder adopts it: same process, no second copy,
// counters continued. It is known by its pid, start time, boot, pidfd inode and a cookie in its
// environment, and never signalled before all of them match. What makes a second copy impossible is
// a lock on a file of the folder which the process itself holds: the kernel frees it when the last
// one of its family ends, whatever was lost meanwhile.
//
// The process reads what strangers send, so its words are not believed blindly, and it can touch
// only what its settings name: see package sandbox. What it may write to in its folder is a folder
// of its own there, so that none of our files can be put in its place.
//
// Only Linux 5.10 and later will do. Exit statuses of adopted processes need 6.15.
package ffmpeg
