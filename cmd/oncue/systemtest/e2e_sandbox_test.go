package systemtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/encoders/sandbox"
)

// testHostileEncoder has the daemon start a program that attacks what is the daemon's. The program
// gets none of it, and the daemon after a crash adopts the program and can stop it.
func testHostileEncoder(mode string) func(*testing.T, *site) {
	return func(t *testing.T, s *site) { hostileEncoder(t, s, mode) }
}

func hostileEncoder(t *testing.T, s *site, mode string) {
	bash, err := exec.LookPath("bash")
	if err != nil || !sandbox.Available() {
		t.Skip("there is no bash here, or the kernel has no Landlock")
	}
	_, open := sandbox.Describe()
	script := filepath.Join(s.dir, "encoder.sh")
	text := fmt.Sprintf(`#!%s
it() { what=$1; shift; if "$@" >/dev/null 2>&1; then echo "$what: yes" >&2; else echo "$what: no" >&2; fi; }
it environment bash -c 'grep -q . /proc/$0/environ' $PPID
it memory bash -c 'exec 9</proc/$0/mem' $PPID
it signal kill -0 $PPID
it config cat %s
it database cat %s/oncue.db
it lock bash -c 'exec 9>>%[3]s/oncue.lock'
it admin bash -c 'exec 9<>/dev/tcp/%s'
echo all: done >&2
exec sleep 1000
`, bash, s.config(), s.data(), strings.Replace(s.admin, ":", "/", 1))
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	s.configure(fmt.Sprintf("encoders: {evil: {ffmpeg: {binary: %q, args: [\"{stream}\"], sandbox: %s}}}\n"+
		"streams: {lobby: {encoder: evil}}\n",
		script, mode))
	s.start()
	s.call("PUT", "/api/v1/streams/"+testAccount+"%2Flobby/mode", map[string]string{"mode": "on"})
	log := ""
	s.await("the program has tried everything", func() bool {
		_, body := s.get("/api/v1/streams/" + testAccount + "%2Flobby/log")
		log = string(body)
		return strings.Contains(log, "all: done")
	})
	for _, what := range []string{"environment", "memory", "signal", "config", "database", "lock", "admin"} {
		if what == "admin" && mode == "auto" && sandbox.CanPartApart() {
			continue // a program that is only kept apart may connect to any port
		}
		named := map[string]string{"signal": "signals", "admin": "TCP"}[what]
		if named != "" && strings.Contains(strings.Join(open, " "), named) {
			t.Logf("%s: this kernel cannot hold it back", what)
		} else if !strings.Contains(log, what+": no") {
			t.Errorf("%s: it can:\n%s", what, log)
		}
	}
	pid := func() int {
		v, ok := s.stream("lobby")
		if !ok || len(v.Encoders) != 1 || v.Encoders[0].PID == nil {
			return 0
		}
		return *v.Encoders[0].PID
	}
	before := pid()
	s.kill()
	s.start()
	s.await("it is taken over", func() bool { return before != 0 && pid() == before })
	s.call("PUT", "/api/v1/streams/"+testAccount+"%2Flobby/mode", map[string]string{"mode": "off"})
	s.await("it is stopped", func() bool { _, err := os.Stat(fmt.Sprintf("/proc/%d", before)); return err != nil })
}

// testClosedMemory runs the daemon as nobody, and reads its memory and environment as nobody: even
// its own user may not.
func testClosedMemory(t *testing.T, s *site) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("it takes root and setpriv to be another user")
	}
	const nobody = 65534
	as := []string{setpriv, fmt.Sprintf("--reuid=%d", nobody), "--clear-groups"}
	if s.dir, err = os.MkdirTemp("", "oncue-nobody-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(s.dir) })
	program := filepath.Join(s.dir, "oncue")
	if out, err := exec.Command("cp", s.binary, program).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	s.binary, s.wrap = program, as
	s.configure("encoders: {box: {fake: {}}}\nstreams: {lobby: {encoder: box}}\n")
	for _, path := range []string{s.dir, s.config()} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	for _, file := range []string{"environ", "mem", "maps"} {
		look := exec.Command(as[0],
			append(as[1:], "head", "-c", "1", fmt.Sprintf("/proc/%d/%s", s.proc.Process.Pid, file))...)
		if out, err := look.CombinedOutput(); err == nil || !strings.Contains(string(out), "ermission denied") {
			t.Errorf("its own user can read its %s: %v %s", file, err, out)
		}
	}
}
