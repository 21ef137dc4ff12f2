package ffmpeg

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/oncue/oncue/encoders"
)

// block is one report of FFmpeg's -progress (fftools/ffmpeg.c, print_report). Values that are
// missing or N/A are negative. Of several renditions it tells the bytes of the first alone.
type block struct {
	outTime time.Duration
	frame   int64
	size    int64 // bytes written
	dropped int64
	fps     float64
	bitrate float64 // bits per second
	speed   float64
}

func emptyBlock() block {
	return block{outTime: -1, frame: -1, size: -1, dropped: -1, fps: -1, bitrate: -1, speed: -1}
}

// further reports whether b shows more delivered than a: more time, or more frames when there is no
// time, and more bytes. FFmpeg counts frames before it has written the first byte.
func (b block) further(a block) bool {
	if b.size >= 0 && b.size <= a.size {
		return false
	}
	if b.outTime < 0 {
		return b.frame > a.frame
	}
	return b.outTime > a.outTime
}

// health returns the block as part of a status.
func (b block) health() *encoders.Health {
	h := &encoders.Health{}
	float := func(p **float64, v float64) {
		if v >= 0 {
			*p = &v
		}
	}
	count := func(p **int64, v int64) {
		if v >= 0 {
			*p = &v
		}
	}
	float(&h.BitrateBPS, b.bitrate)
	float(&h.FPS, b.fps)
	float(&h.Speed, b.speed)
	count(&h.Frames, b.frame)
	count(&h.Dropped, b.dropped)
	count(&h.Bytes, b.size)
	return h
}

// progress reads the blocks that a process appends to a file.
type progress struct {
	file *os.File
	at   int64
	buf  [1024]byte
	have int // bytes of an unfinished line in buf
	next block
}

func openProgress(path string) (*progress, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &progress{file: f, next: emptyBlock()}, nil
}

func (p *progress) close() { p.file.Close() }

// skip skips all but the last few blocks, and returns when the last one was written.
func (p *progress) skip() (time.Time, error) {
	info, err := p.file.Stat()
	if err != nil {
		return time.Time{}, err
	}
	p.at = max(0, info.Size()-2048)
	return info.ModTime(), nil
}

// read calls report for each new block.
func (p *progress) read(report func(block)) error {
	for {
		n, err := p.file.ReadAt(p.buf[p.have:], p.at)
		p.at += int64(n)
		p.have += n
		p.take(report)
		if p.have == len(p.buf) { // no valid line is that long
			p.have = 0
		}
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return p.notice()
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// notice starts again at the beginning when the file was truncated, which the program itself may do
// as well.
func (p *progress) notice() error {
	info, err := p.file.Stat()
	if err == nil && info.Size() < p.at {
		p.at, p.have = 0, 0
	}
	return err
}

// cut truncates the file when it has grown. A block written meanwhile is lost; the next one comes
// soon.
func (p *progress) cut() error {
	if p.at < progressSize {
		return nil
	}
	p.at, p.have = 0, 0
	return os.Truncate(p.file.Name(), 0)
}

func (p *progress) take(report func(block)) {
	rest := p.buf[:p.have]
	for {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		if !found {
			break
		}
		rest = after
		if p.line(line) {
			report(p.next)
			p.next = emptyBlock()
		}
	}
	p.have = copy(p.buf[:], rest)
}

// line parses one key=value, and reports whether it ends a block.
func (p *progress) line(line []byte) bool {
	key, value, found := bytes.Cut(line, []byte{'='})
	if !found {
		return false
	}
	value = bytes.TrimSpace(value)
	switch string(bytes.TrimSpace(key)) {
	case "frame":
		p.next.frame = whole(value)
	case "fps":
		p.next.fps = decimal(value)
	case "bitrate":
		if kilo := decimal(bytes.TrimSuffix(value, []byte("kbits/s"))); kilo >= 0 {
			p.next.bitrate = kilo * 1000
		}
	case "total_size":
		p.next.size = whole(value)
	case "out_time_us":
		if us := whole(value); us >= 0 {
			p.next.outTime = time.Duration(us) * time.Microsecond
		}
	case "drop_frames":
		p.next.dropped = whole(value)
	case "speed":
		p.next.speed = decimal(bytes.TrimSuffix(value, []byte("x")))
	case "progress":
		return true
	}
	return false
}

func whole(text []byte) int64 {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		return n
	}
	return -1
}

func decimal(text []byte) float64 {
	if f, err := strconv.ParseFloat(string(text), 64); err == nil {
		return f
	}
	return -1
}
