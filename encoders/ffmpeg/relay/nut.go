package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"slices"
)

// NUT is described in FFmpeg's nut-english.txt and libavformat/nutdec.c. Versions up to 3 are read,
// which FFmpeg writes unless it is told otherwise.

// The codes that packets begin with; everything else is a frame.
const (
	codeMain      = 0x4E4D7A561F5F04AD
	codeStream    = 0x4E5311405BF2F9DB
	codeSyncpoint = 0x4E4BE4ADEECA4569
	codeIndex     = 0x4E58DD672F23E64E
	codeInfo      = 0x4E49AB68B596BA78

	fileID = "nut/multimedia container\x00"
)

// Flags of a frame.
const (
	flagKey       = 1
	flagCodedPTS  = 8
	flagStreamID  = 16
	flagSizeMSB   = 32
	flagChecksum  = 64
	flagReserved  = 128
	flagHeaderIdx = 1024
	flagMatchTime = 2048
	flagCoded     = 4096
	flagInvalid   = 8192
)

// maxPacket is the largest frame or header that is taken for one, in bytes.
const maxPacket = 64 << 20

// frame is one packet of a stream: a picture, or a piece of sound.
type frame struct {
	stream int
	key    bool
	pts    int64 // in the stream's time base
	data   []byte
}

// stream is what is known of one stream of a container.
type stream struct {
	video    bool
	num, den int64 // of its time base, seconds
	base     int   // index of its time base
	shift    uint  // msb_pts_shift
	last     int64 // time of its last frame
}

// seconds returns a time of the stream in seconds.
func (s stream) seconds(pts int64) float64 { return float64(pts) * float64(s.num) / float64(s.den) }

// units is the opposite of seconds.
func (s stream) units(t float64) int64 { return int64(math.Round(t * float64(s.den) / float64(s.num))) }

// frameCode is what the first byte of a frame says about it.
type frameCode struct {
	flags, ptsDelta, sizeMul, sizeLSB int64
	stream, reserved, elided          int
}

// container is the beginning of a NUT stream, which its frames need.
type container struct {
	raw     []byte // all of it, as publishers get it
	streams []stream
	bases   [][2]int64
	codes   [256]frameCode
	elided  [][]byte // what frames may leave out at their beginning
	plain   byte     // a code whose frames say everything themselves
}

// hasVideo reports whether any of the streams is video.
func (c *container) hasVideo() bool {
	for _, s := range c.streams {
		if s.video {
			return true
		}
	}
	return false
}

// pictured reports whether the frame is a picture; without video, sound stands for pictures.
func (c *container) pictured(f frame) bool { return c.streams[f.stream].video || !c.hasVideo() }

// demuxer reads a NUT stream.
type demuxer struct {
	in *bufio.Reader
	container
}

var errNUT = errors.New("what the reader says is no NUT stream")

// newDemuxer reads the stream's beginning, up to its first syncpoint.
func newDemuxer(in io.Reader) (*demuxer, error) {
	d := &demuxer{in: bufio.NewReaderSize(in, 64<<10)}
	id := make([]byte, len(fileID))
	if _, err := io.ReadFull(d.in, id); err != nil {
		return nil, err
	}
	if string(id) != fileID {
		return nil, errNUT
	}
	d.raw = id
	for {
		code, all, body, err := d.packet()
		switch {
		case err != nil:
			return nil, err
		case code == codeSyncpoint:
			return d, d.synchronise(body)
		case code == codeMain && d.streams == nil:
			all = unsynchronised(body.rest)
			err = d.mainHeader(body)
		case code == codeStream:
			err = d.streamHeader(body)
		}
		if err != nil {
			return nil, err
		}
		d.raw = append(d.raw, all...)
	}
}

// packet reads a packet that is no frame: its code, all of it, and what it holds.
func (d *demuxer) packet() (code uint64, all []byte, body fields, err error) {
	head := make([]byte, 8, 32)
	if _, err := io.ReadFull(d.in, head); err != nil {
		return 0, nil, fields{}, err
	}
	code = binary.BigEndian.Uint64(head)
	switch code {
	case codeMain, codeStream, codeSyncpoint, codeIndex, codeInfo:
	default:
		return 0, nil, fields{}, errNUT
	}
	size := uint64(0)
	for more := true; more; {
		b, err := d.in.ReadByte()
		if err != nil {
			return 0, nil, fields{}, err
		}
		head, size, more = append(head, b), size<<7|uint64(b&0x7f), b >= 0x80
	}
	if size < 4 || size > maxPacket {
		return 0, nil, fields{}, errNUT
	}
	begin := len(head)
	if size > 4096 {
		begin += 4 // the checksum of the head
	}
	all = append(head, make([]byte, begin-len(head)+int(size))...)
	_, err = io.ReadFull(d.in, all[len(head):])
	return code, all, fields{rest: all[begin : len(all)-4]}, err
}

// unsynchronised returns a main header that says of its stream that it has no more syncpoints than
// the first. A reader of FFmpeg wants one every 32 kB else, and keeps a note of each for ever.
func unsynchronised(body []byte) []byte {
	if len(body) == 0 || body[0] > 3 {
		return nil // which is refused
	}
	const version, minor, pipe = 4, 1, 2
	return packet(codeMain, slices.Concat([]byte{version, minor}, body[1:], []byte{pipe}))
}

// packet returns a packet that is no frame.
func packet(code uint64, body []byte) []byte {
	out := binary.BigEndian.AppendUint64(nil, code)
	out = appendV(out, int64(len(body)+4))
	if len(body)+4 > 4096 {
		out = binary.BigEndian.AppendUint32(out, checksum(out))
	}
	return binary.BigEndian.AppendUint32(append(out, body...), checksum(body))
}

// mainHeader reads the time bases and the codes of frames.
func (c *container) mainHeader(f fields) error {
	if version := f.v(); version < 2 || version > 3 {
		return fmt.Errorf("%w of version 2 or 3", errNUT)
	}
	c.streams = make([]stream, f.count(256))
	f.v() // the largest distance of syncpoints
	for range f.count(1 << 10) {
		base := [2]int64{f.v(), f.v()}
		if base[0] <= 0 || base[1] <= 0 || base[0] >= 1<<31 || base[1] >= 1<<31 {
			return errNUT
		}
		c.bases = append(c.bases, base)
	}
	next := frameCode{sizeMul: 1}
	for i := 0; i < 256 && f.err == nil; {
		next.flags = f.v()
		given := f.v()
		next.sizeLSB, next.reserved = 0, 0
		if given > 0 {
			next.ptsDelta = f.s()
		}
		if given > 1 {
			next.sizeMul = f.v()
		}
		if given > 2 {
			next.stream = f.count(len(c.streams) - 1)
		}
		if given > 3 {
			next.sizeLSB = f.v()
		}
		if given > 4 {
			next.reserved = f.count(1 << 8)
		}
		n := next.sizeMul - next.sizeLSB
		if given > 5 {
			n = f.v()
		}
		if given > 6 {
			f.s() // match_time_delta
		}
		if given > 7 {
			next.elided = f.count(127)
		}
		for ; given > 8 && f.err == nil; given-- {
			f.v()
		}
		if n <= 0 {
			return errNUT
		}
		for j := int64(0); j < n && i < 256; i++ {
			if i == 'N' {
				c.codes[i].flags = flagInvalid
				continue
			}
			c.codes[i] = next
			c.codes[i].sizeLSB = next.sizeLSB + j
			j++
		}
	}
	c.elided = [][]byte{nil}
	for range f.count(127) {
		c.elided = append(c.elided, f.take(f.count(255)))
	}
	for i, code := range c.codes {
		if code.flags&flagCoded != 0 && code.flags&flagInvalid == 0 && code.sizeLSB == 0 && code.reserved == 0 &&
			code.sizeMul == 1 {
			c.plain = byte(i)
			return f.err
		}
	}
	return errors.Join(f.err, fmt.Errorf("%w with a code for any frame", errNUT))
}

func (c *container) streamHeader(f fields) error {
	at := f.count(len(c.streams) - 1)
	s := stream{video: f.v() == 0}
	f.take(f.count(8)) // the codec
	s.base = f.count(len(c.bases) - 1)
	s.shift = uint(f.count(16))
	if f.err != nil {
		return f.err
	}
	s.num, s.den = c.bases[s.base][0], c.bases[s.base][1]
	c.streams[at] = s
	return nil
}

// synchronise sets the time from which the times of the next frames are counted.
func (d *demuxer) synchronise(f fields) error {
	t := f.v()
	if f.err != nil || len(d.bases) == 0 {
		return errNUT
	}
	n := int64(len(d.bases))
	base := d.bases[t%n]
	for i := range d.streams {
		s := &d.streams[i]
		if s.den == 0 {
			return errNUT // it was never described
		}
		high, low := bits.Mul64(uint64(t/n), uint64(base[0])*uint64(s.den))
		if by := uint64(base[1]) * uint64(s.num); high < by {
			last, _ := bits.Div64(high, low, by)
			s.last = int64(last)
		}
	}
	return nil
}

// next reads the next frame.
func (d *demuxer) next() (frame, error) {
	for {
		first, err := d.in.Peek(1)
		if err != nil {
			return frame{}, err
		}
		if first[0] != 'N' {
			return d.frame()
		}
		code, _, body, err := d.packet()
		if err == nil && code == codeSyncpoint {
			err = d.synchronise(body)
		}
		if err != nil {
			return frame{}, err
		}
	}
}

func (d *demuxer) frame() (frame, error) {
	f := fields{in: d.in}
	c := d.codes[f.byte()]
	if c.flags&flagInvalid != 0 {
		return frame{}, errNUT
	}
	if c.flags&flagCoded != 0 {
		c.flags ^= f.v()
	}
	if c.flags&flagStreamID != 0 {
		c.stream = f.count(len(d.streams) - 1)
	}
	if f.err != nil {
		return frame{}, f.err
	}
	s := &d.streams[c.stream]
	pts := s.last + c.ptsDelta
	if c.flags&flagCodedPTS != 0 {
		pts = s.full(f.v())
	}
	size := c.sizeLSB
	if c.flags&flagSizeMSB != 0 {
		size += c.sizeMul * f.v()
	}
	if c.flags&flagMatchTime != 0 {
		f.s()
	}
	if c.flags&flagHeaderIdx != 0 {
		c.elided = f.count(len(d.elided) - 1)
	}
	if c.flags&flagReserved != 0 {
		c.reserved = f.count(1 << 8)
	}
	for range c.reserved {
		f.v()
	}
	if c.flags&flagChecksum != 0 {
		f.take(4)
	}
	if size > 4096 {
		c.elided = 0
	}
	if f.err != nil || c.elided >= len(d.elided) || size < 0 || size > maxPacket ||
		size < int64(len(d.elided[c.elided])) {
		return frame{}, errors.Join(f.err, errNUT)
	}
	out := frame{stream: c.stream, key: c.flags&flagKey != 0, pts: pts, data: make([]byte, size)}
	n := copy(out.data, d.elided[c.elided])
	s.last = pts
	_, err := io.ReadFull(d.in, out.data[n:])
	return out, err
}

// full completes a coded time, of which the upper part may be left out.
func (s *stream) full(coded int64) int64 {
	window := int64(1) << s.shift
	if coded >= window {
		return coded - window
	}
	delta := s.last - (window-1)/2
	return ((coded - delta) & (window - 1)) + delta
}

// begin returns how a stream begins for a publisher: the container's description, and a syncpoint
// at time zero.
func (c *container) begin() []byte {
	return append(c.raw[:len(c.raw):len(c.raw)], packet(codeSyncpoint, []byte{0, 0})...) // at 0, and 0 back
}

// head returns the bytes before a frame's data. They say everything about the frame, so that it may
// follow any other.
func (c *container) head(f frame) []byte {
	code := c.codes[c.plain]
	flags := int64(flagCoded | flagStreamID | flagCodedPTS | flagSizeMSB | flagHeaderIdx | flagChecksum)
	if f.key {
		flags |= flagKey
	}
	out := make([]byte, 0, 32)
	out = append(out, c.plain)
	out = appendV(out, flags^code.flags)
	out = appendV(out, int64(f.stream))
	out = appendV(out, f.pts+int64(1)<<c.streams[f.stream].shift)
	out = appendV(out, int64(len(f.data)))
	out = append(out, 0) // nothing is left out
	return binary.BigEndian.AppendUint32(out, checksum(out))
}

// fields reads the numbers of a packet, or of a frame as it comes. After an error all are zero.
type fields struct {
	rest []byte
	in   io.ByteReader // nil: rest is all
	err  error
}

func (f *fields) byte() byte {
	if f.err != nil {
		return 0
	}
	if f.in != nil {
		var b byte
		b, f.err = f.in.ReadByte()
		return b
	}
	if len(f.rest) == 0 {
		f.err = errNUT
		return 0
	}
	b := f.rest[0]
	f.rest = f.rest[1:]
	return b
}

// v reads a number of any length, seven bits in a byte.
func (f *fields) v() int64 {
	n := int64(0)
	for range 10 {
		b := f.byte()
		n = n<<7 | int64(b&0x7f)
		if b < 0x80 {
			return n
		}
	}
	f.err = errors.Join(f.err, errNUT)
	return 0
}

// s reads a number that may be negative.
func (f *fields) s() int64 {
	if n := f.v() + 1; n&1 != 0 {
		return -(n >> 1)
	} else {
		return n >> 1
	}
}

// count reads a number from 0 to most.
func (f *fields) count(most int) int {
	n := f.v()
	if n < 0 || n > int64(most) {
		f.err = errors.Join(f.err, errNUT)
		return 0
	}
	return int(n)
}

func (f *fields) take(n int) []byte {
	out := make([]byte, 0, n)
	for range n {
		out = append(out, f.byte())
	}
	return out
}

func appendV(out []byte, n int64) []byte {
	for shift := 63 / 7 * 7; shift > 0; shift -= 7 {
		if n>>shift != 0 {
			out = append(out, byte(n>>shift)|0x80)
		}
	}
	return append(out, byte(n&0x7f))
}

// checksum is NUT's: the polynomial 04C11DB7, the highest bit first, from zero.
func checksum(data []byte) (sum uint32) {
	for _, b := range data {
		sum ^= uint32(b) << 24
		for range 8 {
			if top := sum >> 31; top != 0 {
				sum = sum<<1 ^ 0x04C11DB7
			} else {
				sum <<= 1
			}
		}
	}
	return sum
}
