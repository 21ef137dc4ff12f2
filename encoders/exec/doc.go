// Package exec publishes with any program that users name.
//
// Read [Settings] for what a user can say, then [Encoder]. The rest follows one run of the program:
//
//	settings.go, exec.go  what a user can say, and the encoder: start, stop, close
//	command.go            what to run, and how the publishing URL stays out of sight
//	check.go, known.go    what can be tested before a start
//	launch.go             the start: lock, output file, process, state file
//	adopt.go              what an earlier controller left
//	watch.go, status.go   the goroutine per process, and what is reported of it
//	ready.go, alive.go    whether it is ready, and whether it delivers
//
// The program is a process as package proc describes it: in its own session, known by pid, start
// time, boot and cookie, held to one copy by a lock that it holds itself, and adopted by the next
// controller. A stop ends all that it has started.
//
// # What is measured
//
// A program tells nothing of itself, so the kernel is asked how much the other side of its TCP
// connections has acknowledged (struct tcp_info, tcpi_bytes_acked, Linux 4.2): a handover asks for
// its own, and of another program's sock_diag(7) tells everybody who may use netlink, which the
// packaged service may not. That is delivery, not what was put into a buffer.
// Where the publishing URL is RTMP's, such bytes make it "publishing", and their absence for
// stall_timeout "stalled". SRT and WHIP send over UDP, whose bytes the kernel does not count for
// others: there the program counts as publishing while it runs, and says so (ConfigOnly).
//
// # Where the key goes
//
// Everybody on a host can read command lines, so the key never stands in one. An RTMP program gets
// a local address for {publish}, behind which package handover publishes to the real one.
// {publish_file}, and {file:NAME} for texts around it, are for programs that read a file: one that
// exists in memory alone. Any other way has to be asked for by secrets_in_argv.
package exec
