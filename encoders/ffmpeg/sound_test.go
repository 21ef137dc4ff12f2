package ffmpeg

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// radio serves a tone of that length, at its own pace, to those who show the canary.
func radio(t *testing.T, seconds int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tone.aac")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", tone, "-t",
		fmt.Sprint(seconds), "-c:a", "aac", "-ac", "2", path).CombinedOutput()
	if err != nil {
		t.Fatalf("make a tone: %v: %s", err, out)
	}
	body := []byte(read(t, path))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("token") != canary {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "audio/aac")
		const pieces = 100
		for i := range pieces {
			_, _ = w.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces])
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Duration(seconds) * time.Second / pieces):
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/tone.aac?token=" + canary
}

// TestSound publishes pictures of one source with the sound of another, which a secret may open.
func TestSound(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	clip := filepath.Join(t.TempDir(), "film.ts")
	if err := os.WriteFile(clip, film(t), 0o600); err != nil {
		t.Fatal(err)
	}
	still := filepath.Join(t.TempDir(), "still.png")
	if out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=161x121",
		"-frames:v", "1", still).CombinedOutput(); err != nil {
		t.Fatalf("make a picture: %v: %s", err, out)
	}
	cam, live := cameratest.Small(t), radio(t, 60)
	for name, change := range map[string]func(*Settings){
		"a silent camera, copied, and a sound card": func(s *Settings) { s.Video, s.AudioInput = "copy", "alsa:null" },
		"a silent camera and a file":                func(s *Settings) { s.AudioInput = clip },
		"a silent camera and a radio":               func(s *Settings) { s.AudioInput = live },
		"a silent camera and a radio, copied": func(s *Settings) {
			s.Video, s.Audio, s.AudioInput = "copy", "copy", live
		},
		"a still picture and a radio": func(s *Settings) { s.Input, s.AudioInput = still, live },
		"a film, dubbed":              func(s *Settings) { s.Input, s.AudioInput = clip, "test" },
		"renditions": func(s *Settings) {
			s.AudioInput, s.Renditions = live, []Rendition{{90, "100k"}, {46, "50k"}}
		},
		"warm": func(s *Settings) { s.AudioInput, s.Standby = live, "warm" },
		"hot":  func(s *Settings) { s.AudioInput, s.Video, s.Standby = "alsa:null", "copy", "hot" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, s, dir := newSink(t), small(), t.TempDir()
			s.Input = cam.URL()
			change(&s)
			e := openHot(t, s, dir)
			j := job
			j.Publish = secret.New(box.url("lobby"))
			if s.KeepsReady() {
				e.KeepReady(j, true)
				awaitReady(t, e)
			}
			start(t, e, j)
			await(t, "pictures and sound", func() bool { return box.pictures() > 5 && box.sound() > 5 })
			pid := awaitState(t, e, encoders.StatePublishing).PID
			if argv := read(t, fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(argv, canary) {
				t.Errorf("the process list shows a secret: %q", argv)
			}
			for what, text := range map[string]any{"log": must(e.Log(t.Context(), 500)), "plan": e.Plan(j),
				"check": e.Check(t.Context(), j)} {
				if body := fmt.Sprint(text); strings.Contains(body, canary) || strings.Contains(body, "can be seen") {
					t.Errorf("the %s shows a secret: %s", what, body)
				}
			}
		})
	}
}

// TestSoundIsNotThere has a start fail that would be silent, and says which of the two is missing.
func TestSoundIsNotThere(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	closed := freePort(t)
	mute := filepath.Join(t.TempDir(), "mute.ts")
	if out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		"testsrc2=size=160x120:rate=10", "-t", "1", mute).CombinedOutput(); err != nil {
		t.Fatalf("make a film: %v: %s", err, out)
	}
	for sound, says := range map[string]string{
		"alsa:nosuch": "the sound device nosuch does not open: No such file or directory",
		"pulse:x":     "no sound server (PulseAudio, PipeWire) answers",
		"http://127.0.0.1:" + closed + "/a.aac?token=" + canary: "connection refused by the audio_input",
		mute:                 "audio_input has no audio",
		"/nowhere/sound.mp3": "audio_input is not found",
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			box, s := newSink(t), small()
			s.AudioInput = sound
			e := opened(t, s)
			j := job
			j.Publish = secret.New(box.url("lobby"))
			start(t, e, j)
			st := awaitState(t, e, encoders.StateFailed)
			if !strings.Contains(st.Error, says) || st.Permanent || strings.Contains(st.Error, canary) {
				t.Errorf("it is %+v, want: %s", st, says)
			}
			found := e.Probe(t.Context(), j)
			if n := len(found); n != 2 || found[0].Level != encoders.OK || found[1].Level != encoders.Bad && sound != mute ||
				!strings.HasPrefix(found[1].What, "its audio_input") || strings.Contains(fmt.Sprint(found), canary) {
				t.Errorf("the probe finds %+v", found)
			}
		})
	}
}

// TestSoundEnds keeps the picture when the sound ends, and ends with the picture.
func TestSoundEnds(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	cam, box, s := cameratest.Small(t), newSink(t), small()
	s.Input, s.Video, s.AudioInput = cam.URL(), "copy", radio(t, 1)
	s.AudioInputArgs = []string{"-reconnect", "0"}
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	// An AAC packet has 1024 samples: after two seconds' worth, half of them are silence.
	await(t, "silence", func() bool { return box.sound() > 2*48000/1024 && box.pictures() > 60 })
	awaitState(t, e, encoders.StatePublishing)
	cam.Pull()
	if st := awaitState(t, e, encoders.StateFailed); strings.Contains(st.Error, "audio_input") {
		t.Errorf("it is %+v", st)
	}
	s.Input, s.Video, s.Audio = "testsrc", "h264", "copy" // nothing can take the place of what is copied
	e = opened(t, s)
	start(t, e, j)
	if st := awaitState(t, e, encoders.StateFailed); !strings.HasPrefix(st.Error, "the input or audio_input ended") {
		t.Errorf("it is %+v", st)
	}
}

// TestTogether has FFmpeg keep a picture and a sound card together of which the card opens a second
// later, and that is delayed besides. A test picture stands in for the device.
func TestTogether(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	s := Defaults()
	s.Input, s.AudioInput, s.AudioInputArgs = "/dev/video0", "alsa:null", []string{"-itsoffset", "0.5"}
	device, _ := readInput(s.Input)
	if o := strings.Join(device.options(s, true), " "); !strings.Contains(o, "-use_wallclock_as_timestamps 1") {
		t.Fatalf("the device has a clock of its own: %s", o)
	}
	sound, _, _, err := s.openSound(job, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(time.Second)
		fmt.Fprint(w, "1\n00:00:01,000 --> 00:00:02,000\nx\n")
	}))
	t.Cleanup(slow.Close)
	// FFmpeg opens the card when the one before is open.
	args := append([]string{"-nostdin", "-loglevel", "error", "-use_wallclock_as_timestamps", "1", "-re", "-f", "lavfi",
		"-i", "testsrc2=size=160x120:rate=25", "-f", "srt", "-i", slow.URL}, sound...)
	args = append(args, "-map", "0:v", "-map", "2:a", "-t", "3", "-c:v", "rawvideo", "-c:a", "pcm_s16le", "-f",
		"framecrc", "-")
	out, err := exec.Command("ffmpeg", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	first := regexp.MustCompile(`(?m)^1, +\d+, +(\d+),`).FindSubmatch(out) // in samples
	if first == nil {
		t.Fatalf("there is no sound: %s", out)
	}
	if at := float64(must(strconv.Atoi(string(first[1])))) / 48000; at < 1.4 || at > 5 {
		t.Errorf("the sound begins %v s after the picture, and its card opened a second later, 0.5 s delayed", at)
	}
}

// TestSoundIsProbed has the next start take its time when brief probing of a source has failed.
func TestSoundIsProbed(t *testing.T) {
	for sound, brief := range map[string]bool{"https://radio.example.com/a.mp3": true, "alsa:null": false} {
		s := small()
		s.AudioInput = sound
		for _, fast := range []bool{true, false} {
			c := must(build(s, job, fast))
			if said := slices.Contains(c.args, "-probesize"); c.fast != (fast && brief) || said != c.fast {
				t.Errorf("%s, fast %v: %v, its args %q", sound, fast, c.fast, c.args)
			}
		}
	}
}

// TestDeckLink plays a card with a program that takes FFmpeg's words for one, and has none here.
func TestDeckLink(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, s := newSink(t), small()
	s.Input = "decklink:UltraStudio Recorder 3G"
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	has := fmt.Sprint(e.Check(t.Context(), j))
	if !strings.Contains(has, "this ffmpeg has no input device decklink") || !strings.Contains(has, "--enable-decklink") {
		t.Errorf("the check finds %s", has)
	}
	start(t, e, j)
	if st := awaitState(t, e, encoders.StateFailed); !st.Permanent ||
		!strings.Contains(st.Error, "this ffmpeg does not know the format decklink") {
		t.Errorf("without one, it is %+v", st)
	}

	s.Binary = filepath.Join(t.TempDir(), "ffmpeg")
	const card = `#!/bin/sh
case "$*" in
*-demuxers*) echo " D  decklink        Blackmagic DeckLink input"; exec ffmpeg "$@";;
*"-f decklink -i UltraStudio Recorder 3G "*) ;;
*) exec ffmpeg "$@";;
esac
for a; do
	case "$a" in
	decklink) a=lavfi;;
	"UltraStudio Recorder 3G") a="testsrc2=size=160x120:rate=25,setfield=tff,realtime[out0];sine,arealtime[out1]";;
	esac
	set -- "$@" "$a"; shift
done
exec ffmpeg "$@"
`
	if err := os.WriteFile(s.Binary, []byte(card), 0o700); err != nil {
		t.Fatal(err)
	}
	e = opened(t, s)
	if has := fmt.Sprint(e.Check(t.Context(), j)); !strings.Contains(has, "input device decklink") ||
		strings.Contains(has, "has no input device") {
		t.Errorf("the check finds %s", has)
	}
	start(t, e, j)
	await(t, "pictures and sound", func() bool { return box.pictures() > 5 && box.sound() > 5 })
}
