package ffmpeg

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/sandbox"
)

// guarded is a data folder like the daemon's: a configuration next to it, a database in it, and the
// folders of two encoders.
type guarded struct {
	root, config, database, other, dir string
	guard                              encoders.Guard
}

func newGuarded(t *testing.T) guarded {
	t.Helper()
	root := t.TempDir()
	g := guarded{
		root: root, config: filepath.Join(root, "oncue.yaml"), database: filepath.Join(root, "data", "oncue.db"),
		other: filepath.Join(root, "data", "encoders", "other", "ffmpeg.log"),
		dir:   filepath.Join(root, "data", "encoders", "cam"),
	}
	for _, folder := range []string{filepath.Dir(g.other), g.dir} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{g.config, g.database, g.other} {
		write(t, file, canary)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g.guard = encoders.Guard{Paths: []string{g.config, filepath.Join(root, "data")},
		Ports: []int{l.Addr().(*net.TCPAddr).Port}}
	return g
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g guarded) open(t *testing.T, s Settings) *Encoder {
	t.Helper()
	e, err := New(s, encoders.Env{Name: "cam", Dir: g.dir, Log: slog.New(slog.DiscardHandler), Guard: g.guard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(t, e) })
	return e
}

// needSandbox skips where the kernel cannot confine anything.
func needSandbox(t *testing.T) {
	t.Helper()
	if !sandbox.Available() {
		t.Skip("this kernel has no Landlock")
	}
}

// TestHostileEncoder runs a program in the place of FFmpeg that goes for what is the daemon's. It
// lies beside the configuration.
func TestHostileEncoder(t *testing.T) {
	needSandbox(t)
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	by, open := sandbox.Describe()
	t.Logf("%s; open: %v", by, open)
	for _, confined := range []bool{false, true} {
		g := newGuarded(t)
		path := filepath.Join(g.root, "encoder.sh")
		text := fmt.Sprintf(`#!%s
try() { what=$1; shift; if "$@"; then echo "$what: yes"; else echo "$what: no"; fi >&2 2>/dev/null; }
out() { echo "$1: $2" >&2; }
it() { what=$1; shift; if "$@" >/dev/null 2>&1; then out "$what" yes; else out "$what" no; fi; }
it environment grep -q . /proc/%[2]d/environ
it memory bash -c 'exec 9</proc/%[2]d/mem'
it config cat %[3]s
it database cat %[4]s
it other cat %[5]s
it write bash -c 'echo x >> %[4]s'
it state bash -c 'echo x >> %[6]s/%[7]s'
it new bash -c 'echo x > %[6]s/new'
it link ln -s %[4]s %[6]s/%[7]s.link
it signal kill -0 %[2]d
it admin bash -c 'exec 9<>/dev/tcp/127.0.0.1/%[8]d'
it tmp bash -c 'echo x > "$TMPDIR/x" && cat "$TMPDIR/x"'
it stderr bash -c 'echo hello > /dev/stderr'
it helper "$(dirname "$0")/helper.sh"
out all done
exec sleep 1000
`, bash, os.Getpid(), g.config, g.database, g.other, g.dir, stateFile, g.guard.Ports[0])
		for name, body := range map[string]string{path: text,
			filepath.Join(g.root, "helper.sh"): "#!/bin/sh\nexit 0\n"} {
			if err := os.WriteFile(name, []byte(body), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		s := Defaults()
		s.Binary, s.Args = path, []string{"one", "-f", "{stream}"}
		s.Sandbox = "strict"
		if !confined {
			s.Sandbox = "off"
			t.Setenv("TMPDIR", t.TempDir())
		}
		e := g.open(t, s)
		start(t, e, job)
		await(t, "it has tried everything", func() bool {
			return strings.Contains(read(t, filepath.Join(g.dir, logFile)), "all: done")
		})
		log := read(t, filepath.Join(g.dir, logFile))
		for _, what := range []string{"environment", "memory", "config", "database", "other", "write", "state", "new",
			"link", "signal", "admin"} {
			switch can := strings.Contains(log, what+": yes"); {
			case !confined && !can:
				t.Errorf("%s: it cannot although nothing holds it back:\n%s", what, log)
			case confined && can && what == "signal" && strings.Contains(strings.Join(open, ""), "signals"):
				t.Log("this kernel does not hold signals back")
			case confined && can && what == "admin" && strings.Contains(strings.Join(open, ""), "TCP"):
				t.Log("this kernel does not hold TCP ports back")
			case confined && can:
				t.Errorf("%s: it can:\n%s", what, log)
			}
		}
		for _, what := range []string{"tmp", "stderr", "helper"} {
			if !strings.Contains(log, what+": yes") {
				t.Errorf("confined %v: %s: it cannot:\n%s", confined, what, log)
			}
		}
		stopIn(t, e, 0)
	}
}

// TestConfinedWorks runs settings as people have them, beside the configuration and with everything
// in one folder.
func TestConfinedWorks(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	needSandbox(t)
	g := newGuarded(t)
	media := filepath.Join(g.root, "media")
	if err := os.MkdirAll(media, 0o700); err != nil {
		t.Fatal(err)
	}
	body := film(t)
	for _, name := range []string{"a.ts", "b c.ts"} {
		write(t, filepath.Join(media, name), string(body))
		write(t, filepath.Join(g.root, name), string(body))
	}
	write(t, filepath.Join(media, "list.txt"), "ffconcat version 1.0\nfile a.ts\nfile 'b c.ts'\n")
	write(t, filepath.Join(media, "text.txt"), "hello")
	picture := []string{"-c:v", "libx264", "-preset", "ultrafast", "-f", "flv", "{publish}"}
	for name, change := range map[string]func(*Settings){
		"file":           func(s *Settings) { s.Input = filepath.Join(g.root, "a.ts") },
		"file with URL":  func(s *Settings) { s.Input = "file://" + filepath.Join(g.root, "b c.ts") },
		"file by stream": func(s *Settings) { s.Input = g.root + "/media/{1}.ts" },
		"list": func(s *Settings) {
			s.Input, s.InputArgs = filepath.Join(media, "list.txt"), []string{"-f", "concat", "-safe", "0"}
		},
		"text from a file": func(s *Settings) {
			s.OutputArgs = []string{"-vf", "drawtext=textfile=" + filepath.Join(media, "text.txt") + ":x=1"}
		},
		"picture in a graph": func(s *Settings) {
			s.Input = "lavfi:movie=" + filepath.Join(media, "a.ts") + "[out0]"
			s.Audio = "none"
		},
		"args": func(s *Settings) {
			s.Input, s.Args = "", append([]string{"-re", "-stream_loop", "-1", "-i", filepath.Join(media, "a.ts"),
				"-an"}, picture...)
		},
		"args with a recording": func(s *Settings) {
			s.Input, s.Args = "", append([]string{"-y", "-re", "-stream_loop", "-1", "-i", filepath.Join(media, "a.ts"),
				"-an", "-c", "copy", filepath.Join(g.root, "record.ts"), "-an"}, picture...)
		},
		"args with HLS": func(s *Settings) {
			s.Input = ""
			s.Args = append([]string{"-re", "-stream_loop", "-1", "-i", filepath.Join(media, "a.ts"), "-an", "-c",
				"copy", "-f", "hls", "-hls_time", "1", filepath.Join(media, "out.m3u8"), "-an"}, picture...)
		},
		"warm": func(s *Settings) { s.Standby = "warm"; s.Input = filepath.Join(media, "a.ts") },
	} {
		t.Run(name, func(t *testing.T) {
			box, s := newSink(t), small()
			s.Sandbox = "strict"
			change(&s)
			e := g.open(t, s)
			j := job
			j.Publish, j.Matches = secret.New(box.url("lobby?token="+canary)), []string{"a"}
			start(t, e, j)
			if _, err := os.Stat(filepath.Join(g.root, "record.ts")); name == "args with a recording" && err != nil {
				t.Error(err)
			}
			awaitState(t, e, encoders.StatePublishing)
			stopIn(t, e, 0)
			if log := read(t, filepath.Join(g.dir, logFile)); strings.Contains(log, "ermission denied") {
				t.Error(log)
			}
			if err := os.Remove(filepath.Join(g.dir, logFile)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestDeniedTells gives a program too little: the error names the way out, and the way out works.
func TestDeniedTells(t *testing.T) {
	needSandbox(t)
	outside := filepath.Join(t.TempDir(), "note")
	write(t, outside, "text")
	s := scripted(t, "cat "+outside+" || exit 1; echo it can >&2; exit 3")
	e := opened(t, s)
	start(t, e, job)
	if f := awaitState(t, e, encoders.StateFailed); !strings.Contains(f.Error, "Permission denied") ||
		!strings.Contains(f.Error, "write that into allow, or set sandbox: off") {
		t.Errorf("it is told as %q", f.Error)
	}
	for name, change := range map[string]func(*Settings){
		"file": func(s *Settings) { s.Allow = []string{outside} }, "folder": func(s *Settings) {
			s.Allow = []string{filepath.Dir(outside)}
		},
		"off": func(s *Settings) { s.Sandbox = "off" },
	} {
		change(&s)
		e := opened(t, s)
		start(t, e, job)
		if f := awaitState(t, e, encoders.StateFailed); !strings.Contains(f.Error, "it can") ||
			strings.Contains(f.Error, "sandbox") {
			t.Errorf("%s: it is told as %q", name, f.Error)
		}
		s.Allow, s.Sandbox = nil, "strict"
	}
}

// TestPolicy holds what settings give.
func TestPolicy(t *testing.T) {
	g := newGuarded(t)
	write(t, filepath.Join(g.root, "a.mp4"), "")
	for name, c := range map[string]struct {
		change  func(*Settings)
		publish string
		ports   []int // 53 apart, with which each of them begins
		has     string
		sockets bool
	}{
		"camera": {func(s *Settings) { s.Input = "rtsp://u:p@10.0.0.7/1" }, "rtmps://h/app/x?token=y",
			[]int{443, 554}, "", false},
		"other ports": {func(s *Settings) { s.Input = "rtsp://[fd00::1]:8555/1" }, "rtmp://h:1936/app/x",
			[]int{1936, 8555}, "", false},
		"web": {func(s *Settings) { s.Input = "http://10.0.0.7:8090/a.m3u8" }, "srt://h:10000?streamid=x",
			[]int{80, 443, 8090, 10000}, "", false},
		"device": {func(s *Settings) { s.Input = "/dev/video0" }, "rtmp://h/app/x", []int{1935},
			"device /dev/video0", false},
		"file": {func(s *Settings) { s.Input = filepath.Join(g.root, "a.mp4") }, "rtmp://h/app/x", []int{1935},
			"read " + filepath.Join(g.root, "a.mp4"), false},
		"sound": {func(s *Settings) {
			s.Input, s.InputArgs = "default", []string{"-f", "pulse"}
		}, "rtmp://h/app/x", []int{1935}, "", true},
		"by mDNS": {func(s *Settings) { s.Input = "rtsp://camera.local/1" }, "rtmp://h/app/x", []int{554, 1935},
			"", true},
		"allowed port": {func(s *Settings) {
			s.Input, s.Allow = "testsrc", []string{"tcp:9000", "/srv"}
		}, "rtmp://h/app/x", []int{1935, 9000}, "write /srv", false},
		"own folder": {func(s *Settings) { s.Input = "testsrc" }, "rtmp://h/app/x", []int{1935},
			"write " + filepath.Join(g.dir, ownDir), false},
	} {
		s := Defaults()
		c.change(&s)
		p := policyFor(s, encoders.Env{Dir: g.dir, Guard: g.guard},
			encoders.Job{Account: "A", Name: "x", Publish: secret.New(c.publish)})
		if ports := append([]int{53}, c.ports...); !slices.Equal(p.Ports, ports) {
			t.Errorf("%s: ports %v; want %v", name, p.Ports, ports)
		}
		if p.Sockets != c.sockets {
			t.Errorf("%s: sockets %v", name, p.Sockets)
		}
		kind, path, _ := strings.Cut(c.has, " ")
		if c.has != "" && !slices.Contains(map[string][]string{"read": p.Read, "write": p.Write,
			"device": p.Devices}[kind], path) {
			t.Errorf("%s: it has not %s: %+v", name, c.has, p)
		}
		for _, path := range append(p.Read, p.Write...) {
			if sandbox.Holds(path, g.guard.Paths) {
				t.Errorf("%s: it gets %s, which holds the daemon's own files", name, path)
			}
		}
	}
}

// TestPolicyGuards names folders that hold what is the daemon's, and lets viewers choose paths:
// neither opens anything.
func TestPolicyGuards(t *testing.T) {
	g := newGuarded(t)
	out := filepath.Join(g.root, "out.ts")
	for name, args := range map[string][]string{
		"folder of all":  {"-i", g.root, "-f", "null", g.root},
		"list beside it": {"-i", filepath.Join(g.root, "list.m3u8"), out},
		"option": {"-i", "x", "-passlogfile", filepath.Join(g.root, "data", "log"), "-vf",
			"movie=" + g.config, out},
		"the root": {"-i", "/", "/"},
		"the files by name": {"-i", g.database, g.config, "-c",
			"cat " + g.database + " " + g.config + "; ls " + g.other},
		"the admin side": {"-c", fmt.Sprintf("curl http://127.0.0.1:%[1]d/; nc localhost %[1]d; nc --port %[1]d",
			g.guard.Ports[0]), fmt.Sprintf("localhost:%d", g.guard.Ports[0])},
		"chosen by a viewer": {"-i", g.root + "/{1}", "-x", "/{1}", "/{1}/{2}", g.root + "/{1}/oncue.db"},
	} {
		for _, binary := range []string{"ffmpeg", "sh"} {
			s := Defaults()
			s.Binary, s.Args = binary, args
			p := policyFor(s, encoders.Env{Dir: g.dir, Guard: g.guard},
				encoders.Job{Account: "A", Name: "x", Matches: []string{"data", filepath.Base(g.root)}})
			for _, path := range append(append(p.Read, p.Write...), p.Devices...) {
				if sandbox.Holds(path, append(g.guard.Paths, g.other)) || path == "/tmp" || path == g.database {
					t.Errorf("%s of %s: it gets %s", name, binary, path)
				}
			}
			for _, port := range p.Ports {
				if slices.Contains(g.guard.Ports, port) {
					t.Errorf("%s: it gets the admin side's port", name)
				}
			}
		}
	}
}

// TestOutputs holds that a file is made for a process only at a start, and only where it would not
// be in its way.
func TestOutputs(t *testing.T) {
	g := newGuarded(t)
	out := filepath.Join(g.root, "out.ts")
	s := Defaults()
	for _, args := range [][]string{{"-i", "x", out}, {"-y", "-i", "x", out}} {
		s.Args = args
		made := grantsFor(s, encoders.Env{Dir: g.dir, Guard: g.guard}, job)
		p := made.Policy
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%v: it is made before the start", args)
		}
		made.makeOutputs()
		_, err := os.Stat(out)
		if replaces := args[0] == "-y"; replaces != (err == nil) || replaces != slices.Contains(p.Write, out) ||
			slices.Contains(p.Write, g.root) {
			t.Errorf("%v: %v, %v", args, err, p.Write)
		}
	}
	s.Args = []string{"-i", "x", "/tmp/out.ts"}
	if p := policyFor(s, encoders.Env{Dir: g.dir}, job); !slices.Contains(p.Write, "/tmp") {
		t.Errorf("with nothing guarded in /tmp it gets %v", p.Write)
	}
}

// FuzzArgument holds that no name makes another word of a word: no option, no other folder, no
// other address.
func FuzzArgument(f *testing.F) {
	for _, m := range []string{"-x", "..", ".", "", "a/../b", "pipe:5", "x@y", "a&b=c", "-", "%2e%2e", "a b", "'", "\n",
		"ü", "|cat", "concat:a|b"} {
		f.Add(m, m)
	}
	templates := []string{"{1}", "/srv/{1}.mp4", "/srv/{1}/{2}", "/srv/.{1}", "rtsp://h/{1}", "http://{1}.h/{2}",
		"file:{1}", "a{1}", "{1}{2}", "movie={1}:loop=0", "-{1}"}
	safe := regexp.MustCompile(`^[A-Za-z0-9._%-]*$`)
	f.Fuzz(func(t *testing.T, one, two string) {
		j := encoders.Job{Account: "A", Name: "x", Matches: []string{one, two}}
		for _, template := range templates {
			got := argument(j, template)
			if strings.HasPrefix(got, "-") && !strings.HasPrefix(template, "-") {
				t.Errorf("%q becomes the option %q", template, got)
			}
			frame := regexp.QuoteMeta(strings.NewReplacer("{1}", "\x00", "{2}", "\x00").Replace(template))
			if m := regexp.MustCompile("^" + strings.ReplaceAll(frame, "\x00", "(.*?)") +
				"$").FindStringSubmatch(got); m == nil {
				t.Errorf("%q becomes %q", template, got)
			} else {
				for _, value := range m[1:] {
					if !safe.MatchString(value) {
						t.Errorf("%q becomes %q", template, got)
					}
				}
			}
			s := Defaults()
			s.Input = template
			if _, err := readInput(template); err != nil {
				continue
			}
			c, err := build(s, encoders.Job{Account: "A", Name: "x", Matches: j.Matches,
				Publish: secret.New("rtmp://h/a/b")}, false)
			if err != nil {
				continue // refused
			}
			for i, a := range c.args {
				if c.args[max(0, i-1)] == "-i" &&
					(strings.HasPrefix(a, "-") && !strings.HasPrefix(template, "-") ||
						slices.Contains(strings.Split(a, "/"), "..")) {
					t.Errorf("%q with %q and %q: the input is %q", template, one, two, a)
				}
			}
		}
	})
}

// TestMatchesRefused holds the names that no input takes.
func TestMatchesRefused(t *testing.T) {
	for _, c := range []struct{ template, match, want string }{
		{"/srv/{1}.mp4", "", "{1} is empty"}, {"/srv/{1}/a.mp4", "", "{1} is empty"}, {"/srv/{1}{1}/a.mp4", ".", ""},
		{"/srv/.{1}/a.mp4", "x", ""},
		{"/srv/{1}/a.mp4", "..", ""}, {"/srv/{1}/a.mp4", "fine", ""}, {"rtsp://h/1", "", ""},
	} {
		s := Defaults()
		s.Input = c.template
		got, err := build(s, encoders.Job{Account: "A", Name: "x", Matches: []string{c.match},
			Publish: secret.New("rtmp://h/a/b")}, false)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s with %q: %v", c.template, c.match, err)
		case c.want == "" && slices.ContainsFunc(got.args, func(a string) bool { return strings.Contains(a, "..") }):
			t.Errorf("%s with %q leads to %v", c.template, c.match, got.args)
		case c.want != "" && (err == nil || !encoders.IsPermanent(err) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s with %q: %v; want %s, permanent", c.template, c.match, err, c.want)
		}
	}
}

// TestOwnFolder: a start finds its own folder empty, and its own, whatever was left there.
func TestOwnFolder(t *testing.T) {
	for name, leave := range map[string]func(own, other string) error{
		"nothing":         func(string, string) error { return nil },
		"an empty folder": func(own, _ string) error { return os.Mkdir(own, 0o700) },
		"files":           func(own, _ string) error { return os.MkdirAll(filepath.Join(own, "a", "b"), 0o700) },
		"others' folder":  func(own, _ string) error { return errors.Join(os.Mkdir(own, 0o700), os.Chmod(own, 0o777)) },
		"a file":          func(own, _ string) error { return os.WriteFile(own, nil, 0o600) },
		"a link":          func(own, other string) error { return os.Symlink(other, own) },
	} {
		dir, other := t.TempDir(), t.TempDir()
		if err := leave(filepath.Join(dir, ownDir), other); err != nil {
			t.Fatal(err)
		}
		own := prepareOwn(dir)
		info, err := os.Lstat(own)
		if err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: it is %v, %v", name, info, err)
		}
		if left, err := os.ReadDir(own); err != nil || len(left) > 0 {
			t.Errorf("%s: it holds %v, %v", name, left, err)
		}
	}
}

// TestRealGuard: links do not hide from the guard what it names.
func TestRealGuard(t *testing.T) {
	dir := sandbox.Real(t.TempDir())
	data := filepath.Join(dir, "data")
	for _, err := range []error{
		os.Mkdir(data, 0o700), os.WriteFile(filepath.Join(data, "real.yaml"), nil, 0o600),
		os.Symlink(data, filepath.Join(dir, "link")), os.Symlink("real.yaml", filepath.Join(data, "oncue.yaml")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := realGuard(encoders.Guard{Paths: []string{
		"", filepath.Join(dir, "link", "oncue.yaml"), filepath.Join(dir, "link", "oncue.db"),
		filepath.Join(dir, "link", "none", "x"),
	}}).Paths
	want := []string{filepath.Join(data, "real.yaml"), filepath.Join(data, "oncue.db"),
		filepath.Join(data, "none", "x")}
	if !slices.Equal(got, want) {
		t.Errorf("the guard is of %q, want %q", got, want)
	}
}
