package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hostileRole makes this program the hostile process.
const hostileRole = "SANDBOX_TEST_HOSTILE"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(hostileRole); ok {
		os.Exit(beHostile(text))
	}
	os.Exit(m.Run())
}

// prey is what the hostile process goes for.
type prey struct {
	Starter                      int
	Private, Own, Given, Outside string
	Admin, Camera                int
	Socket, Abstract             string
}

// attempts are all that it tries, and what it takes to deny each of them.
var attempts = []struct {
	name string
	abi  int  // of Landlock
	call bool // takes the filter of system calls
	try  func(prey) error
}{
	{"read the environment", 1, false, func(p prey) error {
		body, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Starter))
		if err == nil && len(body) == 0 {
			err = errors.New("it is empty")
		}
		return err
	}},
	{"read the memory", 1, false, func(p prey) error {
		return open(fmt.Sprintf("/proc/%d/mem", p.Starter), unix.O_RDONLY)
	}},
	{"write the memory", 1, false, func(p prey) error {
		return open(fmt.Sprintf("/proc/%d/mem", p.Starter), unix.O_RDWR)
	}},
	{"go through its root", 1, false, func(p prey) error {
		return open(fmt.Sprintf("/proc/%d/root%s", p.Starter, p.Private), unix.O_RDONLY)
	}},
	{"attach to it", 1, false, func(p prey) error { return unix.PtraceSeize(p.Starter) }},
	{"take a descriptor", 1, false, func(p prey) error {
		fd, err := unix.PidfdOpen(p.Starter, 0)
		if err == nil {
			_, err = unix.PidfdGetfd(fd, 0, 0)
		}
		return err
	}},
	{"read a file", 1, false, func(p prey) error { return open(p.Private, unix.O_RDONLY) }},
	{"write a file", 1, false, func(p prey) error { return open(p.Private, unix.O_WRONLY|unix.O_APPEND) }},
	{"list a folder", 1, false, func(p prey) error {
		return open(filepath.Dir(p.Private), unix.O_RDONLY|unix.O_DIRECTORY)
	}},
	{"make a file", 1, false, func(p prey) error { return open(p.Private+".new", unix.O_WRONLY|unix.O_CREAT) }},
	{"link a file to its own", 1, false, func(p prey) error { return os.Link(p.Private, p.Own+"/stolen") }},
	{"write what it may read", 1, false, func(p prey) error { return open(p.Given, unix.O_WRONLY) }},
	{"open the password file's neighbour", 1, false, func(p prey) error { return open("/etc/shadow", unix.O_RDONLY) }},
	{"empty a file", 1, true, func(p prey) error { return unix.Truncate(p.Given+".long", 1) }},
	{"change a mode", 0, true, func(p prey) error { return unix.Chmod(p.Private, 0o644) }},
	{"change a mode by folder", 0, true, func(p prey) error {
		return unix.Fchmodat(unix.AT_FDCWD, p.Private, 0o600, 0)
	}},
	{"limit the starter", 0, true, func(p prey) error {
		var old unix.Rlimit
		return unix.Prlimit(p.Starter, unix.RLIMIT_CORE, nil, &old)
	}},
	{"signal it", abiScopes, false, func(p prey) error { return unix.Kill(p.Starter, 0) }},
	{"connect to the admin side", abiPorts, false, func(p prey) error { return connect(unix.IPPROTO_TCP, p.Admin) }},
	{"connect by MPTCP", abiPorts, true, func(p prey) error { return connect(unix.IPPROTO_MPTCP, p.Admin) }},
	{"connect by a fast open", abiPorts, true, func(p prey) error { return fastOpen(p.Admin) }},
	{"connect by a late fast open", abiPorts, true, func(p prey) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
		}
		return err
	}},
	{"listen", abiPorts, false, func(p prey) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Port: p.Admin, Addr: [4]byte{127, 0, 0, 7}})
		}
		return err
	}},
	{"connect to a unix socket", 0, true, func(p prey) error { return connectUnix(p.Socket) }},
	{"connect to an abstract socket", 0, true, func(p prey) error { return connectUnix(p.Abstract) }},
}

// needs are what an honest program does.
var needs = []struct {
	name string
	do   func(prey) error
}{
	{"read what is given", func(p prey) error { return open(p.Given, unix.O_RDONLY) }},
	{"make files of its own", func(p prey) error {
		return errors.Join(os.MkdirAll(p.Own+"/a/b", 0o700), os.WriteFile(p.Own+"/a/x", nil, 0o600),
			os.Rename(p.Own+"/a/x", p.Own+"/a/b/y"), os.RemoveAll(p.Own+"/a"))
	}},
	{"connect to its camera", func(p prey) error { return connect(unix.IPPROTO_TCP, p.Camera) }},
	{"look at itself", func(p prey) error { _, err := os.ReadFile("/proc/self/environ"); return err }},
	{"open a descriptor of its own", func(p prey) error {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer w.Close()
		return open(fmt.Sprintf("/dev/fd/%d", r.Fd()), unix.O_RDONLY|unix.O_NONBLOCK)
	}},
	{"write to /dev/null", func(p prey) error { return open("/dev/null", unix.O_WRONLY) }},
	{"run a program", func(p prey) error {
		child, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "exec ls /usr/share >/dev/null"},
			&os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr}})
		if err != nil {
			return err
		}
		state, err := child.Wait()
		if err == nil && !state.Success() {
			err = errors.New(state.String())
		}
		return err
	}},
	{"signal itself", func(p prey) error { return unix.Kill(os.Getpid(), 0) }},
	{"have a pair of sockets", func(p prey) error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		return err
	}},
	{"find a host", func(p prey) error { _, err := net.LookupHost("localhost"); return err }},
}

func beHostile(text string) int {
	var p prey
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		fmt.Println(err)
		return 1
	}
	said := map[string]string{}
	note := func(name string, err error) {
		said[name] = ""
		if err != nil {
			said[name] = err.Error()
		}
	}
	for _, a := range attempts {
		note(a.name, a.try(p))
	}
	for _, n := range needs {
		note(n.name, n.do(p))
	}
	if err := json.NewEncoder(os.NewFile(3, "answer")).Encode(said); err != nil {
		return 1
	}
	return 0
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0o600)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func connect(protocol, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func fastOpen(port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte("GET"), unix.MSG_FASTOPEN|unix.MSG_NOSIGNAL,
		&unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func connectUnix(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

// newPrey sets out what the hostile process goes for.
func newPrey(t *testing.T) prey {
	t.Helper()
	dir := t.TempDir()
	p := prey{
		Starter: os.Getpid(), Private: filepath.Join(dir, "private", "oncue.db"), Own: filepath.Join(dir, "own"),
		Given: filepath.Join(dir, "given.mp4"), Socket: filepath.Join(dir, "private", "admin.sock"),
		Abstract: "@" + strings.ReplaceAll(dir, "/", "-"),
	}
	for _, folder := range []string{filepath.Dir(p.Private), p.Own} {
		must(t, os.MkdirAll(folder, 0o700))
	}
	for _, file := range []string{p.Private, p.Given, p.Given + ".long"} {
		must(t, os.WriteFile(file, []byte("secret"), 0o600))
	}
	for _, port := range []*int{&p.Admin, &p.Camera} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		must(t, err)
		t.Cleanup(func() { l.Close() })
		*port = l.Addr().(*net.TCPAddr).Port
	}
	for _, name := range []string{p.Socket, p.Abstract} {
		l, err := net.Listen("unix", name)
		must(t, err)
		t.Cleanup(func() { l.Close() })
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// raid runs the hostile process and returns the outcome of everything it tried.
func raid(t *testing.T, p prey, in func(start func() error) error) map[string]string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	text, err := json.Marshal(p)
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	var child *os.Process
	err = in(func() (err error) {
		child, err = os.StartProcess(self, []string{self}, &os.ProcAttr{
			Env:   []string{hostileRole + "=" + string(text), "PATH=/usr/bin:/bin"},
			Files: []*os.File{nil, os.Stdout, os.Stderr, w},
			Sys:   &syscall.SysProcAttr{Setsid: true},
		})
		return err
	})
	w.Close()
	must(t, err)
	said := map[string]string{}
	if err := json.NewDecoder(r).Decode(&said); err != nil {
		t.Errorf("it has said nothing: %v", err)
	}
	state, err := child.Wait()
	must(t, err)
	if !state.Success() {
		t.Fatal(state)
	}
	return said
}

func (p prey) policy(t *testing.T) Policy {
	self, err := os.Executable()
	must(t, err)
	return Policy{Read: []string{self, p.Given, p.Given + ".long"}, Write: []string{p.Own}, Ports: []int{p.Camera}}
}

// TestHostile has a process try what a program may try after it was taken over: first unconfined,
// then confined.
func TestHostile(t *testing.T) {
	if !Available() {
		t.Skip("this kernel has no Landlock")
	}
	free := raid(t, newPrey(t), func(start func() error) error { return start() })
	p := newPrey(t)
	kept := raid(t, p, p.policy(t).Do)
	for _, a := range attempts {
		switch {
		case free[a.name] != "":
			t.Logf("%s: cannot be tried here: %s", a.name, free[a.name])
		case a.abi > abi():
			t.Logf("%s: takes Landlock %d, this kernel has %d", a.name, a.abi, abi())
		case a.call && !filterKnown:
			t.Logf("%s: takes the filter of system calls, which is not known for %s", a.name, runtime.GOARCH)
		case kept[a.name] == "":
			t.Errorf("%s: it can", a.name)
		}
	}
	for _, n := range needs {
		if kept[n.name] != "" {
			t.Errorf("%s: it cannot: %s", n.name, kept[n.name])
		}
	}
}

// TestFree checks that a confined start leaves our own process unconfined.
func TestFree(t *testing.T) {
	p := newPrey(t)
	for range 20 {
		must(t, p.policy(t).Do(func() error {
			if unix.Gettid() == unix.Getpid() {
				return errors.New("the first thread of the process is confined")
			}
			if _, err := os.ReadFile(p.Private); Available() && err == nil {
				return errors.New("the thread is not confined")
			}
			return nil
		}))
	}
	done := make(chan error)
	for range 50 {
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			_, err := os.ReadFile(p.Private)
			done <- errors.Join(err, connect(unix.IPPROTO_TCP, p.Admin), connectUnix(p.Socket))
		}()
	}
	for range 50 {
		if err := <-done; err != nil {
			t.Fatal("a thread of ours is confined: ", err)
		}
	}
}

// TestNames lets a process see which files a folder has, and not what they hold.
func TestNames(t *testing.T) {
	if !Available() {
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", []byte("x"), 0o600))
	must(t, Policy{Names: []string{dir}}.Do(func() error {
		if seen, err := os.ReadDir(dir); err != nil || len(seen) != 1 {
			return fmt.Errorf("the folder shows %v, %v", seen, err)
		}
		if _, err := os.ReadFile(dir + "/file"); err == nil {
			return errors.New("its file can be read")
		}
		return nil
	}))
}

func TestSockets(t *testing.T) {
	if !Available() {
		t.Skip("this kernel has no Landlock")
	}
	p := newPrey(t)
	policy := p.policy(t)
	policy.Sockets = true
	kept := raid(t, p, policy.Do)
	for _, name := range []string{"connect to a unix socket", "connect to an abstract socket"} {
		if kept[name] != "" {
			t.Errorf("%s: it cannot although it may: %s", name, kept[name])
		}
	}
	if abi() >= abiPorts && kept["connect to the admin side"] == "" {
		t.Error("with unix sockets it may have TCP ports, too")
	}
}

func TestDoTellsErrors(t *testing.T) {
	want := errors.New("no such program")
	if err := (Policy{}).Do(func() error { return want }); !errors.Is(err, want) {
		t.Error(err)
	}
	if err := (Policy{Read: []string{"/nowhere/at/all", ""}}).Do(func() error { return nil }); err != nil {
		t.Error("a path that is not there: ", err)
	}
}

func TestHolds(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	must(t, os.Symlink(filepath.Join(dir, "a"), filepath.Join(dir, "link")))
	for folder, want := range map[string]bool{"/": true, ".": true, "a": true, "a/b": true, "link": true,
		"a/b/c": false, "a/bc": false, "b": false} {
		if !strings.HasPrefix(folder, "/") {
			folder = filepath.Join(dir, folder)
		}
		if got := Holds(Real(folder), []string{"", Real(filepath.Join(dir, "link", "b"))}); got != want {
			t.Errorf("%s: %v", folder, got)
		}
	}
}

// BenchmarkStart compares a start in a sandbox with a plain one, until the program is executed.
func BenchmarkStart(b *testing.B) {
	for name, in := range map[string]func(func() error) error{
		"plain":    func(start func() error) error { return start() },
		"confined": Policy{Write: []string{b.TempDir()}, Ports: []int{443, 1935}}.Do,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var child *os.Process
				if err := in(func() (err error) {
					child, err = os.StartProcess("/bin/true", []string{"true"},
						&os.ProcAttr{Files: make([]*os.File, 3)})
					return err
				}); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if _, err := child.Wait(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
