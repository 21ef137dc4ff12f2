package millicast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

const ourURL = "https://cue.example.org/hooks/millicast"

type ward struct {
	*Caretaker
	api     *fakeAPI
	notices []controller.Notice
	log     strings.Builder
}

func newWard(t *testing.T, thumbnails bool) *ward {
	w := &ward{api: newFakeAPI(t)}
	w.Caretaker = NewCaretaker(CaretakerOptions{
		Client: w.api.client(t), URL: HookURL("https://cue.example.org/"), Thumbnails: thumbnails,
		Notify: func(n controller.Notice) { w.notices = append(w.notices, n) },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	return w
}

func ours(more map[string]any) map[string]any {
	members := map[string]any{"url": ourURL, "isFeedHooks": true, "isViewerConnectionHooks": true}
	for k, v := range more {
		members[k] = v
	}
	return members
}

func (w *ward) ensure(t *testing.T) WebhookState {
	t.Helper()
	state, err := w.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// changes are the bodies of all PUTs.
func (w *ward) changes() (all []map[string]any) {
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	for call, bodies := range w.api.bodies {
		if strings.HasPrefix(call, "PUT ") {
			all = append(all, bodies...)
		}
	}
	return all
}

func TestEnsureCreatesOnce(t *testing.T) {
	w := newWard(t, true)
	for i := range 30 {
		w.api.addWebhook(map[string]any{"url": fmt.Sprint("https://other/", i)})
	}
	w.api.addWebhook(map[string]any{"url": ourURL + "/"}) // not ours: another URL
	state := w.ensure(t)
	if !state.Created || state.Webhook.ID != 32 || !state.Webhook.Feeds || !state.Webhook.Viewers ||
		!state.Webhook.Thumbnails {
		t.Errorf("state %+v", state)
	}
	if len(state.Secrets) != 1 || !state.Secrets[0].Equal(secretOf("webhook-32").Reveal()) {
		t.Errorf("secrets %v", state.Secrets)
	}
	again := w.ensure(t)
	if again.Created || again.Webhook.ID != 32 || w.api.counted("POST /api/webhooks") != 1 || len(w.changes()) != 0 {
		t.Errorf("again: %+v, calls %v", again, w.api.calls)
	}
	if v := again.View(); v != (controller.WebhookView{ID: 32, URL: ourURL}) {
		t.Errorf("view %+v", v)
	}
}

func TestEnsureLooksAgainWhenTheAnswerToCreateIsLost(t *testing.T) {
	w := newWard(t, false)
	w.api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.api.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		w.api.newWebhook(ours(nil)) // the webhook is made, and then the connection breaks
		panic(http.ErrAbortHandler)
	})
	if state := w.ensure(t); !state.Created || state.Webhook.ID != 1 || len(w.api.webhooks) != 1 {
		t.Errorf("state %+v, webhooks %v", state, w.api.webhooks)
	}
}

func TestEnsureSaysWhenCreatingFails(t *testing.T) {
	w := newWard(t, false)
	w.api.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPost {
			return false
		}
		fail(rw, map[string]any{"url": []string{"must be https"}})
		return true
	})
	_, err := w.Ensure(t.Context())
	if err == nil || err.Error() != "platform: create a webhook: answered 400 Bad Request: url: must be https" ||
		w.api.counted("POST /api/webhooks") != 1 {
		t.Errorf("error %v, calls %v", err, w.api.calls)
	}
}

func TestEnsureRepairsFlagsAndLeavesTheRest(t *testing.T) {
	w := newWard(t, false)
	other := w.api.addWebhook(map[string]any{"url": "https://other/", "disabled": map[string]any{"reason": "x"}})
	id := w.api.addWebhook(ours(map[string]any{"isViewerConnectionHooks": false, "filter": "^lobby$",
		"isMediaHooks": true}))
	state := w.ensure(t)
	if d := cmp.Diff([]string{"isViewerConnectionHooks"}, state.Repaired); d != "" || !state.Webhook.Viewers {
		t.Errorf("state %+v", state)
	}
	if d := cmp.Diff([]map[string]any{{"isViewerConnectionHooks": true}}, w.changes()); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	if hook := w.api.webhook(id); hook["filter"] != "^lobby$" || hook["isMediaHooks"] != true ||
		hook["isThumbnailHooks"] != false {
		t.Errorf("webhook %v", hook)
	}
	if hook := w.api.webhook(other); hook["disabled"] == nil {
		t.Error("another webhook was touched")
	}
	if len(w.notices) != 0 {
		t.Errorf("notices %v", w.notices)
	}
}

func TestEnsureEnablesAndTells(t *testing.T) {
	w := newWard(t, false)
	id := w.api.addWebhook(
		ours(map[string]any{"disabled": map[string]any{"until": 1_800_000_000_000, "reason": "too many timeouts"}}))
	state := w.ensure(t)
	if state.Disabled == nil || state.Disabled.Reason != "too many timeouts" || state.Webhook.Disabled != nil ||
		w.api.webhook(id)["disabled"] != nil {
		t.Errorf("state %+v, webhook %v", state, w.api.webhook(id))
	}
	if d := cmp.Diff([]map[string]any{{"reEnable": true}}, w.changes()); d != "" {
		t.Errorf("sent (-want +got):\n%s", d)
	}
	want := "the platform had disabled the webhook " + ourURL +
		": too many timeouts, until 2027-01-15T08:00:00Z; it is enabled again"
	if len(w.notices) != 1 || w.notices[0].Kind != WebhookDisabled || w.notices[0].Account != "A" ||
		w.notices[0].Text != want {
		t.Errorf("notices %+v", w.notices)
	}
	if w.ensure(t); len(w.notices) != 1 {
		t.Errorf("told again: %+v", w.notices)
	}
}

func TestEnsureTellsWhenEnablingFails(t *testing.T) {
	w := newWard(t, false)
	w.api.addWebhook(ours(map[string]any{"disabled": map[string]any{"reason": "slow"}}))
	w.api.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		fail(rw, "not before tomorrow")
		return true
	})
	state, err := w.Ensure(t.Context())
	if err == nil || state.Webhook.Disabled == nil || state.Disabled != nil || *state.View().Disabled != "slow" {
		t.Errorf("state %+v, error %v", state, err)
	}
	if len(state.Secrets) != 1 {
		t.Errorf("its secret still counts: %v", state.Secrets)
	}
	if len(w.notices) != 1 || !strings.Contains(w.notices[0].Text, "enabling it failed") ||
		!strings.Contains(w.notices[0].Text, "not before tomorrow") {
		t.Errorf("notices %+v", w.notices)
	}
}

func TestEnsureWarnsOfDuplicatesAndRemovesNone(t *testing.T) {
	w := newWard(t, false)
	for range 3 {
		w.api.addWebhook(ours(nil))
	}
	for range 2 {
		state := w.ensure(t)
		if state.Webhook.ID != 1 || !cmp.Equal(state.Duplicates, []int{2, 3}) || len(state.Secrets) != 3 {
			t.Errorf("state %+v", state)
		}
	}
	if len(w.api.webhooks) != 3 || len(w.changes()) != 0 {
		t.Errorf("webhooks %v, changes %v", w.api.webhooks, w.changes())
	}
	if n := strings.Count(w.log.String(), "more than one webhook"); n != 1 {
		t.Errorf("the log tells %d times: %s", n, w.log.String())
	}
}

func TestEnsureRefusesAnotherAccountsSecret(t *testing.T) {
	w := newWard(t, false)
	w.api.account = "B"
	if _, err := w.Ensure(t.Context()); !errors.Is(err, ErrWrongAccount) || len(w.api.webhooks) != 0 {
		t.Errorf("error %v, webhooks %v", err, w.api.webhooks)
	}
}

func TestRotate(t *testing.T) {
	for what, lost := range map[string]bool{"plain": false, "the answer is lost": true} {
		w := newWard(t, false)
		id := w.api.addWebhook(ours(nil))
		w.api.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		w.api.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !lost {
				return false
			}
			w.api.webhooks[0]["secret"] = secretOf("renewed").Reveal()
			panic(http.ErrAbortHandler)
		})
		before, after, err := w.Rotate(t.Context())
		if err != nil || !before.Equal(secretOf("webhook-1").Reveal()) ||
			!after.Equal(w.api.webhook(id)["secret"].(string)) || after.Equal(before.Reveal()) {
			t.Errorf("%s: error %v", what, err)
		}
	}
	w := newWard(t, false)
	if _, _, err := w.Rotate(t.Context()); err == nil || err.Error() != "rotate: no webhook has the URL "+ourURL {
		t.Errorf("without a webhook: %v", err)
	}
	w.api.addWebhook(ours(nil))
	w.api.breakWith(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut {
			status(500)(rw, r)
			return true
		}
		return false
	})
	before, after, err := w.Rotate(t.Context())
	if err == nil || !after.Equal(before.Reveal()) || w.api.counted("PUT /api/webhooks/1") != 1 {
		t.Errorf("refused: error %v", err)
	}
}

// The platform renews the secret at oncue's request while hooks keep coming. Hooks between the
// renewal and the moment when oncue knows of it are refused first and received later.
func TestRotateLosesNoHook(t *testing.T) {
	w := newWard(t, false)
	id := w.api.addWebhook(ours(nil))
	first := w.ensure(t).Secrets
	g := newRig(t, map[string][]secret.Value{"A": first})
	signer := func() secret.Value { return secret.New(w.api.webhook(id)["secret"].(string)) }
	var sent int
	var group sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	group.Go(func() {
		tick := time.NewTicker(time.Second / 200)
		defer tick.Stop()
		for ; ctx.Err() == nil; sent++ {
			body := ViewerMessage(controller.HookAttempt, "A", fmt.Sprint(sent), vectorTime).Body()
			if _, err := g.send(signer(), body); err != nil && !errors.Is(err, ErrSignature) {
				t.Error(err)
			}
			<-tick.C
		}
	})
	for range 3 {
		before, after, err := w.Rotate(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		late := time.NewTimer(100 * time.Millisecond) // a slow answer: 20 hooks are refused
		<-late.C
		if err := g.SetSecrets(t.Context(), map[string][]secret.Value{"A": {before, after}}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	group.Wait()
	if s := g.Stats(); len(g.delivered()) != sent || s.Held != 0 || s.Recovered == 0 {
		t.Errorf("%d of %d hooks arrived; %+v", len(g.delivered()), sent, s)
	}
}
