package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

func loadAPI(t *testing.T) *openapi3.T {
	t.Helper()
	raw, err := embedded.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return doc
}

func rotated(_ context.Context, account string) (Rotation, error) {
	if account != "ABC123" {
		return Rotation{}, fmt.Errorf("%w: no API secret for %s", controller.ErrInvalid, account)
	}
	return Rotation{Webhook: controller.WebhookView{ID: 7, URL: "https://x/hooks/millicast"},
		Secret: secret.New("fresh")}, nil
}

func rotatedToken(_ context.Context, id controller.StreamID) (TokenRotation, error) {
	if id != "ABC123/cam-*" {
		return TokenRotation{}, fmt.Errorf("%w: no stream %s", controller.ErrInvalid, id)
	}
	return TokenRotation{Stream: id, ID: 8, Label: "oncue:cam-*", Value: secret.New("fresh")}, nil
}

// reloads refuses the first file.
func reloads() func(context.Context) ([]string, error) {
	refused := []string{"oncue.yaml:1:1: lisen: unknown key"}
	return func(context.Context) ([]string, error) {
		answer := refused
		refused = nil
		return answer, nil
	}
}

// The document names every route, and only those.
func TestAPIDocumentNamesEveryRoute(t *testing.T) {
	a, err := NewAdmin(AdminOptions{Controller: newFake(), Log: quiet(), Metrics: http.NotFoundHandler(),
		Rotate: rotated, RotateToken: rotatedToken, Reload: reloads()})
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	a.routes(e)
	var served, described []string
	for _, r := range e.Routes() {
		if r.Method == http.MethodHead { // exists for every GET but that of watch
			continue
		}
		served = append(served, r.Method+" "+regexp.MustCompile(`:(\w+)`).ReplaceAllString(r.Path, "{$1}"))
	}
	for path, item := range loadAPI(t).Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
}

// Real answers, good and bad, match the document: every field is described, none is missing, times
// have their format.
func TestAnswersAreAsDescribed(t *testing.T) {
	f := newFake("ABC123/lobby", "ABC123/full", "ABC123/odd/näme ?")
	f.streams["ABC123/full"] = fullStream("ABC123/full")
	at := controller.Time{Time: testStart}
	word := "why"
	f.accounts = []controller.AccountView{
		{Account: "ABC123", LastHook: &at, LastPoll: &at, PollError: &word,
			Webhook: &controller.WebhookView{ID: 1, URL: "https://x/hooks/millicast", Disabled: &word}},
		{Account: "DEF456"},
	}
	f.history["ABC123/full"] = []controller.Transition{
		{Seq: 2, Stream: "ABC123/full", At: at, From: "idle", To: "starting", Event: "ViewerAttempt",
			Reason: "a viewer is waiting", Deadline: &at},
		{Seq: 1, Stream: "ABC123/full", At: at, From: "idle", To: "idle", Event: "boot"},
	}
	f.records = []controller.Record{
		{Seq: 2, Received: testStart, Sent: testStart, Account: "ABC123", Stream: "ABC123/full", Type: "feeds",
			Event: "started", Verdict: controller.Stale, Note: "late"},
		{Seq: 1, Received: testStart, Account: "ABC123", Verdict: controller.Quarantined},
	}
	f.pictures["ABC123/full"] = []byte("\xff\xd8\xff")
	const token = "a token"
	m := NewMetrics("v1.2.3", quiet())
	_, base := startAdmin(t, f, func(o *AdminOptions) {
		o.Token, o.Metrics, o.Rotate, o.Reload = secret.New(token), m.Handler(), rotated, reloads()
		o.RotateToken = rotatedToken
		o.Config = func() (ConfigState, []string) {
			return ConfigState{File: "/etc/oncue/oncue.yaml", Loaded: at, Modified: at},
				[]string{"the file was refused"}
		}
	})

	doc := loadAPI(t)
	doc.Servers = openapi3.Servers{{URL: base}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"text/event-stream", "text/css", "text/javascript", "image/jpeg", "text/html",
		"image/svg+xml"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	seen := map[string]bool{}
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/status", "", 200},
		{"GET", "/api/v1/streams", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Ffull", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Fodd%2Fn%C3%A4me%20%3F", "", 200},
		{"GET", "/api/v1/streams/nobody", "", 404},
		{"PUT", "/api/v1/streams/ABC123%2Flobby/mode", `{"mode":"on","for":"2h","by":"mia","why":"rehearsal"}`, 200},
		{"PUT", "/api/v1/streams/ABC123%2Flobby/mode", `{"mode":"on","for":"soon"}`, 422},
		{"PUT", "/api/v1/streams/ABC123%2Flobby/demand", `{"for":"60s","by":"mia"}`, 200},
		{"PUT", "/api/v1/streams/ABC123%2Flobby/demand", `{"for":"25h"}`, 422},
		{"DELETE", "/api/v1/streams/ABC123%2Flobby/demand?by=mia", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Ffull/history?limit=2&before=9", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Ffull/log?lines=5", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Ffull/thumbnail", "", 200},
		{"GET", "/api/v1/streams/ABC123%2Flobby/thumbnail?missing=204", "", 204},
		{"GET", "/api/v1/streams/ABC123%2Flobby/thumbnail", "", 404},
		{"GET", "/api/v1/events?limit=5", "", 200},
		{"GET", "/api/v1/watch", "", 200},
		{"POST", "/api/v1/accounts/ABC123/webhook/rotate", "", 200},
		{"POST", "/api/v1/accounts/ABC123/webhook/rotate?show_secret=true", "", 200},
		{"POST", "/api/v1/accounts/nobody/webhook/rotate", "", 422},
		{"POST", "/api/v1/streams/ABC123%2Fcam-%2A/token/rotate", "", 200},
		{"POST", "/api/v1/streams/ABC123%2Fcam-%2A/token/rotate?show_secret=true", "", 200},
		{"POST", "/api/v1/streams/nobody/token/rotate", "", 422},
		{"POST", "/api/v1/login-code", "", 200},
		{"POST", "/api/v1/reload", "", 422},
		{"POST", "/api/v1/reload", "", 200},
		{"GET", "/api/v1/openapi.yaml", "", 200},
		{"GET", "/metrics", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/healthz", "", 200},
		{"GET", "/", "", 200},
		{"GET", "/login", "", 303},
		{"POST", "/login", "token=wrong", 401},
		{"POST", "/logout", "", 303},
		{"GET", "/assets/oncue.css", "", 200},
		{"GET", "/assets/oncue.js", "", 200},
		{"GET", "/assets/nothing.js", "", 404},
	} {
		r, err := http.NewRequest(tt.method, base+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if tt.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if tt.path == "/login" && tt.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
			continue
		}
		seen[route.Method+" "+route.Path] = true
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		client := &http.Client{CheckRedirect: func(*http.Request,
			[]*http.Request) error {
			return http.ErrUseLastResponse
		}}
		resp, err := client.Do(r.Clone(ctx))
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		if tt.path == "/api/v1/watch" {
			body = make([]byte, 5)
			_, err = io.ReadFull(resp.Body, body)
		} else {
			body, err = io.ReadAll(resp.Body)
		}
		resp.Body.Close()
		cancel()
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
		}
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: %s, want %d: %s", tt.method, tt.path, resp.Status, tt.status, body)
		}
		if tt.path == "/api/v1/openapi.yaml" {
			continue // the validator parses it, and finds dates where the document has examples
		}
		err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params,
				Route: route},
			Status:  resp.StatusCode,
			Header:  resp.Header,
			Body:    io.NopCloser(bytes.NewReader(body)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !seen[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

// fullStream has every field set.
func fullStream(id string) controller.StreamView {
	s := idleStream(controller.StreamID(id))
	at, word, n := controller.Time{Time: testStart}, "text", 3
	rate, count := 2.5e6, int64(1000)
	s.Phase, s.Mode, s.Draining, s.Unconfirmed, s.Wanted = controller.PhaseLingering, controller.ModeOn, true,
		true, true
	s.ModeUntil, s.ModeBy, s.ModeWhy, s.Deadline, s.DeadlineDoes, s.WaitsFor, s.Viewers, s.LastAttempt = &at, &word,
		&word, &at, &word, &word, &n, &at
	s.Feeds = []controller.Feed{{ID: "f", Started: controller.ByPlatform(testStart), SourceID: "main", Priority: &n}}
	s.Encoders = []controller.EncoderView{{
		Name: "cam", Driver: "ffmpeg", State: encoders.StatePublishing, Since: &at, Restarts: 1, Error: &word, PID: &n,
		Health: &encoders.Health{BitrateBPS: &rate, FPS: &rate, Frames: &count, Dropped: &count, Bytes: &count,
			Congestion: &rate, Speed: &rate},
		Standby: &encoders.Standby{Kind: "hot", Ready: true, AgeMS: &count, BeginsMS: &count, BitrateBPS: &count,
			CPU: &rate, Memory: &count, Error: word},
	}}
	s.Demand = []controller.Lease{{By: "mia", Until: at}}
	s.UptimeS, s.Starts = 1.5, 3
	s.Waits = &controller.Waits{Last: controller.Wait{StartS: &rate}, Typical: controller.Wait{LiveS: &rate}, Of: 2}
	s.Savings.RunS, s.Savings.WatchedS, s.Savings.AvoidedS, s.Savings.Wasted = 100, 80, 900, 1
	return s
}
