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
	if err := g.SetSecrets(t.Context(),
		map[string][]secret.Value{"A": {secretOf("old"), secretOf("new")}}); err != nil {
		t.Fatal(err)
	}
	hooks := g.delivered()
	if len(hooks) != 1 || hooks[0].Kind != controller.HookNoViewers || !hooks[0].Received.Equal(vectorTime) {
		t.Fatalf("delivered %+v", hooks)
	}
	if s := g.Stats(); s.Held != 0 || s.Recovered != 1 || !s.Secrets[1].Last.Equal(vectorTime) ||
		!s.Secrets[0].Last.IsZero() {
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

// bring delivers body as peer, signed with key.
func (g *rig) bring(peer string, key secret.Value, body []byte) {
	d := delivery(ContentJSON, body, Sign(key, body))
	d.Peer = peer
	g.Receive(context.Background(), d)
}

func TestOnlyWhatLooksGenuineIsHeld(t *testing.T) {
	key := secretOf("unknown")
	viewer := func(account, name string, sent time.Time) []byte {
		return ViewerMessage(controller.HookAttempt, account, name, sent).Body()
	}
	padded := func(size int) []byte {
		return []byte(attempt(fmt.Sprintf(`"name":"lobby","accountId":"A","x":"%s"`, strings.Repeat("x", size))))
	}
	for _, c := range []struct {
		what string
		body []byte
		held int
	}{
		{"a hook", viewer("A", "lobby", vectorTime), 1},
		{"without an account", []byte(attempt(`"name":"lobby"`)), 1},
		{"nearly stale", viewer("A", "lobby", vectorTime.Add(-MaxSkew)), 1},
		{"stale", viewer("A", "lobby", vectorTime.Add(-MaxSkew-time.Second)), 0},
		{"of an unmapped stream", viewer("A", "nobody", vectorTime), 0},
		{"of a round-trip test", viewer("A", ReservedPrefix+"x", vectorTime), 0},
		{"one that moves no stream",
			[]byte(`{"type":"media","event":"completed","timestamp":1727442713604,"data":{"streamId":"A/lobby"}}`), 0},
		{"an object", []byte(`{"a":1}`), 0},
		{"no JSON", []byte(`1`), 0},
		{"with much beside it", padded(maxHeldBody / 2), 1},
		{"too large", padded(maxHeldBody), 0},
	} {
		g := newRig(t, map[string][]secret.Value{"A": {secretOf("old")}})
		g.bring("", key, c.body)
		if held := g.Stats().Held; held != c.held {
			t.Errorf("%s: %d held, want %d", c.what, held, c.held)
		}
	}
	g := newRig(t, nil)
	body := viewer("A", "lobby", vectorTime)
	if g.Receive(t.Context(), delivery(ContentJPEG, body, Sign(key, body))); g.Stats().Held != 0 {
		t.Error("a picture is held")
	}
}

// checkRoom checks the bounds and the counts of the strangers' room.
func (g *rig) checkRoom(t *testing.T) {
	t.Helper()
	r := &g.held.rooms[0]
	bytes, count, shares := 0, 0, 0
	for _, d := range r.line {
		if d.share != nil {
			bytes, count = bytes+d.cost(), count+1
		}
	}
	for _, p := range r.peers {
		of := 0
		for _, s := range p.streams {
			of += s.bytes
		}
		if shares += of; of != p.bytes || of == 0 {
			t.Errorf("a peer's shares have %d bytes, counted as %d", of, p.bytes)
		}
	}
	if bytes != r.bytes || shares != bytes || count != r.count || bytes > maxHeldBytes ||
		len(r.line) > count+count/2+16 {
		t.Errorf("%d bytes, counted as %d and %d; %d held, counted as %d, in a line of %d", bytes, r.bytes, shares,
			count, r.count, len(r.line))
	}
}

func TestHoldingIsBounded(t *testing.T) {
	key := secretOf("unknown")
	for _, c := range []struct {
		what         string
		n            int
		peers, names int
		padding      int
		pause        time.Duration
		least, most  int
	}{
		{"a flood", 30_000, 1, 1, 0, 0, 15_000, 20_000},
		{"of large bodies", 3000, 10, 10, maxHeldBody - 400, 0, 1000, 2000},
		{"of many names", 30_000, 1, 1 << 20, 0, 0, 15_000, 20_000},
		{"of many peers", 30_000, 1 << 20, 100, 0, 0, 15_000, 20_000},
		{"a trickle", 2000, 3, 3, 0, time.Second, 15*60 + 1, 15*60 + 1},
	} {
		g := newRig(t, nil)
		for i := range c.n {
			body := attempt(fmt.Sprintf(`"name":"s%d","accountId":"A","i":%d,"x":"%s"`, i%c.names, i,
				strings.Repeat("x", c.padding)))
			body = strings.Replace(body, "1727442713604", fmt.Sprint(g.now().UnixMilli()), 1)
			g.bring(fmt.Sprint(i%c.peers), key, []byte(body))
			g.advance(c.pause)
		}
		if held := g.Stats().Held; held < c.least || held > c.most {
			t.Errorf("%s: %d held, want %d to %d", c.what, held, c.least, c.most)
		}
		g.checkRoom(t)
		g.advance(maxHeldTime + time.Second)
		g.held.mu.Lock()
		g.held.expire(g.now())
		g.held.mu.Unlock()
		if r := &g.held.rooms[0]; r.count != 0 || r.bytes != 0 || len(r.line) != 0 || len(r.peers) != 0 {
			t.Errorf("%s: when all is too old, %d are held, %d bytes, %d peers", c.what, r.count, r.bytes, len(r.peers))
		}
	}
}

// TestForgedDeliveriesDoNotDisplaceThePlatforms floods the receiver between the platform's change
// of the secret and the moment it is known here. The platform's hooks come during the flood.
func TestForgedDeliveriesDoNotDisplaceThePlatforms(t *testing.T) {
	const floods, hooks, peers = 40_000, 40, 2
	platform := func(i int) string { return fmt.Sprint("platform-", i%peers) }
	for _, c := range []struct {
		what   string
		known  bool // the platform's peers have brought signed hooks before
		peer   func(i int) string
		stream func(i int) string
		least  int // of the hooks must arrive
	}{
		{"one peer imitates everything", false, func(int) string { return "x" },
			func(i int) string { return fmt.Sprint("cam-", i%hooks) }, hooks},
		{"a few peers imitate everything", false, func(i int) string { return fmt.Sprint(i % 20) },
			func(i int) string { return fmt.Sprint("cam-", i%hooks) }, hooks},
		{"one peer invents names", false, func(int) string { return "x" },
			func(i int) string { return fmt.Sprint("cam-x-", i) }, hooks},
		{"the platform's own address forges one stream", false, platform, func(int) string { return "lobby" }, hooks},
		{"many peers imitate everything", true, func(i int) string { return fmt.Sprint(i) },
			func(i int) string { return fmt.Sprint("cam-", i%hooks) }, hooks},
		{"many peers, and the platform is as new as they are", false, func(i int) string { return fmt.Sprint(i) },
			func(i int) string { return fmt.Sprint("cam-", i%hooks) }, hooks / 20},
	} {
		old, next, wrong := secretOf("old"), secretOf("new"), secretOf("wrong")
		g := newRig(t, map[string][]secret.Value{"A": {old}})
		if c.known {
			for i := range peers {
				g.bring(platform(i), old, ViewerMessage(controller.HookNoViewers, "A", fmt.Sprint("before-", i),
					vectorTime).Body())
			}
		}
		for i := range floods {
			forged := attempt(fmt.Sprintf(`"name":"%s","accountId":"A","i":%d`, c.stream(i), i))
			g.bring(c.peer(i), wrong, []byte(forged))
			if n := i - floods/2; n >= 0 && n < hooks {
				g.bring(platform(n), next, ViewerMessage(controller.HookAttempt, "A", fmt.Sprint("cam-", n),
					vectorTime).Body())
			}
		}
		if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {old, next}}); err != nil {
			t.Fatal(err)
		}
		if got := g.Stats().Recovered; got < uint64(c.least) {
			t.Errorf("%s: %d of %d hooks were taken late, want %d at least", c.what, got, hooks, c.least)
		}
		g.checkRoom(t)
	}
}

// TestAReplayMakesNobodyKnown: a stranger does not become a known peer by what it may have
// overheard.
func TestAReplayMakesNobodyKnown(t *testing.T) {
	key := secretOf("a")
	hook := ViewerMessage(controller.HookAttempt, "A", "lobby", vectorTime).Body()
	stale := ViewerMessage(controller.HookAttempt, "A", "lobby", vectorTime.Add(-time.Hour)).Body()
	g := newRig(t, map[string][]secret.Value{"A": {key}})
	g.bring("platform", key, hook)
	g.bring("x", key, hook)
	g.bring("x", key, stale)
	for _, body := range []string{"\xff\xd8\xffpicture", string(stale) + " "} {
		d := delivery(ContentJPEG, []byte(body), Sign(key, []byte(body)))
		d.Peer = "x"
		g.Receive(t.Context(), d)
	}
	if !g.known.contains("platform") || g.known.contains("x") {
		t.Errorf("known are %v", g.known.last)
	}
	for i := range 2 * maxKnownPeers {
		g.known.add(fmt.Sprint(i), vectorTime.Add(time.Duration(i)))
	}
	if n := len(g.known.last); n != maxKnownPeers || !g.known.contains(fmt.Sprint(2*maxKnownPeers-1)) ||
		g.known.contains("0") {
		t.Errorf("%d peers are remembered", n)
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

// The sender changes secrets at any moment and the receiver learns of it later: no hook may be
// lost, whatever the interleaving.
func TestRotationUnderLoadLosesNothing(t *testing.T) {
	// fewer than there is room for, however late SetSecrets runs on this host
	const senders, each = 8, 120
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
					if err := g.SetSecrets(context.Background(),
						map[string][]secret.Value{"A": {key, next}}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	if err := g.SetSecrets(t.Context(),
		map[string][]secret.Value{"A": {secretOf("0"), secretOf("15"), secretOf("45"), secretOf("75"),
			secretOf("105")}}); err != nil {
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
