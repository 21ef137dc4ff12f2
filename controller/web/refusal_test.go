package web

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// ask sends a text as it is, and returns the answer and how long the connection stayed open.
func ask(t *testing.T, addr, text string) (got answer, took time.Duration) {
	t.Helper()
	c := dial(t, addr)
	began := time.Now()
	send(t, c, text)
	_ = c.SetReadDeadline(began.Add(patience))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v, want the end", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}, time.Since(began)
}

// Requests that net/http refuses before any handler sees them get an answer in the format of their
// side.
func TestUnreadableRequests(t *testing.T) {
	_, base := startAdmin(t, newFake(), nil)
	got, _ := ask(t, strings.TrimPrefix(base, "http://"), "GET /api/v1/streams/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	mustProblem(t, "a bad address", got, 400, "the request is malformed: its address or a header is not valid HTTP",
		"in addresses a stream's id is percent-encoded: / is %2F, % is %25")
	_, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	got, _ = ask(t, addr, "POST /hooks/%zz HTTP/1.1\r\nHost: oncue\r\n\r\n")
	if got.status != 400 || got.header.Get("Content-Type") != "application/json" ||
		got.body != `{"status":"error","error":"Bad Request"}` {
		t.Errorf("the public side: %+v", got)
	}
}

// A sender that asks before it sends gets the refusal, and soon the end of the connection, well
// before the time that a body may take.
func TestRefusalAfterExpectEndsTheConnection(t *testing.T) {
	_, hooks := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	_, base := startAdmin(t, newFake("ABC123/lobby"), func(o *AdminOptions) { o.Token = secret.New("a token") })
	admin := strings.TrimPrefix(base, "http://")
	const expect = "Host: localhost\r\nExpect: 100-continue\r\nContent-Length: 200\r\n"
	const mode = "PUT /api/v1/streams/ABC123%2Flobby/mode HTTP/1.1\r\n" + expect
	for _, tt := range []struct {
		name, addr, send string
		status           int
	}{
		{"another type", hooks, "POST " + millicast.HookPath + " HTTP/1.1\r\n" + expect +
			"Content-Type: text/plain\r\n\r\n", 415},
		{"another method", hooks, "PUT " + millicast.HookPath + " HTTP/1.1\r\n" + expect + "\r\n", 405},
		{"too large", hooks, "POST " + millicast.HookPath + " HTTP/1.1\r\n" +
			strings.Replace(expect, "200", "70000", 1) + "Content-Type: application/json\r\n\r\n", 413},
		{"no token", admin, mode + "\r\n", 401},
		{"another type for the mode", admin, mode +
			"Authorization: Bearer a token\r\nContent-Type: text/plain\r\n\r\n", 415},
	} {
		got, took := ask(t, tt.addr, tt.send)
		if got.status != tt.status || got.body == "" || took > readTimeout/2 {
			t.Errorf("%s: %d %q after %s, want %d", tt.name, got.status, got.body, took, tt.status)
		}
	}
}

// HEAD is allowed wherever GET is, except for watch, and sends no body.
func TestHead(t *testing.T) {
	f := newFake("ABC123/lobby", "ABC123/two", "DEF456/two")
	f.pictures["ABC123/lobby"] = []byte("\xff\xd8\xff")
	_, base := startAdmin(t, f, nil)
	const stream = "/api/v1/streams/ABC123%2Flobby"
	for _, path := range []string{"/", "/status", "/readyz", "/healthz", "/login", "/api/v1/streams", stream, stream +
		"/history", stream + "/log", stream + "/thumbnail", "/api/v1/events"} {
		get, head := call(t, "GET", base+path, ""), call(t, "HEAD", base+path, "")
		if head.status != get.status || head.body != "" ||
			head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("%s: HEAD gives %d %q %s, GET %d %s", path, head.status, head.body,
				head.header.Get("Content-Type"), get.status, get.header.Get("Content-Type"))
		}
	}
	if got := call(t, "HEAD", base+"/api/v1/watch", ""); got.status != 405 {
		t.Errorf("the feed: %d", got.status)
	}
	if got := call(t, "POST", base+"/status", ""); got.header.Get("Allow") != "OPTIONS, GET, HEAD" {
		t.Errorf("allowed: %s", got.header.Get("Allow"))
	}
}

func TestEventsOfAStreamByName(t *testing.T) {
	f := newFake("ABC123/lobby", "ABC123/two", "DEF456/two")
	f.accounts = []controller.AccountView{{Account: "ABC123"}}
	f.records = []controller.Record{{Seq: 2, Account: "OLD", Stream: "OLD/gone"},
		{Seq: 1, Account: "ABC123", Stream: "ABC123/lobby"}}
	_, base := startAdmin(t, f, nil)
	for name, seq := range map[string]string{"lobby": `"seq":1`, "ABC123/lobby": `"seq":1`, "OLD/gone": `"seq":2`,
		"ABC123/unmapped": "[]"} {
		if got := call(t, "GET", base+"/api/v1/events?stream="+name, ""); got.status != 200 ||
			!strings.Contains(got.body, seq) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	mustProblem(t, "two", call(t, "GET", base+"/api/v1/events?stream=two", ""), 404,
		`"two" is a stream of several accounts`, "say which one: ABC123/two, DEF456/two")
}
