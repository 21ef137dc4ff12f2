// Package millicast is the platform as the controller sees it: Millicast, which is also called
// Dolby OptiView Real-time Streaming.
//
// What comes in goes through [Receiver.Receive]: verify the signature, read the body strictly,
// journal it, tell the machine. [Parse] says what a body means, [Message] writes one the way the
// platform does, and [Sign] and the receiver's verification stand side by side.
//
// What goes out goes through [Client], the REST API of one account. [Caretaker] uses it to keep the
// account's webhook in order, [RoundTrip] to see a hook go all the way.
//
// The files:
//
//	receive.go, late.go                       a delivery's way, also after its sender has gone
//	sign.go, verify.go                        signatures
//	held.go, rooms.go                         hooks whose secret is not known yet
//	parse.go, scan.go, misfit.go, message.go  what a body says; how the platform writes one
//	arrivals.go, stats.go, thumbs.go          who waits for a hook, how hooks ended, pictures
//	client.go, retry.go, pace.go, errors.go   calls of the API: tries, pauses, what went wrong
//	streams.go, webhooks.go                   what the API tells and changes
//	caretaker.go, roundtrip.go                the webhook kept in order, and tried
package millicast
