package millicast

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// fakeAPI is the platform's REST API as its documentation describes it. Fields select between
// behaviours that the documentation leaves open.
type fakeAPI struct {
	*httptest.Server
	mu        sync.Mutex
	account   string
	webhooks  []map[string]any
	nextID    int
	streams   []map[string]any
	calls     []string // "METHOD /path" as sent
	bodies    map[string][]map[string]any
	tests     []string
	exclusive bool // startingId is not part of the page
	pageFrom  int  // the number of the first page of streams
	onTest    func(stream string)
	// fault may answer a request itself and return true.
	fault func(w http.ResponseWriter, r *http.Request) bool
}

const apiSecret = "the-api-secret-of-A"

func newFakeAPI(t testing.TB) *fakeAPI {
	t.Helper()
	f := &fakeAPI{account: "A", nextID: 1, bodies: map[string][]map[string]any{}, pageFrom: 1}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v3/account/info", func(w http.ResponseWriter, r *http.Request) {
		succeed(w, map[string]any{"accountId": f.account})
	})
	mux.HandleFunc("GET /api/webhooks/list", f.listWebhooks)
	mux.HandleFunc("GET /api/webhooks/{id}",
		f.withWebhook(func(w http.ResponseWriter, hook, _ map[string]any) { succeed(w, hook) }))
	mux.HandleFunc("PUT /api/webhooks/{id}", f.withWebhook(f.putWebhook))
	mux.HandleFunc("DELETE /api/webhooks/{id}", f.withWebhook(f.deleteWebhook))
	mux.HandleFunc("POST /api/webhooks", f.postWebhook)
	mux.HandleFunc("POST /api/webhooks/test/{kind}", f.postTest)
	mux.HandleFunc("GET /api/monitoring/summary", f.listStreams)
	mux.HandleFunc("GET /api/monitoring/summary/{name}", f.getStream)
	mux.HandleFunc("POST /api/stream/stop", f.postStop)
	mux.HandleFunc("POST /api/thumbnails", func(w http.ResponseWriter, r *http.Request) { succeed(w, nil) })
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		f.mu.Lock()
		defer f.mu.Unlock()
		at := r.Method + " " + r.URL.EscapedPath()
		f.calls = append(f.calls, at)
		if len(body) > 0 {
			var b map[string]any
			if err := json.Unmarshal(body, &b); err != nil || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: body %q of type %q: %v", at, body, r.Header.Get("Content-Type"), err)
			}
			f.bodies[at] = append(f.bodies[at], b)
		}
		if f.fault != nil && f.fault(w, r) {
			return
		}
		if r.Header.Get("Authorization") != "Bearer "+apiSecret {
			answer(w, http.StatusUnauthorized,
				map[string]any{"status": "error", "message": "bad secret " + apiSecret, "code": 401})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func succeed(w http.ResponseWriter, data any) {
	answer(w, 200, map[string]any{"status": "success", "data": data})
}

func fail(w http.ResponseWriter, data any) {
	answer(w, 400, map[string]any{"status": "fail", "data": data})
}

// addWebhook adds a webhook without a call of the API.
func (f *fakeAPI) addWebhook(members map[string]any) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newWebhook(members)
}

func (f *fakeAPI) newWebhook(members map[string]any) int {
	id := f.nextID
	f.nextID++
	hook := map[string]any{
		"id": id, "secret": secretOf(fmt.Sprint("webhook-", id)).Reveal(), "disabled": nil, "filter": nil,
		"isRecordingHooks": false,
		"isFeedHooks":      false, "isViewerConnectionHooks": false, "isThumbnailHooks": false,
		"isTranscoderHooks": false, "isMediaHooks": false,
	}
	for k, v := range members {
		hook[k] = v
	}
	f.webhooks = append(f.webhooks, hook)
	return id
}

func (f *fakeAPI) listWebhooks(w http.ResponseWriter, r *http.Request) {
	start, _ := strconv.Atoi(r.URL.Query().Get("startingId"))
	page := []map[string]any{}
	for _, hook := range f.webhooks {
		id := hook["id"].(int)
		if len(page) == 10 || id < start || id == start && f.exclusive {
			continue
		}
		page = append(page, hook)
	}
	succeed(w, page)
}

func (f *fakeAPI) withWebhook(do func(w http.ResponseWriter, hook, body map[string]any)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for _, hook := range f.webhooks {
			if strconv.Itoa(hook["id"].(int)) == r.PathValue("id") {
				var body map[string]any
				json.NewDecoder(r.Body).Decode(&body)
				do(w, hook, body)
				return
			}
		}
		fail(w, map[string]any{"webhookId": []string{"Webhook not found"}})
	}
}

func (f *fakeAPI) putWebhook(w http.ResponseWriter, hook, body map[string]any) {
	for k, v := range body {
		switch k {
		case "refreshSecret":
			hook["secret"] = secretOf(fmt.Sprint("refreshed-", len(f.calls))).Reveal()
		case "reEnable":
			hook["disabled"] = nil
		default:
			hook[k] = v
		}
	}
	succeed(w, hook)
}

func (f *fakeAPI) deleteWebhook(w http.ResponseWriter, hook, _ map[string]any) {
	for i := range f.webhooks {
		if f.webhooks[i]["id"] == hook["id"] {
			f.webhooks = append(f.webhooks[:i:i], f.webhooks[i+1:]...)
			break
		}
	}
	succeed(w, nil)
}

func (f *fakeAPI) postWebhook(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	json.NewDecoder(r.Body).Decode(&body)
	id := f.newWebhook(body)
	succeed(w, f.webhooks[len(f.webhooks)-1])
	_ = id
}

func (f *fakeAPI) postTest(w http.ResponseWriter, r *http.Request) {
	var body struct{ StreamName string }
	json.NewDecoder(r.Body).Decode(&body)
	f.tests = append(f.tests, r.PathValue("kind")+" "+body.StreamName)
	succeed(w, nil)
	if f.onTest != nil {
		f.onTest(body.StreamName)
	}
}

// addStreams makes n live streams, each with as many viewers as its number.
func (f *fakeAPI) addStreams(n int) {
	for i := range n {
		name := fmt.Sprintf("s/%03d", i)
		f.streams = append(f.streams, map[string]any{"streamId": f.account + "/" + name, "streamName": name,
			"live": true, "viewerCount": i})
	}
}

func (f *fakeAPI) listStreams(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	size, _ := strconv.Atoi(q.Get("itemsOnPage"))
	page, _ := strconv.Atoi(q.Get("page"))
	if size < 1 || size > 100 || page < f.pageFrom || q.Get("isActive") != "true" {
		fail(w, []string{"page or itemsOnPage out of range"})
		return
	}
	from := min((page-f.pageFrom)*size, len(f.streams))
	to := min(from+size, len(f.streams))
	succeed(w, map[string]any{"data": f.streams[from:to], "pagination": map[string]any{
		"totalItems": len(f.streams), "totalPages": (len(f.streams) + size - 1) / size, "itemsOnPage": to - from,
	}})
}

func (f *fakeAPI) getStream(w http.ResponseWriter, r *http.Request) {
	for _, s := range f.streams {
		if s["streamName"] == r.PathValue("name") {
			succeed(w, s)
			return
		}
	}
	fail(w, "Stream not found")
}

func (f *fakeAPI) postStop(w http.ResponseWriter, r *http.Request) {
	var body struct{ StreamID string }
	json.NewDecoder(r.Body).Decode(&body)
	for _, s := range f.streams {
		if s["streamId"] == body.StreamID {
			s["live"] = false
			succeed(w, nil)
			return
		}
	}
	fail(w, map[string]any{"streamId": "Not Found"})
}

// webhook returns a copy of the webhook as the platform has it.
func (f *fakeAPI) webhook(id int) map[string]any {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, hook := range f.webhooks {
		if hook["id"] == id {
			out := map[string]any{}
			for k, v := range hook {
				out[k] = v
			}
			return out
		}
	}
	return nil
}

func (f *fakeAPI) counted(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (f *fakeAPI) breakWith(fault func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// client returns a Client of the fake with short time-outs.
func (f *fakeAPI) client(t testing.TB) *Client {
	t.Helper()
	c, err := NewClient(ClientOptions{
		Account: "A", URL: f.URL + "/", Secret: secret.New(apiSecret), Log: slog.New(slog.DiscardHandler),
		RetryWait: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
