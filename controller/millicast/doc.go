// Package millicast is the platform as the controller sees it: Millicast, which is also called Dolby OptiView Real-time Streaming.
//
// What comes in goes through [Receiver.Receive]: verify the signature, read the body strictly, journal it, tell the machine. [Parse] says what
// a body means, [Message] writes one the way the platform does, and [Sign] and the receiver's verification stand side by side.
//
// What goes out goes through [Client], the REST API of one account. [Caretaker] uses it to keep the account's webhook in order, [RoundTrip] to see
// a hook go all the way.
package millicast
