package relay

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// nutOf makes FFmpeg write a moment of picture and sound as a reader would.
func nutOf(t testing.TB, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("needs ffmpeg: ", err)
	}
	args = append([]string{"-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=30", "-f",
		"lavfi", "-i", "sine=sample_rate=48000", "-t", "3"}, args...)
	cmd := exec.Command("ffmpeg", append(args, "-f", "nut", "-write_index", "0", "pipe:1")...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	return out
}

// described lists the packets of a NUT stream as FFmpeg reads them.
func described(t testing.TB, nut []byte) string {
	t.Helper()
	cmd := exec.Command("ffprobe", "-loglevel", "error", "-f", "nut", "-show_entries",
		"packet=stream_index,pts,size,flags", "-show_data_hash", "crc32", "-of", "compact", "pipe:0")
	cmd.Stdin = bytes.NewReader(nut)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// kinds are streams that cameras send.
var kinds = map[string][]string{
	"H.264 and AAC": {"-c:v", "libx264", "-g", "30", "-bf", "0", "-c:a", "aac"},
	"with B frames": {"-c:v", "libx264", "-g", "30", "-bf", "2", "-c:a", "aac"},
	"MJPEG, G.711":  {"-c:v", "mjpeg", "-c:a", "pcm_alaw", "-ar", "8000"},
	"raw pictures":  {"-c:v", "rawvideo", "-pix_fmt", "yuyv422", "-c:a", "pcm_s16le"},
	"no sound":      {"-c:v", "libx264", "-g", "30", "-an"},
	"no picture":    {"-vn", "-c:a", "aac"},
}

// TestNUT reads what FFmpeg writes and writes it again: FFmpeg reads the same packets from both.
func TestNUT(t *testing.T) {
	for name, args := range kinds {
		t.Run(name, func(t *testing.T) {
			nut := nutOf(t, args...)
			d, err := newDemuxer(bytes.NewReader(nut))
			if err != nil {
				t.Fatal(err)
			}
			again := d.begin()
			n := 0
			for {
				f, err := d.next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("frame %d: %v", n, err)
				}
				again = append(append(again, d.head(f)...), f.data...)
				n++
			}
			if want, got := described(t, nut), described(t, again); got != want {
				t.Errorf("of %d frames FFmpeg reads\n%.2000s\nwant\n%.2000s", n, got, want)
			}
		})
	}
}

// TestSqueeze publishes in the middle of a group: the pictures come a millisecond apart, in order,
// from zero, and what follows goes on from there at its own pace.
func TestSqueeze(t *testing.T) {
	for _, kind := range []string{"H.264 and AAC", "with B frames"} {
		d, err := newDemuxer(bytes.NewReader(nutOf(t, kinds[kind]...)))
		if err != nil {
			t.Fatal(err)
		}
		var g group
		pictures := 0
		for pictures < 30+20 { // one group, and most of the next
			f, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			g.add(&d.container, f)
			if d.pictured(f) {
				pictures++
			}
		}
		kept, shift := g.squeeze(&d.container)
		if len(kept) < 15 || len(kept) > 20 || !kept[0].key || kept[0].pts != 0 {
			t.Fatalf("%s: %d pictures are kept, the first a key frame %v at %d", kind, len(kept), kept[0].key, kept[0].pts)
		}
		s := d.streams[kept[0].stream]
		var latest float64
		for _, f := range kept {
			if !d.streams[f.stream].video {
				t.Errorf("%s: sound is among the pictures", kind)
			}
			latest = max(latest, s.seconds(f.pts))
		}
		if most := float64(len(kept)+1) * squeezed.Seconds(); latest > most || latest < most/2 {
			t.Errorf("%s: %d pictures take %.4f s", kind, len(kept), latest)
		}
		for range 40 {
			f, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			at := d.streams[f.stream].seconds(f.pts + shift[f.stream])
			if at < latest-0.2 || at > latest+1.5 { // frames of one moment do not come in order
				t.Errorf("%s: after %.3f s comes a frame of stream %d at %.3f s", kind, latest, f.stream, at)
			}
		}
	}
}

// FuzzNUT: whatever a reader that was taken over says, the relay neither panics nor takes more than
// it is given.
func FuzzNUT(f *testing.F) {
	if _, err := exec.LookPath("ffmpeg"); err == nil {
		f.Add(nutOf(f, "-c:v", "libx264", "-g", "30", "-t", "0.2", "-c:a", "aac"))
	}
	f.Add([]byte(fileID))
	f.Fuzz(func(t *testing.T, nut []byte) {
		d, err := newDemuxer(bytes.NewReader(nut))
		if err != nil {
			return
		}
		var g group
		for {
			frame, err := d.next()
			if err != nil {
				break
			}
			g.add(&d.container, frame)
			d.head(frame)
		}
		if len(g.frames) > 0 {
			g.squeeze(&d.container)
		}
	})
}
