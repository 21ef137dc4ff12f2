package ffmpeg

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// TestPublishesBySRT publishes to a real SRT listener, which must get the picture and exactly the
// stream id that the platform documents: the name, the token as base64url of its bytes, and the
// parameters, percent-encoded in the id and once more in the URL. The process list shows nothing
// of it.
func TestPublishesBySRT(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	const token = "fbef0123456789abcdef0123456789abcdefbeef0123456789abcdef01234567"
	const want = "lobby?t=--8BI0VniavN7wEjRWeJq83vvu8BI0VniavN7wEjRWc&sourceId=cam%201&priority=99"
	listener, got := freePort(t), filepath.Join(t.TempDir(), "got.ts")
	defer run(t, "-nostdin", "-loglevel", "error", "-i", "srt://127.0.0.1:"+listener+"?mode=listener", "-c", "copy",
		"-f", "mpegts", got)()
	await(t, "it listens", func() bool { return listens(t, listener) })
	line := newSRTLine(t, listener)
	priority := 99
	j := job
	j.Name = "lobby"
	j.Publish = j.FillSecret(ingest.Contribution{Token: secret.New(token), Protocol: ingest.SRT, Source: "cam 1",
		Priority: &priority, Server: "srt://" + line.LocalAddr().String()}.URL())
	e := opened(t, small())
	start(t, e, j)
	pid := awaitState(t, e, encoders.StatePublishing).PID
	await(t, "the picture arrives", func() bool { st, err := os.Stat(got); return err == nil && st.Size() > 10_000 })
	if id := <-line.ids; id != want {
		t.Errorf("the stream id is %q, want %q", id, want)
	}
	for _, file := range []string{"cmdline", "environ"} {
		if text := read(t, fmt.Sprintf("/proc/%d/%s", pid, file)); strings.Contains(text, "--8BI0Vn") {
			t.Errorf("%s shows the token: %q", file, text)
		}
	}
}

// srtLine passes datagrams on to an SRT listener, and tells the stream id of a handshake.
type srtLine struct {
	net.PacketConn
	ids chan string // has room for one
}

func newSRTLine(t *testing.T, port string) *srtLine {
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close(); _ = back.Close() })
	l, callers := &srtLine{front, make(chan string, 1)}, make(chan net.Addr, 1)
	go func() {
		defer close(callers)
		packet := make([]byte, 65536)
		for known := false; ; known = true {
			n, caller, err := front.ReadFrom(packet)
			if err != nil {
				return
			}
			if !known {
				callers <- caller
			}
			if id := streamID(packet[:n]); id != "" {
				select {
				case l.ids <- id:
				default:
				}
			}
			_, _ = back.Write(packet[:n])
		}
	}()
	go func() {
		caller, packet := <-callers, make([]byte, 65536)
		for {
			n, err := back.Read(packet)
			if err != nil {
				return
			}
			_, _ = front.WriteTo(packet[:n], caller)
		}
	}()
	return l
}

// streamID is the stream id in a packet, "" when there is none. It is in an extension of the
// handshake, in words whose bytes are reversed, and filled up with zeros.
//
// Source: the SRT protocol's draft-sharabayko-srt, "Handshake Packets" and "Stream ID Extension".
func streamID(packet []byte) string {
	const header, handshake, aboutStream = 16, 48, 5
	if len(packet) < header+handshake || binary.BigEndian.Uint16(packet) != 0x8000 {
		return ""
	}
	for rest := packet[header+handshake:]; len(rest) >= 4; {
		kind, size := binary.BigEndian.Uint16(rest), 4*int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < 4+size {
			return ""
		}
		if kind == aboutStream {
			id := slices.Clone(rest[4 : 4+size])
			for word := range slices.Chunk(id, 4) {
				slices.Reverse(word)
			}
			return strings.TrimRight(string(id), "\x00")
		}
		rest = rest[4+size:]
	}
	return ""
}
