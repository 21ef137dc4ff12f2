// Package millicast is the platform as the controller sees it: Millicast, which is also called
// Dolby OptiView Real-time Streaming.
//
// Incoming hooks go through [Receiver.Receive], in one direction: inspect, verify the signature (or
// hold the delivery), read and judge the body, store it, and only then act on it. Outgoing calls go
// through [Client], the REST API of one account. [Caretaker] uses it to keep the account's webhook
// in order, [RoundTrip] to test the whole way of a hook.
//
// A hook has these shapes on its way, in this order:
//
//	Message            as the platform composes it (played by the simulator, tests, oncue hook)
//	body               the JSON of a Message; what the platform signs and sends
//	Delivery           a body as a transport brought it, with its headers and its sender
//	heldDelivery       one that no secret verifies yet; a new secret makes it a Delivery again
//	incoming           a verified Delivery, with what it says and its verdict
//	controller.Record  what the journal stores of it; every verified hook has one
//	controller.Hook    what the controller acts on; only accepted hooks reach it
//
// The files:
//
//	receive.go, late.go                       the way of a delivery, also after its sender has left
//	sign.go, verify.go                        signatures
//	held.go, rooms.go                         hooks whose secret is not known yet
//	judge.go                                  what a verified delivery says, and its verdict
//	parse.go, scan.go, misfit.go, message.go  reading bodies; writing them as the platform does
//	arrivals.go, stats.go, thumbs.go          waiting for a hook, counting results, pictures
//	client.go, retry.go, pace.go, errors.go   calls of the API: attempts, pauses, errors
//	streams.go, webhooks.go, tokens.go, regions.go   what the API reports and changes
//	owntoken.go                               the publishing tokens that oncue makes
//	caretaker.go, roundtrip.go                keeping the webhook in order, and testing it
package millicast
