package ffmpeg

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
	"github.com/oncue/oncue/encoders/proc"
)

// lies are what an input may say of itself, in FFmpeg's own words.
var lies = []string{
	"Unrecognized option 'x'.", "Option x not found.", "Unknown encoder 'libx264'", "Unknown encoder 'nosuch'",
	"No such filter: 'nosuch'",
	`Unable to parse option value "3000k"`, "Error splitting the argument list: Option not found",
	"nosuch://x: Protocol not found",
	"Requested output format 'nosuch' is not a suitable output format", "Exiting normally, received signal 15.",
	"ffmpeg: error while loading shared libraries: libx: cannot open", "No space left on device",
	"HTTP error 401 Unauthorized",
}

// told are the lies as separate lines, with the marks of FFmpeg's lines.
func told() string {
	var text strings.Builder
	for _, lie := range lies {
		fmt.Fprintf(&text, "%[1]s\n[fatal] %[1]s\n[error] %[1]s\n[NULL @ 0x5581de382500] [error] %[1]s\n[info] "+
			"%[1]s\n\r[fatal] %[1]s\r", lie)
	}
	return text.String()
}

// hostileFilm makes a film of half a second, with lies wherever its container has a place for
// words.
func hostileFilm(t *testing.T, name string, lie string) string {
	t.Helper()
	dir := t.TempDir()
	chapters := filepath.Join(dir, "chapters.txt")
	escaped := strings.NewReplacer("\\", "\\\\", "\n", "\\\n", "=", "\\=", ";", "\\;", "#", "\\#").Replace(lie)
	text := ";FFMETADATA1\ntitle=" + escaped + "\nartist=" + escaped +
		"\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=400\ntitle=" + escaped + "\n"
	if err := os.WriteFile(chapters, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		"testsrc2=size=160x120:rate=10", "-i", chapters, "-t", "0.5", "-map_metadata", "1",
		"-metadata", "comment="+lie, "-metadata", "service_name="+lie, "-metadata", "service_provider="+lie,
		"-metadata:s:v", "title="+lie, "-metadata:s:v", "handler_name="+lie,
		"-metadata", lie+"=key", "-c:v", "libx264", "-preset", "ultrafast", path).CombinedOutput()
	if err != nil {
		t.Fatalf("make a film: %v: %s", err, out)
	}
	return path
}

// TestLies makes FFmpeg fail at its output, after an input has said what else may have been the
// cause.
func TestLies(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, name := range []string{"a.mkv", "a.mp4", "a.ts", "a.flv", "a.nut"} {
		t.Run(name, func(t *testing.T) {
			lie := told()
			if name == "a.ts" || name == "a.flv" { // their names are short
				lie = lies[0] + "\n[fatal] " + lies[0]
			}
			s := small()
			s.Input = hostileFilm(t, name, lie)
			expect(t, s, job.Publish.Reveal(), "connection refused by the publishing server")
		})
	}
	t.Run("file name", func(t *testing.T) {
		for _, lie := range lies {
			s := small()
			s.Input = "/nonexistent/" + strings.ReplaceAll(lie, "://", ":")
			want := "the input is not found"
			expect(t, s, newSink(t).url("lobby"), want)
		}
	})
	t.Run("HTTP", func(t *testing.T) {
		for _, lie := range lies {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 4096))
					fmt.Fprintf(c, "HTTP/1.1 404 %[1]s\r[fatal] %[1]s\r\nServer: %[1]s\r\nicy-name: %[1]s\r\n"+
						"Content-Length: 0\r\n\r\n", lie)
					c.Close()
				}
			}()
			s := small()
			s.Input, s.InputArgs = "http://"+l.Addr().String()+"/a.mp4", []string{"-reconnect", "0"}
			expect(t, s, newSink(t).url("lobby"), "the input is not found")
		}
	})
	t.Run("list", func(t *testing.T) {
		for _, entry := range []string{"nosuch://x/y.ts", "file:///etc/passwd", "concat:Unrecognized option 'x'"} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/vnd.apple.mpegurl")
				fmt.Fprintf(w, "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n", entry)
			}))
			t.Cleanup(server.Close)
			s := small()
			s.Input = server.URL + "/live.m3u8"
			if f := failed(t, s, newSink(t).url("lobby")); f.Permanent {
				t.Errorf("an entry %s of a list makes the failure permanent: %s", entry, f.Error)
			}
		}
	})
	t.Run("RTSP", func(t *testing.T) {
		c := cameratest.Small(t)
		c.SDP = strings.Replace(c.SDP, "s=", "s="+lies[0]+"\r\ni=[fatal] "+lies[0]+"\r\ns=", 1)
		s := small()
		s.Input, s.Audio = c.URL(), "none"
		expect(t, s, job.Publish.Reveal(), "connection refused by the publishing server")
	})
}

// expect starts an encoder that must fail for a reason, and not permanently.
func expect(t *testing.T, s Settings, publish, want string) {
	t.Helper()
	if f := failed(t, s, publish); f.Permanent || !strings.HasPrefix(f.Error, want) {
		t.Errorf("permanent %v: %s\nwant %s", f.Permanent, f.Error, want)
	}
}

func failed(t *testing.T, s Settings, publish string) encoders.Status {
	t.Helper()
	e := opened(t, s)
	j := job
	j.Publish = secret.New(publish)
	start(t, e, j)
	return awaitState(t, e, encoders.StateFailed)
}

// TestProofs has lines told where only the program itself can have said them, and where somebody
// else can.
func TestProofs(t *testing.T) {
	needFFmpeg(t)
	const before, banner = "[info] Input #0, mov, from 'x':\n", "[info] ffmpeg version 7\n"
	e := opened(t, small())
	one := proc.Exit{Known: true, Code: 1}
	for _, c := range []struct {
		said string
		how  proc.Exit
		want string
		permanent,
		other bool // it is no FFmpeg
	}{
		{banner + "[error] Unrecognized option 'x'.", one, "unknown option -x", true, false},
		{"Unrecognized option 'x'.", one, "unknown option -x", true, false},
		{before + "[error] Unrecognized option 'x'.", one, "it ended by itself", false, false},
		{"[http @ 0x55e8e3e3df80] [info] Opening 'http://x'\n[error] Unrecognized option 'x'.", one,
			"it ended by itself", false, false},
		{"[http @ 0x55e8e3e3df80] [error] HTTP error 500 Unrecognized option 'x'", one, "it ended by itself", false,
			false},
		{"[lavfi @ 0x55e8e3e3df80] [Eval @ 0x1] [error] Undefined constant\n[lavfi @ 0x55e8e3e3df80] [error] Unable " +
			"to parse option value \"abc\"", one,
			"an option has the impossible value abc", true, false},
		{before + "[fatal] Unknown encoder 'nosuch'", one, "this ffmpeg has no encoder nosuch", true, false},
		{before + "[fatal] Unknown encoder 'libx264'", one, "it ended by itself", false, false},
		{before + "[AVFilterGraph @ 0x5558] [error] No such filter: 'scale'", one, "it ended by itself", false, false},
		{"[error] nosuch://x: Protocol not found", one, "this ffmpeg does not know the protocol of the input", true,
			false},
		{"[error] file:/srv/a.m3u8: Protocol not found", one, "it ended by itself", false, false},
		{before + "[error] No space left on device\n[info] Stream mapping:\n[error] rtmp://h/a: Connection refused",
			one, "connection refused by the publishing server", false, false},
		{before + "[error] a.flv: No space left on device", one, "the disk is full", false, false},
		{"ffmpeg: error while loading shared libraries: libx.so: cannot open shared object file",
			proc.Exit{Known: true, Code: 127}, "the program lacks its library libx.so", true, false},
		{banner + "ffmpeg: error while loading shared libraries: libx.so: cannot open shared object file",
			proc.Exit{Known: true, Code: 127}, "it ended by itself", false, false},
		{"[info] Exiting normally, received signal 15.", proc.Exit{Known: true, Code: 255},
			"somebody stopped it with signal 15", false, false},
		{"[info] Exiting normally, received signal 15.\n[error] boom", proc.Exit{Known: true, Code: 255},
			"it ended by itself", false, false},
		{"[info] Exiting normally, received signal 15.", one, "it ended by itself", false, false},
		{"[info] Exiting normally, received signal 15.", proc.Exit{}, "it ended by itself", false, false},
		{"dial tcp: Connection refused", one, "connection refused by the input", false, true},
		{"Unrecognized option 'x'", one, "unknown option -x", false, true},
		{"    title : Connection refused", one, "it ended by itself", false, true},
	} {
		said := words{lines: outputLines([]byte(c.said)), ffmpeg: !c.other}
		f := classify(said, c.how, redactor{}, func(f failure) bool { return e.proves(said, f) })
		if !strings.HasPrefix(f.text, c.want) || f.permanent != c.permanent {
			t.Errorf("%q: permanent %v: %s\nwant %v: %s", c.said, f.permanent, f.text, c.permanent, c.want)
		}
	}
}

// TestHeldBack: what an RTMP server refuses is not the sandbox's doing.
func TestHeldBack(t *testing.T) {
	const refused = "[rtmp @ 0x55] [error] Server error: wrong publishing token"
	for text, want := range map[string]bool{
		"[error] /dev/video0: Permission denied":                                              true,
		"[error] rtmp://127.0.0.1:1/v2/pub: Operation not permitted":                          true,
		refused + "\n[error] rtmp://127.0.0.1:1/v2/pub: Operation not permitted":              false,
		refused + "\n[error] /etc/x: Permission denied":                                       true,
		refused + "\n[error] Error opening output rtmp://h:1/v2/pub: Operation not permitted": false,
	} {
		if got := heldBack(strings.Split(text, "\n")); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// TestCauseIsToldOnce: each layer of FFmpeg reports a refused connection; people read of it once.
func TestCauseIsToldOnce(t *testing.T) {
	said := words{ffmpeg: true, lines: []string{
		"[tcp @ 0x55ea2053b500] [error] Connection to tcp://127.0.0.1:1?tcp_nodelay=0 failed: Connection refused",
		"[rtmp @ 0x55ea2053ae00] [error] Cannot open connection tcp://127.0.0.1:1?tcp_nodelay=0",
		"[error] rtmp://127.0.0.1:1/live/x: Connection refused",
	}}
	f := classify(said, proc.Exit{Known: true, Code: 1}, redactor{}, func(failure) bool { return false })
	const want = "connection refused by the input; it said: " +
		"tcp Connection to tcp://127.0.0.1:1?tcp_nodelay=0 failed: Connection refused"
	if f.text != want {
		t.Errorf("it is told as %q", f.text)
	}
}
