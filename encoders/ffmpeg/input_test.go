package ffmpeg

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// film makes a transport stream of 8 s with one key frame, in its first picture.
func film(t *testing.T) []byte { return filmOf(t, 8, 1000) }

// filmOf makes a transport stream of so many seconds, with a key frame every gop pictures.
func filmOf(t *testing.T, seconds, gop int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.ts")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		"testsrc2=size=320x240:rate=15", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", fmt.Sprint(seconds),
		"-c:v", "libx264", "-preset", "ultrafast", "-g", fmt.Sprint(gop), "-bf", "0", "-b:v", "800k", "-c:a", "aac",
		path).CombinedOutput()
	if err != nil {
		t.Fatalf("make a film: %v: %s", err, out)
	}
	return []byte(read(t, path))
}

// broadcast serves a film for ever over HTTP, from the middle of it on, at twice its pace.
func broadcast(t *testing.T, film []byte) string {
	const packet = 188
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "video/mp2t")
		for at := len(film) / packet / 4 * packet; ; at = 0 {
			for at < len(film) {
				end := min(at+40*packet, len(film))
				if _, err := w.Write(film[at:end]); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				pause := 4 * time.Second * time.Duration(end-at) / time.Duration(len(film))
				select {
				case <-r.Context().Done():
					return
				case <-time.After(pause):
				}
				at = end
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/live.ts"
}

// TestProbing uses an input that cannot be understood from its first 32 kB. The second start probes
// fully.
func TestProbing(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, s := newSink(t), small()
	s.Input, s.Video, s.Audio = broadcast(t, film(t)), "copy", "copy"
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	st := awaitState(t, e, encoders.StateFailed)
	if !strings.Contains(st.Error, "it was probed briefly, the next start takes the time it needs") || st.Permanent {
		t.Fatalf("it is %+v", st)
	}
	start(t, e, j)
	awaitState(t, e, encoders.StatePublishing)
	await(t, "pictures come", func() bool { return box.pictures() > 0 })
}

// TestUnknownRate re-encodes an input that says no believable rate, as many cameras do: its picture
// must get the bitrate that is set, and not that of one in 90,000.
func TestUnknownRate(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	port, box, s := freePort(t), newSink(t), small()
	defer run(t, "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15", "-c:v",
		"libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "15", "-b:v", "1M", "-bsf:v",
		"h264_metadata=tick_rate=180000", "-f", "mpegts", "srt://127.0.0.1:"+port+"?mode=listener")()
	await(t, "the sender listens", func() bool { return listens(t, port) })
	s.Input, s.Audio, s.Bitrate = "srt://127.0.0.1:"+port, "none", "800k"
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	await(t, "the bitrate that is set", func() bool {
		st := must(e.Status(t.Context(), j))
		if st.State == encoders.StateFailed {
			t.Fatalf("it is %+v", st)
		}
		return st.Health != nil && st.Health.BitrateBPS != nil && *st.Health.BitrateBPS > 300_000
	})
}

// TestInputEnds ends the input: FFmpeg exits with success, which counts as a failure.
func TestInputEnds(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	body := film(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body)
	}))
	defer server.Close()
	box, s := newSink(t), small()
	s.Input, s.InputArgs = server.URL+"/live.ts", []string{"-reconnect", "0", "-re"}
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	awaitState(t, e, encoders.StatePublishing)
	if st := awaitState(t, e, encoders.StateFailed); !strings.HasPrefix(st.Error, "the input ended (exit status 0)") {
		t.Errorf("it is %+v", st)
	}
}

// website serves a film of 20 s and a playlist of it to those who show the canary.
func website(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-f", "lavfi", "-i", "testsrc2=size=320x240:rate=15", "-t", "20", "-c:v", "libx264", "-preset", "ultrafast",
			"-bf", "0", "-g", "15", dir + "/film.mp4"},
		{"-i", dir + "/film.mp4", "-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "0", "-hls_flags",
			"omit_endlist", dir + "/live.m3u8"},
	} {
		if out, err := exec.Command("ffmpeg",
			append([]string{"-nostdin", "-loglevel", "error"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("make a film: %v: %s", err, out)
		}
	}
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.URL.String() + r.Header.Get("X-Auth-Token")
		if !strings.Contains(shown, canary) && !strings.HasSuffix(r.URL.Path, ".ts") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	if err := os.Mkdir(filepath.Join(dir, canary), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dir+"/film.mp4", filepath.Join(dir, canary, "film.mp4")); err != nil {
		t.Fatal(err)
	}
	return server.URL
}

// TestInputs publishes each kind of input that people have.
func TestInputs(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	path := filepath.Join(t.TempDir(), "-film.ts")
	if err := os.WriteFile(path, film(t), 0o600); err != nil {
		t.Fatal(err)
	}
	cam := cameratest.Small(t)
	rtmp, srt := freePort(t), freePort(t)
	rtmpURL, srtURL := "rtmp://127.0.0.1:"+rtmp+"/live/cam?token="+canary, "srt://127.0.0.1:"+srt+"?passphrase="+canary
	loop := []string{"-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", path, "-c", "copy"}
	defer run(t, append(loop[:len(loop):len(loop)], "-listen", "1", "-f", "flv", rtmpURL)...)()
	defer run(t, append(loop[:len(loop):len(loop)], "-f", "mpegts", srtURL+"&mode=listener")...)()
	await(t, "the senders listen", func() bool { return listens(t, rtmp) && listens(t, srt) })
	web := website(t)
	for name, settings := range map[string]func(*Settings){
		"a camera, copied":     func(s *Settings) { s.Input, s.Video, s.Audio = cam.URL(), "copy", "aac" },
		"a camera, re-encoded": func(s *Settings) { s.Input, s.Width = cam.URL(), 320 },
		"an RTMP sender":       func(s *Settings) { s.Input, s.Video, s.Audio = rtmpURL, "copy", "copy" },
		"an SRT sender":        func(s *Settings) { s.Input, s.Video, s.Audio = srtURL, "copy", "copy" },
		"a file":               func(s *Settings) { s.Input, s.Video = path, "copy" },
		"a list from the web": func(s *Settings) {
			s.Input, s.InputArgs = web+"/live.m3u8?access_token="+canary, []string{"-re"}
		},
		"a film from the web": func(s *Settings) { s.Input = web + "/film.mp4?usr=a&pwd=" + canary },
		"a header for the web": func(s *Settings) {
			s.Input, s.InputArgs = web+"/film.mp4", []string{"-headers", "X-Auth-Token: " + canary}
		},
		"a referred value": func(s *Settings) { s.Input = web + "/" + canary + "/film.mp4" },
		"args": func(s *Settings) {
			s.Input, s.Args = "", []string{"-re", "-rw_timeout", "9000000", "-i", web + "/film.mp4?pwd=" + canary, "-c",
				"copy", "-f", "flv", "{publish}"}
		},
		"a picture and a tone": func(s *Settings) { s.Input, s.Width, s.Height, s.FPS = "testsrc", 160, 120, 10 },
	} {
		t.Run(name, func(t *testing.T) {
			box, s := newSink(t), small()
			settings(&s)
			e, err := New(s, encoders.Env{Name: "cam", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
				Secrets: []secret.Value{secret.New(canary)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { end(t, e) })
			j := job
			j.Publish = secret.New(box.url("lobby"))
			start(t, e, j)
			await(t, "pictures come", func() bool { return box.pictures() > 2 })
			if st := awaitState(t, e, encoders.StatePublishing); st.Health == nil || st.Health.Frames == nil {
				t.Errorf("it is %+v", st)
			}
			if argv := read(t, fmt.Sprintf("/proc/%d/cmdline", e.running.PID)); strings.Contains(argv, canary) {
				t.Errorf("the process list shows the camera's password: %q", argv)
			}
			for what, text := range map[string]any{"log": must(e.Log(t.Context(), 500)), "plan": e.Plan(j),
				"check": e.Check(t.Context(), j)} {
				if body := strings.Join(strings.Fields(fmt.Sprint(text)), " "); strings.Contains(body, canary) {
					t.Errorf("the %s shows the camera's password: %s", what, body)
				}
			}
		})
	}
}
