package millicast

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// sink is a journal and a controller that cost nothing.
type sink struct{}

func (sink) Append(context.Context, controller.Record) (int64, bool, error) { return 1, false, nil }
func (sink) Knows(string, string) bool                                      { return true }
func (sink) Deliver(controller.Hook)                                        {}

func (sink) Take(context.Context, controller.Record, controller.Hook) (int64, bool, error) {
	return 1, false, nil
}

func BenchmarkParse(b *testing.B) {
	body := []byte(vectorBody)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, hook, err := parse(body); err != nil || hook.Name == "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	ring, err := newKeyring(oneAccount())
	if err != nil {
		b.Fatal(err)
	}
	body := []byte(vectorBody)
	b.ReportAllocs()
	for b.Loop() {
		sig, _ := parseSignature(vectorSignature)
		if len(ring.verify(sig, body)) != 1 {
			b.Fatal("it does not verify")
		}
	}
}

func benchReceiver(b *testing.B) *Receiver {
	r, err := NewReceiver(Options{Journal: sink{}, Controller: sink{}, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return vectorTime }})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.SetSecrets(b.Context(),
		map[string][]secret.Value{"ABC123": {secretOf("old"), secret.New(vectorSecret)}}); err != nil {
		b.Fatal(err)
	}
	return r
}

func BenchmarkReceive(b *testing.B) {
	r := benchReceiver(b)
	d := delivery(ContentJSON, []byte(vectorBody), vectorSignature)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if v, err := r.Receive(context.Background(), d); v != controller.Accepted {
				b.Fatal(v, err)
			}
		}
	})
}

func BenchmarkReceiveForged(b *testing.B) {
	r := benchReceiver(b)
	d := delivery(ContentJSON, []byte(vectorBody), "sha1=0000000000000000000000000000000000000000")
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := r.Receive(context.Background(), d); err != ErrSignature {
				b.Fatal(err)
			}
		}
	})
}
