package ffmpeg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// script writes a program of one line.
func script(t *testing.T, line string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encode")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+line+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWrapper hides the key behind a program of another name that executes FFmpeg.
func TestWrapper(t *testing.T) {
	needFFmpeg(t)
	s := Defaults()
	s.Binary = script(t, `exec nice -n 1 ffmpeg "$@"`)
	s.Args = []string{"-re", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10,drawbox=c='red'", "-c:v", "libx264", "-preset", "ultrafast", "-f", "flv", "{publish}"}
	box := newSink(t)
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby?token=" + canary))
	start(t, e, j)
	pid := awaitState(t, e, encoders.StatePublishing).PID
	await(t, "the key comes", func() bool { return len(box.keys) == 1 && box.keys[0] == "lobby?token="+canary })
	if argv := read(t, fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(argv, canary) {
		t.Errorf("the process list shows the key: %q", argv)
	}
	for what, text := range map[string]string{"plan": fmt.Sprint(e.Plan(j)), "check": fmt.Sprint(e.Check(t.Context(), j))} {
		if strings.Contains(text, "can be seen") || strings.Contains(text, canary) {
			t.Errorf("the %s: %s", what, text)
		}
	}
}

// TestNoWrapper warns where a program does not hand on what hiding needs, and leaves alone those whose args are not FFmpeg's.
func TestNoWrapper(t *testing.T) {
	needFFmpeg(t)
	ran := filepath.Join(t.TempDir(), "ran")
	args := []string{"-i", "x y'z", "-f", "flv", "{publish}"}
	for _, c := range []struct {
		name, line string
		args       []string
		tried      bool
	}{
		{"without our descriptors", `exec ffmpeg "$@" 4<&-`, args, true},
		{"says so and is none", `echo ffmpeg version 7 >&2; echo progress=end; exit 1`, append([]string{"-re"}, args...), true},
		{"another program", `touch "` + ran + `"`, []string{"--to", "{publish}"}, false},
		{"another order", `touch "` + ran + `"`, []string{"-i", "x", "-f", "flv", "{publish}", "-y"}, false},
	} {
		s := Defaults()
		s.Binary, s.Args = script(t, c.line), c.args
		e := openIn(t, s, "")
		j := encoders.Job{Account: "ABC123", Name: "lobby", Publish: secret.New("rtmp://h/app/lobby?token=" + canary)}
		for what, text := range map[string]string{"plan": fmt.Sprint(e.Plan(j)), "check": fmt.Sprint(e.Check(t.Context(), j))} {
			if !strings.Contains(text, "the key can be seen in the process list") || strings.Contains(text, canary) {
				t.Errorf("%s: the %s does not warn, or shows the key: %s", c.name, what, text)
			}
		}
		if tried := e.tried != nil; tried != c.tried {
			t.Errorf("%s: tried %v, want %v", c.name, tried, c.tried)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program with args of its own was run to try it")
	}
}
