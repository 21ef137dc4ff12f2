package millicast

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

func TestLiveReadsAllPages(t *testing.T) {
	for _, n := range []int{0, 1, 99, 100, 101, 250} {
		for _, pageFrom := range []int{0, 1} {
			f := newFakeAPI(t)
			f.pageFrom = pageFrom
			f.addStreams(n)
			if n > 1 {
				f.streams[1]["live"] = false // ended within the hour
			}
			live, err := f.client(t).Live(t.Context())
			if err != nil {
				t.Errorf("%d streams, pages from %d: %v", n, pageFrom, err)
				continue
			}
			want := n
			if n > 1 {
				want--
			}
			if len(live) != want {
				t.Errorf("%d streams, pages from %d: %d live, want %d", n, pageFrom, len(live), want)
			}
			for _, s := range live {
				if !s.Live || s.Name != fmt.Sprintf("s/%03d", s.Viewers) {
					t.Errorf("%d streams, pages from %d: %+v", n, pageFrom, s)
				}
			}
		}
	}
}

func TestLiveSurvivesPagesThatShift(t *testing.T) {
	f := newFakeAPI(t)
	f.addStreams(150)
	shifted := false
	f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
		// the first stream ends between two pages: the 100th slips to page 1
		if r.URL.Query().Get("page") == "2" && !shifted {
			shifted = true
			f.streams = f.streams[1:]
		}
		return false
	})
	live, err := f.client(t).Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range live {
		names[s.Name] = true
	}
	for _, s := range f.streams {
		if !names[s["streamName"].(string)] {
			t.Errorf("%s is live and was not seen", s["streamName"])
		}
	}
}

func TestLiveRefusesAnotherAccountsStreams(t *testing.T) {
	f := newFakeAPI(t)
	f.account = "B"
	f.addStreams(1)
	c := f.client(t)
	if _, err := c.Live(t.Context()); !errors.Is(err, ErrWrongAccount) {
		t.Errorf("Live: error %v", err)
	}
	if _, err := c.LiveStream(t.Context(), "s/000"); !errors.Is(err, ErrWrongAccount) {
		t.Errorf("LiveStream: error %v", err)
	}
	if err := c.CheckAccount(t.Context()); !errors.Is(err, ErrWrongAccount) {
		t.Errorf("CheckAccount: error %v", err)
	}
}

func TestLiveStream(t *testing.T) {
	f := newFakeAPI(t)
	for i, name := range []string{"plain", "a/b", "a b?c#d%2F", "..", "ü😀", "list"} {
		f.streams = append(f.streams, map[string]any{"streamId": "A/" + name, "streamName": name, "live": i != 0,
			"viewerCount": i})
	}
	c := f.client(t)
	for i, name := range []string{"plain", "a/b", "a b?c#d%2F", "ü😀", "list"} {
		got, err := c.LiveStream(t.Context(), name)
		if err != nil || got.Name != name || got.Live != (i != 0) {
			t.Errorf("%q: %+v, error %v", name, got, err)
		}
	}
	// Go's own mux cleans this path; the test is about the path that was sent.
	c.LiveStream(t.Context(), "..")
	if n := f.counted("GET /api/monitoring/summary/%2E%2E"); n == 0 {
		t.Errorf("the name .. was not escaped: %v", f.calls)
	}
	got, err := c.LiveStream(t.Context(), "nowhere")
	if err != nil || got != (controller.LiveStream{Name: "nowhere"}) {
		t.Errorf("an unknown stream: %+v, error %v", got, err)
	}
}

func TestDisconnectAndTheOtherPosts(t *testing.T) {
	f := newFakeAPI(t)
	f.addStreams(1)
	c := f.client(t)
	for what, err := range map[string]error{
		"disconnect":            c.Disconnect(t.Context(), "s/000"),
		"disconnect an unknown": c.Disconnect(t.Context(), "nowhere"),
		"thumbnail":             c.RequestThumbnail(t.Context(), "s/000"),
		"test hook":             c.TestHook(t.Context(), "Feeds", "x"),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f.streams[0]["live"] != false || !cmp.Equal(f.tests, []string{"Feeds x"}) {
		t.Errorf("live %v, tests %v", f.streams[0]["live"], f.tests)
	}
	if id, err := c.AccountID(t.Context()); id != "A" || err != nil {
		t.Errorf("account %q, error %v", id, err)
	}
	if ahead, _, ok := c.ClockOffset(); !ok || ahead.Abs() > 5*time.Second {
		t.Errorf("clock offset %s, %v", ahead, ok)
	}
}

func TestListWebhooksReadsFourPages(t *testing.T) {
	for _, exclusive := range []bool{false, true} {
		f := newFakeAPI(t)
		f.exclusive = exclusive
		for i := range 31 {
			f.addWebhook(map[string]any{"url": fmt.Sprint("https://x/", i)})
		}
		all, err := f.client(t).ListWebhooks(t.Context())
		if err != nil || len(all) != 31 {
			t.Fatalf("exclusive %v: %d webhooks, error %v", exclusive, len(all), err)
		}
		for i, w := range all {
			if w.ID != i+1 || w.URL != fmt.Sprint("https://x/", i) || !w.Secret.Set() {
				t.Errorf("exclusive %v: number %d is %+v", exclusive, i, w)
			}
		}
	}
}

func TestWebhookCreateChangeDelete(t *testing.T) {
	f := newFakeAPI(t)
	c := f.client(t)
	made, err := c.CreateWebhook(t.Context(), WebhookSpec{URL: "https://x/", Feeds: true})
	if err != nil || made.URL != "https://x/" || !made.Feeds || made.Viewers {
		t.Fatalf("made %+v, error %v", made, err)
	}
	yes, no, filter := true, false, "^a"
	for _, c2 := range []struct {
		change WebhookChange
		want   map[string]any
	}{
		{WebhookChange{Viewers: &yes}, map[string]any{"isViewerConnectionHooks": true}},
		{WebhookChange{Feeds: &no}, map[string]any{"isFeedHooks": false}},
		{WebhookChange{Filter: &filter}, map[string]any{"filter": "^a"}},
		{WebhookChange{ClearFilter: true}, map[string]any{"filter": nil}},
		{WebhookChange{NewSecret: true, Enable: true}, map[string]any{"refreshSecret": true, "reEnable": true}},
	} {
		if err := c.UpdateWebhook(t.Context(), made.ID, c2.change); err != nil {
			t.Fatal(err)
		}
		sent := f.bodies[fmt.Sprint("PUT /api/webhooks/", made.ID)]
		if d := cmp.Diff(c2.want, sent[len(sent)-1]); d != "" {
			t.Errorf("change %+v (-want +got):\n%s", c2.change, d)
		}
	}
	for range 2 {
		if err := c.DeleteWebhook(t.Context(), made.ID); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Webhook(t.Context(), made.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("a deleted webhook: %v", err)
	}
}

func TestDisabledInAnyShape(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000).UTC()
	for _, c := range []struct {
		shape any
		want  *Disabled
	}{
		{nil, nil},
		{map[string]any{"until": 1_800_000_000_000, "reason": "timeouts"}, &Disabled{at, "timeouts"}},
		{map[string]any{"until": 1_800_000_000, "reason": nil}, &Disabled{at, ""}},
		{map[string]any{"until": "2027-01-15T08:00:00Z"}, &Disabled{at, ""}},
		{map[string]any{"until": "1800000000000", "reason": map[string]any{"code": "TIMEOUT"}},
			&Disabled{at, "code: TIMEOUT"}},
		{map[string]any{"until": "tomorrow"}, &Disabled{}},
		{true, &Disabled{Reason: "true"}},
	} {
		f := newFakeAPI(t)
		id := f.addWebhook(map[string]any{"url": "https://x/", "disabled": c.shape})
		w, err := f.client(t).Webhook(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, w.Disabled); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.shape, d)
		}
	}
}

// script answers one request with each step, and then lets the API answer.
func script(steps ...func(w http.ResponseWriter, r *http.Request)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if len(steps) == 0 {
			return false
		}
		step := steps[0]
		steps = steps[1:]
		step(w, r)
		return true
	}
}

func status(code int, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		answer(w, code, map[string]any{"status": "error", "message": "no", "code": code})
	}
}

func cut(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }

func TestTroubleThatPasses(t *testing.T) {
	for what, steps := range map[string][]func(http.ResponseWriter, *http.Request){
		"500 twice":             {status(500), status(502)},
		"503":                   {status(503, "Retry-After", "0")},
		"429 with a date":       {status(429, "Retry-After", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))},
		"429 without a pause":   {status(429)},
		"connection cut":        {cut, cut},
		"429 with a short wait": {status(429, "Retry-After", "1")},
	} {
		f := newFakeAPI(t)
		f.addStreams(1)
		f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		f.breakWith(script(steps...))
		start := time.Now()
		live, err := f.client(t).Live(t.Context())
		if err != nil || len(live) != 1 {
			t.Errorf("%s: %v, error %v", what, live, err)
		}
		if strings.HasSuffix(what, "short wait") && time.Since(start) < time.Second {
			t.Errorf("%s: tried again after %s", what, time.Since(start))
		}
	}
}

func TestTroubleThatStays(t *testing.T) {
	text := func(code int, contentType, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			w.Write([]byte(body))
			return true
		}
	}
	for _, c := range []struct {
		what  string
		fault func(http.ResponseWriter, *http.Request) bool
		is    error
		text  string
	}{
		{"429 with a long pause", func(w http.ResponseWriter, r *http.Request) bool {
			status(429, "Retry-After", "3600")(w, r)
			return true
		}, ErrRateLimited, "platform: read a stream: answered 429 Too Many Requests: no (try again in 1h0m0s)"},
		{"401", text(401, "application/json", `{"status":"error","message":"bad token `+apiSecret+`"}`),
			ErrUnauthorized, "platform: read a stream: answered 401 Unauthorized: bad token ********"},
		{"403", text(403, "text/html", "<html>"), ErrUnauthorized,
			`platform: read a stream: answered 403 Forbidden: not JSON but "text/html"`},
		{"500 for ever", text(500, "text/html", "<html>oops"), nil,
			`platform: read a stream: answered 500 Internal Server Error: not JSON but "text/html"`},
		{"a proxy's 404", text(404, "text/html", "<h1>not found"), nil,
			`platform: read a stream: answered 404 Not Found: not JSON but "text/html"`},
		{"400 of another meaning", text(400, "application/json",
			`{"status":"fail","data":{"b":["too long","bad"],"a":1}}`), nil,
			"platform: read a stream: answered 400 Bad Request: a: 1; b: too long; bad"},
		{"HTML with 200", text(200, "text/html", "<html>login"), nil,
			`platform: read a stream: answered 200 OK: not JSON but "text/html"`},
		{"nothing", text(200, "application/json", ""), nil,
			"platform: read a stream: answered 200 OK: an empty answer"},
		{"other JSON", text(200, "application/json", `{"ok":true}`), nil,
			"platform: read a stream: answered 200 OK: JSON that is not an answer of this API"},
		{"no data", text(200, "application/json", `{"status":"success"}`), nil,
			"platform: read a stream: the answer has no data"},
		{"data of another shape", text(200, "application/json", `{"status":"success","data":[1]}`), nil,
			"platform: read a stream: the answer's data is not as expected: it must be an object, not a list"},
		{"an empty object", text(200, "application/json", `{"status":"success","data":{}}`), nil,
			"platform: read a stream: a stream has no name"},
		{"no word on live", text(200, "application/json", `{"status":"success","data":{"streamName":"x"}}`), nil,
			`platform: read a stream: the answer does not say whether "x" is live`},
		{"no word on viewers", text(200, "application/json",
			`{"status":"success","data":{"streamName":"x","live":true}}`), nil,
			`platform: read a stream: the answer does not say how many watch "x"`},
		{"another stream", text(200, "application/json",
			`{"status":"success","data":{"streamId":"A/other","streamName":"other","live":true,"viewerCount":0}}`), nil,
			`platform: read a stream: asked for "x", got "other"`},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
			return true
		}, nil, `platform: read a stream: answered 302 Found: not JSON but "text/html; charset=utf-8"`},
		{"a huge answer", text(200, "application/json", `{"status":"success","data":"`+strings.Repeat("x", maxAnswer)+
			`"}`), nil, "platform: read a stream: the answer is larger than 8 MiB"},
	} {
		f := newFakeAPI(t)
		f.breakWith(c.fault)
		_, err := f.client(t).LiveStream(t.Context(), "x")
		if err == nil || err.Error() != c.text {
			t.Errorf("%s:\n got %v\nwant %s", c.what, err, c.text)
		}
		for _, sentinel := range []error{ErrNotFound, ErrUnauthorized, ErrRateLimited} {
			if errors.Is(err, sentinel) != (sentinel == c.is) {
				t.Errorf("%s: errors.Is(err, %v) = %v", c.what, sentinel, errors.Is(err, sentinel))
			}
		}
	}
}

func TestAListThatIsNoneIsAnError(t *testing.T) {
	for _, data := range []string{`{}`, `[]`, `null`, `{"data":[{}]}`, `{"data":[{"streamName":"x"}]}`} {
		f := newFakeAPI(t)
		f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
			fmt.Fprintf(w, `{"status":"success","data":%s}`, data)
			return true
		})
		if live, err := f.client(t).Live(t.Context()); err == nil {
			t.Errorf("%s: %v", data, live)
		}
	}
}

func TestAHangEndsInTime(t *testing.T) {
	f := newFakeAPI(t)
	release := make(chan struct{})
	f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
		f.mu.Unlock() // other requests may hang, too
		<-release
		f.mu.Lock()
		return true
	})
	defer close(release)
	c, err := NewClient(ClientOptions{Account: "A", URL: f.URL, Secret: secret.New(apiSecret),
		Log: slog.New(slog.DiscardHandler), Timeout: 50 * time.Millisecond, Patience: 10 * time.Second,
		RetryWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Live(t.Context()); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.HasPrefix(err.Error(), "platform: list live streams: no answer in time") {
		t.Errorf("hanging server: %v", err)
	}
	if n := f.counted("GET /api/monitoring/summary"); n != attempts {
		t.Errorf("%d attempts, want %d", n, attempts)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Live(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled caller: %v", err)
	}
}

func TestWhatMakesSomethingIsNeverRepeated(t *testing.T) {
	f := newFakeAPI(t)
	f.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	id := f.addWebhook(map[string]any{"url": "https://x/"})
	c := f.client(t)
	for _, step := range []func(http.ResponseWriter, *http.Request){status(500), status(429, "Retry-After", "0"), cut} {
		var requests atomic.Int32
		f.breakWith(func(w http.ResponseWriter, r *http.Request) bool {
			requests.Add(1)
			step(w, r)
			return true
		})
		for what, do := range map[string]func() error{
			"create": func() error {
				_, err := c.CreateWebhook(t.Context(),
					WebhookSpec{URL: "https://y/"})
				return err
			},
			"new secret": func() error { return c.UpdateWebhook(t.Context(), id, WebhookChange{NewSecret: true}) },
			"test hook":  func() error { return c.TestHook(t.Context(), "Feeds", "x") },
			"thumbnail":  func() error { return c.RequestThumbnail(t.Context(), "x") },
		} {
			requests.Store(0)
			if err := do(); err == nil || requests.Load() != 1 {
				t.Errorf("%s: %d requests, error %v", what, requests.Load(), err)
			}
		}
	}
}

func TestTheLogHoldsNoSecret(t *testing.T) {
	f := newFakeAPI(t)
	f.breakWith(script(status(500), status(500)))
	var log bytes.Buffer
	c, err := NewClient(ClientOptions{Account: "A", URL: f.URL, Secret: secret.New(apiSecret),
		Log:       slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		RetryWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Live(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log.Len() == 0 || strings.Contains(log.String(), apiSecret) || strings.Contains(log.String(), "Bearer") ||
		strings.Contains(log.String(), "itemsOnPage") {
		t.Errorf("log: %s", &log)
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, apiSecret) {
		t.Error("a printed client shows its secret")
	}
}

func TestNewClientRefusesBadURLs(t *testing.T) {
	for _, u := range []string{"", "api.millicast.com", "ftp://x", "https://user:pw@x", "https://x/?token=1",
		"https://x/#y", "https://", "http://[::1"} {
		if _, err := NewClient(ClientOptions{URL: u, Log: slog.New(slog.DiscardHandler)}); err == nil ||
			strings.Contains(err.Error(), "pw") {
			t.Errorf("NewClient(%q): error %v", u, err)
		}
	}
}
