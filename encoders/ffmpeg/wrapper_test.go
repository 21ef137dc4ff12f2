package ffmpeg

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
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
	s.Args = []string{"-re", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=10,drawbox=c='red'", "-c:v", "libx264",
		"-preset", "ultrafast", "-f", "flv", "{publish}"}
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
	for what, text := range map[string]string{"plan": fmt.Sprint(e.Plan(j)),
		"check": fmt.Sprint(e.Check(t.Context(), j))} {
		if strings.Contains(text, "can be seen") || strings.Contains(text, canary) {
			t.Errorf("the %s: %s", what, text)
		}
	}
}

// TestNoWrapper warns where a program does not hand on what hiding needs, and leaves alone those
// whose args are not FFmpeg's.
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
		{"says so and is none", `echo ffmpeg version 7 >&2; echo progress=end; exit 1`,
			append([]string{"-re"}, args...), true},
		{"another program", `touch "` + ran + `"`, []string{"--to", "{publish}"}, false},
		{"another order", `touch "` + ran + `"`, []string{"-i", "x", "-f", "flv", "{publish}", "-y"}, false},
	} {
		s := Defaults()
		s.Binary, s.Args = script(t, c.line), c.args
		e := openIn(t, s, "")
		j := encoders.Job{Account: "ABC123", Name: "lobby", Publish: secret.New("rtmp://h/app/lobby?token=" + canary)}
		for what, text := range map[string]string{"plan": fmt.Sprint(e.Plan(j)),
			"check": fmt.Sprint(e.Check(t.Context(), j))} {
			if !strings.Contains(text, "the key can be seen in the process list") || strings.Contains(text, canary) {
				t.Errorf("%s: the %s does not warn, or shows the key: %s", c.name, what, text)
			}
		}
		if tried := e.tried != (trial{}); tried != c.tried {
			t.Errorf("%s: tried %v, want %v", c.name, tried, c.tried)
		}
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a program with args of its own was run to try it")
	}
}

// TestTrialLeavesNothing tries a program that runs its streamer as a child and does not care for
// its args: nothing of it outlives the try, which is over before the first viewer comes.
func TestTrialLeavesNothing(t *testing.T) {
	marks, others := t.TempDir(), ofTrials() // of another run of the tests
	tried := map[string]*Encoder{}
	for name, line := range map[string]string{
		"a child": `echo $$ >> "` + marks + `/$1.pids"; sleep 1000 & echo $! >> "` + marks +
			`/$1.pids"; wait`,
		"a child of its session": `echo $$ >> "` + marks + `/$1.pids"; setsid sleep 1000 & sleep 1000`,
		"a child left behind":    `setsid sleep 1000 & exit 0`,
	} {
		s := Defaults()
		s.Binary, s.Args, s.Allow = script(t, line), []string{"-i", "x", "-f", "flv", "{publish}"}, []string{marks}
		tried[name] = openIn(t, s, t.TempDir())
	}
	for name, e := range tried {
		await(t, "the try of "+name+" is over", func() bool {
			_, err := os.Stat(filepath.Join(e.env.Dir, wrapperFile))
			return err == nil
		})
	}
	left := slices.DeleteFunc(ofTrials(), func(one string) bool { return slices.Contains(others, one) })
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for name, e := range tried {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			j := job
			j.Publish = secret.New("rtmp://h/app/lobby?token=" + canary)
			start(t, e, j)
			if took := time.Since(began); took > wrapperTime {
				t.Errorf("the start took %v", took)
			}
			end(t, e)
			again := openIn(t, e.settings, e.env.Dir)
			if again.known(t.Context()).wrapper || again.tried.Path != e.settings.Binary {
				t.Errorf("opened again, it does not know: %+v", again.tried)
			}
			end(t, again)
		})
	}
}

// ofTrials lists the processes that have the cookie of a try.
func ofTrials() (found []string) {
	for _, pid := range proc.PIDs() {
		if cookie := proc.Environ(pid, proc.CookieVar); strings.HasPrefix(cookie, wrapperRun+".") {
			found = append(found, fmt.Sprint(pid, " ", cookie))
		}
	}
	return found
}

// TestHideKey has the settings say what a try would find out.
func TestHideKey(t *testing.T) {
	for say, hidden := range map[string]bool{"yes": true, "no": false} {
		ran := filepath.Join(t.TempDir(), "ran")
		s := Defaults()
		s.Binary, s.HideKey, s.Args, s.Allow = script(t, `touch "`+ran+`"`), say,
			[]string{"-i", "x", "-f", "flv", "{publish}"}, []string{filepath.Dir(ran)}
		e := openIn(t, s, t.TempDir())
		plan := fmt.Sprint(e.Plan(encoders.Job{Account: "ABC123", Name: "lobby",
			Publish: secret.New("rtmp://h/app/lobby?token=" + canary)}))
		if seen := strings.Contains(plan, "can be seen"); seen == hidden {
			t.Errorf("hide_key: %s: %s", say, plan)
		}
		end(t, e)
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("hide_key: %s: it was tried", say)
		}
	}
}
