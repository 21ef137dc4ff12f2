// Package rtmp is a small RTMP ingest: it receives publishers and plays nothing.
//
// Start with [Server] and [Handler]. A server shakes hands, answers the commands of a publisher
// (connect, releaseStream, FCPublish, createStream, publish, deleteStream, FCUnpublish), asks the
// handler whether the publisher may, and hands it every audio, video and metadata message as an FLV
// [Tag]. [FLVWriter] makes a playable file of them.
//
// It misbehaves on demand, as real ingests do: a publisher can be refused in words, frozen, dropped
// with a FIN or a reset, and whole connections can be accepted and never answered.
//
// Sources: Adobe's "Real-Time Messaging Protocol" 1.0, "Action Message Format AMF 0" and "Video
// File Format Specification" 10.1.
//
// The files:
//
//	server.go, conn.go, publisher.go, gate.go   connections, who publishes, how one is frozen
//	handshake.go, chunk.go, amf.go, command.go  the protocol, from the bytes up
//	tag.go, flv.go                              media, and files of it
//	quickack_linux.go, quickack_other.go        acknowledgements without delay
package rtmp
