package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func hook(n int) controller.Record {
	body := fmt.Appendf(nil, `{"type":"viewerConnection","event":"ViewerAttempt","n":%d}`, n)
	return controller.Record{
		Received: time.Now(), Sent: time.Now().Add(-time.Second),
		Account: "ABC", Stream: fmt.Sprintf("ABC/cam-%d", n%10), Type: "viewerConnection", Event: "ViewerAttempt",
		Verdict: controller.Accepted, Size: len(body), Sum: sha256.Sum256(body), Body: body,
	}
}

func TestAppend(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	ctx := context.Background()
	for n := range 40 {
		seq, dup, err := s.Append(ctx, hook(n))
		if err != nil || dup || seq != int64(n+1) {
			t.Fatal(seq, dup, err)
		}
	}
	seq, dup, err := s.Append(ctx, hook(7))
	if err != nil || !dup || seq != 8 {
		t.Fatal(seq, dup, err)
	}
	r, err := s.Records(ctx, controller.RecordFilter{Stream: "ABC/cam-3", Type: "VIEWERattempt", Limit: 3})
	if err != nil || len(r) != 3 || r[0].Seq != 34 {
		t.Fatal(r, err)
	}
	n := 0
	if err := s.Replay(ctx, time.Now().Add(-time.Minute), func(r controller.Record) error { n++; return nil }); err != nil || n != 40 {
		t.Fatal(n, err)
	}
	err = s.SaveStream(ctx, controller.Saved{ID: "ABC/x", At: time.Now(), State: []byte("{}")}, []controller.Transition{{Stream: "ABC/x", Reason: "a"}, {Stream: "ABC/x", Reason: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.History(ctx, "ABC/x", 10, 0)
	if err != nil || len(h) != 2 || h[0].Reason != "b" || h[0].Seq != 2 {
		t.Fatal(h, err)
	}
	s.Close()
	s = open(t, dir)
	if _, dup, err := s.Append(ctx, hook(7)); err != nil || !dup {
		t.Fatal(dup, err)
	}
	if seq, dup, err := s.Append(ctx, hook(77)); err != nil || dup || seq != 41 {
		t.Fatal(seq, dup, err)
	}
	if l, err := s.LoadStreams(ctx); err != nil || len(l) != 1 {
		t.Fatal(l, err)
	}
}
