package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// A planned restart under load: the socket stays open elsewhere, as in systemd; each instance
// drains and the next one takes over. No sender may see an error, and every answered hook was
// received.
func TestRestartsLoseNoHook(t *testing.T) {
	const restarts, senders = 12, 8
	parent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	file, err := parent.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	var taken, answered, failed atomic.Int64
	receiver := verifying(func(context.Context, millicast.Delivery) (controller.Verdict, error) {
		taken.Add(1)
		return controller.Accepted, nil
	})
	stop, progress := make(chan struct{}), make(chan struct{}, 1)
	var load sync.WaitGroup
	for i := range senders {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := sendOnce(parent.Addr().String(), fmt.Sprintf(`{"sender":%d,"n":%d}`, i, n)); err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				answered.Add(1)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for range restarts {
		l, err := net.FileListener(file)
		if err != nil {
			t.Fatal(err)
		}
		h := NewHooks(HookOptions{Receiver: receiver, Log: quiet()})
		served := make(chan error, 1)
		go func() { served <- h.Serve(l) }()
		before := answered.Load()
		for answered.Load() < before+100 && failed.Load() == 0 {
			select {
			case <-progress:
			case <-time.After(patience):
				t.Fatal("the senders do not get on")
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if err := h.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	}
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHooks(HookOptions{Receiver: receiver, Log: quiet()})
	served := make(chan error, 1)
	go func() { served <- h.Serve(l) }()
	close(stop)
	load.Wait()
	_ = h.Close()
	<-served
	if taken.Load() != answered.Load() {
		t.Errorf("%d taken, %d answered", taken.Load(), answered.Load())
	}
	t.Logf("%d restarts, %d hooks, %d failed", restarts, answered.Load(), failed.Load())
}

func sendOnce(addr, body string) error {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request(body)); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		return fmt.Errorf("answered with %s", resp.Status)
	}
	return nil
}

func TestDrainEndsInTimeThoughPeersAreSilent(t *testing.T) {
	h, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	c := dial(t, addr)
	send(t, c, "POST ")
	for h.openConns() == 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := h.Drain(ctx); err == nil {
		t.Error("no error, though a connection was cut")
	}
	if status := statusOf(c); status != 0 {
		t.Errorf("the silent connection got %d", status)
	}
}

func (s *Server) openConns() int {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	return s.conns.open
}

func TestListen(t *testing.T) {
	none := &Sockets{}
	t.Run("tcp", func(t *testing.T) {
		ls, err := none.Listen("127.0.0.1:0", SocketHooks)
		if err != nil {
			t.Fatal(err)
		}
		addr := ls[0].Addr().String()
		if _, err := none.Listen(addr, SocketHooks); !errors.Is(err, syscall.EADDRINUSE) ||
			strings.Contains(err.Error(), addr) {
			t.Errorf("a used port: %v", err)
		}
		ls[0].Close()
	})
	t.Run("unix", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "oncue.sock")
		ls, err := none.Listen("unix:"+path, SocketAdmin)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != SocketMode {
			t.Errorf("socket file: %v, %v", info.Mode(), err)
		}
		if _, err := none.Listen("unix:"+path, SocketAdmin); err == nil {
			t.Error("a socket that is in use was taken")
		}
		// An instance that was killed leaves its file behind.
		ls[0].(*net.UnixListener).SetUnlinkOnClose(false)
		ls[0].Close()
		ls, err = none.Listen("unix:"+path, SocketAdmin)
		if err != nil {
			t.Fatalf("over an abandoned socket: %v", err)
		}
		ls[0].Close()
		// A file that is not a socket is not removed.
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := none.Listen("unix:"+path, SocketAdmin); err == nil {
			t.Error("a file was replaced by a socket")
		}
	})
	t.Run("systemd", func(t *testing.T) {
		if _, err := none.Listen("systemd", SocketHooks); !errors.Is(err, ErrNoSocket) {
			t.Errorf("without sockets: %v", err)
		}
		ls := make([]net.Listener, 3)
		for i := range ls {
			var err error
			if ls[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			defer ls[i].Close()
		}
		passed := func(names ...string) *Sockets {
			s := &Sockets{}
			for i, name := range names {
				s.passed = append(s.passed, passedSocket{name: name, ls: ls[i]})
			}
			return s
		}
		got := func(s *Sockets, name string) string {
			found, err := s.Listen("systemd", name)
			if err != nil {
				return err.Error()
			}
			var places []string
			for _, f := range found {
				for i := range ls {
					if ls[i] == f {
						places = append(places, fmt.Sprint(i))
					}
				}
			}
			return strings.Join(places, " ")
		}
		for _, tt := range []struct {
			names        []string
			hooks, admin string
		}{
			{[]string{"admin", "hooks", "hooks"}, "1 2", "0"},
			{[]string{"oncue.socket", "oncue.socket"}, "0", "1"},
			{[]string{"oncue.socket"}, "0", `systemd passed no socket that is named "admin" (FileDescriptorName=)`},
			{[]string{"admin"}, `systemd passed no socket that is named "hooks" (FileDescriptorName=)`, "0"},
		} {
			s := passed(tt.names...)
			if hooks, admin := got(s, SocketHooks), got(s, SocketAdmin); hooks != tt.hooks || admin != tt.admin {
				t.Errorf("%v: hooks %q, admin %q", tt.names, hooks, admin)
			}
		}
	})
}
