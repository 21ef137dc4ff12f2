package proc

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	got, err := parseStat([]byte("42 (a) S (b) R 1 7 8 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 200 " +
		"18446744073709551615"))
	if want := (Stat{state: 'R', pgrp: 7, sid: 8, Start: 123456}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseStat([]byte("42 (x")); err == nil {
		t.Error("a torn line is understood")
	}
}

// TestSendQueue fills the socket of a connection that nobody reads, and measures it both ways.
func TestSendQueue(t *testing.T) {
	for _, host := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(host, func(t *testing.T) {
			l, err := net.Listen("tcp", host)
			if err != nil {
				t.Skip("no such network here: ", err)
			}
			defer l.Close()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			other, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			for _, denied := range []bool{false, true} {
				q := SendQueue{PID: os.Getpid(), denied: denied}
				if n, err := q.Bytes(time.Now()); err != nil || n != 0 {
					t.Errorf("empty, table %v: %d, %v", denied, n, err)
				}
			}
			if err := c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			for {
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			var got [2]int64
			for i, denied := range []bool{false, true} {
				q := SendQueue{PID: os.Getpid(), denied: denied}
				if got[i], err = q.Bytes(time.Now()); err != nil || got[i] < 100_000 {
					t.Errorf("full, table %v: %d, %v", denied, got[i], err)
				}
				if q.denied != denied {
					t.Log("this kernel does not answer about single sockets")
				}
			}
			if got[0] != got[1] {
				t.Errorf("measured %d by question and %d by table", got[0], got[1])
			}
			q := SendQueue{PID: os.Getpid()}
			if _, err := q.Bytes(time.Now()); err != nil {
				t.Error(err)
			}
			c.Close()
			other.Close()
			if n, err := q.Bytes(time.Now()); err != nil || n != 0 {
				t.Errorf("after the connection's end: %d, %v", n, err)
			}
			_, _ = io.Copy(io.Discard, other)
		})
	}
}

func TestSelfIsKnown(t *testing.T) {
	h, err := OpenHandle(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if ended, err := h.Wait(time.Now().Add(20 * time.Millisecond)); ended || err != nil {
		t.Errorf("we have ended: %v, %v", ended, err)
	}
	id, err := Identify(h, os.Getpid(), Environ(os.Getpid(), CookieVar))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Find(id)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	for name, harm := range map[string]func(*Identity){
		"start time": func(i *Identity) { i.Start++ }, "boot": func(i *Identity) { i.Boot += "x" },
		"inode": func(i *Identity) { i.Inode++ }, "cookie": func(i *Identity) { i.Cookie += "x" },
	} {
		other := id
		harm(&other)
		if h, err := Find(other); err == nil {
			h.Close()
			t.Errorf("a process with another %s is taken for it", name)
		}
	}
}
