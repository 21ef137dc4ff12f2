// Package cameratest plays a camera for tests: an RTSP server with pictures of real H.264, which
// can be pulled off the network, frozen, and given back, and counts its players.
package cameratest

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Camera is an RTSP server that plays for ever, at its own pace: a late player begins in the middle
// of a group of pictures.
type Camera struct {
	addr  string
	units [][][]byte // NAL units of each picture, parameter sets left out
	keys  []bool
	SDP   string // what it says that it plays
	began time.Time

	mu     sync.Mutex
	pulled bool // its cable is
	frozen bool // it sends nothing, and keeps its connections
	conns  map[net.Conn]bool
	now    int // players
	most   int // at a time
	all    int // so far
}

// Password is in the camera's URL, but not asked for.
const Password = "canary-6b1f"

const cameraFPS = 30

// Small is a small camera with a key frame every two seconds.
func Small(t testing.TB) *Camera { return New(t, "640x360", "1M", 2*time.Second) }

// New makes a camera with pictures of that size and bitrate (FFmpeg's words), 30 a second, and a
// key frame every gop. It plays on loopback until the test ends.
func New(t testing.TB, size, bitrate string, gop time.Duration) *Camera {
	t.Helper()
	cameraGOP := int(gop.Seconds() * cameraFPS)
	path := filepath.Join(t.TempDir(), "camera.h264")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc2=size=%s:rate=%d", size, cameraFPS),
		"-t", fmt.Sprint(2*gop.Seconds()), "-c:v", "libx264", "-preset", "ultrafast", "-b:v", bitrate, "-maxrate", bitrate,
		"-bufsize", bitrate, "-g", fmt.Sprint(cameraGOP), "-keyint_min",
		fmt.Sprint(cameraGOP), "-sc_threshold", "0", "-bf", "0", "-x264-params", "slices=1:threads=1",
		"-bsf:v", "h264_metadata=aud=insert", "-f", "h264", path).CombinedOutput()
	if err != nil {
		t.Fatalf("make the camera's pictures: %v: %s", err, out)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &Camera{began: time.Now(), conns: map[net.Conn]bool{}}
	c.read(body)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = l.Addr().String()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			if c.pulled {
				nc.Close()
			}
			c.conns[nc] = true
			c.mu.Unlock()
			work.Go(func() { defer nc.Close(); c.serve(nc) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		c.Pull()
		work.Wait()
	})
	return c
}

// Pull takes the camera off the network, GiveBack puts it back.
func (c *Camera) Pull() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled = true
	for nc := range c.conns {
		nc.Close()
	}
}

func (c *Camera) GiveBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pulled, c.frozen = false, false
}

// Freeze makes the camera send nothing any more, on connections that stay.
func (c *Camera) Freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = true
}

// Players returns how many play now, the most that ever did at a time, and how many there were.
func (c *Camera) Players() (now, most, all int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now, c.most, c.all
}

// count counts a player that comes, or goes.
func (c *Camera) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most, c.all = max(c.most, c.now), c.all+max(n, 0)
}

func (c *Camera) URL() string { return "rtsp://admin:" + Password + "@" + c.addr + "/cam" }

// read cuts an H.264 byte stream at its access unit delimiters.
func (c *Camera) read(stream []byte) {
	var sps, pps []byte
	for _, nal := range bytes.Split(stream, []byte{0, 0, 1}) {
		nal = bytes.TrimRight(nal, "\x00")
		if len(nal) == 0 {
			continue
		}
		switch nal[0] & 31 {
		case 9:
			c.units, c.keys = append(c.units, nil), append(c.keys, false)
		case 7:
			sps = nal
		case 8:
			pps = nal
		case 6:
		default:
			n := len(c.units) - 1
			c.units[n] = append(c.units[n], nal)
			c.keys[n] = c.keys[n] || nal[0]&31 == 5
		}
	}
	b64 := base64.StdEncoding.EncodeToString
	c.SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n" +
		"a=fmtp:96 packetization-mode=1;sprop-parameter-sets=" + b64(sps) + "," + b64(pps) + "\r\na=control:track1\r\n"
}

// serve answers one player, TCP-interleaved.
func (c *Camera) serve(nc net.Conn) {
	in := bufio.NewReader(nc)
	for {
		head, err := in.ReadString('\n')
		if err != nil {
			return
		}
		method, cseq, overTCP := strings.Fields(head + " x")[0], "", false
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			if line = strings.TrimSpace(line); line == "" {
				break
			}
			if v, ok := strings.CutPrefix(line, "CSeq:"); ok {
				cseq = strings.TrimSpace(v)
			}
			overTCP = overTCP || strings.Contains(line, "interleaved")
		}
		answer := "RTSP/1.0 200 OK\r\nCSeq: " + cseq + "\r\n"
		if method == "SETUP" && !overTCP {
			method, answer = "", strings.Replace(answer, "200 OK", "461 Unsupported Transport", 1)
		}
		switch method {
		case "OPTIONS":
			answer += "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n"
		case "DESCRIBE":
			answer += fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(c.SDP), c.SDP)
		case "SETUP":
			answer += "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n"
		default:
			answer += "Session: 1\r\n\r\n"
		}
		if _, err := nc.Write([]byte(answer)); err != nil || method == "TEARDOWN" {
			return
		}
		if method == "PLAY" {
			gone := make(chan struct{})
			go func() { // what the player still says
				defer close(gone)
				_, _ = in.WriteTo(io.Discard)
			}()
			c.count(1)
			c.play(nc, gone)
			c.count(-1)
			return
		}
	}
}

// play sends the picture of the moment, at each moment.
func (c *Camera) play(nc net.Conn, gone <-chan struct{}) {
	var seq uint16
	for n := int(time.Since(c.began).Seconds() * cameraFPS); ; n++ {
		due := c.began.Add(time.Duration(n) * time.Second / cameraFPS)
		select {
		case <-time.After(time.Until(due)):
		case <-gone:
			return
		}
		c.mu.Lock()
		frozen := c.frozen
		c.mu.Unlock()
		if frozen {
			continue
		}
		units := c.units[n%len(c.units)]
		for i, nal := range units {
			for _, packet := range packets(nal, i == len(units)-1) {
				seq++
				if _, err := nc.Write(frame(packet, seq, uint32(n*90000/cameraFPS))); err != nil {
					return
				}
			}
		}
	}
}

// NextKey is when the next picture comes that a player can begin with.
func (c *Camera) NextKey(from time.Time) time.Time {
	for n := int(from.Sub(c.began).Seconds()*cameraFPS) + 1; ; n++ {
		if c.keys[n%len(c.keys)] {
			return c.began.Add(time.Duration(n) * time.Second / cameraFPS)
		}
	}
}

type rtpPacket struct {
	body []byte
	last bool
}

// packets cuts a NAL unit into RTP payloads (RFC 6184, FU-A).
func packets(nal []byte, last bool) []rtpPacket {
	const size = 1400
	if len(nal) <= size {
		return []rtpPacket{{nal, last}}
	}
	var out []rtpPacket
	for at := 1; at < len(nal); at += size {
		end := min(at+size, len(nal))
		header := nal[0] & 31
		if at == 1 {
			header |= 0x80
		}
		if end == len(nal) {
			header |= 0x40
		}
		out = append(out, rtpPacket{append([]byte{nal[0]&0x60 | 28, header}, nal[at:end]...), last && end == len(nal)})
	}
	return out
}

// frame puts an RTP packet into the RTSP connection (RFC 2326, 10.12).
func frame(p rtpPacket, seq uint16, timestamp uint32) []byte {
	b := []byte{'$', 0, 0, 0, 0x80, 96}
	if p.last {
		b[5] |= 0x80
	}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = binary.BigEndian.AppendUint32(b, timestamp)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = append(b, p.body...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-4))
	return b
}
