package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a condition may take on a busy host.
const patience = 60 * time.Second

// receiver receives hooks without a network. It answers 200 unless answer says otherwise.
type receiver struct {
	answer func(r *http.Request) (status int, err error)

	mu  sync.Mutex
	got []hook
}

// hook is one delivery as received.
type hook struct {
	Type, Event string
	Timestamp   int64
	Data        struct {
		Name, AccountID, StreamID, FeedID, SourceID string
		Started, Ended                              int64
		Active                                      bool
		Priority                                    *int
	}
	body      string
	signature string
	header    http.Header
	at        time.Time
}

func (rec *receiver) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	h := hook{body: string(body), signature: r.Header.Get(millicast.SignatureHeader), header: r.Header, at: time.Now()}
	if r.Header.Get("Content-Type") == millicast.ContentJPEG {
		h.Type = millicast.TypeThumbnail
	} else if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	rec.mu.Lock()
	rec.got = append(rec.got, h)
	rec.mu.Unlock()
	status := http.StatusOK
	if rec.answer != nil {
		if status, err = rec.answer(r); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// hooks returns the hooks about a stream that came, all if name is empty.
func (rec *receiver) hooks(name string) []hook {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	var list []hook
	for _, h := range rec.got {
		if name == "" || h.Data.Name == name {
			list = append(list, h)
		}
	}
	return list
}

// events returns the events of the hooks about a stream that came, in one line.
func (rec *receiver) events(name string) string {
	var list []string
	for _, h := range rec.hooks(name) {
		list = append(list, h.Event)
	}
	return strings.Join(list, " ")
}

const (
	testHook   = "http://hooks.invalid/hooks/millicast"
	testSecret = "c2VjcmV0LWtleS1mb3ItdGVzdHM="
)

// start starts a simulator that sends its hooks to a receiver.
func start(t *testing.T, set Settings) (*Simulator, *receiver) {
	t.Helper()
	rec := &receiver{}
	set.WebhookURL, set.Transport = testHook, rec
	set.Secret = secret.New(testSecret)
	set.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	sim, err := Start(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	return sim, rec
}

// until waits for a condition.
func until(t *testing.T, sim *Simulator, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := sim.Wait(ctx, condition); err != nil {
		for _, name := range sim.Streams() {
			t.Logf("%s: %+v", name, sim.Truth(name))
		}
		t.Fatalf("waited %v for: %s", patience, what)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]Settings{
		"secret": {Secret: secret.New("not base64!")},
		"scale":  {Scale: -1},
		"rtmp":   {RTMPAddr: "127.0.0.1:port"},
		"api":    {APIAddr: "127.0.0.1:port"},
	} {
		if sim, err := Start(t.Context(), set); err == nil {
			sim.Close()
			t.Errorf("%s: it started", name)
		}
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	sim, err := Start(ctx, Settings{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	until(t, sim, "the API to be gone", func() bool {
		resp, err := http.Get(sim.APIURL())
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

var errUnreachable = errors.New("connection refused")
