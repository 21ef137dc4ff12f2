package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// limit is generous: the machine may be busy.
const limit = time.Minute

// letter is one request as a recipient got it.
type letter struct {
	method, path string
	header       http.Header
	body         string
}

// mailbox is a recipient on this host that answers its first requests with these statuses, and 204
// after them.
type mailbox struct {
	*httptest.Server
	got chan letter
}

func newMailbox(t *testing.T, statuses ...int) *mailbox {
	t.Helper()
	m := &mailbox{got: make(chan letter, 100)}
	var mu sync.Mutex
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		status := http.StatusNoContent
		if len(statuses) > 0 {
			status, statuses = statuses[0], statuses[1:]
		}
		mu.Unlock()
		w.WriteHeader(status)
		m.got <- letter{r.Method, r.URL.RequestURI(), r.Header, string(body)}
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mailbox) next(t *testing.T) letter {
	t.Helper()
	select {
	case l := <-m.got:
		return l
	case <-time.After(limit):
		t.Fatal("no request came")
		panic("unreachable")
	}
}

// notifierTo makes a notifier for these recipients. It does not pause between attempts.
func notifierTo(t *testing.T, list ...Recipient) (*Notifier, *logText) {
	t.Helper()
	log := &logText{}
	n := New(slog.New(slog.NewTextHandler(log, nil)))
	n.pause = func(int) time.Duration { return 0 }
	if err := n.Set(list); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, log
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC)

// TestHook: the request that a plain webhook gets.
func TestHook(t *testing.T) {
	m := newMailbox(t)
	n, _ := notifierTo(t, Recipient{URL: secret.New(m.URL + "/in?a=b")})
	n.Send(controller.Notice{Kind: "failed", Account: "ACC", Stream: "ACC/lobby", At: noon,
		Text: `it says "no" & <ends>`})
	n.Send(controller.Notice{Kind: "disk_full", At: noon, Text: "The disk is full."})
	got := []letter{m.next(t), m.next(t)}
	for _, g := range got {
		if g.method != "POST" || g.path != "/in?a=b" || g.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s, %v", g.method, g.path, g.header)
		}
		if g.header.Get("webhook-signature") != "" {
			t.Error("it is signed without a secret")
		}
	}
	want := []string{
		`{"type":"oncue.failed","timestamp":"2026-03-01T12:00:00.123Z","data":{"account":"ACC","stream":"ACC/lobby",` +
			`"text":"it says \"no\" \u0026 \u003cends\u003e"}}`,
		`{"type":"oncue.disk_full","timestamp":"2026-03-01T12:00:00.123Z","data":{"text":"The disk is full."}}`,
	}
	if diff := cmp.Diff(want, []string{got[0].body, got[1].body}); diff != "" {
		t.Errorf("bodies (-want +got):\n%s", diff)
	}
}

// TestSignature: the scheme's own library verifies each attempt, and each has the same message id.
func TestSignature(t *testing.T) {
	key := base64.StdEncoding.EncodeToString([]byte("24 bytes are the least\x00\xff"))
	other, err := standardwebhooks.NewWebhook(base64.StdEncoding.EncodeToString([]byte("24 bytes of another one")))
	if err != nil {
		t.Fatal(err)
	}
	for _, written := range []string{key, "whsec_" + key} {
		m := newMailbox(t, 500, 429, 302)
		n, log := notifierTo(t, Recipient{URL: secret.New(m.URL), Secret: secret.New(written)})
		verifier, err := standardwebhooks.NewWebhook(written)
		if err != nil {
			t.Fatal(err)
		}
		n.Send(controller.Notice{Kind: "failed", Stream: "ACC/ü.1", At: noon, Text: "a dot. a line\nand an €"})
		ids := map[string]bool{}
		for range 4 {
			l := m.next(t)
			if err := verifier.Verify([]byte(l.body), l.header); err != nil {
				t.Errorf("secret %s: %v", written, err)
			}
			if verifier.Verify([]byte(l.body+" "), l.header) == nil || other.Verify([]byte(l.body), l.header) == nil {
				t.Error("it verifies whatever it holds")
			}
			ids[l.header.Get("webhook-id")] = true
		}
		n.Send(about(2))
		ids[m.next(t).header.Get("webhook-id")] = true
		if len(ids) != 2 {
			t.Errorf("two notices went by %d ids", len(ids))
		}
		for _, answer := range []string{"500 Internal Server Error", "429 Too Many Requests", "302 Found"} {
			if !strings.Contains(log.String(), answer) {
				t.Errorf("the log does not tell of the answer %s", answer)
			}
		}
	}
}

// TestRedirect: a signed notice goes only to the recipient of the configuration.
func TestRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		elsewhere := newMailbox(t)
		first := httptest.NewServer(http.RedirectHandler(elsewhere.URL, status))
		t.Cleanup(first.Close)
		h, err := senderFor(Recipient{URL: secret.New(first.URL)})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.send(t.Context(), about(1), "msg_1"); err == nil ||
			!strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("%d: %v", status, err)
		}
		if len(elsewhere.got) > 0 {
			t.Errorf("%d was followed", status)
		}
	}
}

// TestDeadRecipients: a recipient that hangs and one that does not exist do not keep notices from a
// third.
func TestDeadRecipients(t *testing.T) {
	asked, done := make(chan struct{}, 1), make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}))
	t.Cleanup(hangs.Close)
	defer close(done)
	m := newMailbox(t)
	n, log := notifierTo(t, Recipient{URL: secret.New(hangs.URL)}, Recipient{URL: secret.New("http://" + deadAddr(t))},
		Recipient{URL: secret.New(m.URL)})
	for i := range 10 {
		n.Send(about(i))
		if got := m.next(t); !strings.Contains(got.body, fmt.Sprintf(`"text":"%d"`, i)) {
			t.Errorf("%d: it got %s", i, got.body)
		}
	}
	<-asked
	if err := wait(func() bool { return strings.Contains(log.String(), "given up") }); err != nil {
		t.Errorf("a notice to nobody is not given up:\n%s", log)
	}
	n.Close()
	if !strings.Contains(log.String(), "connection refused") {
		t.Errorf("the log does not say why:\n%s", log)
	}
}

// deadAddr is an address of this host where nobody listens.
func deadAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func wait(is func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			return errors.New("not in time")
		}
	}
	return nil
}

// TestNothingOfTheURL: errors and the log contain nothing of a recipient's URL but its scheme,
// whatever the recipient answers.
func TestNothingOfTheURL(t *testing.T) {
	const canary = "canary-7d31"
	answer := func(raw string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					buf := make([]byte, 4096)
					if _, err := c.Read(buf); err == nil {
						_, _ = io.WriteString(c, raw)
					}
				}()
			}
		}()
		return l.Addr().String()
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(secure.Close)
	path := "/" + canary + "?key=" + canary
	for what, at := range map[string]struct{ url, want string }{
		"nobody":   {"http://" + deadAddr(t), "connection refused"},
		"hangs up": {"http://" + answer(""), "the recipient closed the connection"},
		"echo": {"http://" + answer("HTTP/1.1 400 no "+canary+" here\r\nContent-Length: 0\r\n\r\n"),
			"the recipient answered 400 Bad Request"},
		"not HTTP": {"http://" + answer(canary+"\r\n\r\n"), "the recipient's answer cannot be read"},
		"bad redirect": {"http://" +
			answer("HTTP/1.1 302 Found\r\nLocation: http://h/"+canary+"%zz\r\nContent-Length: 0\r\n\r\n"),
			"the recipient's answer cannot be read"},
		"other protocol": {"https://" + answer("HTTP/1.1 200 OK\r\n\r\n"), "the recipient's answer cannot be read"},
		"unknown issuer": {secure.URL, "the recipient's certificate is not valid"},
	} {
		t.Run(what, func(t *testing.T) {
			whole := strings.Replace(at.url, "://", "://user:"+canary+"@", 1) + path
			n, log := notifierTo(t, Recipient{URL: secret.New(whole),
				Secret: secret.New(base64.StdEncoding.EncodeToString([]byte(canary)))})
			n.Send(about(1))
			if err := wait(func() bool { return strings.Contains(log.String(), "given up") }); err != nil {
				t.Error(err)
			}
			n.Close()
			_, host, _ := strings.Cut(at.url, "://")
			if text := log.String(); strings.Contains(text, canary) || strings.Contains(text, host) ||
				!strings.Contains(text, at.want) {
				t.Errorf("it should say %q, and nothing of the URL:\n%s", at.want, text)
			}
		})
	}
}

// TestCause covers errors that no recipient on this host can cause.
func TestCause(t *testing.T) {
	lookup := &net.DNSError{Err: "no such host", Name: "canary.example.com", Server: "192.0.2.1:53", IsNotFound: true}
	for want, err := range map[string]error{
		"the recipient's host name cannot be resolved: no such host": &net.OpError{Op: "dial", Net: "tcp", Err: lookup},
		"the recipient did not answer in time":                       context.DeadlineExceeded,
		"the recipient cannot be reached: no route to host": &net.OpError{Op: "dial", Net: "tcp",
			Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)},
			Err:  os.NewSyscallError("connect", syscall.EHOSTUNREACH)},
	} {
		if got := cause(&url.Error{Op: "Post", URL: "https://canary.example.com", Err: err}); got.Error() != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestCheck: which recipients are valid, and what the errors about others say, without their
// secrets.
func TestCheck(t *testing.T) {
	good := []Recipient{
		{URL: secret.New("https://example.com/hook?x=y"), Secret: secret.New("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")},
		{URL: secret.New("http://localhost:1234")},
		{URL: secret.New("http://127.0.0.7")},
		{URL: secret.New("http://[::1]:80/x")},
		{URL: secret.New("slack://hook:AAAAAAAAA-BBBBBBBBB-123456789123456789123456@webhook")},
		{URL: secret.New("matrix://user:password@matrix.invalid/?rooms=!a:matrix.invalid")}, // nobody is logged in
		{URL: secret.New("smtp://user:password@mail.invalid:587/?from=a@b.invalid&to=c@d.invalid")},
	}
	for _, r := range good {
		if err := Check(r); err != nil {
			t.Errorf("%s: %v", r.URL.Reveal(), err)
		}
	}
	const canary = "canary-7d31"
	for raw, want := range map[string]string{
		canary:                               "is not a URL",
		"https://a b/" + canary:              "is not a URL",
		"http://" + canary + ".example.com/": "plain http is allowed to this host only; write https",
		"http://10.0.0.1/" + canary:          "plain http is allowed to this host only; write https",
		"http:///" + canary:                  "plain http is allowed to this host only; write https",
		"https:///" + canary:                 "names no host",
		"https:" + canary:                    "names no host",
		"zzz://" + canary:                    "unsupported service zzz://; allowed: https, ",
		"slack://" + canary:                  "the slack:// URL is incomplete or wrong",
		"telegram://" + canary + "@telegram": "the telegram:// URL is incomplete or wrong",
		"smtp://user:" + canary + "@host":    "the smtp:// URL is incomplete or wrong",
		"generic+zzz://" + canary + "/%zz":   "",
	} {
		err := Check(Recipient{URL: secret.New(raw)})
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, key := range []string{canary + "!", "whsec_", "whsec_" + canary + "!"} {
		err := Check(Recipient{URL: secret.New("https://example.com"), Secret: secret.New(key)})
		if err == nil || err.Error() != "its secret is not base64" {
			t.Errorf("secret %q: %v", key, err)
		}
	}
}

// TestChat: a service that shoutrrr supports gets one line.
func TestChat(t *testing.T) {
	m := newMailbox(t, 500)
	addr := strings.TrimPrefix(m.URL, "http://")
	n, log := notifierTo(t, Recipient{URL: secret.New("generic://" + addr + "/canary?disabletls=yes")})
	n.Send(controller.Notice{Kind: "failed", Account: "ACC", Stream: "ACC/lobby", Text: "lobby-cam: exit status 1"})
	for range 2 {
		if got := m.next(t); got.path != "/canary" || got.body != "oncue: ACC/lobby: lobby-cam: exit status 1" {
			t.Errorf("%s: %q", got.path, got.body)
		}
	}
	n.Send(controller.Notice{Kind: "disk_full", Text: "The disk is full."})
	if got := m.next(t); got.body != "oncue: The disk is full." {
		t.Errorf("%q", got.body)
	}
	n.Close()
	if text := log.String(); !strings.Contains(text, "generic did not accept the notice") ||
		strings.Contains(text, "canary") || strings.Contains(text, addr) {
		t.Errorf("the log:\n%s", text)
	}
}

// TestChatHangs: a service that never answers costs a few connections, however often it is tried,
// and gets notices again once it answers.
func TestChatHangs(t *testing.T) {
	mail, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections and never sends a greeting
	if err != nil {
		t.Fatal(err)
	}
	defer mail.Close()
	came := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := mail.Accept()
			if err != nil {
				return
			}
			came <- c
		}
	}()
	s, err := senderFor(Recipient{URL: secret.New("smtp://" + mail.Addr().String() +
		"/?from=a@b.invalid&to=c@d.invalid&auth=none&starttls=no")})
	if err != nil {
		t.Fatal(err)
	}
	var open []net.Conn
	for range maxRunning {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			open = append(open, <-came)
			cancel() // in place of the time-out
		}()
		if err := s.send(ctx, about(1), ""); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	for range 20 {
		if err := s.send(t.Context(), about(1), ""); err == nil ||
			err.Error() != "smtp hangs: it has not answered 4 notices yet" {
			t.Fatal(err)
		}
	}
	if len(came) > 0 {
		t.Errorf("%d connections more than %d", len(came), maxRunning)
	}
	for _, c := range open {
		c.Close()
	}
	mail.Close() // from now on it is refused at once
	var last error
	if err := wait(func() bool {
		last = s.send(t.Context(), about(1), "")
		return last.Error() == "smtp did not accept the notice"
	}); err != nil {
		t.Error(last)
	}
	if err := wait(func() bool { return len(s.(chat).running) == 0 }); err != nil {
		t.Error("some still hang")
	}
}

// broken is a service that panics.
type broken struct{ types.Service }

func (broken) Send(string, *types.Params) error { panic("canary") }

// TestChatBreaks: a panic in a service ends one attempt, not the process.
func TestChatBreaks(t *testing.T) {
	c := chat{scheme: "slack", open: func() (types.Service, error) { return broken{}, nil },
		spare: make(chan types.Service, 1), running: make(chan struct{}, 1)}
	for range 3 {
		if err := c.send(t.Context(), about(1), ""); err == nil || err.Error() != "the sender for slack failed" {
			t.Error(err)
		}
	}
}
