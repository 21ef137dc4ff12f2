package millicast

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

func TestRoundTrip(t *testing.T) {
	f := newFakeAPI(t)
	g := newRig(t, map[string][]secret.Value{"A": {secretOf("a")}})
	f.onTest = func(stream string) {
		if _, err := g.send(secretOf("a"),
			ViewerMessage(controller.HookAttempt, "A", stream, vectorTime).Body()); err != nil {
			t.Error(err)
		}
	}
	took, err := RoundTrip(t.Context(), f.client(t), g)
	if err != nil || took <= 0 {
		t.Errorf("took %s, error %v", took, err)
	}
	if len(f.tests) != 1 || !strings.HasPrefix(f.tests[0], "ViewerConnection "+ReservedPrefix) {
		t.Errorf("asked for %v", f.tests)
	}
	if len(g.delivered()) != 0 {
		t.Errorf("the machine was moved: %v", g.delivered())
	}
}

func TestRoundTripThatBreaks(t *testing.T) {
	f := newFakeAPI(t)
	g := newRig(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := RoundTrip(ctx, f.client(t), g); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "its hook did not arrive") {
		t.Errorf("a hook that never comes: %v", err)
	}
	f.breakWith(func(w http.ResponseWriter, r *http.Request) bool { status(403)(w, r); return true })
	if _, err := RoundTrip(t.Context(), f.client(t), g); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a request that is refused: %v", err)
	}
	if n := g.arrivals.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}
