package millicast

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// A rig is a Receiver with a journal and a controller in memory. Its wall clock shows the time of
// the documented delivery.
type rig struct {
	*Receiver
	mu      sync.Mutex
	clock   time.Time
	records []controller.Record
	sums    map[string]bool
	failing error
	hooks   []controller.Hook
	unknown string // the one stream that the configuration does not map
	log     bytes.Buffer
	thumbs  *ThumbnailDir
}

var vectorTime = time.UnixMilli(1727442713604).UTC()

func newRig(t testing.TB, secrets map[string][]secret.Value) *rig {
	t.Helper()
	thumbs, err := OpenThumbnails(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { thumbs.Close() })
	g := newBareRig(t, secrets, thumbs)
	g.thumbs = thumbs
	return g
}

func newBareRig(t testing.TB, secrets map[string][]secret.Value, thumbs Thumbnails) *rig {
	t.Helper()
	g := &rig{clock: vectorTime, sums: map[string]bool{}, unknown: "nobody"}
	var err error
	g.Receiver, err = NewReceiver(Options{
		Journal: g, Controller: g, Thumbnails: thumbs, Now: g.now,
		Log: slog.New(slog.NewTextHandler(&lockedWriter{g}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.SetSecrets(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	return g
}

type lockedWriter struct{ g *rig }

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.g.mu.Lock()
	defer w.g.mu.Unlock()
	return w.g.log.Write(p)
}

func (g *rig) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.clock
}

func (g *rig) advance(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clock = g.clock.Add(d)
}

func (g *rig) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failing = err
}

func (g *rig) Append(ctx context.Context, r controller.Record) (int64, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.failing != nil {
		return 0, false, g.failing
	}
	id := fmt.Sprintf("%x %v", r.Sum, r.Body == nil)
	aside := id + " aside"
	if g.sums[id] || r.Verdict != controller.Accepted && g.sums[aside] {
		return 0, true, nil
	}
	if r.Verdict != controller.Accepted {
		id = aside
	}
	g.sums[id] = true
	r.Seq = int64(len(g.records) + 1)
	g.records = append(g.records, r)
	return r.Seq, false, nil
}

func (g *rig) Knows(account, name string) bool { return name != g.unknown }

func (g *rig) Take(ctx context.Context, r controller.Record, h controller.Hook) (int64, bool, error) {
	seq, duplicate, err := g.Receiver.journal.Append(ctx, r)
	if err == nil && !duplicate {
		g.Deliver(h)
	}
	return seq, duplicate, err
}

func (g *rig) Deliver(h controller.Hook) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hooks = append(g.hooks, h)
}

func (g *rig) delivered() []controller.Hook {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]controller.Hook(nil), g.hooks...)
}

func (g *rig) journaled() []controller.Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]controller.Record(nil), g.records...)
}

func (g *rig) logged() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.log.String()
}

// send delivers body, signed with key.
func (g *rig) send(key secret.Value, body []byte) (controller.Verdict, error) {
	return g.Receive(context.Background(), delivery(ContentJSON, body, Sign(key, body)))
}

func delivery(contentType string, body []byte, signatures ...string) Delivery {
	return Delivery{Via: "test", ContentType: contentType, Header: http.Header{SignatureHeader: signatures}, Body: body}
}

// secretOf makes a valid secret from a few letters.
func secretOf(name string) secret.Value {
	return secret.New(base64.StdEncoding.EncodeToString([]byte("0123456789abcdef" + name)))
}

func oneAccount() map[string][]secret.Value {
	return map[string][]secret.Value{"ABC123": {secret.New(vectorSecret)}}
}
