package rtmp

import (
	"encoding/binary"
	"fmt"
	"io"
)

// FLVWriter writes tags as an FLV file. The header must name exactly the tracks that follow, for a
// reader waits for every track that is named. So tags are held until the tracks are known: from the
// metadata, because both kinds have come, or after a second of media.
type FLVWriter struct {
	w        io.Writer
	held     []Tag
	heldSize int
	tracks   byte
	started  bool // the header is written
	err      error
}

const (
	flvAudio = 4
	flvVideo = 1

	holdMillis = 1000
	holdBytes  = 4 << 20
)

// NewFLVWriter writes to w, which the caller keeps.
func NewFLVWriter(w io.Writer) *FLVWriter { return &FLVWriter{w: w} }

// WriteTag writes one tag, or holds a copy. After a failed write every call returns that error.
func (f *FLVWriter) WriteTag(t Tag) error {
	if f.err != nil {
		return f.err
	}
	if f.started {
		f.err = f.writeTag(t)
		return f.err
	}
	switch t.Kind {
	case Audio:
		f.tracks |= flvAudio
	case Video:
		f.tracks |= flvVideo
	}
	f.held = append(f.held, t.Clone())
	f.heldSize += len(t.Data)
	named := announcedTracks(t)
	switch {
	case named != 0:
		f.tracks |= named
	case f.tracks == flvAudio|flvVideo, f.heldSize > holdBytes, int32(t.Timestamp-f.held[0].Timestamp) > holdMillis:
	default:
		return nil
	}
	return f.Flush()
}

// Flush writes what is held, with the tracks seen so far. Call it at the end.
func (f *FLVWriter) Flush() error {
	if f.started || f.err != nil || len(f.held) == 0 {
		return f.err
	}
	f.started = true
	if _, f.err = f.w.Write([]byte{'F', 'L', 'V', 1, f.tracks, 0, 0, 0, 9, 0, 0, 0, 0}); f.err != nil {
		f.err = fmt.Errorf("flv: write the header: %w", f.err)
		return f.err
	}
	for _, t := range f.held {
		if f.err = f.writeTag(t); f.err != nil {
			return f.err
		}
	}
	f.held = nil
	return nil
}

func (f *FLVWriter) writeTag(t Tag) error {
	b := append(make([]byte, 0, 11+len(t.Data)+4), byte(t.Kind))
	b = appendUint24(b, uint32(len(t.Data)))
	b = append(appendUint24(b, t.Timestamp&0xffffff), byte(t.Timestamp>>24))
	b = append(b, 0, 0, 0)
	b = append(b, t.Data...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(b)))
	if _, err := f.w.Write(b); err != nil {
		return fmt.Errorf("flv: write a tag: %w", err)
	}
	return nil
}

// announcedTracks reads from a metadata tag which tracks will come, 0 when it does not say.
func announcedTracks(t Tag) byte {
	if t.Kind != Script {
		return 0
	}
	values, err := decodeAMF(t.Data)
	if err != nil || len(values) < 2 || values[0] != "onMetaData" {
		return 0
	}
	object, _ := values[1].(Object)
	var tracks byte
	if object.Get("videocodecid") != nil {
		tracks |= flvVideo
	}
	if object.Get("audiocodecid") != nil {
		tracks |= flvAudio
	}
	return tracks
}
