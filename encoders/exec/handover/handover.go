package handover

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/encoders/proc"
)

// Command is the one argument that makes this program a handover, see [Main].
const Command = "handover"

// Placeholder stands in an order's Args and Env for the local address.
const Placeholder = "{publish}"

// Local is the address that the program is given, but for its port.
const Local = "rtmp://127.0.0.1:%s/live/stream"

// The descriptors of the process, apart from 0, 1 and 2. The order comes behind those that the
// program gets under the same numbers: the lock, and its files.
const (
	lockFD = 3
	FileFD = 4 // the first of the program's files
)

// orderVar is the variable that tells the process which descriptor its order is read from.
const orderVar = "ONCUE_ORDER"

// Order is what the process is told.
type Order struct {
	Program string   // its path
	Args    []string // with its name
	Env     []string
	Dir     string
	Publish string // an RTMP URL with its key; a secret
	Forward bool   // TERM comes to this process alone, and is to reach the program
}

// Process makes attr, which would start a program, start a handover that starts it and counts in a
// file, see [Delivered]. The caller closes the file that is returned, after the start.
func Process(attr os.ProcAttr, bare []string, count *os.File, order Order) (os.ProcAttr, *os.File, error) {
	order.Dir, order.Env = attr.Dir, attr.Env
	text, err := json.Marshal(order)
	if err != nil {
		return attr, nil, err
	}
	told, err := proc.Pipe(string(text))
	if err != nil {
		return attr, nil, fmt.Errorf("hand over the publishing URL: %w", err)
	}
	attr.Dir, attr.Env = "/", append(slices.Clone(bare), orderVar+"="+strconv.Itoa(len(attr.Files)))
	attr.Files = append(slices.Clone(attr.Files), told, count)
	return attr, told, nil
}

// Check reports why a publishing URL cannot be handed over; nil: it can. It does not repeat the
// URL.
func Check(publish string) error {
	_, _, err := destination(publish)
	return err
}

func destination(publish string) (ingest.Address, target, error) {
	a, err := ingest.Parse(publish)
	switch {
	case err != nil:
		return a, target{}, err
	case !a.RTMP():
		return a, target{}, fmt.Errorf("the publishing URL begins with %s://, and only rtmp and rtmps can be kept "+
			"out of a command line", a.Scheme)
	case strings.Contains(a.Host, "@"):
		return a, target{}, errors.New("the publishing URL has a user and password, which RTMP servers understand in " +
			"ways of their own")
	case a.App == "" || a.Stream == "":
		return a, target{}, errors.New("the publishing URL must read rtmps://HOST/APPLICATION/STREAM")
	}
	return a, target{app: a.App, url: a.Server(), key: a.Key()}, nil
}

// Main is the process: it starts the program and returns its exit code, 128 and the signal when one
// has ended it.
func Main() int {
	runtime.LockOSThread() // the program ends with the thread that started it
	debug.SetGCPercent(25) // it makes little garbage, and its memory counts
	code, err := run()
	if err != nil {
		say("%v", err)
		return 1
	}
	return code
}

// say writes a line into the encoder's log.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "oncue: "+format+"\n", args...) }

func run() (code int, err error) {
	last, err := strconv.Atoi(os.Getenv(orderVar))
	if err != nil {
		return 0, errors.New("it is no command for people")
	}
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for fd := lockFD; fd < last; fd++ {
		files = append(files, os.NewFile(uintptr(fd), "file"))
	}
	in := os.NewFile(uintptr(last), "order")
	count := &counter{file: os.NewFile(uintptr(last+1), "count")}
	syscall.CloseOnExec(last)
	syscall.CloseOnExec(last + 1)
	var order Order
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return 0, fmt.Errorf("read the order: %w", err)
	}
	in.Close()
	a, to, err := destination(order.Publish)
	if err != nil {
		return 0, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	local := fmt.Sprintf(Local, port)
	for _, list := range [][]string{order.Args, order.Env} {
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], Placeholder, local)
		}
	}
	told := make(chan os.Signal, 8) // ends with the program, not before it
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	p, err := os.StartProcess(order.Program, order.Args, &os.ProcAttr{
		Dir: order.Dir, Env: order.Env, Files: files, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range told {
			if order.Forward {
				_ = p.Signal(s)
			}
		}
	}()
	go accept(l, a, to, count)
	state, err := p.Wait()
	if err != nil {
		return 0, err
	}
	if s := state.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal()), nil
	}
	return state.ExitCode(), nil
}

// accept takes the connections of the program.
func accept(l net.Listener, a ingest.Address, to target, count *counter) {
	self := proc.Identity{PID: os.Getpid(), Cookie: os.Getenv(proc.CookieVar)}
	if st, err := proc.ReadStat(self.PID); err == nil {
		self.Start = st.Start
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			remote, ok := c.RemoteAddr().(*net.TCPAddr)
			if !ok || !proc.Owns(self, remote.AddrPort(), l.Addr().(*net.TCPAddr).AddrPort()) {
				say("a connection of another program was refused")
				return
			}
			if err := serve(c, a, to, count); err != nil {
				say("%v", err)
			}
		}()
	}
}

// dialTime limits how long the real server may take to answer.
const dialTime = 10 * time.Second

// serve passes one connection on until one side ends.
func serve(client net.Conn, a ingest.Address, to target, count *counter) error {
	server, err := dial(a)
	if err != nil {
		return fmt.Errorf("connect to the publishing server: %w", err)
	}
	defer server.Close()
	done := make(chan struct{})
	defer close(done)
	go count.follow(server, done)
	if err := shake(&eager{Conn: client}, server); err != nil {
		return fmt.Errorf("talk to the publishing server: %w", err)
	}
	up, down := newPass(&eager{Conn: client}, server), newPass(server, client)
	up.edit = to.renamed
	down.dropAcks = true
	down.watch = func(command []byte) {
		if why := refusal(command); why != "" {
			say("the publishing server refuses: %s", why)
		}
	}
	ended := make(chan error, 2)
	for _, p := range []*pass{up, down} {
		go func() {
			ended <- p.run()
			client.Close()
			server.Close()
		}()
	}
	err = <-ended
	<-ended
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) {
		return nil // the program says more
	}
	return err
}

// eager acknowledges what a program sends at once while it says what it wants. The kernel would
// wait 40 ms each time, and the program with it.
type eager struct {
	net.Conn
	got int
}

func (e *eager) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if e.got += n; e.got < firstWords {
		if c, ok := e.Conn.(*net.TCPConn); ok {
			if raw, err := c.SyscallConn(); err == nil {
				_ = raw.Control(func(fd uintptr) {
					_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
				})
			}
		}
	}
	return n, err
}

// firstWords are more bytes than a publisher sends before its first picture.
const firstWords = 16 << 10

func dial(a ingest.Address) (net.Conn, error) {
	host, port := a.Host, "1935"
	if a.Scheme == "rtmps" {
		port = "443"
	}
	if h, p, err := net.SplitHostPort(a.Host); err == nil {
		host, port = h, p
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	address := net.JoinHostPort(strings.Trim(host, "[]"), port)
	if a.Scheme == "rtmps" {
		return (&tls.Dialer{}).DialContext(ctx, "tcp", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", address)
}
