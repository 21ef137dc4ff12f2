package millicast

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

func TestAnUnknownSecretsDeliveryIsTakenOnceTheSecretIsKnown(t *testing.T) {
	g := newRig(t, map[string][]secret.Value{"A": {secretOf("old")}})
	body := ViewerMessage(controller.HookNoViewers, "A", "lobby", vectorTime).Body()
	if _, err := g.send(secretOf("new"), body); !errors.Is(err, ErrSignature) {
		t.Fatalf("error %v", err)
	}
	g.advance(9 * time.Minute)
	if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {secretOf("other")}}); err != nil {
		t.Fatal(err)
	}
	if s := g.Stats(); s.Held != 1 || s.Recovered != 0 || len(g.delivered()) != 0 {
		t.Fatalf("another secret: %+v, delivered %v", s, g.delivered())
	}
	if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {secretOf("old"), secretOf("new")}}); err != nil {
		t.Fatal(err)
	}
	hooks := g.delivered()
	if len(hooks) != 1 || hooks[0].Kind != controller.HookNoViewers || !hooks[0].Received.Equal(vectorTime) {
		t.Fatalf("delivered %+v", hooks)
	}
	if s := g.Stats(); s.Held != 0 || s.Recovered != 1 || !s.Secrets[1].Last.Equal(vectorTime) || !s.Secrets[0].Last.IsZero() {
		t.Errorf("stats %+v", s)
	}
	if !strings.Contains(g.logged(), "a new webhook secret verifies it") {
		t.Errorf("the log does not tell: %s", g.logged())
	}
}

func TestHeldDeliveriesAgeLikeAllOthers(t *testing.T) {
	for _, c := range []struct {
		after   time.Duration
		verdict controller.Verdict
	}{
		{10 * time.Minute, controller.Accepted}, {14 * time.Minute, controller.Stale}, {16 * time.Minute, ""},
	} {
		g := newRig(t, nil)
		g.send(secretOf("new"), ViewerMessage(controller.HookAttempt, "A", "lobby", vectorTime).Body())
		g.advance(c.after)
		if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {secretOf("new")}}); err != nil {
			t.Fatal(err)
		}
		var got controller.Verdict
		if recs := g.journaled(); len(recs) > 0 {
			got = recs[0].Verdict
		}
		if got != c.verdict {
			t.Errorf("after %s: verdict %q, want %q", c.after, got, c.verdict)
		}
	}
}

func TestHoldingIsBounded(t *testing.T) {
	key := secretOf("unknown")
	small := func(i int) []byte { return fmt.Appendf(nil, `{"i":%d}`, i) }
	large := func(i int) []byte { return fmt.Appendf(nil, `{"i":%d,"x":"%s"}`, i, strings.Repeat("x", 60_000)) }
	for _, c := range []struct {
		what  string
		n     int
		body  func(int) []byte
		pause time.Duration
		held  int
	}{
		{"as many as fit", 1000, small, 0, 1000},
		{"a flood", 5000, small, 0, 1000},
		{"a slow flood", 5000, small, time.Second / heldPerSec, 1000},
		{"a trickle", 2000, small, time.Second, 15*60 + 1},
		{"large bodies", 500, large, 0, maxHeldBytes / len(large(100))},
		{"no JSON", 10, func(i int) []byte { return fmt.Appendf(nil, "%d", i) }, 0, 0},
	} {
		g := newRig(t, nil)
		for i := range c.n {
			g.send(key, c.body(i))
			g.advance(c.pause)
		}
		size := 0
		for _, d := range g.held.list {
			size += len(d.Body)
		}
		if held := g.Stats().Held; held != c.held || size != g.held.bytes || size > maxHeldBytes {
			t.Errorf("%s: %d held, want %d; %d bytes, counted as %d", c.what, held, c.held, size, g.held.bytes)
		}
	}
}

func TestHeldDeliveriesOutliveAStoreThatFails(t *testing.T) {
	g := newRig(t, nil)
	for i := range 200 {
		g.send(secretOf("new"), ViewerMessage(controller.HookAttempt, "A", fmt.Sprint(i), vectorTime).Body())
	}
	g.fail(controller.ErrStore)
	secrets := map[string][]secret.Value{"A": {secretOf("new")}}
	if err := g.SetSecrets(t.Context(), secrets); !errors.Is(err, controller.ErrStore) {
		t.Fatalf("error %v", err)
	}
	if held := g.Stats().Held; held != 200 {
		t.Fatalf("%d held, want 200", held)
	}
	g.fail(nil)
	if err := g.SetSecrets(t.Context(), secrets); err != nil {
		t.Fatal(err)
	}
	if n, s := len(g.delivered()), g.Stats(); n != 200 || s.Held != 0 || s.Recovered != 200 {
		t.Errorf("%d delivered, %+v", n, s)
	}
}

func TestABadSecretChangesNothing(t *testing.T) {
	g := newRig(t, oneAccount())
	err := g.SetSecrets(t.Context(), map[string][]secret.Value{"ABC123": {secretOf("good"), secret.New("bad")}})
	if err == nil || !strings.HasPrefix(err.Error(), "account ABC123: number 2: webhook secret: ") {
		t.Fatalf("error %v", err)
	}
	if _, err := g.Receive(t.Context(), delivery(ContentJSON, []byte(vectorBody), vectorSignature)); err != nil {
		t.Errorf("the old secret no longer verifies: %v", err)
	}
}

// The sender switches secrets at any moment, the receiver learns of it later, and nothing may be lost whatever the interleaving.
func TestRotationUnderLoadLosesNothing(t *testing.T) {
	const senders, each = 8, 120 // no more than there is room for, however slow this machine is at learning the new secret
	g := newRig(t, map[string][]secret.Value{"A": {secretOf("0")}})
	var (
		mu     sync.Mutex
		signer = secretOf("0")
		group  sync.WaitGroup
	)
	for s := range senders {
		group.Go(func() {
			for i := range each {
				mu.Lock()
				key := signer
				mu.Unlock()
				body := ViewerMessage(controller.HookAttempt, "A", fmt.Sprintf("%d-%d", s, i), vectorTime).Body()
				if _, err := g.send(key, body); err != nil && !errors.Is(err, ErrSignature) {
					t.Error(err)
				}
				if i%30 == 15 && s == 0 { // renew: the platform first, the receiver second
					next := secretOf(fmt.Sprint(i))
					mu.Lock()
					signer = next
					mu.Unlock()
					if err := g.SetSecrets(context.Background(), map[string][]secret.Value{"A": {key, next}}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {secretOf("0"), secretOf("15"), secretOf("45"), secretOf("75"), secretOf("105")}}); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, h := range g.delivered() {
		if got[h.Name] {
			t.Errorf("%s came twice", h.Name)
		}
		got[h.Name] = true
	}
	if len(got) != senders*each {
		t.Errorf("%d of %d hooks arrived; %+v", len(got), senders*each, g.Stats())
	}
}
