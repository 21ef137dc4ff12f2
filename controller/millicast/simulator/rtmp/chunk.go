package rtmp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Message kinds.
const (
	kindSetChunkSize  = 1
	kindAbort         = 2
	kindAck           = 3
	kindUserControl   = 4
	kindWindowAckSize = 5
	kindPeerBandwidth = 6
	kindData3         = 15 // AMF3 data: one byte, then AMF0
	kindCommand3      = 17 // AMF3 command: one byte, then AMF0
	kindCommand       = 20
)

// Limits on what a publisher may announce. All are far above what encoders send.
const (
	maxMessage      = 8 << 20  // bytes of one message: a 4K keyframe is about 1 MB
	maxUnfinished   = 16 << 20 // bytes of all unfinished messages of one connection
	maxChunkStreams = 64
	maxKept         = 1 << 20 // a larger buffer is not kept for the next message
	growth          = 16 << 10
)

const defaultChunkSize = 128

// message is one RTMP message. Its body is valid until the next one is read.
type message struct {
	kind      byte
	stream    uint32
	timestamp uint32 // ms
	body      []byte
}

// chunkReader puts messages together from chunks. Buffers grow as bytes arrive: an announced length
// allocates nothing.
type chunkReader struct {
	r          *bufio.Reader
	size       uint32 // largest chunk of the peer
	streams    map[uint32]*chunkStream
	unfinished int
}

// chunkStream is the last header of one chunk stream, which later headers abbreviate, and its
// unfinished message.
type chunkStream struct {
	timestamp uint32
	delta     uint32
	length    uint32
	kind      byte
	stream    uint32
	extended  bool // the timestamp takes its own four bytes, in every chunk
	begun     bool
	body      []byte
}

func newChunkReader(r *bufio.Reader) *chunkReader {
	return &chunkReader{r: r, size: defaultChunkSize, streams: make(map[uint32]*chunkStream)}
}

// next returns the next whole message. It applies the peer's chunk sizes and aborts by itself, and
// returns those messages too.
func (c *chunkReader) next() (message, error) {
	for {
		id, cs, err := c.readHeader()
		if err != nil {
			return message{}, err
		}
		if err := c.readPiece(cs); err != nil {
			return message{}, fmt.Errorf("chunk stream %d: %w", id, err)
		}
		if uint32(len(cs.body)) < cs.length {
			continue
		}
		m := message{kind: cs.kind, stream: cs.stream, timestamp: cs.timestamp, body: cs.body}
		c.unfinished -= len(cs.body)
		cs.begun = false
		if cap(cs.body) > maxKept {
			cs.body = nil
		}
		return m, c.control(m)
	}
}

// readHeader reads the headers of a chunk; afterwards its chunk stream has an unfinished message.
func (c *chunkReader) readHeader() (id uint32, cs *chunkStream, err error) {
	format, id, err := c.readBasicHeader()
	if err != nil {
		return 0, nil, err
	}
	cs = c.streams[id]
	if cs == nil {
		if format != 0 {
			return id, nil, fmt.Errorf("chunk stream %d: it begins with an abbreviated header", id)
		}
		if len(c.streams) >= maxChunkStreams {
			return id, nil, fmt.Errorf("more than %d chunk streams", maxChunkStreams)
		}
		cs = &chunkStream{}
		c.streams[id] = cs
	}
	if format < 3 && cs.begun {
		return id, nil, fmt.Errorf("chunk stream %d: a message begins inside another", id)
	}
	if err := c.readMessageHeader(format, cs); err != nil {
		return id, nil, fmt.Errorf("chunk stream %d: %w", id, err)
	}
	return id, cs, nil
}

func (c *chunkReader) readBasicHeader() (format byte, id uint32, err error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, 0, err // a clean end falls between chunks
	}
	format, id = b>>6, uint32(b&0x3f)
	switch id {
	case 0:
		b, err = c.r.ReadByte()
		id = 64 + uint32(b)
	case 1:
		var two [2]byte
		_, err = io.ReadFull(c.r, two[:])
		id = 64 + uint32(two[0]) + uint32(two[1])<<8
	}
	return format, id, cutShort(err)
}

func (c *chunkReader) readMessageHeader(format byte, cs *chunkStream) error {
	var header [11]byte
	size := [4]int{11, 7, 3, 0}[format]
	if _, err := io.ReadFull(c.r, header[:size]); err != nil {
		return cutShort(err)
	}
	field := cs.delta
	if format < 3 {
		field = uint24(header[0:])
		cs.extended = field == 0xffffff
	}
	if format < 2 {
		cs.length, cs.kind = uint24(header[3:]), header[6]
	}
	if format == 0 {
		cs.stream = binary.LittleEndian.Uint32(header[7:])
	}
	if cs.extended {
		var four [4]byte
		if _, err := io.ReadFull(c.r, four[:]); err != nil {
			return cutShort(err)
		}
		field = binary.BigEndian.Uint32(four[:])
	}
	if cs.begun {
		return nil
	}
	if cs.length > maxMessage {
		return fmt.Errorf("a message of %d bytes is announced, at most %d are allowed", cs.length, maxMessage)
	}
	// After an absolute timestamp an empty header repeats it as the delta (RTMP 5.3.1.2.4).
	cs.delta = field
	if format == 0 {
		cs.timestamp = field
	} else {
		cs.timestamp += field
	}
	cs.begun, cs.body = true, cs.body[:0]
	return nil
}

// readPiece reads the payload of one chunk.
func (c *chunkReader) readPiece(cs *chunkStream) error {
	want := int(min(cs.length-uint32(len(cs.body)), c.size))
	if c.unfinished+want > maxUnfinished {
		return fmt.Errorf("unfinished messages hold more than %d bytes", maxUnfinished)
	}
	for want > 0 {
		have, n := len(cs.body), min(want, growth)
		cs.body = slices.Grow(cs.body, n)[:have+n]
		got, err := io.ReadFull(c.r, cs.body[have:])
		c.unfinished += got
		if err != nil {
			return cutShort(err)
		}
		want -= n
	}
	return nil
}

// control applies the messages that control the chunk layer itself.
func (c *chunkReader) control(m message) error {
	switch m.kind {
	case kindSetChunkSize, kindAbort:
		if len(m.body) < 4 {
			return fmt.Errorf("control message %d has %d bytes, 4 are needed", m.kind, len(m.body))
		}
	}
	switch m.kind {
	case kindSetChunkSize:
		size := binary.BigEndian.Uint32(m.body) & 0x7fffffff
		if size == 0 {
			return errors.New("the chunk size is set to 0")
		}
		c.size = size
	case kindAbort:
		if cs := c.streams[binary.BigEndian.Uint32(m.body)]; cs != nil && cs.begun {
			c.unfinished -= len(cs.body)
			cs.begun = false
		}
	}
	return nil
}

// cutShort makes io.ErrUnexpectedEOF of an end inside a chunk.
func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

func appendUint24(dst []byte, v uint32) []byte { return append(dst, byte(v>>16), byte(v>>8), byte(v)) }

// chunkWriter cuts messages into chunks. Nothing is sent before Flush.
type chunkWriter struct {
	w    *bufio.Writer
	size int
}

// Chunk streams for what the ingest sends.
const (
	controlStream = 2
	commandStream = 3
)

func (c *chunkWriter) write(id byte, m message) error {
	header := append(make([]byte, 0, 12), id, 0, 0, 0)
	header = append(appendUint24(header, uint32(len(m.body))), m.kind)
	header = binary.LittleEndian.AppendUint32(header, m.stream)
	for body := m.body; ; {
		n := min(len(body), c.size)
		c.w.Write(header)
		if _, err := c.w.Write(body[:n]); err != nil { // a bufio.Writer remembers its first error
			return err
		}
		if body = body[n:]; len(body) == 0 {
			return nil
		}
		header = []byte{0xc0 | id}
	}
}
