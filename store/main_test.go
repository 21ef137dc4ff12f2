package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens dir and closes it when the test ends.
func open(t testing.TB, dir string) *Store {
	t.Helper()
	return openWith(t, Options{Dir: dir})
}

func openWith(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error("close:", err)
	}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(line []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(line)))
	return len(line), nil
}

// hook returns the n-th of an endless row of different hooks, of ten streams.
func hook(n int) controller.Record {
	const begin = 1_764_000_000_000
	sent := int64(begin + n)
	body := fmt.Appendf(nil, `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":%d,`+
		`"data":{"name":"cam-%d","accountId":"ABC","n":%d,"streamId":"ABC/cam-%d",`+
		`"viewerId":"e5c0b3a1-7f5d-4b2b-9a55-0d2f8f4a1c77"}}`, sent, n%10, n, n%10)
	return controller.Record{
		Received: time.Now(), Sent: time.UnixMilli(sent),
		Account: "ABC", Stream: controller.JoinID("ABC", fmt.Sprint("cam-", n%10)),
		Type: "viewerConnection", Event: "ViewerAttempt",
		Verdict: controller.Accepted, Size: len(body), Sum: sha256.Sum256(body), Body: body,
	}
}

// mustAppend stores hooks from to to, without to.
func mustAppend(t testing.TB, s *Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, duplicate, err := s.Append(t.Context(), hook(n)); err != nil || duplicate {
			t.Fatalf("hook %d: duplicate %v, error %v", n, duplicate, err)
		}
	}
}

// eventually waits until ok, for as long as a busy machine may need.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("never happened: " + what)
		}
	}
}

// wait takes the next of a channel.
func wait[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// number asks the database for one number.
func number(t testing.TB, s *Store, query string, args ...any) (n int64) {
	t.Helper()
	if err := s.reader().QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// onWriter runs fn on the writer's connection.
func onWriter(t testing.TB, s *Store, fn func(*commit.Conn) error) {
	t.Helper()
	if err := s.writer.Chore(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// holdWriter keeps the writer busy until release is closed.
func holdWriter(s *Store) (release chan struct{}) {
	release = make(chan struct{})
	held := make(chan struct{})
	go func() {
		_ = s.writer.Chore(context.Background(), func(*commit.Conn) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	return release
}
