// Package handover is a process that publishes for a program which must not know the key.
//
// A program that takes where to publish only from its command line would show the key to everybody
// on the host. So it gets a local address instead: the process starts the program, takes its RTMP
// connection, and passes everything on to the real server, over TLS where that asks for it. It only
// puts the real application and stream key in place of the local ones. Connections of programs that
// it has not started are refused.
//
// It costs some 13 ms of a start, 8 MB, and 0.6 % of a core at 4 Mb/s (FFmpeg with 640x360, two
// virtual cores).
//
// It is the program's parent, ends with it and in the same way, and holds no state: like the
// program it outlives the controller. [Main] is the whole process, [Order] what it is told.
//
//	handover.go  the process, and the program that it starts
//	rtmp.go      a connection: both directions, chunk by chunk
//	amf.go       the commands in which the names stand
//	count.go     how much the real server has acknowledged
package handover
