package ffmpeg

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

const canary = "canary-6b1f"

// TestKeyIsNowhere searches for the key in everything that the process and its folder show while it
// publishes with that key.
func TestKeyIsNowhere(t *testing.T) {
	needFFmpeg(t)
	t.Setenv("NOTIFY_SOCKET", canary)
	t.Setenv("LISTEN_FDS", canary)
	t.Setenv("CREDENTIALS_DIRECTORY", canary)
	t.Setenv("FFREPORT", "file="+filepath.Join(t.TempDir(), canary))
	raw := Defaults()
	raw.Args = []string{"-re", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10", "-c:v", "libx264", "-preset",
		"ultrafast", "-f", "flv", "{publish}"}
	for name, settings := range map[string]Settings{"input": small(), "args": raw} {
		t.Run(name, func(t *testing.T) {
			box := newSink(t)
			e := opened(t, settings)
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary + "&sourceId=cam1"))
			start(t, e, j)
			pid := awaitState(t, e, encoders.StatePublishing).PID
			if want := "lobby?token=" + canary + "&sourceId=cam1"; len(box.keys) != 1 || box.keys[0] != want {
				t.Errorf("the ingest got %q; want %q", box.keys, want)
			}
			seen := map[string]string{"plan": fmt.Sprint(e.Plan(j)), "check": fmt.Sprint(e.Check(t.Context(), j))}
			for _, file := range []string{"cmdline", "environ"} {
				seen[file] = read(t, fmt.Sprintf("/proc/%d/%s", pid, file))
			}
			files, err := filepath.Glob(filepath.Join(e.env.Dir, "*"))
			if err != nil || len(files) < 4 {
				t.Fatalf("the folder holds %v, %v", files, err)
			}
			for _, f := range files {
				if filepath.Base(f) != ownDir {
					seen[f] = read(t, f)
				}
			}
			for where, text := range seen {
				if strings.Contains(text, canary) {
					t.Errorf("%s shows the key: %q", where, text)
				}
			}
			checkDescriptors(t, pid, e.env.Dir)
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// checkDescriptors fails when a process has a file open that is none of the encoder's.
func checkDescriptors(t *testing.T, pid int, dir string) {
	t.Helper()
	for fd := range 5 {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if err != nil {
			t.Errorf("descriptor %d: %v", fd, err)
			continue
		}
		want := [5]string{os.DevNull, filepath.Join(dir, progressFile), filepath.Join(dir, logFile),
			filepath.Join(dir, lockFile), "pipe:"}[fd]
		if !strings.HasPrefix(target, want) {
			t.Errorf("descriptor %d is %s; want %s", fd, target, want)
		}
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		if strings.HasPrefix(target, "/") && target != os.DevNull && !strings.HasPrefix(target, dir) {
			t.Errorf("descriptor %s is %s, which is none of its own", e.Name(), target)
		}
	}
}

// TestCheckTellsWhatIsShown: a check reports a secret that cannot be hidden, even when the start
// itself is impossible.
func TestCheckTellsWhatIsShown(t *testing.T) {
	needFFmpeg(t)
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"an input with its format": {func(s *Settings) {
			s.InputArgs = []string{"-f", "mpegts"}
		}, "the secret in the input's URL"},
		"an option before the output": {func(s *Settings) {
			s.Input, s.OutputArgs = "testsrc", []string{"-metadata", canary}
		}, "the secret in the value of -metadata"},
		"args of another program": {func(s *Settings) {
			s.Input, s.Binary, s.Args = "", "/bin/true", []string{"--x", "udp://h?pwd=" + canary, "{publish}"}
		}, "the secret in a URL of its args"},
	} {
		for _, publish := range []string{"", "rtmp://127.0.0.1/app/lobby"} {
			s := small()
			s.Input = "http://127.0.0.1:1/" + canary
			c.change(&s)
			e, err := New(s, encoders.Env{Name: "cam", Log: slog.New(slog.DiscardHandler),
				Secrets: []secret.Value{secret.New(canary)}})
			if err != nil {
				t.Fatal(err)
			}
			j := job
			j.Publish = secret.New(publish)
			found := fmt.Sprint(e.Check(t.Context(), j))
			if !strings.Contains(found, c.want+" can be seen in the process list") || strings.Contains(found, canary) {
				t.Errorf("%s, published to %q: %s", name, publish, found)
			}
		}
	}
}

// TestLogKeepsNoSecret refuses FFmpeg its input, of which it complains with the whole URL.
func TestLogKeepsNoSecret(t *testing.T) {
	needFFmpeg(t)
	s := small()
	s.Input = "http://admin:" + canary + "@127.0.0.1:" + freePort(t) + "/live.ts?pwd=" + canary
	s.InputArgs = []string{"-reconnect_delay_max", "0"}
	e := opened(t, s)
	j := job
	j.Publish = secret.New("rtmp://127.0.0.1:1/app/lobby?token=" + canary)
	start(t, e, j)
	st := awaitState(t, e, encoders.StateFailed)
	log := read(t, filepath.Join(e.env.Dir, logFile))
	if !strings.Contains(log, "http://******") || strings.Contains(log, canary) || strings.Contains(st.Error, canary) {
		t.Errorf("%+v, and its log holds %q", st, log)
	}
}

// TestBlank overwrites secrets while another process appends, and leaves an incomplete line for
// later.
func TestBlank(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	out, err := proc.OpenOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	write := func(text string) {
		t.Helper()
		if _, err := out.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	r := newRedactor(Defaults(), job)
	write("early rtsp://u:pw@h\nopen rtsp://u:pw@h/1\nhalf rtsp://u:p")
	at := must(proc.Blank(r.Masker, path, int64(len("early rtsp://u:pw@h\n")), false))
	write("w@h/2\nlast ?pwd=s")
	want := "early rtsp://u:pw@h\nopen rtsp://****@h/1\nhalf rtsp://u:pw@h/2\nlast ?pwd=s"
	if got := read(t, path); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	at = must(proc.Blank(r.Masker, path, at, true))
	want = "early rtsp://u:pw@h\nopen rtsp://****@h/1\nhalf rtsp://****@h/2\nlast ?pwd=*"
	if got := read(t, path); got != want || at != int64(len(want)) {
		t.Errorf("it is %q up to %d, want %q", got, at, want)
	}
}

func TestRedact(t *testing.T) {
	s := Defaults()
	s.Input = "rtsp://admin:camera-pw@10.0.0.7/1"
	j := encoders.Job{Account: "ABC123", Name: "lobby",
		Publish: secret.New("srt://h:1?streamid=lobby%3Ft%3Dabc-def%26e&passphrase=open%20sesame")}
	r := newRedactor(s, j)
	for _, c := range []struct{ text, want string }{
		{"lobby plays", "lobby plays"},
		{"id lobby?t=abc-def&e", "id ********"},
		{"t=abc-def", "t=********"},
		{"with open sesame or open%20sesame", "with ******** or ********"},
		{"rtsp://admin:camera-pw@10.0.0.7/1 and camera-pw", "rtsp://********@10.0.0.7/1 and ********"},
		{"rtmp://x/y?token=other&a=b", "rtmp://x/y?token=********&a=b"},
		{"Authorization: Bearer xyz", "Authorization: Bearer ********"},
		{"time=00:00:01.00 bitrate=1", "time=00:00:01.00 bitrate=1"},
	} {
		if got := r.clean(c.text); got != c.want {
			t.Errorf("clean(%q) = %q; want %q", c.text, got, c.want)
		}
	}
}
