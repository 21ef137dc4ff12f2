// Package client asks a running daemon through its admin side.
//
// [Find] makes a [Client] of a command's flags, the environment and the configuration. [Client.Get]
// and [Client.Call] ask, [Client.Follow] reads the live feed. An answer that is no success becomes
// an error with the daemon's own words, and a hint where a fix is known.
//
//	client.go    calls and their errors
//	find.go      where the daemon is, and its token
//	names.go     the streams that people mean
//	feed.go      the live feed, connected again when it breaks off
//	arrivals.go  waiting for a test hook to appear in the journal
package client
