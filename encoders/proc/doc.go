// Package proc starts, recognises and ends processes that outlive the controller.
//
// It is what the drivers of processes share, and knows neither encoders' settings nor their states.
// A driver starts a program by [Start], with the lock of its folder as one of its descriptors and
// [Environment] as its environment, saves its [Identity], follows it by its [Handle] and ends it by
// [Leader.End]. The driver of a later controller finds it by [Find], or by its lock when the saved
// identity is lost: [FindHolder].
//
//	start.go, lock.go      a program is found and started, once
//	turn.go                starts and stops come one after the other
//	identity.go            which process it is
//	environment.go         its environment
//	handle.go, leader.go   it is waited for, signalled, and ended with its family
//	outfile.go             its output: kept short, without secrets
//	proc.go                what the kernel says of it
//	queue.go, sent.go      and of its TCP connections
//	lost.go                processes whose folder is gone
//
// The package needs Linux 5.10 or later. Exit statuses of adopted processes need 6.15.
package proc
