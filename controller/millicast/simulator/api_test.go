package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
)

// call makes one API call and returns the status and the answer.
func call(t *testing.T, sim *Simulator, method, path, body string) (int, map[string]any) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+sim.APISecret().Reveal())
	w := httptest.NewRecorder()
	sim.Handler().ServeHTTP(w, req)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return w.Code, answer
}

// ask makes a call that must succeed and returns its data.
func ask[T any](t *testing.T, sim *Simulator, method, path, body string) T {
	t.Helper()
	status, answer := call(t, sim, method, path, body)
	if status != http.StatusOK || answer["status"] != "success" {
		t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	data, ok := answer["data"].(T)
	if !ok {
		t.Fatalf("%s %s: data is %v", method, path, answer["data"])
	}
	return data
}

type object = map[string]any

func inMemoryAPI(t *testing.T, set Settings) (*Simulator, *receiver) {
	t.Helper()
	set.InMemory = true
	return start(t, set)
}

func TestAPIOverHTTP(t *testing.T) {
	t.Parallel()
	sim, _ := start(t, Settings{APISecret: secret.New("api-secret"), Behaviour: Behaviour{Skew: 10 * time.Hour}})
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for token, want := range map[string]int{"api-secret": 200, "other": 401, "": 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sim.APIURL()+"/api/v3/account/info", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		const account = `{"status":"success","data":{"accountId":"ABC123"}}` + "\n"
		if resp.StatusCode != want || want == 200 && string(body) != account {
			t.Errorf("token %q: %d %s", token, resp.StatusCode, body)
		}
		date, err := http.ParseTime(resp.Header.Get("Date"))
		if ahead := time.Until(date); err != nil || ahead < 9*time.Hour || ahead > 11*time.Hour {
			t.Errorf("Date is %q, %v", resp.Header.Get("Date"), err)
		}
	}
}

func TestWebhooksByAPI(t *testing.T) {
	t.Parallel()
	sim, rec := inMemoryAPI(t, Settings{})
	body := `{"url":"http://two.invalid/","isFeedHooks":true,"isViewerConnectionHooks":null,"filter":"^cam-",` +
		`"unknown":1}`
	made := ask[object](t, sim, "POST", "/api/webhooks", body)
	again := ask[object](t, sim, "POST", "/api/webhooks", body)
	if made["id"] == again["id"] || made["secret"] == again["secret"] {
		t.Errorf("a repeated create gave %v", again)
	}
	if made["isFeedHooks"] != true || made["isViewerConnectionHooks"] != false || made["filter"] != "^cam-" ||
		made["disabled"] != nil {
		t.Errorf("made %v", made)
	}
	path := fmt.Sprintf("/api/webhooks/%v", made["id"])

	renewed := ask[object](t, sim, "PUT", path, `{"refreshSecret":true}`)
	if renewed["secret"] == made["secret"] {
		t.Error("the secret is the old one")
	}
	renewed["secret"] = made["secret"]
	if diff := cmp.Diff(made, renewed); diff != "" {
		t.Errorf("the renewal changed more:\n%s", diff)
	}

	if err := sim.DisableWebhook(int(made["id"].(float64)), time.Hour, "too many time-outs"); err != nil {
		t.Fatal(err)
	}
	disabled := ask[object](t, sim, "GET", path, "")["disabled"].(object)
	if disabled["reason"] != "too many time-outs" {
		t.Errorf("disabled = %v", disabled)
	}
	body = `{"reEnable":true,"filter":null,"isMediaHooks":true,"isFeedHooks":false}`
	changed := ask[object](t, sim, "PUT", path, body)
	if changed["disabled"] != nil || changed["filter"] != nil || changed["isMediaHooks"] != true ||
		changed["isFeedHooks"] != false {
		t.Errorf("changed = %v", changed)
	}

	sim.OpenFeed("cam-1", "", nil)
	sim.OpenFeed("lobby", "", nil)
	// Two of the first webhook, one of the filtered one.
	until(t, sim, "the hooks", func() bool { return sim.Counts().Answered == 3 })
	if got := rec.events("cam-1"); got != "started started" {
		t.Errorf("hooks = %q", got)
	}

	if !ask[bool](t, sim, "DELETE", path, "") {
		t.Error("not deleted")
	}
	for _, c := range []struct{ method, path, body string }{
		{"GET", path, ""}, {"PUT", path, "{}"}, {"DELETE", path, ""}, {"GET", "/api/webhooks/x", ""},
		{"POST", "/api/webhooks", `{"url":"http://x.invalid/"}`},
		{"POST", "/api/webhooks", `{"isFeedHooks":true}`},
		{"POST", "/api/webhooks", `{"url":"hello","isFeedHooks":true}`},
		{"POST", "/api/webhooks", `{"url":"http://x.invalid/","isFeedHooks":"yes"}`},
		{"POST", "/api/webhooks", `{"url":"http://x.invalid/","isFeedHooks":true,"filter":""}`},
		{"POST", "/api/webhooks", `{"url":"http://x.invalid/","isFeedHooks":true,"filter":"("}`},
		{"POST", "/api/webhooks", `[`},
		{"POST", "/api/webhooks/test/Nothing", ""},
	} {
		status, answer := call(t, sim, c.method, c.path, c.body)
		if status != http.StatusBadRequest || answer["status"] != "fail" {
			t.Errorf("%s %s %s: %d %v, want 400 fail", c.method, c.path, c.body, status, answer)
		}
	}
	status, answer := call(t, sim, "GET", "/api/nothing", "")
	if status != http.StatusNotFound || answer["status"] != "error" {
		t.Errorf("an unknown call: %d %v", status, answer)
	}
}

func TestWebhookPages(t *testing.T) {
	t.Parallel()
	sim, _ := inMemoryAPI(t, Settings{})
	for range 24 {
		if _, err := sim.AddWebhook(Webhook{URL: "http://x.invalid/"}); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(query string) []int {
		var list []int
		for _, w := range ask[[]any](t, sim, "GET", "/api/webhooks/list"+query, "") {
			list = append(list, int(w.(object)["id"].(float64)))
		}
		return list
	}
	span := func(from, to int) (list []int) {
		for id := from; id <= to; id++ {
			list = append(list, id)
		}
		return list
	}
	for query, want := range map[string][]int{
		"":                            span(100, 109),
		"?itemCount=3":                span(100, 102),
		"?startingId=120":             span(120, 124),
		"?startingId=121&itemCount=2": span(121, 122),
		"?isDescending=true&itemCount=2&startingId=103": {103, 102},
		"?startingId=500": nil,
	} {
		if diff := cmp.Diff(want, ids(query)); diff != "" {
			t.Errorf("list%s (-want +got):\n%s", query, diff)
		}
	}
	sim.SetBehaviour(Behaviour{PageAfterStart: true})
	if diff := cmp.Diff(span(121, 124), ids("?startingId=120")); diff != "" {
		t.Errorf("behind the start (-want +got):\n%s", diff)
	}
}

func TestTestHooks(t *testing.T) {
	t.Parallel()
	sim, rec := inMemoryAPI(t, Settings{Thumbnails: true})
	second := Webhook{URL: "http://two.invalid/", Media: true, Recordings: true, Transcoders: true}
	if _, err := sim.AddWebhook(second); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"ViewerConnection", "Feeds", "Media", "Recordings", "Transcoder", "Thumbnail"} {
		if !ask[bool](t, sim, "POST", "/api/webhooks/test/"+kind, `{"streamName":"roundtrip","transcoderName":"t"}`) {
			t.Errorf("%s: not true", kind)
		}
	}
	ask[bool](t, sim, "POST", "/api/webhooks/test/Feeds", "")
	until(t, sim, "all of them", func() bool { return sim.Counts().Answered == 7 })
	kinds := make(map[string]int)
	for _, h := range rec.hooks("") {
		kinds[h.Type+" "+h.Event]++
	}
	want := map[string]int{
		"viewerConnection ViewerAttempt": 1, "feeds started": 2, "media completed": 1, "recording completed": 1,
		"transcoder ACTIVE": 1, "thumbnail ": 1,
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Error(diff)
	}
	if sim.Truth("roundtrip").Live {
		t.Error("a test hook made a stream live")
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, _ *receiver) {
		for i := range 120 {
			id := sim.OpenFeed(fmt.Sprintf("cam-%03d", i), "", nil)
			if i >= 110 {
				sim.CloseFeed(id)
			}
		}
		sim.OpenFeed("a/b c", "", nil)
		sim.Join("a/b c")
		sim.Join("never/live")
		for query, want := range map[string][2]int{ // items on the page, items in all
			"":                                      {10, 121},
			"?itemsOnPage=100":                      {100, 121},
			"?itemsOnPage=100&page=2":               {21, 121},
			"?page=99":                              {0, 121},
			"?isActive=true&itemsOnPage=100&page=2": {11, 111},
			"?isActive=false&itemsOnPage=100":       {10, 10},
		} {
			data := ask[object](t, sim, "GET", "/api/monitoring/summary"+query, "")
			total := data["pagination"].(object)["totalItems"].(float64)
			if got := [2]int{len(data["data"].([]any)), int(total)}; got != want {
				t.Errorf("summary%s: %v, want %v", query, got, want)
			}
		}
		one := ask[object](t, sim, "GET", "/api/monitoring/summary/a%2Fb%20c", "")
		if one["streamId"] != "ABC123/a/b c" || one["streamName"] != "a/b c" ||
			one["live"] != true || one["viewerCount"] != 1.0 ||
			one["startTime"] != "2000-01-01T00:00:00.000Z" || one["endTime"] != nil {
			t.Errorf("summary of one = %v", one)
		}
		gone := ask[object](t, sim, "GET", "/api/monitoring/summary/cam-119", "")
		if gone["live"] != false || gone["endTime"] != "2000-01-01T00:00:00.000Z" {
			t.Errorf("summary of one that ended = %v", gone)
		}
		pass(time.Hour + time.Second)
		for _, name := range []string{"cam-119", "never%2Flive", "unheard"} {
			status, answer := call(t, sim, "GET", "/api/monitoring/summary/"+name, "")
			if status != 400 || answer["status"] != "fail" {
				t.Errorf("summary of %s: %d %v", name, status, answer)
			}
		}
		if status, _ := call(t, sim, "GET", "/api/monitoring/summary?itemsOnPage=101", ""); status != 400 {
			t.Errorf("101 items on a page: %d", status)
		}
	})
}

func TestStreamStopDisconnects(t *testing.T) {
	t.Parallel()
	sim, rec := inMemoryAPI(t, Settings{})
	sim.OpenFeed("lobby", "", nil)
	got := ask[object](t, sim, "POST", "/api/stream/stop", `{"streamId":"ABC123/lobby"}`)
	if got["stoppingLevel"] != "Stream" {
		t.Errorf("answer = %v", got)
	}
	until(t, sim, "the hooks", func() bool { return rec.events("lobby") == "started ended" })
	for _, id := range []string{"ABC123/lobby", "lobby", "OTHER/lobby"} {
		if status, _ := call(t, sim, "POST", "/api/stream/stop", `{"streamId":"`+id+`"}`); status != 400 {
			t.Errorf("stop of %s: %d", id, status)
		}
	}
}

func TestThumbnailsOnDemandAreLimited(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, rec *receiver) {
		if _, err := sim.AddWebhook(Webhook{URL: "http://two.invalid/", Thumbnails: true}); err != nil {
			t.Fatal(err)
		}
		const path, body = "/api/thumbnails", `{"streamName":"lobby"}`
		if status, _ := call(t, sim, "POST", path, body); status != 400 {
			t.Errorf("of a dark stream: %d", status)
		}
		sim.OpenFeed("lobby", "", nil)
		for range 6 {
			ask[bool](t, sim, "POST", path, body)
		}
		if status, _ := call(t, sim, "POST", path, body); status != 400 {
			t.Errorf("the seventh: %d", status)
		}
		pass(time.Minute)
		ask[bool](t, sim, "POST", path, body)
		pass(0)
		if got := len(rec.hooks("")); got != 8 {
			t.Errorf("%d hooks, want 7 thumbnails and started", got)
		}
	})
}

func TestAPIFaults(t *testing.T) {
	t.Parallel()
	inMemory(t, Settings{}, func(t *testing.T, sim *Simulator, _ *receiver) {
		get := func(ctx context.Context, path string) (w *httptest.ResponseRecorder, aborted any) {
			req := httptest.NewRequestWithContext(ctx, "GET", path, nil)
			req.Header.Set("Authorization", "Bearer "+sim.APISecret().Reveal())
			w = httptest.NewRecorder()
			defer func() { aborted = recover() }()
			sim.Handler().ServeHTTP(w, req)
			return w, nil
		}
		const info, list = "/api/v3/account/info", "/api/webhooks/list"
		sim.SetAPIFaults(APIFaults{Path: "/api/v3", Status: 429, RetryAfter: 90 * time.Second})
		if w, _ := get(t.Context(), info); w.Code != 429 || w.Header().Get("Retry-After") != "90" {
			t.Errorf("429: %d %v", w.Code, w.Header())
		}
		if w, _ := get(t.Context(), list); w.Code != 200 {
			t.Errorf("another path: %d", w.Code)
		}
		sim.SetAPIFaults(APIFaults{Garbage: true, Delay: time.Minute})
		begin := time.Now()
		w, _ := get(t.Context(), info)
		if w.Code != 200 || json.Valid(w.Body.Bytes()) || time.Since(begin) != time.Minute {
			t.Errorf("garbage: %d %s after %v", w.Code, w.Body, time.Since(begin))
		}
		sim.SetAPIFaults(APIFaults{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, aborted := get(ctx, info); aborted == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("hang: %v %v", aborted, ctx.Err())
		}
		sim.SetAPIFaults(APIFaults{Share: 0.5, Status: 500})
		spoilt := 0
		for range 1000 {
			if w, _ := get(t.Context(), info); w.Code == 500 {
				spoilt++
			}
		}
		if spoilt < 400 || spoilt > 600 {
			t.Errorf("%d of 1000 requests failed, want about half", spoilt)
		}

		sim.SetAPIFaults(APIFaults{StaleFor: 10 * time.Second})
		sim.CloseFeed(sim.OpenFeed("lobby", "", nil))
		pass(9 * time.Second)
		if got := ask[object](t, sim, "GET", "/api/monitoring/summary/lobby", ""); got["live"] != true {
			t.Errorf("9 s after the end, stale for 10 s: %v", got)
		}
		pass(2 * time.Second)
		if got := ask[object](t, sim, "GET", "/api/monitoring/summary/lobby", ""); got["live"] != false {
			t.Errorf("11 s after the end, stale for 10 s: %v", got)
		}
	})
}
