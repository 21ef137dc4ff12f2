package handover

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
)

// text0 and number are AMF0 values.
func text0(s string) []byte { return appendText(nil, s) }

func number(n byte) []byte { return []byte{amfNumber, 0x40 + n, 0, 0, 0, 0, 0, 0, 0} }

func object(pairs ...any) []byte {
	out := []byte{amfObject}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(name))), name...)
		out = append(out, pairs[i+1].([]byte)...)
	}
	return append(out, 0, 0, amfObjectEnd)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

var theirs = target{app: "v2/pub", url: "rtmps://example.com/v2/pub", key: "lobby?token=secret"}

// TestRenamed puts the target into the commands that name it, and leaves others alone.
func TestRenamed(t *testing.T) {
	null, flag := []byte{amfNull}, []byte{amfBoolean, 1}
	codecs := append([]byte{amfStrictArray, 0, 0, 0, 2}, join(text0("av01"), text0("hvc1"))...)
	for name, c := range map[string]struct{ in, want []byte }{
		"connect": {
			join(text0("connect"), number(1), object("app", text0("live"), "fpad", flag, "tcUrl",
				text0("rtmp://127.0.0.1:4/live"), "fourCcList", codecs)),
			join(text0("connect"), number(1), object("app", text0("v2/pub"), "fpad", flag, "tcUrl", text0(theirs.url),
				"fourCcList", codecs)),
		},
		"publish": {
			join(text0("publish"), number(5), null, text0("stream"), text0("live")),
			join(text0("publish"), number(5), null, text0(theirs.key), text0("live")),
		},
		"release": {
			join(text0("releaseStream"), number(2), null, text0("stream")),
			join(text0("releaseStream"), number(2), null, text0(theirs.key)),
		},
		"create": {
			join(text0("createStream"), number(4), null), join(text0("createStream"), number(4), null),
		},
	} {
		if got, err := theirs.renamed(c.in); err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, hex.Dump(got), hex.Dump(c.want))
		}
		for cut := range c.in {
			_, _ = theirs.renamed(c.in[:cut]) // ends, whatever comes
		}
	}
}

// TestRefusal reads what servers complain of.
func TestRefusal(t *testing.T) {
	complaint := object("level", text0("error"), "code", text0("NetStream.Publish.BadName"), "description", text0("no"))
	null := []byte{amfNull}
	for want, command := range map[string][]byte{
		"NetStream.Publish.BadName, no": join(text0("onStatus"), number(0), null, complaint),
		"":                              join(text0("onStatus"), number(0), null, object("level", text0("status"))),
	} {
		if got := refusal(command); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// chunks writes messages as a publisher may: interleaved, abbreviated, with a chunk size of its
// own.
type chunks struct{ bytes.Buffer }

func (c *chunks) full(id byte, time uint32, kind byte, stream uint32, length int) {
	short := min(time, noTimestamp)
	c.Write([]byte{id, byte(short >> 16), byte(short >> 8), byte(short), byte(length >> 16), byte(length >> 8),
		byte(length), kind})
	c.Write(binary.LittleEndian.AppendUint32(nil, stream))
	if short == noTimestamp {
		c.Write(binary.BigEndian.AppendUint32(nil, time))
	}
}

// message is a whole message as a server puts it together.
type message struct {
	time   uint32
	kind   byte
	stream uint32
	body   string
}

// together reads what a pass has written.
func together(t *testing.T, data []byte) (all []message) {
	t.Helper()
	p := newPass(bytes.NewReader(data), io.Discard)
	bodies := map[uint32][]byte{}
	for {
		id, c, begins, err := p.header()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if begins {
			c.left, bodies[id] = c.length, nil
		}
		piece := make([]byte, min(c.left, p.chunk))
		if _, err := io.ReadFull(p.from, piece); err != nil {
			t.Fatal(err)
		}
		c.left -= len(piece)
		bodies[id] = append(bodies[id], piece...)
		if c.left == 0 {
			if c.kind == kindSetChunkSize {
				p.chunk = int(binary.BigEndian.Uint32(bodies[id]))
			}
			all = append(all, message{c.timestamp, c.kind, c.stream, string(bodies[id])})
		}
	}
}

// TestPass has a publisher that abbreviates, interleaves, and sends pictures after a command on one
// chunk stream: behind the pass each message is the same, but for the command.
func TestPass(t *testing.T) {
	publish := join(text0("publish"), number(5), []byte{amfNull}, text0("stream"), text0("live"))
	video := strings.Repeat("v", 300)
	var in chunks
	in.full(4, 0, kindCommand, 1, len(publish))
	in.Write(publish)
	in.full(4, 40, 9, 1, 300) // on the channel of the command
	in.WriteString(video[:128])
	in.full(6, 41, 8, 1, 3) // between its chunks
	in.WriteString("aaa")
	in.Write([]byte{3<<6 | 4})
	in.WriteString(video[128:256])
	in.Write([]byte{3<<6 | 4})
	in.WriteString(video[256:])
	in.full(2, 0, kindSetChunkSize, 0, 4)
	in.Write([]byte{0, 0, 16, 0})
	in.Write([]byte{1<<6 | 4, 0, 0, 33, 0, 1, 44, 9}) // 33 ms later, of 300 bytes, kind 9
	in.WriteString(video)
	in.Write([]byte{2<<6 | 6, 0, 0, 20}) // 20 ms later, as long as the last one
	in.WriteString("bbb")
	in.Write([]byte{3<<6 | 6}) // again 20 ms later
	in.WriteString("ccc")
	in.full(6, noTimestamp+7, 8, 1, 3) // after four and a half hours
	in.WriteString("ddd")
	in.full(3, 0, kindAck, 0, 4)
	in.Write([]byte{0, 0, 1, 0})

	renamed, err := theirs.renamed(publish)
	if err != nil {
		t.Fatal(err)
	}
	want := []message{{0, kindCommand, 1, string(renamed)}, {41, 8, 1, "aaa"}, {40, 9, 1, video},
		{0, kindSetChunkSize, 0, "\x00\x00\x10\x00"}, {73, 9, 1, video}, {61, 8, 1, "bbb"}, {81, 8, 1, "ccc"},
		{noTimestamp + 7, 8, 1, "ddd"}, {0, kindAck, 0, "\x00\x00\x01\x00"}}
	for _, drop := range []bool{false, true} {
		var out bytes.Buffer
		p := newPass(bytes.NewReader(in.Bytes()), &out)
		p.edit, p.dropAcks = theirs.renamed, drop
		if err := p.run(); !errors.Is(err, io.EOF) {
			t.Errorf("it ends with %v", err)
		}
		all := want
		if drop {
			all = want[:len(want)-1]
		}
		got := together(t, out.Bytes())
		if len(got) != len(all) {
			t.Fatalf("%d messages have passed, want %d: %v", len(got), len(all), got)
		}
		for i := range all {
			if got[i] != all[i] {
				t.Errorf("message %d is %+v; want %+v", i, got[i], all[i])
			}
		}
	}
}

// FuzzPass has strangers: whatever comes, it ends, and without a panic.
func FuzzPass(f *testing.F) {
	var c chunks
	c.full(3, 0, kindCommand, 0, 3)
	c.WriteString("abc")
	f.Add(c.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPass(bytes.NewReader(data), io.Discard)
		p.edit = theirs.renamed
		p.watch = func(command []byte) { refusal(command) }
		if p.run() == nil {
			t.Error("it has no end")
		}
	})
}
