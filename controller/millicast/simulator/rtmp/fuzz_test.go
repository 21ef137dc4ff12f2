package rtmp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script builds what a publisher sends after the handshake.
func script(chunk int, messages ...message) []byte {
	var b bytes.Buffer
	w := chunkWriter{w: bufio.NewWriter(&b), size: defaultChunkSize}
	for _, m := range messages {
		w.write(commandStream, m)
		if m.kind == kindSetChunkSize {
			w.size = chunk
		}
	}
	w.w.Flush()
	return b.Bytes()
}

func command(values ...any) message {
	return message{kind: kindCommand, body: appendAMF(nil, values...)}
}

// session is a whole publish as ffmpeg does it, in chunks of 256 bytes.
func session() []byte {
	frame := append([]byte{0x17, 1, 0, 0, 0}, make([]byte, 300)...)
	picture := message{kind: byte(Video), stream: 1, timestamp: 40, body: frame}
	app := Object{{"app", "v2/pub"}, {"type", "nonprivate"}, {"tcUrl", "rtmp://127.0.0.1/v2/pub"}}
	metadata := appendAMF(nil, "@setDataFrame", "onMetaData", Object{{"videocodecid", 7.0}})
	return script(256,
		message{kind: kindSetChunkSize, body: binary.BigEndian.AppendUint32(nil, 256)},
		command("connect", 1.0, app),
		command("releaseStream", 2.0, nil, "lobby?token=s3cret"),
		command("FCPublish", 3.0, nil, "lobby?token=s3cret"),
		command("createStream", 4.0, nil),
		command("publish", 5.0, nil, "lobby?token=s3cret", "live"),
		message{kind: byte(Script), stream: 1, body: metadata},
		message{kind: byte(Video), stream: 1, body: []byte{0x17, 0, 0, 0, 0, 1}},
		picture, picture,
		message{kind: kindUserControl, body: []byte{0, pingRequest, 0, 0, 0, 9}},
		command("FCUnpublish", 6.0, nil, "lobby?token=s3cret"),
		command("deleteStream", 7.0, nil, 1.0),
	)
}

// wire is a connection whose peer has sent everything already.
type wire struct {
	io.Reader
	io.Writer
}

func (wire) Close() error                     { return nil }
func (wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (wire) SetDeadline(time.Time) error      { return nil }
func (wire) SetReadDeadline(time.Time) error  { return nil }
func (wire) SetWriteDeadline(time.Time) error { return nil }

// converse runs one connection to its end.
func converse(data []byte) (*recorder, []byte) {
	r := newRecorder()
	var answer bytes.Buffer
	hello := append([]byte{version}, make([]byte, 2*handshakeSize)...)
	s := NewServer(Settings{Handler: r})
	newConn(s, wire{io.MultiReader(bytes.NewReader(hello), bytes.NewReader(data)), &answer}).run()
	return r, answer.Bytes()
}

func TestSessionIsAnswered(t *testing.T) {
	t.Parallel()
	r, answer := converse(session())
	if len(r.published) != 1 || r.ended[r.published[0]] != nil {
		t.Fatalf("published %d, ended %v", len(r.published), r.ended)
	}
	seen := counts{video: 2, keys: 2, configs: 1, scripts: 1}
	if diff := cmp.Diff(seen, r.counts[r.published[0]], cmp.AllowUnexported(counts{})); diff != "" {
		t.Error(diff)
	}
	in := newChunkReader(bufio.NewReader(bytes.NewReader(answer[1+2*handshakeSize:])))
	var got []any
	for {
		m, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.kind == kindCommand {
			values, err := decodeAMF(m.body)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, values[0], values[1])
		} else {
			got = append(got, int(m.kind))
		}
	}
	want := []any{
		kindWindowAckSize, kindPeerBandwidth, kindSetChunkSize,
		"_result", 1.0, "_result", 2.0, "onFCPublish", 0.0, "_result", 3.0,
		"_result", 4.0, kindUserControl, "onStatus", 0.0, kindUserControl,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// FuzzConnection feeds everything a publisher may send after the handshake.
func FuzzConnection(f *testing.F) {
	f.Add(session())
	connect := command("connect", 1.0, Object{{"app", "v2/pub"}})
	f.Add(script(1, message{kind: kindSetChunkSize, body: []byte{0, 0, 0, 1}}, connect))
	// An extended timestamp; 8 MB are announced.
	f.Add([]byte{0x03, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 9, 1, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	f.Add([]byte{0x00, 0x10, 0, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, 7, 0x40, 0x10, 0, 0, 5, 0, 0, 1, 8, 7, 0xc0, 0x10, 7})
	f.Add(script(128, command("connect", 1.0, Object{{"app", "live"}})))
	f.Add(script(128, connect, command("publish", 2.0, nil, "?token=x", "live")))
	f.Fuzz(func(t *testing.T, data []byte) {
		begin := time.Now()
		r, _ := converse(data)
		for _, p := range r.published {
			if _, ok := r.ended[p]; !ok {
				t.Errorf("%q was published and never ended", p.Name)
			}
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%d bytes took %v", len(data), took)
		}
	})
}

// FuzzAMF writes what it has read and wants to read the same again.
func FuzzAMF(f *testing.F) {
	f.Add(appendAMF(nil, "connect", 1.0, Object{{"app", "v2/pub"}, {"list", []any{true, nil, "x"}}}))
	f.Add([]byte{
		amfECMAArray, 0xff, 0xff, 0xff, 0xff, 0, 1, 'a', amfNumber, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, amfObjectEnd,
	})
	f.Add([]byte{amfStrictArray, 0xff, 0xff, 0xff, 0xff, amfNull})
	f.Add([]byte{amfTypedObject, 0, 1, 'c', 0, 0, amfObjectEnd, amfDate, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := decodeAMF(data)
		if err != nil {
			return
		}
		once := appendAMF(nil, values...)
		again, err := decodeAMF(once)
		if err != nil {
			t.Fatalf("what was written does not read: %v", err)
		}
		if twice := appendAMF(nil, again...); !bytes.Equal(once, twice) {
			t.Errorf("written %x, then %x", once, twice)
		}
	})
}
