package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
)

// startAdmin serves an admin side on loopback until the test ends.
func startAdmin(t testing.TB, f *fakeController, change func(*AdminOptions)) (a *Admin, base string) {
	t.Helper()
	o := AdminOptions{Controller: f, Log: quiet(), Version: "v1.2.3", Started: testStart}
	if change != nil {
		change(&o)
	}
	a, err := NewAdmin(o)
	if err != nil {
		t.Fatal(err)
	}
	return a, "http://" + serve(t, a.Server)
}

type answer struct {
	status int
	header http.Header
	body   string
}

// call makes one request; header lines are "Key: value".
func call(t testing.TB, method, address, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		key, value, _ := strings.Cut(line, ": ")
		if key == "Host" {
			r.Host = value
		}
		r.Header.Set(key, value)
	}
	client := &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func mustProblem(t *testing.T, what string, a answer, status int, detail, hint string) {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Errorf("%s: %d %s: %v", what, a.status, a.body, err)
		return
	}
	want := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Hint: hint}
	if diff := cmp.Diff(want, p); diff != "" || a.status != status ||
		a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s: status %d, %s (-want +got):\n%s", what, a.status, a.header.Get("Content-Type"), diff)
	}
}

// A pattern selects streams by name, or with a slash by id.
func TestStatusOfAPattern(t *testing.T) {
	_, base := startAdmin(t, newFake("ABC/lobby-1", "ABC/lobby-22", "DEF/lobby-1", "DEF/hall.1"), nil)
	for pattern, want := range map[string]string{
		"lobby-*": "ABC/lobby-1 ABC/lobby-22 DEF/lobby-1", "lobby-?": "ABC/lobby-1 DEF/lobby-1",
		"ABC/*": "ABC/lobby-1 ABC/lobby-22", "*": "ABC/lobby-1 ABC/lobby-22 DEF/hall.1 DEF/lobby-1",
		"hall.?": "DEF/hall.1", "hall??": "DEF/hall.1", "obby*": "", "[": "",
		"": "ABC/lobby-1 ABC/lobby-22 DEF/hall.1 DEF/lobby-1",
	} {
		var status struct {
			Count   int `json:"stream_count"`
			Streams []struct {
				ID string `json:"id"`
			} `json:"streams"`
		}
		if err := json.Unmarshal([]byte(call(t, "GET", base+"/status?match="+url.QueryEscape(pattern), "").body),
			&status); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range status.Streams {
			got = append(got, s.ID)
		}
		if strings.Join(got, " ") != want || status.Count != 4 {
			t.Errorf("%q matches %q of %d, want %q", pattern, got, status.Count, want)
		}
	}
}

func TestStatus(t *testing.T) {
	f := newFake("ABC123/lobby")
	f.streams["ABC123/lobby"] = func() controller.StreamView {
		s := f.streams["ABC123/lobby"]
		started := testStart.In(time.FixedZone("", 3600)).Add(123456)
		s.Feeds = []controller.Feed{{ID: "f1", Started: controller.ByPlatform(started)}, {ID: "f2"}}
		s.Starts, s.Savings.RunS, s.Savings.AvoidedS, s.Savings.Wakes = 2, 10, 90, 3
		at := s.Savings.Since
		s.Trouble = &controller.Trouble{Encoder: "cam", Text: "refused", Count: 5, Since: at, Last: at}
		return s
	}()
	f.accounts = []controller.AccountView{{Account: "ABC123"}}
	f.notReady = []string{"the disk is full"}
	_, base := startAdmin(t, f, nil)
	got := call(t, "GET", base+"/status", "")
	var status map[string]any
	if err := json.Unmarshal([]byte(got.body), &status); err != nil || got.status != 200 {
		t.Fatalf("%d %s: %v", got.status, got.body, err)
	}
	now, err := time.Parse(time.RFC3339, status["now"].(string))
	if err != nil || time.Since(now).Abs() > time.Hour {
		t.Errorf("now: %v, %v", now, err)
	}
	delete(status, "now")
	text, _ := json.MarshalIndent(status, "", " ")
	const want = `{
 "helpers": [],
 "not_ready": [
  "the disk is full"
 ],
 "platform": [
  {
   "account": "ABC123",
   "last_hook": null,
   "last_poll": null,
   "poll_error": null,
   "webhook": null
  }
 ],
 "problems": [],
 "ready": false,
 "savings": {
  "avoided_s": 90,
  "run_s": 10,
  "since": "2026-03-04T05:06:07.890Z",
  "starts": 2,
  "wakes": 3,
  "wasted_starts": 0,
  "watched_s": 0
 },
 "started": "2026-03-04T05:06:07.890Z",
 "stream_count": 1,
 "streams": [
  {
   "account": "ABC123",
   "deadline": null,
   "deadline_does": null,
   "demand": [],
   "encoders": [
    {
     "driver": "ffmpeg",
     "error": null,
     "health": null,
     "name": "cam",
     "on_air": false,
     "pid": null,
     "restarts": 0,
     "since": null,
     "state": "stopped",
     "wanted": false
    }
   ],
   "feeds": [
    {
     "encoder": null,
     "id": "f1",
     "priority": null,
     "source_id": "",
     "started": "2026-03-04T05:06:07.890Z"
    },
    {
     "encoder": null,
     "id": "f2",
     "priority": null,
     "source_id": "",
     "started": null
    }
   ],
   "id": "ABC123/lobby",
   "last_attempt": null,
   "managed": true,
   "mode": "auto",
   "mode_by": null,
   "mode_until": null,
   "mode_why": null,
   "name": "lobby",
   "phase": "idle",
   "reason": "nobody watches",
   "savings": {
    "avoided_s": 90,
    "run_s": 10,
    "since": "2026-03-04T05:06:07.890Z",
    "wakes": 3,
    "wasted_starts": 0,
    "watched_s": 0
   },
   "since": "2026-03-04T05:06:07.890Z",
   "starts": 2,
   "trouble": {
    "count": 5,
    "encoder": "cam",
    "last": "2026-03-04T05:06:07.890Z",
    "since": "2026-03-04T05:06:07.890Z",
    "text": "refused"
   },
   "unconfirmed": false,
   "uptime_s": 0,
   "viewers": null,
   "waits": null,
   "waits_for": null,
   "wanted": false
  }
 ],
 "version": "v1.2.3"
}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := call(t, "GET", base+"/readyz", ""); got.status != 503 ||
		got.body != `{"ready":false,"reasons":["the disk is full"]}`+"\n" {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
	f.mu.Lock()
	f.notReady = nil
	f.mu.Unlock()
	if got := call(t, "GET", base+"/readyz", ""); got.status != 200 || got.body != `{"ready":true}`+"\n" {
		t.Errorf("readyz: %d %s", got.status, got.body)
	}
}

func TestStreamNamesOfAnyKind(t *testing.T) {
	ids := []string{
		"ABC/lobby", "ABC/a/b", "ABC/a b", "ABC/what?", "ABC/100%", "ABC/100%25", "ABC/%2F", "ABC/..", "ABC/../x",
		"ABC/.", "ABC//", "ABC/a+b",
		`ABC/"><script>alert(1)</script>`, "ABC/mode", "ABC/x/mode", "ABC/é😀", "ABC/a;b=c&d#e", "ABC/\\..\\", "ABC/*",
		"ABC/:id",
	}
	_, base := startAdmin(t, newFake(ids...), nil)
	for _, id := range ids {
		address := base + "/api/v1/streams/" + url.PathEscape(id)
		for _, tt := range []struct{ method, tail, body string }{{"GET", "", ""}, {"PUT", "/mode", `{"mode":"off"}`}} {
			got := call(t, tt.method, address+tt.tail, tt.body)
			var s struct{ ID string }
			if err := json.Unmarshal([]byte(got.body), &s); err != nil || got.status != 200 || s.ID != id {
				t.Errorf("%s %s: %d %q, %v", tt.method, id, got.status, s.ID, err)
			}
		}
		if got := call(t, "GET", address+"/history", ""); got.status != 200 || got.body != "[]\n" {
			t.Errorf("history of %s: %d %s", id, got.status, got.body)
		}
	}
	var list []json.RawMessage
	if got := call(t, "GET", base+"/api/v1/streams", ""); json.Unmarshal([]byte(got.body), &list) != nil ||
		len(list) != len(ids) {
		t.Errorf("list: %d streams, want %d", len(list), len(ids))
	}
}

func TestMistakesAreNamed(t *testing.T) {
	f := newFake("ABC123/lobby", "ABC123/lobbz", "ABC123/stage")
	_, base := startAdmin(t, f, nil)
	stream := base + "/api/v1/streams/ABC123%2Flobby"
	const sample = `send {"mode":"on","for":"2h","by":"…","why":"…"}; only mode is required`
	for _, tt := range []struct {
		method, address, body string
		status                int
		detail, hint          string
	}{
		{"GET", base + "/api/v1/streams/ABC123%2Floby", "", 404, `no stream "ABC123/loby"`,
			`did you mean "ABC123/lobby", "ABC123/lobbz"?`},
		{"GET", base + "/api/v1/streams/lobbx", "", 404, `no stream "lobbx"`,
			`did you mean "ABC123/lobby", "ABC123/lobbz"?`},
		{"GET", base + "/api/v1/streams/Stage", "", 404, `no stream "Stage"`, `did you mean "ABC123/stage"?`},
		{"GET", base + "/api/v1/streams/entirely%20other/history", "", 404, `no stream "entirely other"`,
			"oncue status lists the streams"},
		{"PUT", base + "/api/v1/streams/x%0Ay/mode", `{"mode":"on"}`, 404, `no stream "x\ny"`,
			"oncue status lists the streams"},
		{"PUT", stream + "/mode", `{"mode":"on"`, 400, "the body cannot be read: it ends in the middle of the JSON",
			sample},
		{"PUT", stream + "/mode", `{"mode":"on","fur":"2h"}`, 400,
			`the body cannot be read: "fur" is not one of its fields`, sample},
		{"PUT", stream + "/mode", `{"mode":"on","for":5}`, 400,
			"the body cannot be read: for must be text, not a number", sample},
		{"PUT", stream + "/mode", `[]`, 400, "the body cannot be read: it must be an object, not a list", sample},
		{"PUT", stream + "/mode", `{"mode":"on"} {}`, 400, "the body cannot be read: something follows the object",
			sample},
		{"PUT", stream + "/mode", `{}`, 422, "mode is missing: on, off or auto", ""},
		{"PUT", stream + "/mode", `{"mode":"maybe"}`, 422, `mode: "maybe" is not on, off or auto`, ""},
		{"PUT", stream + "/mode", `{"mode":"on","for":"two hours"}`, 422,
			`for: "two hours" is not a duration (examples: 30m, 2h, 1d)`, ""},
		{"PUT", stream + "/mode", `{"mode":"on","for":"-2h"}`, 422, `for: "-2h" is not between 0 and 8784h`, ""},
		{"PUT", stream + "/mode", `{"mode":"auto","for":"2h"}`, 422, "for: auto has no end; leave it out", ""},
		{"PUT", stream + "/mode", `{"mode":"on","why":"` + strings.Repeat("x", 201) + `"}`, 422,
			"by and why: at most 200 characters each", ""},
		{"PUT", stream + "/mode", `{"mode":"on","why":"` + strings.Repeat("x", 20000) + `"}`, 413,
			"the body is larger than 16384 bytes", ""},
		{"PUT", stream + "/demand", `{"by":"x"}`, 422, "for is missing: how long the stream is wanted",
			`send {"for":"60s","by":"…"}; for is required`},
		{"PUT", stream + "/demand", `{"for":"soon"}`, 422, `for: "soon" is not a duration (examples: 60s, 10m)`, ""},
		{"PUT", stream + "/demand", `{"for":"25h"}`, 422, `for: "25h" is not between 1s and 1d`,
			"send the request again before the time is over"},
		{"PUT", stream + "/demand", `{"for":"1m","by":"` + strings.Repeat("x", 201) + `"}`, 422,
			"by: at most 200 characters", ""},
		{"PUT", base + "/api/v1/streams/ABC123%2Floby/demand", `{"for":"1m"}`, 404, `no stream "ABC123/loby"`,
			`did you mean "ABC123/lobby", "ABC123/lobbz"?`},
		{"GET", stream + "/history?limit=0", "", 400, `limit: "0" is not a whole number from 1 to 1000`, ""},
		{"GET", stream + "/history?before=x", "", 400,
			`before: "x" is not a whole number from 0 to 9223372036854775807`, ""},
		{"GET", stream + "/log?lines=1e3", "", 400, `lines: "1e3" is not a whole number from 1 to 10000`, ""},
		{"GET", stream + "/log?encoder=other", "", 404, `stream "ABC123/lobby" has no encoder "other"`, ""},
		{"GET", stream + "/thumbnail", "", 404, `stream "ABC123/lobby" has no thumbnail yet`,
			"thumbnail hooks bring it, when the webhook includes them"},
		{"GET", base + "/api/v1/events?limit=1001", "", 400, `limit: "1001" is not a whole number from 1 to 1000`, ""},
		{"GET", base + "/api/v1/events?stream=loby", "", 404, `no stream "loby"`, `did you mean "ABC123/lobby"?`},
		{"GET", base + "/api/v1/events?stream=ABC123/other", "", 404, `no stream "ABC123/other"`,
			"oncue status lists the streams"},
		{"GET", base + "/nowhere", "", 404, "there is nothing at this address",
			"GET /api/v1/openapi.yaml lists the addresses"},
		{"POST", base + "/status", "", 405, "this address does not support that method",
			"GET /api/v1/openapi.yaml lists the methods of each address"},
		{"GET", stream + "/mode", "", 405, "this address does not support that method",
			"GET /api/v1/openapi.yaml lists the methods of each address"},
	} {
		mustProblem(t, tt.method+" "+strings.TrimPrefix(tt.address, base)+" "+tt.body,
			call(t, tt.method, tt.address, tt.body), tt.status, tt.detail, tt.hint)
	}
	if len(f.requests) != 0 {
		t.Errorf("a mistake set a mode: %+v", f.requests)
	}
	f.failWith = errors.New("ffmpeg log: it is gone")
	mustProblem(t, "log", call(t, "GET", stream+"/log", ""), 502, "ffmpeg log: it is gone", "")
	for _, tt := range []struct {
		err    error
		status int
		detail string
		hint   string
	}{
		{fmt.Errorf("mode on: %w: the schedule forbids it", controller.ErrInvalid), 422,
			"mode on: invalid request: the schedule forbids it", ""},
		{fmt.Errorf("save: %w: disk full", controller.ErrStore), 503, "save: the store cannot take it: disk full", ""},
		{fmt.Errorf("%w: ABC123/cam-9", controller.ErrFull), 429, "there are too many already: ABC123/cam-9", ""},
		{context.DeadlineExceeded, 504, "no answer in time", ""},
		{errors.New("secret internals"), 500, "something went wrong inside oncue", "see its log"},
	} {
		f.failWith = tt.err
		mustProblem(t, "failing with "+tt.err.Error(), call(t, "PUT", stream+"/mode", `{"mode":"on"}`), tt.status,
			tt.detail, tt.hint)
	}
}

func TestSetMode(t *testing.T) {
	f := newFake("ABC123/lobby")
	_, base := startAdmin(t, f, nil)
	address := base + "/api/v1/streams/ABC123%2Flobby/mode"
	for _, body := range []string{
		`{"mode":"on","for":"2h","by":"mia","why":"rehearsal"}`,
		`{"mode":"on","for":"1d12h"}`,
		`{"mode":"off"}`,
		`{"mode":"auto","for":""}`,
	} {
		if got := call(t, "PUT", address, body); got.status != 200 {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
	want := []controller.ModeRequest{
		{Mode: "on", For: 2 * time.Hour, By: "mia", Why: "rehearsal"},
		{Mode: "on", For: 36 * time.Hour, By: "the API, from 127.0.0.1"},
		{Mode: "off", By: "the API, from 127.0.0.1"},
		{Mode: "auto", By: "the API, from 127.0.0.1"},
	}
	if diff := cmp.Diff(want, f.requests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHistoryEventsLogThumbnail(t *testing.T) {
	f := newFake("ABC123/lobby")
	at := controller.Time{Time: testStart}
	f.history["ABC123/lobby"] = []controller.Transition{
		{Seq: 9, Stream: "ABC123/lobby", At: at, From: "starting", To: "live", Event: "started",
			Reason: "the platform has a feed", Encoder: "cam"},
		{Seq: 7, Stream: "ABC123/lobby", At: at, From: "idle", To: "starting", Event: "ViewerAttempt",
			Reason: "a viewer is waiting", Encoder: "cam", Deadline: &at},
	}
	f.records = []controller.Record{
		{Seq: 5, Received: testStart, Sent: testStart, Account: "ABC123", Stream: "ABC123/lobby",
			Type: "viewerConnection", Event: "ViewerAttempt", Verdict: "accepted", Size: 180},
		{Seq: 4, Received: testStart, Account: "ABC123", Type: "transcoder", Verdict: "ignored", Note: "unknown type",
			Size: 3},
	}
	f.logs["ABC123/lobby"] = []string{"first", "second", "third"}
	f.pictures["ABC123/lobby"] = []byte("\xff\xd8\xffpicture")
	_, base := startAdmin(t, f, nil)
	stream := base + "/api/v1/streams/ABC123%2Flobby"
	const newer = `{"seq":9,"stream":"ABC123/lobby","at":"2026-03-04T05:06:07.890Z","from":"starting","to":"live",` +
		`"event":"started","reason":"the platform has a feed","encoder":"cam","deadline":null}`
	const older = `{"seq":7,"stream":"ABC123/lobby","at":"2026-03-04T05:06:07.890Z","from":"idle","to":"starting",` +
		`"event":"ViewerAttempt","reason":"a viewer is waiting","encoder":"cam","deadline":"2026-03-04T05:06:07.890Z"}`
	const hook5 = `{"seq":5,"received":"2026-03-04T05:06:07.890Z","sent":"2026-03-04T05:06:07.890Z",` +
		`"account":"ABC123","stream":"ABC123/lobby","type":"viewerConnection","event":"ViewerAttempt",` +
		`"verdict":"accepted","note":"","size":180}`
	const hook4 = `{"seq":4,"received":"2026-03-04T05:06:07.890Z","sent":null,"account":"ABC123","stream":"",` +
		`"type":"transcoder","event":"","verdict":"ignored","note":"unknown type","size":3}`
	for _, tt := range []struct{ address, kind, want string }{
		{stream + "/history", "application/json", "[" + newer + "," + older + "]\n"},
		{stream + "/history?limit=1", "application/json", "[" + newer + "]\n"},
		{stream + "/history?before=9", "application/json", "[" + older + "]\n"},
		{base + "/api/v1/events", "application/json", "[" + hook5 + "," + hook4 + "]\n"},
		{base + "/api/v1/events?stream=ABC123%2Flobby&type=ViewerAttempt&limit=10&before=6", "application/json", "[" +
			hook5 + "]\n"},
		{base + "/api/v1/events?stream=lobby&type=ViewerAttempt&limit=10&before=6", "application/json", "[" + hook5 +
			"]\n"},
		{stream + "/log", "text/plain; charset=UTF-8", "first\nsecond\nthird\n"},
		{stream + "/log?lines=2&encoder=cam", "text/plain; charset=UTF-8", "second\nthird\n"},
		{stream + "/thumbnail", "image/jpeg", "\xff\xd8\xffpicture"},
	} {
		got := call(t, "GET", tt.address, "")
		if got.status != 200 || got.body != tt.want || got.header.Get("Content-Type") != tt.kind {
			t.Errorf("%s: %d %s %s", tt.address, got.status, got.header.Get("Content-Type"), got.body)
		}
	}
}

// readFeed reads whole messages of a watch, without comments.
func readFeed(t *testing.T, r *bufio.Reader) (message string) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the feed ended: %v", err)
		}
		switch {
		case line == "\n" && message != "":
			return message
		case line == "\n", strings.HasPrefix(line, ":"), strings.HasPrefix(line, "retry:"):
		default:
			message += line
		}
	}
}

func openFeed(t *testing.T, base, last string) (*bufio.Reader, func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	r, err := http.NewRequestWithContext(ctx, "GET", base+"/api/v1/watch", nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("watch: %s %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	return bufio.NewReader(resp.Body), func() { cancel(); resp.Body.Close() }
}

func TestWatch(t *testing.T) {
	f := newFake("ABC123/lobby")
	a, base := startAdmin(t, f, nil)
	feed, done := openFeed(t, base, "")
	s := f.streams["ABC123/lobby"]
	s.Phase = controller.PhaseLive
	f.put(s)
	f.tell(controller.Change{Hook: &controller.Record{Seq: 1, Received: testStart, Account: "ABC123", Type: "feeds",
		Event: "started\n\nevent: stream", Verdict: "accepted"}})
	live, _ := json.Marshal(newStreamJSON(s))
	if got, want := readFeed(t, feed), "id: 1\nevent: stream\ndata: "+string(live)+"\n"; got != want {
		t.Errorf("first message:\n%s\nwant:\n%s", got, want)
	}
	hook := readFeed(t, feed)
	if !strings.HasPrefix(hook, "id: 2\nevent: event\ndata: {\"seq\":1,") || strings.Count(hook, "\n") != 3 {
		t.Errorf("second message:\n%s", hook)
	}
	done()
	f.put(s)
	feed, done = openFeed(t, base, "1")
	if got := readFeed(t, feed); got != hook {
		t.Errorf("resumed with:\n%s\nwant:\n%s", got, hook)
	}
	if got := readFeed(t, feed); !strings.HasPrefix(got, "id: 3\n") {
		t.Errorf("and then:\n%s", got)
	}
	defer done()
	mustProblem(t, "a bad id", call(t, "GET", base+"/api/v1/watch", "", "Last-Event-ID: x"), 400,
		`Last-Event-ID: "x" is not an id of an event`, "")
	// A watch must not delay a drain.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := a.Drain(ctx); err != nil {
		t.Errorf("drain with an open feed: %v", err)
	}
	if _, err := feed.ReadString(0); !errors.Is(err, io.EOF) {
		t.Errorf("the feed did not end well: %v", err)
	}
	if n := f.watching(); n != 0 {
		t.Errorf("%d watchers are left", n)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	a, base := startAdmin(t, newFake(), nil)
	for range maxWatchers {
		a.watchers <- struct{}{}
	}
	mustProblem(t, "one more", call(t, "GET", base+"/api/v1/watch", ""), 503, "too many clients are watching",
		"close some dashboards, or commands that watch")
	<-a.watchers
	_, done := openFeed(t, base, "")
	done()
}

func TestAssetsAreAskedForOnce(t *testing.T) {
	_, base := startAdmin(t, newFake(), nil)
	first := call(t, "GET", base+"/assets/oncue.css", "")
	if first.status != 200 || first.header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Fatalf("%d %s", first.status, first.header.Get("Content-Type"))
	}
	if again := call(t, "GET", base+"/assets/oncue.css", "", "If-None-Match: "+
		first.header.Get("ETag")); again.status != 304 {
		t.Errorf("again: %d", again.status)
	}
	for _, name := range []string{"dashboard.html", "..%2Fopenapi.yaml", "../openapi.yaml", ""} {
		if got := call(t, "GET", base+"/assets/"+name, ""); got.status != 404 {
			t.Errorf("%q: %d", name, got.status)
		}
	}
}

func TestPanicIsAnswered(t *testing.T) {
	_, base := startAdmin(t, newFake(), func(o *AdminOptions) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("internals") })
	})
	mustProblem(t, "panic", call(t, "GET", base+"/metrics", ""), 500, "something went wrong inside oncue",
		"see its log")
}

func TestDemoIsMounted(t *testing.T) {
	_, base := startAdmin(t, newFake(), func(o *AdminOptions) {
		o.Demo = http.HandlerFunc(func(w http.ResponseWriter,
			r *http.Request) {
			fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
		})
	})
	if got := call(t, "POST", base+"/demo/watch/x", ""); got.body != "POST /demo/watch/x" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := call(t, "POST", base+"/demo/watch/x", "", "Origin: http://evil.example"); got.status != 403 {
		t.Errorf("from another site: %d", got.status)
	}
}

// The goal is 50 ms for 1,000 streams on a quiet host with two cores; the bound here leaves room
// for a busy one and the race detector.
func TestStatusOfAThousandStreams(t *testing.T) {
	a, err := NewAdmin(AdminOptions{Controller: manyStreams(1000), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	best := time.Hour
	for range 10 {
		w := httptest.NewRecorder()
		began := time.Now()
		a.http.Handler.ServeHTTP(w, httptest.NewRequest("GET", "/status", nil))
		if took := time.Since(began); took < best {
			best = took
		}
		if w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	t.Logf("1,000 streams: %v", best)
	if best > 500*time.Millisecond {
		t.Errorf("took %v", best)
	}
}

func manyStreams(n int) *fakeController {
	f := newFake()
	for i := range n {
		id := fmt.Sprintf("ABC123/camera-%04d", i)
		f.streams[id] = idleStream(controller.StreamID(id))
	}
	return f
}
