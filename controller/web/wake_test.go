package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

var wakeKey = secret.New("0123456789abcdef")

// fakeWaker knows the stream ABC123/lobby.
type fakeWaker struct {
	mu    sync.Mutex
	woken int
	err   error
	moves chan controller.Situation
}

func (f *fakeWaker) Knows(account, name string) bool {
	return account == "ABC123" && name == "lobby ä/1"
}

func (f *fakeWaker) Wake(_ context.Context, _ controller.StreamID, hold time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if hold != 30*time.Second {
		return fmt.Errorf("hold is %s", hold)
	}
	f.woken++
	return f.err
}

func (f *fakeWaker) Follow(context.Context, controller.StreamID) <-chan controller.Situation {
	return f.moves
}

func (f *fakeWaker) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.woken
}

const wakeSite = "https://example.com"

func startWake(t testing.TB, f *fakeWaker, change func(*HookOptions)) (h *Hooks, base string) {
	t.Helper()
	o := HookOptions{Receiver: verifying(nil), Waker: f}
	if change != nil {
		change(&o)
	}
	h, addr := startHooks(t, o, nil)
	h.SetWake(WakeOptions{Secret: wakeKey, Origins: []string{wakeSite}, Hold: 30 * time.Second})
	return h, "http://" + addr
}

// wakeLinkFor is a link that ends in so much time, signed for the stream.
func wakeLinkFor(id controller.StreamID, left time.Duration, tail string) string {
	exp := strconv.FormatInt(time.Now().Add(left).Unix(), 10)
	return WakePath(id) + tail + "?exp=" + exp + "&sig=" + SignWake(wakeKey, id, exp)
}

func TestWakeLinks(t *testing.T) {
	f := &fakeWaker{}
	h, base := startWake(t, f, nil)
	const lobby = "ABC123/lobby ä/1"
	good := wakeLinkFor(lobby, time.Minute, "")
	foreign := "Origin: https://example.com.evil.net"
	bad := func(link string) string {
		last := map[bool]string{true: "1", false: "0"}[strings.HasSuffix(link, "0")]
		return link[:len(link)-1] + last
	}
	for _, tt := range []struct {
		what, method, link string
		header             []string
		status             int
	}{
		{"right", "POST", good, nil, 204},
		{"again", "POST", good, nil, 204},
		{"of a page", "POST", good, []string{"Origin: " + wakeSite}, 204},
		{"of another site's page", "POST", good, []string{foreign}, 403},
		{"of a page without a site", "POST", good, []string{"Origin: null"}, 403},
		{"asked for before", "OPTIONS", good, []string{"Origin: " + wakeSite}, 204},
		{"asked for before, by another", "OPTIONS", good, []string{foreign}, 403},
		{"forged", "POST", bad(good), nil, 403},
		{"without a signature", "POST", WakePath(lobby) + "?exp=9999999999", nil, 403},
		{"with an empty signature", "POST", WakePath(lobby) + "?exp=9999999999&sig=", nil, 403},
		{"with another end", "POST", strings.Replace(good, "exp=", "exp=1", 1), nil, 403},
		{"for another stream", "POST", strings.Replace(good, "%2F1", "%2F2", 1), nil, 403},
		{"over", "POST", wakeLinkFor(lobby, -time.Second, ""), nil, 403},
		{"that lasts too long", "POST", wakeLinkFor(lobby, 25*time.Hour, ""), nil, 403},
		{"of no stream", "POST", wakeLinkFor("ABC123/nobody", time.Minute, ""), nil, 404},
		{"of no stream, forged", "POST", bad(wakeLinkFor("ABC123/nobody", time.Minute, "")), nil, 403},
		{"by GET", "GET", good, nil, 405},
		{"to follow, by POST", "POST", wakeLinkFor(lobby, time.Minute, "/live"), nil, 405},
		{"to follow, forged", "GET", bad(wakeLinkFor(lobby, time.Minute, "/live")), nil, 403},
		{"elsewhere", "POST", strings.Replace(good, "/wake/", "/wake/x/y/", 1), nil, 404},
		{"with the account's slash hidden", "POST", "/wake/ABC123%2Flobby/1?exp=1&sig=00", nil, 404},
	} {
		got := call(t, tt.method, base+tt.link, "", tt.header...)
		if got.status != tt.status {
			t.Errorf("a link %s: %d, want %d", tt.what, got.status, tt.status)
		}
		allowed := got.header.Get("Access-Control-Allow-Origin")
		if mine := len(tt.header) > 0 && tt.header[0] == "Origin: "+wakeSite; mine != (allowed == wakeSite) {
			t.Errorf("a link %s: pages of %q may read the answer", tt.what, allowed)
		}
	}
	if n := f.calls(); n != 3 {
		t.Errorf("%d links were taken, want 3", n)
	}
	for _, tt := range []struct {
		err    error
		status int
	}{{controller.ErrFull, 429}, {controller.ErrUnknownStream, 404}, {errors.New("internals"), 503}} {
		f.err = tt.err
		if got := call(t, "POST", base+good, ""); got.status != tt.status || strings.Contains(got.body, "internals") {
			t.Errorf("%v: %d %s", tt.err, got.status, got.body)
		}
	}
	if got := call(t, "GET", base+"/wake.js", ""); got.status != 200 ||
		!strings.Contains(got.body, "function oncueWake(") ||
		!strings.HasPrefix(got.header.Get("Content-Type"), "text/javascript") {
		t.Errorf("wake.js: %d %v", got.status, got.header)
	} else if got := call(t, "GET", base+"/wake.js", "", "If-None-Match: "+got.header.Get("ETag")); got.status != 304 {
		t.Errorf("wake.js again: %d", got.status)
	}
	h.SetWake(WakeOptions{})
	for _, off := range []string{"POST " + good, "GET " + wakeLinkFor(lobby, time.Minute, "/live"), "GET /wake.js",
		"OPTIONS " + good} {
		method, link, _ := strings.Cut(off, " ")
		if got := call(t, method, base+link, "", "Origin: "+wakeSite); got.status != 404 {
			t.Errorf("%s, with wake links off: %d", off, got.status)
		}
	}
}

// TestForgedWakeLinksAreLimited: forged links count as deliveries that nobody signed, right ones
// never do.
func TestForgedWakeLinksAreLimited(t *testing.T) {
	f := &fakeWaker{}
	_, base := startWake(t, f, func(o *HookOptions) { o.HooksPerSecond = 1 })
	const lobby = "ABC123/lobby ä/1"
	limited := 0
	for range 20 {
		if got := call(t, "POST", base+WakePath(lobby)+"?exp=9999999999&sig=00", ""); got.status == 429 {
			limited++
		}
	}
	if limited < 10 {
		t.Errorf("%d of 20 forged links were refused for their number", limited)
	}
	if got := call(t, "POST", base+wakeLinkFor(lobby, time.Minute, ""), ""); got.status != 204 {
		t.Errorf("a right link after forged ones: %d", got.status)
	}
}

// TestFollow: a page is told where the stream is, at each change, and when its link is over.
func TestFollow(t *testing.T) {
	f := &fakeWaker{moves: make(chan controller.Situation, 1)}
	h, base := startWake(t, f, func(o *HookOptions) { o.MaxConns = 32 }) // 2 pages of one sender
	link := base + wakeLinkFor("ABC123/lobby ä/1", time.Minute, "/live")
	follow := func(link string) (*bufio.Scanner, *http.Response) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		t.Cleanup(cancel)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", wakeSite)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return bufio.NewScanner(resp.Body), resp
	}
	next := func(s *bufio.Scanner) string {
		event := ""
		for s.Scan() {
			if name, ok := strings.CutPrefix(s.Text(), "event: "); ok {
				event = name
			} else if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
				return event + " " + data
			}
		}
		return "closed"
	}
	page, resp := follow(link)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" ||
		resp.Header.Get("Access-Control-Allow-Origin") != wakeSite {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	for _, phase := range []controller.Phase{"idle", "starting", "live", "lingering", "stopping"} {
		f.moves <- controller.SituationIn(phase)
		var state struct {
			Phase controller.Phase
			Live  bool
			Hold  float64 `json:"hold_s"`
		}
		data, ok := strings.CutPrefix(next(page), "state ")
		if err := json.Unmarshal([]byte(data), &state); !ok || err != nil || state.Phase != phase || state.Hold != 30 ||
			state.Live != (phase == "live" || phase == "lingering") {
			t.Errorf("%s: %q %v", phase, data, err)
		}
	}
	short, _ := follow(base + wakeLinkFor("ABC123/lobby ä/1", 2*time.Second, "/live"))
	if _, resp := follow(link); resp.StatusCode != 429 {
		t.Errorf("a third page of one sender: %s", resp.Status)
	}
	if got := next(short); got != "end {}" {
		t.Errorf("at the end of the link: %q", got)
	}
	if got := next(short); got != "closed" {
		t.Errorf("after the end of the link: %q", got)
	}
	other, resp := follow(link)
	if resp.StatusCode != 200 {
		t.Errorf("once there is room: %s", resp.Status)
	}
	h.SetWake(WakeOptions{Secret: secret.New("another of 0123456789")})
	for range 2 { // each is told of one
		f.moves <- controller.SituationIn("idle")
	}
	if got := []string{next(page)[:5], next(other)[:5], next(page), next(other)}; !slices.Equal(got,
		[]string{"state", "state", "closed", "closed"}) {
		t.Errorf("after the secret was changed: %v", got)
	}
	h.SetWake(WakeOptions{Secret: wakeKey, Origins: []string{wakeSite}, Hold: 30 * time.Second})
	page, _ = follow(link)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.Drain(ctx); err != nil {
		t.Error("pages keep the server from ending:", err)
	}
	if got := next(page); got != "closed" {
		t.Errorf("after the server's end: %q", got)
	}
}

// BenchmarkWakeLink asks over loopback, by a connection for each as browsers do: with a right link,
// which was used just before, with a forged one and one that is over. Their floor is a server that
// checks the signature and does nothing else.
func BenchmarkWakeLink(b *testing.B) {
	const lobby = "ABC123/lobby ä/1"
	_, base := startWake(b, &fakeWaker{}, nil)
	floor := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		if SignWake(wakeKey, lobby, query.Get("exp")) != query.Get("sig") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	floor.Config.SetKeepAlivesEnabled(false)
	floor.Start()
	defer floor.Close()
	right := wakeLinkFor(lobby, time.Minute, "")
	forged := strings.Replace(right, "sig=", "sig=00", 1)[:len(right)]
	for _, c := range []struct {
		name, server, link string
		status             int
	}{
		{"floor", floor.URL, right, 204},
		{"floor, forged", floor.URL, forged, 403},
		{"right", base, right, 204},
		{"forged", base, forged, 403},
		{"over", base, wakeLinkFor(lobby, -time.Minute, ""), 403},
	} {
		b.Run(c.name, func(b *testing.B) {
			addr := strings.TrimPrefix(c.server, "http://")
			wire := "POST " + c.link + " HTTP/1.1\r\nHost: " + addr + "\r\nContent-Length: 0\r\n\r\n"
			b.ReportAllocs()
			b.SetParallelism(32)
			want := []byte("HTTP/1.1 " + strconv.Itoa(c.status))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					conn, err := net.Dial("tcp", addr)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.WriteString(conn, wire)
					answer, _ := io.ReadAll(conn)
					conn.Close()
					if !bytes.HasPrefix(answer, want) {
						b.Errorf("%q", answer)
						return
					}
				}
			})
		})
	}
}
