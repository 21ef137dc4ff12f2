package millicast

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// TestCloseLeavesNothingBehind: when the daemon stops, Close waits for deliveries that are still
// followed, but not for ever. Afterwards they no longer use the journal.
func TestCloseLeavesNothingBehind(t *testing.T) {
	for _, c := range []struct {
		what  string
		frees time.Duration // when the journal answers; 0: never
		took  time.Duration
		heard int
		word  string
	}{
		{"the journal answers", 3 * time.Second, 3 * time.Second, 1, "stored after its sender was told that it is not"},
		{"it does not", 0, 5 * time.Second, 0, "a signed hook is lost"},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := newBareRig(t, oneAccount(), nil)
			j := stuckJournal{g, make(chan struct{})}
			g.Receiver.journal = j
			bring := func(body string) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_, _ = g.Receive(ctx, delivery(ContentJSON, []byte(body), Sign(secret.New(vectorSecret), []byte(body))))
			}
			bring(vectorBody)
			if c.frees > 0 {
				time.AfterFunc(c.frees, func() { close(j.free) })
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			begun := time.Now()
			g.Close(ctx)
			if took := time.Since(begun); took != c.took {
				t.Errorf("%s: Close took %s, want %s", c.what, took, c.took)
			}
			if n := len(g.delivered()); n != c.heard || !strings.Contains(g.logged(), c.word) {
				t.Errorf("%s: the machine heard of %d hooks, want %d; log: %s", c.what, n, c.heard, g.logged())
			}
			if c.frees == 0 {
				bring(vectorBody + " ") // from a connection that could not be drained
				close(j.free)
				synctest.Wait()
				if n := len(g.delivered()); n != 0 || strings.Count(g.logged(), c.word) != 2 {
					t.Errorf("after Close, the machine heard of %d hooks; log: %s", n, g.logged())
				}
			}
		})
	}
}

// TestReceivedIsByTheControllersClock: when the wall clock was just set back an hour, the
// controller's clock is an hour ahead until it notices. To it, a hook that came an hour ago would
// be past its time-out.
func TestReceivedIsByTheControllersClock(t *testing.T) {
	g := newRig(t, nil)
	machine := func() time.Time { return g.now().Add(time.Hour) }
	g.Receiver.clock = machine
	key := secretOf("new")
	body := func(name string) []byte {
		return ViewerMessage(controller.HookNoViewers, "A", name, vectorTime).Body()
	}
	g.send(key, body("held"))
	g.advance(time.Minute)
	if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {key}}); err != nil {
		t.Fatal(err)
	}
	g.send(key, body("fresh"))
	for i, want := range []time.Duration{time.Minute, 0} {
		if hooks := g.delivered(); len(hooks) != 2 || !hooks[i].Received.Equal(machine().Add(-want)) {
			t.Fatalf("delivered %v, want one %s ago and one now, at %s", hooks, time.Minute, machine())
		}
		if rec := g.journaled()[i]; !rec.Received.Equal(g.now().Add(-want)) {
			t.Errorf("journaled as received at %s, want the wall clock's %s", rec.Received, g.now().Add(-want))
		}
	}
}
