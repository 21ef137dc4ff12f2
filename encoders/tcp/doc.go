// Package tcp drives boxes that are spoken to over a plain connection, in lines of text or in
// bytes, as their settings describe them: a hardware encoder with a text protocol, or a camera that
// has to be woken.
//
// Read [Settings] first: where the box is, how what it says is cut into messages, what is sent to
// start it and to stop it, and which answers mean that it has done so. Presets (package
// configs/presets) are such settings with a name. [Devices.New] opens an encoder.
//
// What is known of the box are its facts: regular expressions over all that it says, asked or by
// itself. Rules over the facts make its state. Where the connection is kept, a fact that changes
// without a question makes the state be read at once, so that a button at the box is noticed; a
// message that is lost is made up for by the next question. A connection on which an answer did not
// come is closed, because a late one would be taken for that of the next question.
//
// Placeholders, rules and the life of a box are those of package boxes. What the platform receives
// is not measured here: figures are what the box says of itself.
//
// The files:
//
//	settings.go, compile.go   what a user can set; settings become a plan, and mistakes get their key
//	encoder.go                the driver
//	call.go                   one call: its turn, the exchanges, what they say of the box
//	link.go, cut.go           a connection; what comes in is cut into messages
//	trace.go, check.go        what people can ask for
package tcp
