package web

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oncue/oncue/configs/secret"
)

// TestNobodyWaitsForASlowOne: a disk or a client that hangs delays the one request that needs it,
// and no other.
func TestNobodyWaitsForASlowOne(t *testing.T) {
	t.Run("a log-out whose setting is not stored yet", func(t *testing.T) {
		settings := stuckSettings{begun: make(chan struct{}), free: make(chan struct{})}
		s, err := newSessions(secret.New("a token of good length"), settings)
		if err != nil {
			t.Fatal(err)
		}
		cookie, other := s.issue("c", time.Now()), s.issue("c", time.Now())
		id, until, _ := s.check("c", cookie)
		var ending sync.WaitGroup
		ending.Go(func() {
			if err := s.end(context.Background(), id, until); err != nil {
				t.Error(err)
			}
		})
		<-settings.begun
		soon(t, "another session", func() {
			if _, _, ok := s.check("c", other); !ok {
				t.Error("another session is over, too")
			}
			if _, _, ok := s.check("c", cookie); ok {
				t.Error("the session is still valid")
			}
		})
		close(settings.free)
		ending.Wait()
	})

	t.Run("a scrape that is not read", func(t *testing.T) {
		f := newFake("ABC123/cam-1")
		s := f.streams["ABC123/cam-1"]
		s.Pattern = "ABC123/cam-*"
		f.streams[string(s.ID)] = s
		v := &viewCollector{controller: f, now: time.Now, patterns: map[string]*patternSums{}}
		slow := make(chan prometheus.Metric)
		var reading sync.WaitGroup
		reading.Go(func() { v.Collect(slow); close(slow) })
		<-slow
		soon(t, "another scrape", func() { v.Collect(make(chan prometheus.Metric, 100)) })
		for range slow {
		}
		reading.Wait()
	})

	t.Run("a certificate that is not readable yet", func(t *testing.T) {
		dir := t.TempDir()
		cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		writeCert(t, cert, key, "first")
		f := &certFiles{cert: cert, key: key, log: quiet()}
		if _, err := f.load(nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(key); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(key, 0o600); err != nil { // opening it waits for a writer
			t.Fatal(err)
		}
		now := time.Now().Add(certCheck)
		checking := make(chan struct{})
		go func() {
			f.current(now)
			close(checking)
		}()
		w, err := os.OpenFile(key, os.O_WRONLY, 0) // returns when the other side has opened it
		if err != nil {
			t.Fatal(err)
		}
		soon(t, "another handshake", func() {
			if f.current(now) == nil {
				t.Error("no certificate")
			}
		})
		_ = w.Close()
		<-checking
	})
}

// soon fails when do does not end by itself.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		do()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		t.Fatalf("%s waits", what)
	}
}

// stuckSettings stores nothing before it is freed.
type stuckSettings struct{ begun, free chan struct{} }

func (stuckSettings) Setting(context.Context, string) (string, error) { return "", nil }

func (s stuckSettings) SetSetting(context.Context, string, string) error {
	close(s.begun)
	<-s.free
	return nil
}
