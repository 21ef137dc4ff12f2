package handover

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Message kinds (Adobe's RTMP specification 1.0, 5.4 and 7.1).
const (
	kindSetChunkSize = 1
	kindAbort        = 2
	kindAck          = 3
	kindCommand3     = 17 // one byte, then AMF0
	kindCommand      = 20
)

const (
	version     = 1    // bytes
	handshake   = 1536 // bytes of each of its parts
	firstChunk  = 128  // bytes, until a side says otherwise
	maxChunk    = 16 << 20
	maxCommand  = 64 << 10
	maxChannels = 256
	noTimestamp = 0xffffff // it follows in four bytes
)

// shake passes the handshake on, so that each kind of it works.
func shake(client, server io.ReadWriter) error {
	for _, part := range []struct {
		from, to io.ReadWriter
		size     int64
	}{
		{client, server, version + handshake}, {server, client, version + 2*handshake}, {client, server, handshake},
	} {
		if _, err := io.CopyN(part.to, part.from, part.size); err != nil {
			return fmt.Errorf("the handshake: %w", err)
		}
	}
	return nil
}

// pass copies one direction of a connection, chunk by chunk. Commands are put together and go
// through edit; without it they pass as they are, like everything else.
type pass struct {
	from     *bufio.Reader
	to       *bufio.Writer
	edit     func(command []byte) ([]byte, error)
	watch    func(command []byte) // sees commands
	dropAcks bool                 // they count the bytes of the other side of this process

	chunk    int // largest, both of what is read and of what is written
	channels map[uint32]*channel
}

// channel is a chunk stream: the last header, which later ones abbreviate, and its message.
type channel struct {
	timestamp, delta uint32
	extended         bool // the timestamp takes four bytes more, in every chunk
	length           int
	kind             byte
	stream           uint32
	left             int    // bytes of the message that have not come
	held             []byte // of a message that is kept until it is whole
	dropped          bool   // the message does not pass
}

func newPass(from io.Reader, to io.Writer) *pass {
	return &pass{from: bufio.NewReaderSize(from, 64<<10), to: bufio.NewWriterSize(to, 64<<10), chunk: firstChunk,
		channels: map[uint32]*channel{}}
}

// run copies until one side ends.
func (p *pass) run() error {
	for {
		if p.from.Buffered() == 0 {
			if err := p.to.Flush(); err != nil {
				return err
			}
		}
		if err := p.one(); err != nil {
			return err
		}
	}
}

// one copies one chunk.
func (p *pass) one() error {
	id, c, begins, err := p.header()
	if err != nil {
		return err
	}
	if begins {
		c.left, c.held, c.dropped = c.length, nil, p.dropAcks && c.kind == kindAck
		if (c.kind == kindCommand || c.kind == kindCommand3 || c.kind == kindSetChunkSize) && c.length > maxCommand {
			return fmt.Errorf("a command of %d bytes", c.length)
		}
	}
	n := min(c.left, p.chunk)
	c.left -= n
	whole := c.left == 0
	switch {
	case c.dropped:
		_, err = p.from.Discard(n)
		return err
	case c.kind == kindCommand || c.kind == kindCommand3 || c.kind == kindSetChunkSize || c.kind == kindAbort:
		at := len(c.held)
		c.held = slices.Grow(c.held, n)[:at+n]
		if _, err := io.ReadFull(p.from, c.held[at:]); err != nil || !whole {
			return err
		}
		return p.message(id, c)
	}
	p.writeHeader(id, c, begins, c.length)
	return p.copy(n)
}

// copy passes bytes on, out of one buffer into the other: there may be thousands of chunks a
// second.
func (p *pass) copy(n int) error {
	for n > 0 {
		if p.from.Buffered() == 0 {
			if err := p.to.Flush(); err != nil {
				return err
			}
		}
		if _, err := p.from.Peek(1); err != nil {
			return err
		}
		piece, _ := p.from.Peek(min(n, p.from.Buffered()))
		if _, err := p.to.Write(piece); err != nil {
			return err
		}
		n -= len(piece)
		_, _ = p.from.Discard(len(piece))
	}
	return nil
}

// message passes on a message that was kept.
func (p *pass) message(id uint32, c *channel) error {
	body, prefix := c.held, 0
	if c.kind == kindCommand3 {
		prefix = 1
	}
	switch {
	case (c.kind == kindSetChunkSize || c.kind == kindAbort) && len(body) < 4:
		return errors.New("a control message is too short")
	case c.kind == kindAbort: // of a message whose first chunks have passed already
		if other := p.channels[binary.BigEndian.Uint32(body)]; other != nil {
			other.left, other.held = 0, nil
		}
	case (c.kind == kindCommand || c.kind == kindCommand3) && len(body) >= prefix:
		if p.watch != nil {
			p.watch(body[prefix:])
		}
		if p.edit != nil {
			edited, err := p.edit(body[prefix:])
			if err != nil {
				return err
			}
			body = append(body[:prefix:prefix], edited...)
		}
	}
	size, rest := len(body), body
	for first := true; first || len(rest) > 0; first = false {
		n := min(len(rest), p.chunk)
		p.writeHeader(id, c, first, size)
		if _, err := p.to.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	c.held = nil
	if c.kind == kindSetChunkSize { // for what follows
		size := binary.BigEndian.Uint32(body) & 0x7fffffff
		if size == 0 || size > maxChunk {
			return fmt.Errorf("a chunk size of %d", size)
		}
		p.chunk = int(size)
	}
	return nil
}

// header reads the headers of a chunk. begins says that a message begins with it.
func (p *pass) header() (id uint32, c *channel, begins bool, err error) {
	b, err := p.from.ReadByte()
	if err != nil {
		return 0, nil, false, err
	}
	format, id := b>>6, uint32(b&0x3f)
	var more [2]byte
	switch id {
	case 0:
		_, err = io.ReadFull(p.from, more[:1])
		id = 64 + uint32(more[0])
	case 1:
		_, err = io.ReadFull(p.from, more[:])
		id = 64 + uint32(more[0]) + uint32(more[1])<<8
	}
	if err != nil {
		return 0, nil, false, err
	}
	c = p.channels[id]
	if c == nil {
		if format != 0 || len(p.channels) >= maxChannels {
			return 0, nil, false, errors.New("a chunk stream begins in its middle")
		}
		c = &channel{}
		p.channels[id] = c
	}
	begins = c.left == 0
	if format < 3 && !begins {
		return 0, nil, false, errors.New("a message begins inside another")
	}
	return id, c, begins, p.messageHeader(format, c, begins)
}

func (p *pass) messageHeader(format byte, c *channel, begins bool) error {
	var h [11]byte
	if _, err := io.ReadFull(p.from, h[:[4]int{11, 7, 3, 0}[format]]); err != nil {
		return err
	}
	time := c.delta
	if format < 3 {
		time = uint24(h[0:])
		c.extended = time == noTimestamp
	}
	if format < 2 {
		c.length, c.kind = int(uint24(h[3:])), h[6]
	}
	if format == 0 {
		c.stream = binary.LittleEndian.Uint32(h[7:])
	}
	if c.extended {
		var four [4]byte
		if _, err := io.ReadFull(p.from, four[:]); err != nil {
			return err
		}
		time = binary.BigEndian.Uint32(four[:])
	}
	if !begins {
		return nil
	}
	c.delta = time // an empty header after an absolute time repeats it (5.3.1.2.4)
	if format == 0 {
		c.timestamp = time
	} else {
		c.timestamp += time
	}
	return nil
}

// writeHeader writes the whole header of a message of a size, or the short one of its next chunk.
// Nothing is abbreviated, because the sizes of commands change. A failed write shows at the next
// Flush.
func (p *pass) writeHeader(id uint32, c *channel, begins bool, size int) {
	format := byte(0)
	if !begins {
		format = 3 << 6
	}
	switch {
	case id < 64:
		p.to.WriteByte(format | byte(id))
	case id < 64+256:
		p.to.Write([]byte{format, byte(id - 64)})
	default:
		p.to.Write([]byte{format | 1, byte(id - 64), byte((id - 64) >> 8)})
	}
	time := min(c.timestamp, noTimestamp)
	if begins {
		p.to.Write([]byte{byte(time >> 16), byte(time >> 8), byte(time), byte(size >> 16), byte(size >> 8), byte(size),
			c.kind})
		p.to.Write(binary.LittleEndian.AppendUint32(nil, c.stream))
	}
	if time == noTimestamp {
		p.to.Write(binary.BigEndian.AppendUint32(nil, c.timestamp))
	}
}

func uint24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }
