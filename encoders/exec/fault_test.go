package exec

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/proc"
)

// helper is the job of something that does not publish.
var helper = encoders.Job{Account: "ABC123", Name: "screen", Run: "run1", Grace: 3 * time.Second}

func stop(t *testing.T, e *Encoder, job encoders.Job) time.Duration {
	t.Helper()
	began := time.Now()
	if err := e.Stop(t.Context(), job); err != nil {
		t.Fatalf("stop: %v", err)
	}
	return time.Since(began)
}

// pidIn reads a pid that a script has printed after a word.
func pidIn(t *testing.T, e *Encoder, word string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.Fields(strings.TrimPrefix(said(t, e, word), word))[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func lives(pid int) bool {
	st, err := proc.ReadStat(pid)
	return err == nil && !st.Gone()
}

// TestStopsForSure stops programs that do not want to end, and what they have left behind.
func TestStopsForSure(t *testing.T) {
	for name, script := range map[string]string{
		"ignores TERM":       `trap "" TERM; echo child 0; while :; do sleep 1; done`,
		"has children":       `sleep 1000 & echo child $!; wait`,
		"forks twice":        `(sleep 1000 & echo child $!) & sleep 1000`,
		"leaves its session": `setsid sh -c 'echo child $$; exec sleep 1000' & sleep 1000`,
		"is stopped":         `echo child 0; kill -STOP $$`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := opened(t, shell(script))
			start(t, e, helper)
			child := pidIn(t, e, "child ")
			stop(t, e, helper)
			if child != 0 && lives(child) {
				t.Errorf("process %d is left", child)
			}
			if left := proc.Holders(filepath.Join(e.env.Dir, lockFile)); len(left) > 0 {
				t.Errorf("processes %v are left", left)
			}
			if s, _ := e.now(); s.State != encoders.StateStopped {
				t.Errorf("stopped, it is %+v", s)
			}
		})
	}
}

// TestKillGroup stops a program with a child: a signal tells both, or the program, which tells its
// child.
func TestKillGroup(t *testing.T) {
	const script = `sh -c 'trap "echo child told; exit" TERM; echo child ready; while :; do sleep 0.1; done' & child=$!
trap 'echo parent told; DO; wait; exit 0' TERM
while :; do sleep 0.1; done`
	for do, group := range map[string]bool{"true": true, "kill $child": false} {
		t.Run(do, func(t *testing.T) {
			t.Parallel()
			s := shell(strings.ReplaceAll(script, "DO", do))
			s.KillGroup = group
			e := opened(t, s)
			start(t, e, helper)
			said(t, e, "child ready")
			stop(t, e, helper)
			lines, err := e.Log(t.Context(), 100)
			if err != nil {
				t.Fatal(err)
			}
			child, parent := slices.Index(lines, "child told"), slices.Index(lines, "parent told")
			if child < 0 || parent < 0 || !group && child < parent {
				t.Errorf("they were told in another order: %q", lines)
			}
		})
	}
}

// TestEndsByItself tells how, in the program's own last words.
func TestEndsByItself(t *testing.T) {
	for script, want := range map[string]string{
		"echo one; echo two >&2; exit 3": "it ended by itself (exit status 3); it said: one | two",
		"exit 0":                         "it ended by itself (exit status 0)",
		"kill -SEGV $$":                  "killed by signal 11 (SIGSEGV)",
		"exit 139":                       "it ended by itself (exit status 139, which means signal 11, SIGSEGV)",
		"kill -KILL $$":                  "killed by signal 9: the machine ran out of memory, or somebody killed it",
	} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			e := opened(t, shell(script))
			start(t, e, helper)
			if s := stateOf(t, e, encoders.StateFailed); s.Error != want || s.Permanent {
				t.Errorf("it is %+v; want %q", s, want)
			}
		})
	}
}

// TestCannotStart has starts that no retry can cure.
func TestCannotStart(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	job := encodertest.NewJob("")
	srt := encodertest.NewJob("srt://127.0.0.1:1?streamid=lobby%3Ft%3D" + encodertest.Canary)
	for name, c := range map[string]struct {
		command []string
		job     encoders.Job
		want    string
	}{
		"missing":     {[]string{"no-such-program"}, job, "there is no program no-such-program"},
		"no program":  {[]string{text}, job, "exec format error"},
		"no URL":      {[]string{"true", "{publish}"}, helper, "there is no publishing URL for {publish}"},
		"SRT in argv": {[]string{"true", "uri={publish}"}, srt, "use {publish_file}, or set secrets_in_argv"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Defaults()
			s.Command = c.command
			e := opened(t, s)
			err := e.Start(t.Context(), c.job)
			if err == nil || !encoders.IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("start: %v; want one that says %q for good", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), encodertest.Canary) {
				t.Error("the error shows the key")
			}
		})
	}
}

// TestAdoptsOrEnds has controllers that are killed: the program goes on, or what it has left ends.
func TestAdoptsOrEnds(t *testing.T) {
	abandoned := func(t *testing.T, script string) (dir string, pid, child int) {
		dir = t.TempDir()
		e := openIn(t, shell(script), dir)
		start(t, e, helper)
		child = pidIn(t, e, "child ")
		s, _ := e.now()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		return dir, s.PID, child
	}
	const script = `sleep 1000 & echo child $!; wait`
	t.Run("it lives", func(t *testing.T) {
		dir, pid, _ := abandoned(t, script)
		e := openIn(t, shell("exit 1"), dir) // another configuration by now
		defer end(t, e)
		if s, _ := e.now(); s.State != encoders.StatePublishing || s.PID != pid || s.Run != "run1" ||
			s.Stream != helper.ID() {
			t.Errorf("it is %+v; want process %d", s, pid)
		}
	})
	t.Run("its state file is lost", func(t *testing.T) {
		dir, pid, _ := abandoned(t, script)
		if err := os.Remove(filepath.Join(dir, stateFile)); err != nil {
			t.Fatal(err)
		}
		e := openIn(t, shell("exit 1"), dir)
		defer end(t, e)
		if s, _ := e.now(); s.PID != pid || s.Run != "run1" || s.Stream != helper.ID() {
			t.Errorf("it is %+v; want process %d", s, pid)
		}
	})
	t.Run("only its child lives", func(t *testing.T) {
		dir, pid, child := abandoned(t, script)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		await(t, "its end", func() bool { return !lives(pid) })
		e := openIn(t, shell("exit 1"), dir)
		defer end(t, e)
		if lives(child) {
			t.Errorf("process %d is left", child)
		}
		if s, _ := e.now(); s.State != encoders.StateFailed ||
			!strings.HasPrefix(s.Error, "it ended while the controller was away") {
			t.Errorf("it is %+v", s)
		}
	})
}

// TestReady starts programs that are of use only later.
func TestReady(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	port := strconv.Itoa(freePort(t))
	for name, c := range map[string]struct {
		ready  Ready
		script string
	}{
		"output": {Ready{Output: "^display :[0-9]+ is up$"}, "echo display; while [ ! -e GATE ]; do sleep 0.1; done; " +
			"echo display :7 is up; sleep 1000"},
		"file": {Ready{File: gate + "-file"}, "while [ ! -e GATE ]; do sleep 0.1; done; touch " + gate + "-file; sleep 1000"},
		"tcp": {Ready{TCP: ":" + port}, "while [ ! -e GATE ]; do sleep 0.1; done; exec python3 -m http.server --bind " +
			"127.0.0.1 " + port},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := gate + "." + name
			if name == "tcp" {
				need(t, "python3")
			}
			s := shell(strings.ReplaceAll(c.script, "GATE", own))
			s.Ready = c.ready
			e := opened(t, s)
			start(t, e, helper)
			for range 5 { // looks
				if s := stateOf(t, e, encoders.StateStarting); s.ConfigOnly {
					t.Errorf("it is %+v", s)
				}
			}
			if err := os.WriteFile(own, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if s := stateOf(t, e, encoders.StatePublishing); !s.ConfigOnly {
				t.Errorf("it is %+v, and nothing was measured", s)
			}
		})
	}
}

// TestStalls freezes the server: what it does not acknowledge is not delivered.
func TestStalls(t *testing.T) {
	box := newSink(t)
	s := ffmpeg(t)
	s.StallTimeout = 2 * time.Second
	e := opened(t, s)
	job := box.job()
	start(t, e, job)
	if s := stateOf(t, e, encoders.StatePublishing); s.ConfigOnly || s.Health == nil || *s.Health.Bytes < lively {
		t.Errorf("it publishes, and is %+v", s)
	}
	p := box.publisher(t)
	p.Freeze()
	// It stalls once the buffers of all sockets on the way are full.
	if s := stateOf(t, e, encoders.StateStalled); !strings.HasPrefix(s.Error, "it has delivered nothing for ") {
		t.Errorf("it is %+v", s)
	}
	p.Thaw()
	stateOf(t, e, encoders.StatePublishing)
	stop(t, e, job)
}

// TestMeasuresItself publishes without a handover: the kernel tells of the program's own
// connections.
func TestMeasuresItself(t *testing.T) {
	box := newSink(t)
	s := ffmpeg(t)
	s.SecretsInArgv = true
	e := opened(t, s)
	job := box.job()
	start(t, e, job)
	if s := stateOf(t, e, encoders.StatePublishing); s.ConfigOnly || s.Health == nil || *s.Health.Bytes < lively {
		t.Errorf("it publishes, and is %+v", s)
	}
	stop(t, e, job)
}

// TestRefused tells what the server says to a program that does not.
func TestRefused(t *testing.T) {
	box := newSink(t)
	box.refuse = errors.New("the token is unknown")
	e := opened(t, ffmpeg(t))
	start(t, e, box.job())
	stateOf(t, e, encoders.StateFailed)
	said(t, e, "oncue: the publishing server refuses: NetStream.Publish.BadName, the token is unknown")
}

// TestKeyIsNowhere looks for the key, and for a secret of env and files, in everything that others
// can read.
func TestKeyIsNowhere(t *testing.T) {
	const canary, token = encodertest.Canary, "hush-hush-0123456789"
	box := newSink(t)
	s := ffmpeg(t)
	s.Command = append([]string{"sh", "-c", `cat "$0" "$LOGIN"; cat "$0"; exec "$@"`, "{publish_file}"}, s.Command...)
	s.Env = map[string]string{"PASSWORD": token, "TO": "{publish}", "LOGIN": "{file:login}"}
	s.Files = map[string]string{"login": "password=" + token + "\nserver={publish_server} key={publish_key}\n"}
	e := opened(t, s, secret.New(token))
	job := box.job()
	start(t, e, job)
	stateOf(t, e, encoders.StatePublishing)
	for _, found := range append(canaryIn(t, "cmdline", canary), canaryIn(t, "cmdline", token)...) {
		t.Error("a command line shows it: ", found)
	}
	for _, found := range canaryIn(t, "environ", canary) {
		t.Error("an environment shows the key: ", found)
	}
	files, err := filepath.Glob(filepath.Join(e.env.Dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := func() (text string) {
		for _, path := range files {
			if body, err := os.ReadFile(path); err == nil {
				text += string(body)
			}
		}
		return text
	}
	stop(t, e, job)
	if text := seen(); strings.Contains(text, canary) || strings.Contains(text, token) {
		t.Errorf("a file shows it: %s", text)
	}
	lines, err := e.Log(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	hidden := strings.Repeat("*", len(job.Publish.Reveal()))
	read := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return l != hidden })
	server := slices.ContainsFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "server=rtmp://"+box.addr+"/")
	})
	if len(read) != 2 || !server {
		t.Errorf("the URL was read %d times, and its server: %v; want twice, and true: %q", len(read), server, lines)
	}
	if want := "lobby?token=" + canary; !slices.Contains(box.published(), want) {
		t.Errorf("it has published to %q; want %s", box.published(), want)
	}
}

// TestOnlyItsOwn refuses the local address to other programs.
func TestOnlyItsOwn(t *testing.T) {
	need(t, "ffmpeg")
	box := newSink(t)
	s := shell(`echo "address $0 "; sleep 1000`)
	s.Command = append(s.Command, "{publish}")
	e := opened(t, s)
	start(t, e, box.job())
	address := strings.Fields(said(t, e, "address rtmp://"))[1]
	other := ffmpeg(t)
	other.Command[len(other.Command)-1] = address
	stranger := opened(t, other)
	start(t, stranger, helper)
	stateOf(t, stranger, encoders.StateFailed)
	said(t, e, "oncue: a connection of another program was refused")
	if len(box.published()) > 0 {
		t.Errorf("it has published to %q", box.published())
	}
}

// TestSecretsInArgv holds that they get there only when that is asked for, and that it is told.
func TestSecretsInArgv(t *testing.T) {
	const token = "hush-hush-0123456789"
	s := shell("sleep 1000")
	s.Command = append(s.Command, "--password="+token)
	if err := s.RefuseSecrets([]secret.Value{secret.New(token)}); err == nil {
		t.Error("the loader takes it")
	}
	e := opened(t, s, secret.New(token))
	if err := e.Start(t.Context(), helper); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("start: %v", err)
	}
	s.SecretsInArgv = true
	e = opened(t, s, secret.New(token))
	start(t, e, helper)
	if len(canaryIn(t, "cmdline", token)) == 0 {
		t.Error("it does not stand in the command line")
	}
	warned := slices.ContainsFunc(e.Check(t.Context(), helper), func(f encoders.Finding) bool {
		return f.Level == encoders.Warn && strings.Contains(f.What, "can be seen in the process list")
	})
	if !warned {
		t.Errorf("the check does not tell: %+v", e.Check(t.Context(), helper))
	}
}

// TestLog keeps the output short, and shows no secret in it.
func TestLog(t *testing.T) {
	s := shell(`i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo "line $i of many"; done; echo all said; sleep 1000`)
	s.LogSize = 4096
	e := opened(t, s)
	start(t, e, helper)
	said(t, e, "all said")
	log := filepath.Join(e.env.Dir, logFile)
	await(t, "the log is cut", func() bool {
		info, err := os.Stat(log)
		return err == nil && info.Size() <= s.LogSize
	})
}

// TestProgramDies kills the program, and not the handover that has started it.
func TestProgramDies(t *testing.T) {
	box := newSink(t)
	e := opened(t, ffmpeg(t))
	start(t, e, box.job())
	s := stateOf(t, e, encoders.StatePublishing)
	id := proc.Identity{PID: s.PID, Cookie: "none"}
	st, err := proc.ReadStat(s.PID)
	if err != nil {
		t.Fatal(err)
	}
	id.Start = st.Start
	for _, pid := range proc.Family(id) {
		if pid != s.PID {
			if err := syscall.Kill(pid, syscall.SIGSEGV); err != nil {
				t.Fatal(err)
			}
		}
	}
	if s := stateOf(t, e, encoders.StateFailed); !strings.Contains(s.Error, "signal 11, SIGSEGV") {
		t.Errorf("it is %+v", s)
	}
}

// TestTLS publishes to an rtmps server, whose certificate has to be right.
func TestTLS(t *testing.T) {
	cert := httptest.NewTLSServer(nil)
	cert.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: cert.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	box := newSinkAt(t, l)
	job := encodertest.NewJob("rtmps://" + box.addr + "/v2/pub/lobby?token=" + encodertest.Canary)
	e := opened(t, ffmpeg(t))
	start(t, e, job)
	stateOf(t, e, encoders.StateFailed)
	said(t, e, "oncue: connect to the publishing server: tls: failed to verify certificate")

	trusted := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate().Raw})
	if err := os.WriteFile(trusted, text, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", trusted)
	start(t, e, job)
	stateOf(t, e, encoders.StatePublishing)
	if want := "lobby?token=" + encodertest.Canary; !slices.Equal(box.published(), []string{want}) {
		t.Errorf("it has published to %q; want %s", box.published(), want)
	}
	stop(t, e, job)
}
