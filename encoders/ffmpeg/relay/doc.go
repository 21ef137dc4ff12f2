// Package relay keeps a live input open between two runs of an encoder, so that a start begins with
// a picture instead of a wait for the camera and its next key frame.
//
// A relay is a process of its own, this program in another role ([Main]). It runs one FFmpeg, the
// reader, which copies the input as it comes, and keeps in memory what has come since the last key
// frame. A publisher, which is an FFmpeg that the driver runs, gets that group of pictures at once
// and then what follows; it never opens the input itself. So there is one reader on the input,
// whoever publishes, and a lock that relay and reader hold keeps it at one: as long as any of them
// lives, no other relay can begin.
//
//	relay.go    the process: its order, its clients, its end
//	reader.go   the FFmpeg that reads the input, again and again
//	group.go    the pictures kept, and what a publisher gets of them
//	nut.go      the container between reader, relay and publisher
//	memory.go   what makes the process small
//	client.go   the driver's side: to begin one, hear its reports, get a publisher's connection
//
// # Why NUT
//
// Of FFmpeg's containers, NUT alone carries every codec, describes it at the beginning, and lets go
// of a picture when it has come. Matroska refuses the AAC of transport streams, and holds each
// picture back until the next one; FLV knows few codecs; a transport stream describes nothing, so
// that its reader has to probe.
//
// # What a publisher gets
//
// The pictures kept come at once, their times squeezed to a millisecond each; the present moment
// follows on. A group of ten seconds becomes a third of a second, in which a viewer sees its
// pictures run by, and after which there is no more delay than without a relay. With their own
// times, a player that goes by them would stay behind by the age of the group. The sound of the
// group is left out: it begins with the present.
//
// # Its life
//
// It survives its controller, and the next one finds it at its socket. It ends when a controller
// says so, when its folder is gone, or when neither a controller nor a publisher has been there for
// [Order.Patience].
package relay
