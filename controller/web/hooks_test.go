package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

const patience = 30 * time.Second // for steps that should take no time; generous, for busy hosts

var testSecret = secret.New("c2VjcmV0LWtleS1mb3ItdGVzdHM=")

// receiverFunc is a Receiver.
type receiverFunc func(ctx context.Context, d millicast.Delivery) (controller.Verdict, error)

func (f receiverFunc) Receive(ctx context.Context, d millicast.Delivery) (controller.Verdict, error) {
	return f(ctx, d)
}

// verifying is a receiver that checks the signature and then does what next says; a nil next
// accepts.
func verifying(next receiverFunc) receiverFunc {
	return func(ctx context.Context, d millicast.Delivery) (controller.Verdict, error) {
		if d.Header.Get(millicast.SignatureHeader) != millicast.Sign(testSecret, d.Body) {
			return "", millicast.ErrSignature
		}
		if next == nil {
			return controller.Accepted, nil
		}
		return next(ctx, d)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// startHooks serves a public side on loopback until the test ends. Change may alter the server
// before it serves.
func startHooks(t testing.TB, o HookOptions, change func(*Hooks)) (h *Hooks, addr string) {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet()
	}
	h = NewHooks(o)
	if change != nil {
		change(h)
	}
	return h, serve(t, h.Server)
}

func serve(t testing.TB, s *Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

const attempt = `{"type":"viewerConnection","event":"ViewerAttempt","timestamp":1727442713604,` +
	`"data":{"name":"myAwesomeStream","accountId":"ABC123","streamId":"ABC123/myAwesomeStream"}}`

// post delivers body with the given header lines, "Key: value" each; a right signature is added
// unless one is given.
func post(t testing.TB, addr, body string, header ...string) (status int, answer string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+addr+millicast.HookPath, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(millicast.SignatureHeader, millicast.Sign(testSecret, []byte(body)))
	for _, line := range header {
		key, value, _ := strings.Cut(line, ": ")
		r.Header.Set(key, value)
	}
	return do(t, r)
}

func do(t testing.TB, r *http.Request) (status int, answer string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, got)
	}
	return resp.StatusCode, string(text)
}

func TestHookAnswers(t *testing.T) {
	verdict := atomic.Value{}
	results := make(chan HookResult, 100)
	_, addr := startHooks(t, HookOptions{
		Receiver: verifying(func(_ context.Context, d millicast.Delivery) (controller.Verdict, error) {
			switch v := verdict.Load().(type) {
			case controller.Verdict:
				return v, nil
			case error:
				return "", v
			default:
				panic("kaboom with internals")
			}
		}),
		Observe: func(result HookResult, _ time.Duration) { results <- result },
	}, nil)
	const down = `{"status":"error","error":"cannot store the hook now"}`
	const media = `{"status":"error","error":"send application/json or image/jpeg, without content encoding"}`
	jpeg := "\xff\xd8\xff" + strings.Repeat("x", 3<<20)
	tests := []struct {
		name    string
		verdict any
		body    string
		header  string
		status  int
		answer  string
		result  HookResult
	}{
		{"accepted", controller.Accepted, attempt, "", 200, `{"status":"accepted"}`, "accepted"},
		{"with a charset", controller.Accepted, attempt, "Content-Type: application/json; charset=utf-8", 200,
			`{"status":"accepted"}`, "accepted"},
		{"duplicate", controller.Duplicate, attempt, "", 200, `{"status":"duplicate"}`, "duplicate"},
		{"ignored", controller.Ignored, attempt, "", 200, `{"status":"ignored"}`, "ignored"},
		{"stale", controller.Stale, attempt, "", 200, `{"status":"stale"}`, "stale"},
		{"quarantined", controller.Quarantined, "not JSON", "", 200, `{"status":"quarantined"}`, "quarantined"},
		{"a picture", controller.Accepted, jpeg, "Content-Type: image/jpeg", 200, `{"status":"accepted"}`, "accepted"},
		{"empty", controller.Quarantined, "", "", 200, `{"status":"quarantined"}`, "quarantined"},
		{"forged", controller.Accepted, attempt, "X-Millicast-Signature: sha1=00", 401,
			`{"status":"error","error":"bad signature"}`, "signature"},
		{"too large", controller.Accepted, strings.Repeat("x", 64<<10+1), "", 413,
			`{"status":"error","error":"the body is too large"}`, "too_large"},
		{"just not too large", controller.Accepted, strings.Repeat("x", 64<<10), "", 200, `{"status":"accepted"}`,
			"accepted"},
		{"picture too large", controller.Accepted, strings.Repeat("x", 8<<20+1), "Content-Type: image/jpeg", 413,
			`{"status":"error","error":"the body is too large"}`, "too_large"},
		{"other type", controller.Accepted, attempt, "Content-Type: text/plain", 415, media, "media_type"},
		{"broken type", controller.Accepted, attempt, "Content-Type: a/b/c;;", 415, media, "media_type"},
		{"compressed", controller.Accepted, attempt, "Content-Encoding: gzip", 415, media, "media_type"},
		{"store", fmt.Errorf("disk /dev/sda1 full: %w", controller.ErrStore), attempt, "", 503, down, "store"},
		{"unknown error", errors.New("internals"), attempt, "", 503, down, "store"},
		{"panic", "panic", attempt, "", 503, down, "panic"},
		{"after the panic", controller.Accepted, attempt, "", 200, `{"status":"accepted"}`, "accepted"},
	}
	for _, tt := range tests {
		verdict = atomic.Value{}
		verdict.Store(tt.verdict)
		var header []string
		if tt.header != "" {
			header = append(header, tt.header)
		}
		status, answer := post(t, addr, tt.body, header...)
		if status != tt.status || answer != tt.answer {
			t.Errorf("%s: %d %s, want %d %s", tt.name, status, answer, tt.status, tt.answer)
		}
		if got := <-results; got != tt.result {
			t.Errorf("%s: observed as %q, want %q", tt.name, got, tt.result)
		}
	}
}

func TestHookRoutes(t *testing.T) {
	_, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	for _, tt := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/healthz", 200},
		{"HEAD", "/healthz", 200},
		{"POST", "/healthz", 405},
		{"GET", millicast.HookPath, 405},
		{"HEAD", millicast.HookPath, 405},
		{"PUT", millicast.HookPath, 405},
		{"OPTIONS", millicast.HookPath, 405},
		{"BREW", millicast.HookPath, 405},
		{"GET", "/", 404},
		{"GET", "/status", 404},
		{"GET", "/metrics", 404},
		{"POST", millicast.HookPath + "/", 404},
		{"POST", "/hooks/other", 404},
		{"GET", "/../status", 404},
		{"GET", "/healthz%00", 404},
	} {
		r, err := http.NewRequest(tt.method, "http://"+addr+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer := do(t, r); status != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, status, answer, tt.status)
		}
	}
}

func TestHookBodyArrivesUntouched(t *testing.T) {
	var sums sync.Map
	_, addr := startHooks(t,
		HookOptions{Receiver: verifying(func(_ context.Context, d millicast.Delivery) (controller.Verdict, error) {
			sums.Store(sha256.Sum256(d.Body), d.ContentType)
			return controller.Accepted, nil
		})}, nil)
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, 20000, 64 << 10} {
		body := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		for _, chunked := range []bool{false, true} {
			var reader io.Reader = bytes.NewReader(body)
			if chunked {
				reader = struct{ io.Reader }{reader} // hides the length
			}
			r, err := http.NewRequest(http.MethodPost, "http://"+addr+millicast.HookPath, reader)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(millicast.SignatureHeader, millicast.Sign(testSecret, body))
			if status, answer := do(t, r); status != 200 {
				t.Errorf("size %d, chunked %v: %d %s", size, chunked, status, answer)
			}
			if _, ok := sums.LoadAndDelete(sha256.Sum256(body)); !ok {
				t.Errorf("size %d, chunked %v: another body arrived", size, chunked)
			}
		}
	}
}

// TestFloodGuard: the guard counts each peer's unverified deliveries and never refuses a signed
// hook. On a slow host seconds pass, and then it only allows more.
func TestFloodGuard(t *testing.T) {
	trusted := TrustProxies([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	h, addr := startHooks(t, HookOptions{Receiver: verifying(nil), HooksPerSecond: 2, ClientAddr: trusted}, nil)
	const flood = 30
	forged := func(peer string) (answers map[int]int) {
		t.Helper()
		answers = map[int]int{}
		for range flood {
			status, _ := post(t, addr, attempt, "X-Millicast-Signature: sha1=00", "X-Forwarded-For: "+peer)
			answers[status]++
			for _, from := range []string{peer, "192.0.2.99"} {
				if status, answer := post(t, addr, attempt, "X-Forwarded-For: "+from); status != 200 {
					t.Fatalf("a signed hook of %s beside the flood of %s: %d %s", from, peer, status, answer)
				}
			}
		}
		if answers[401]+answers[429] != flood {
			t.Errorf("%s: answers %v", peer, answers)
		}
		return answers
	}
	for _, peer := range []string{"192.0.2.1", "2001:db8:1:2::1"} {
		if answers := forged(peer); answers[429] == 0 || answers[401] < 2 {
			t.Errorf("forged hooks of %s: %v", peer, answers)
		}
	}
	status, answer := post(t, addr, attempt, "X-Millicast-Signature: sha1=00", "X-Forwarded-For: 192.0.2.1")
	for status == 401 {
		status, answer = post(t, addr, attempt, "X-Millicast-Signature: sha1=00", "X-Forwarded-For: 192.0.2.1")
	}
	if status != 429 || answer != `{"status":"error","error":"too many hooks that are not signed"}` {
		t.Errorf("over the guard: %d %s", status, answer)
	}
	h.SetHooksPerSecond(0)
	if answers := forged("192.0.2.1"); answers[401] != flood {
		t.Errorf("after lifting the guard: %v", answers)
	}
}

func TestPeers(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::/64",
		"2001:db8:1:2::9": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "no address": "no address",
	} {
		if got := peerOf(address); got != want {
			t.Errorf("%q: peer %q, want %q", address, got, want)
		}
	}
}

// TestManyStrangers: a million addresses get no more than the places allow.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still
		s := newStrangers(3)
		allowed := 0
		for i := range 1_000_000 {
			if s.refuse(strconv.Itoa(i)) == ResultSignature {
				allowed++
			}
		}
		if allowed != 3*strangerPlaces {
			t.Errorf("%d deliveries of strangers are allowed at once, want %d", allowed, 3*strangerPlaces)
		}
	})
}

// TestForgedPictures: unsigned pictures get one turn at a time and leave the others to the
// platform, whose picture is received even from the same address.
func TestForgedPictures(t *testing.T) {
	trusted := TrustProxies([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	var slow atomic.Int32
	release := make(chan struct{})
	_, addr := startHooks(t, HookOptions{ClientAddr: trusted,
		Receiver: receiverFunc(func(ctx context.Context, d millicast.Delivery) (controller.Verdict, error) {
			if bytes.HasSuffix(d.Body, []byte("slow")) {
				slow.Add(1)
				<-release
			}
			return verifying(nil)(ctx, d)
		})}, nil)
	const forgery = "X-Millicast-Signature: sha1=0123456789012345678901234567890123456789"
	picture := func(body, peer string, header ...string) int {
		status, _ := post(t, addr, "\xff\xd8\xff"+body,
			append(header, "Content-Type: image/jpeg", "X-Forwarded-For: "+peer)...)
		return status
	}
	for range badPictures {
		if status := picture("forged", "192.0.2.1", forgery); status != 401 {
			t.Fatalf("a forged picture: %d", status)
		}
	}
	var senders sync.WaitGroup
	for range 2 * jpegsAtOnce {
		senders.Go(func() { picture("slow", "192.0.2.1", forgery) })
	}
	for deadline := time.Now().Add(patience); slow.Load() == 0 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	for range 2 * jpegsAtOnce {
		if status := picture("honest", "192.0.2.2"); status != 200 {
			t.Errorf("a signed picture beside forged ones: %d", status)
		}
		if status := picture("unsigned", "192.0.2.1", "X-Millicast-Signature: "); status != 401 {
			t.Errorf("a picture without a signature takes a turn: %d", status)
		}
	}
	if n := slow.Load(); n != 1 {
		t.Errorf("%d forged pictures are verified at once, want 1", n)
	}
	close(release)
	senders.Wait()
	if status := picture("honest", "192.0.2.1"); status != 200 {
		t.Errorf("a signed picture from the same address: %d", status)
	}
}

// TestAFloodHidesNoFailure: log lines about refused strangers do not use up those about oncue's own
// failures.
func TestAFloodHidesNoFailure(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	_, addr := startHooks(t, HookOptions{
		Log: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)),
		Receiver: verifying(func(context.Context, millicast.Delivery) (controller.Verdict, error) {
			return "", controller.ErrStore
		}),
	}, nil)
	begun := time.Now()
	for range 100 {
		post(t, addr, attempt, "X-Millicast-Signature: sha1=00")
	}
	post(t, addr, attempt)
	mu.Lock()
	defer mu.Unlock()
	lines := strings.Count(log.String(), "cause=signature")
	if most := 21 + 5*int(time.Since(begun).Seconds()+1); lines > most {
		t.Errorf("%d lines about strangers, want %d at most", lines, most)
	}
	if !strings.Contains(log.String(), "cause=store") {
		t.Error("the failure is not in the log")
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	to io.Writer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

func TestHookIsStoredThoughItsSenderLeft(t *testing.T) {
	entered, left, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	_, addr := startHooks(t,
		HookOptions{Receiver: verifying(func(ctx context.Context, _ millicast.Delivery) (controller.Verdict, error) {
			close(entered)
			<-left
			result <- ctx.Err()
			return controller.Accepted, nil
		})}, nil)
	c := dial(t, addr)
	send(t, c, request(attempt))
	<-entered
	c.Close()
	close(left)
	if err := <-result; err != nil {
		t.Errorf("the receiver's context ended with the connection: %v", err)
	}
}

func TestPicturesAreTakenFewAtATime(t *testing.T) {
	var now, most atomic.Int32
	release := make(chan struct{})
	full := make(chan struct{}, jpegsAtOnce)
	_, addr := startHooks(t,
		HookOptions{Receiver: verifying(func(_ context.Context, d millicast.Delivery) (controller.Verdict, error) {
			if d.ContentType != "image/jpeg" {
				return controller.Accepted, nil
			}
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			full <- struct{}{}
			<-release
			now.Add(-1)
			return controller.Accepted, nil
		})}, nil)
	var senders sync.WaitGroup
	for range jpegsAtOnce {
		senders.Go(func() {
			if status, answer := post(t, addr, "\xff\xd8\xffpicture", "Content-Type: image/jpeg"); status != 200 {
				t.Errorf("picture: %d %s", status, answer)
			}
		})
	}
	for range jpegsAtOnce {
		<-full
	}
	if status, answer := post(t, addr, "\xff\xd8\xffone more", "Content-Type: image/jpeg"); status != 503 {
		t.Errorf("one picture more: %d %s, want 503", status, answer)
	}
	if status, answer := post(t, addr, attempt); status != 200 {
		t.Errorf("a hook beside the pictures: %d %s", status, answer)
	}
	close(release)
	senders.Wait()
	if most.Load() > jpegsAtOnce {
		t.Errorf("%d pictures at once", most.Load())
	}
}
