package rtmp

import "time"

// TagKind is what a [Tag] holds; the values are FLV's and RTMP's alike.
type TagKind byte

const (
	Audio  TagKind = 8
	Video  TagKind = 9
	Script TagKind = 18 // metadata: "onMetaData" and an object, AMF0
)

// Tag is one message of a feed, shaped as the body of an FLV tag.
type Tag struct {
	Kind      TagKind
	Timestamp uint32    // ms, by the publisher's clock; wraps after 49 days
	At        time.Time // when its last byte was read
	Data      []byte    // valid during the call that passes it; Clone to keep it
}

// Clone copies the tag together with its data.
func (t Tag) Clone() Tag {
	t.Data = append([]byte(nil), t.Data...)
	return t
}

// FLV codec ids and packet types.
const (
	codecAVC       = 7
	soundAAC       = 10
	packetConfig   = 0 // AVC and AAC: decoder configuration; enhanced RTMP: sequence start
	avcEnd         = 2
	extendedEnd    = 2    // enhanced RTMP: sequence end
	extendedInfo   = 4    // enhanced RTMP: metadata
	extendedHeader = 0x80 // enhanced RTMP: the codec is a FourCC
	frameKey       = 1
	frameCommand   = 5
	headSize       = 2 // bytes that say what a tag is
)

// Config reports whether the tag sets up a decoder and shows nothing itself.
func (t Tag) Config() bool {
	if len(t.Data) < headSize {
		return false
	}
	switch b := t.Data[0]; t.Kind {
	case Video:
		if b&extendedHeader != 0 {
			return b&0xf == packetConfig
		}
		return b&0xf == codecAVC && t.Data[1] == packetConfig
	case Audio:
		return b>>4 == soundAAC && t.Data[1] == packetConfig
	}
	return false
}

// Frame reports whether the tag carries sound or a picture: neither configuration, nor an end mark,
// nor metadata.
func (t Tag) Frame() bool {
	if t.Kind == Script || len(t.Data) < headSize || t.Config() {
		return false
	}
	if t.Kind == Audio {
		return true
	}
	b := t.Data[0]
	if b&extendedHeader != 0 {
		return b&0xf != extendedEnd && b&0xf != extendedInfo
	}
	return b>>4 != frameCommand && !(b&0xf == codecAVC && t.Data[1] == avcEnd)
}

// Keyframe reports whether the tag is a picture that needs no other.
func (t Tag) Keyframe() bool {
	return t.Kind == Video && t.Frame() && t.Data[0]>>4&7 == frameKey
}
