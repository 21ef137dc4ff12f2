package millicast_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// memory is a journal and a controller, and the way from the platform to the receiver.
type memory struct {
	receiver *millicast.Receiver

	mu      sync.Mutex
	records []controller.Record
}

func (m *memory) Append(_ context.Context, r controller.Record) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, r)
	return int64(len(m.records)), false, nil
}

func (m *memory) Take(ctx context.Context, r controller.Record, _ controller.Hook) (int64, bool, error) {
	return m.Append(ctx, r)
}

func (m *memory) Knows(_, name string) bool { return name == "lobby" }
func (m *memory) Deliver(controller.Hook)   {}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if _, err := m.receiver.Receive(r.Context(), millicast.Delivery{
		ContentType: r.Header.Get("Content-Type"), Header: r.Header, Body: body, Received: time.Now(),
	}); err != nil {
		status = http.StatusInternalServerError
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// Every hook of the platform is received and stored, and only hooks of viewers and feeds are acted
// on.
func TestTheReceiverTakesAllThatTheSimulatorSends(t *testing.T) {
	const key = "c2VjcmV0LWtleS1mb3ItdGVzdHM="
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	m := &memory{}
	var err error
	if m.receiver, err = millicast.NewReceiver(millicast.Options{Journal: m, Controller: m, Log: log}); err != nil {
		t.Fatal(err)
	}
	if err := m.receiver.SetSecrets(t.Context(), map[string][]secret.Value{"ABC123": {secret.New(key)}}); err != nil {
		t.Fatal(err)
	}
	sim, err := simulator.Start(t.Context(), simulator.Settings{InMemory: true, Transport: m, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	if _, err := sim.AddWebhook(simulator.Webhook{
		URL: "http://hooks.invalid/", Secret: secret.New(key),
		Feeds: true, Viewers: true, Thumbnails: true, Transcoders: true, Media: true, Recordings: true,
	}); err != nil {
		t.Fatal(err)
	}
	want := map[string]controller.Verdict{}
	for _, event := range millicast.EventNames() {
		if err := sim.Announce(event, "lobby"); err != nil {
			t.Fatal(err)
		}
		want[event] = controller.Ignored
		if strings.HasPrefix(event, "feeds.") || strings.HasPrefix(event, "viewerConnection.") {
			want[event] = controller.Accepted
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sim.Wait(ctx, func() bool { return sim.Counts().Answered == len(want) }); err != nil {
		t.Fatalf("%v: %+v", err, sim.Counts())
	}
	got := map[string]controller.Verdict{}
	for _, r := range m.records {
		got[fmt.Sprintf("%s.%s", r.Type, r.Event)] = r.Verdict
		if len(r.Body) == 0 || r.Sent.IsZero() {
			t.Errorf("%s %s is stored without body or time", r.Type, r.Event)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("verdicts of %v (-want +got):\n%s", slices.Sorted(maps.Keys(got)), d)
	}
}
