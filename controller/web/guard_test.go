package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

func TestToken(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	f := newFake("ABC123/lobby")
	_, base := startAdmin(t, f, func(o *AdminOptions) { o.Token = secret.New(token) })
	const hint = "send Authorization: Bearer with admin.token of the configuration"
	for _, path := range []string{"/status", "/metrics", "/readyz", "/api/v1/streams", "/api/v1/watch",
		"/api/v1/openapi.yaml", "/demo/", "/nowhere", "/assets%2F..%2Fstatus", "/login%2F..%2Fstatus"} {
		mustProblem(t, path, call(t, "GET", base+path, ""), 401, "a token is required", hint)
	}
	for _, header := range []string{"Bearer wrong", "Bearer ", "Basic " + token, token, "Bearer " + token + "x"} {
		mustProblem(t, header, call(t, "GET", base+"/status", "", "Authorization: "+header), 401,
			"the token is wrong", hint)
	}
	mustProblem(t, "put", call(t, "PUT", base+"/api/v1/streams/ABC123%2Flobby/mode", `{"mode":"on"}`), 401,
		"a token is required", hint)
	if got := call(t, "GET", base+"/status", "", "Authorization: bearer "+token); got.status != 200 {
		t.Errorf("with the token: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/healthz", "/login"} {
		if got := call(t, "GET", base+path, ""); got.status != 200 {
			t.Errorf("%s without a token: %d", path, got.status)
		}
	}
	if got := call(t, "GET", base+"/", "", "Accept: text/html"); got.status != 303 ||
		got.header.Get("Location") != "/login" {
		t.Errorf("a browser without a session: %d, to %q", got.status, got.header.Get("Location"))
	}

	form := "Content-Type: application/x-www-form-urlencoded"
	if got := call(t, "POST", base+"/login", "token=wrong", form); got.status != 401 ||
		!strings.Contains(got.body, "This token is wrong") || got.header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong login: %d %s", got.status, got.body)
	}
	got := call(t, "POST", base+"/login", "token="+token, form)
	cookie := got.header.Get("Set-Cookie")
	if got.status != 303 || got.header.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") ||
		!strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, token) {
		t.Fatalf("login: %d %s", got.status, cookie)
	}
	session, _, _ := strings.Cut(cookie, ";")
	for _, path := range []string{"/", "/status"} {
		if got := call(t, "GET", base+path, "", "Cookie: "+session); got.status != 200 {
			t.Errorf("%s with the session: %d %s", path, got.status, got.body)
		}
	}
	name, _, _ := strings.Cut(session, "=")
	for _, bad := range []string{session + "0", strings.Replace(session, "=1", "=9", 1), name + "=", name + "=1.",
		name + "=x.y.z", "oncue_session_1" + strings.TrimPrefix(session, name)} {
		if got := call(t, "GET", base+"/status", "", "Cookie: "+bad); got.status != 401 {
			t.Errorf("with session %q: %d", bad, got.status)
		}
	}
	sessions, err := newSessions(secret.New(token), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := sessions.check(name, sessions.issue(name, time.Now().Add(-sessionLife-time.Second))); ok {
		t.Error("an ended session is valid")
	}
}

// TestGuesses: one peer guesses tokens in both ways. It is slowed down, and nobody is locked out.
func TestGuesses(t *testing.T) {
	const token, form = "0123456789abcdef0123456789abcdef", "Content-Type: application/x-www-form-urlencoded"
	log := &logLines{}
	_, base := startAdmin(t, newFake(), func(o *AdminOptions) {
		o.Token, o.Log = secret.New(token), slog.New(slog.NewTextHandler(log, nil))
	})
	refused := map[int]int{}
	for n := range 3 * guessBurst {
		refused[call(t, "GET", base+"/status", "", fmt.Sprintf("Authorization: Bearer wrong-%d", n)).status]++
	}
	if refused[401] < guessBurst || refused[429] < guessBurst || refused[401]+refused[429] != 3*guessBurst {
		t.Errorf("requests were refused so: %v", refused)
	}
	if got := call(t, "POST", base+"/login", "token=wrong", form); got.status != 429 ||
		got.header.Get("Retry-After") == "" {
		t.Errorf("a log-in has a limit of its own: %d", got.status)
	}
	if got := call(t, "GET", base+"/status", "", "Authorization: Bearer "+token); got.status != 200 {
		t.Errorf("the right token: %d", got.status)
	}
	if got := call(t, "POST", base+"/login", "token="+token, form); got.status != 303 {
		t.Errorf("the right log-in: %d", got.status)
	}
	if got := call(t, "GET", base+"/status", ""); got.status != 401 {
		t.Errorf("no token is no guess: %d", got.status)
	}
	if n := strings.Count(log.String(), "a wrong admin token was refused"); n != refused[401] ||
		!strings.Contains(log.String(), "from=127.0.0.1") || strings.Contains(log.String(), "wrong-") {
		t.Errorf("%d lines for %d refusals:\n%s", n, refused[401], log)
	}

	g, now := newGuesses(), time.Now()
	for range guessBurst {
		g.wrong("10.0.0.1", now)
	}
	if g.wrong("10.0.0.1", now) || !g.wrong("10.0.0.2", now) || !g.wrong("10.0.0.1", now.Add(time.Second)) {
		t.Error("peers are not counted each for itself, a second at a time")
	}
	for n := range 2 * maxGuessers {
		g.wrong(fmt.Sprint(n), now)
	}
	if len(g.peers) > maxGuessers || g.wrong("one more", now) {
		t.Errorf("%d peers are kept", len(g.peers))
	}
	if !g.wrong("one more", now.Add(time.Minute)) || len(g.peers) > 2 {
		t.Errorf("after a quiet minute %d peers are kept", len(g.peers))
	}
	for address, want := range map[string]string{"2001:db8::1:2:3:4": "2001:db8::/64",
		"::ffff:10.0.0.1": "::ffff:10.0.0.1", "unix socket": "unix socket"} {
		if got := guesser(address); got != want {
			t.Errorf("%s counts as %s, want %s", address, got, want)
		}
	}
}

type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// kept is a Settings in memory.
type kept map[string]string

func (k kept) Setting(_ context.Context, key string) (string, error) { return k[key], nil }
func (k kept) SetSetting(_ context.Context, key, value string) error { k[key] = value; return nil }

// TestLogoutEndsTheSession: a copy of the cookie is invalid afterwards, also after a restart, and
// other sessions stay valid.
func TestLogoutEndsTheSession(t *testing.T) {
	const token, form = "0123456789abcdef0123456789abcdef", "Content-Type: application/x-www-form-urlencoded"
	settings := kept{}
	start := func() string {
		_, base := startAdmin(t, newFake(), func(o *AdminOptions) { o.Token, o.Settings = secret.New(token), settings })
		return base
	}
	const host = "Host: localhost:8081" // both daemons, as the browser sees them
	login := func(base string) string {
		login := call(t, "POST", base+"/login", "token="+token, form, host)
		session, _, _ := strings.Cut(login.header.Get("Set-Cookie"), ";")
		return "Cookie: " + session
	}
	base := start()
	mine, others := login(base), login(base)
	got := call(t, "POST", base+"/logout", "", mine, host)
	if got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %s", got.status, got.header.Get("Set-Cookie"))
	}
	for when, base := range map[string]string{"": base, "after a restart, ": start()} {
		if got := call(t, "GET", base+"/status", "", mine, host); got.status != 401 {
			t.Errorf("%sthe session that was ended: %d", when, got.status)
		}
		if got := call(t, "GET", base+"/status", "", others, host); got.status != 200 {
			t.Errorf("%sthe other session: %d", when, got.status)
		}
	}
}

// TestCookieOfABrowser: the cookie's name and flags fit the connection.
func TestCookieOfABrowser(t *testing.T) {
	const token, form = "0123456789abcdef0123456789abcdef", "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		proxies string
		header  []string
		want    string
		secure  bool
	}{
		{"", []string{"Host: localhost:8081"}, "oncue_session_8081=", false},
		{"", []string{"Host: localhost"}, "oncue_session_80=", false},
		{"", []string{"Host: localhost:8081", "X-Forwarded-Proto: https"}, "oncue_session_8081=", false},
		{"10.0.0.0/8", []string{"Host: localhost:8081", "X-Forwarded-Proto: https"}, "oncue_session_8081=", false},
		{"127.0.0.0/8", []string{"Host: oncue.example", "X-Forwarded-Proto: https"}, "__Host-oncue_session_443=", true},
		{"127.0.0.0/8", []string{"Host: oncue.example:8443", "X-Forwarded-Proto: https"},
			"__Host-oncue_session_8443=", true},
		{"127.0.0.0/8", []string{"Host: oncue.example", "X-Forwarded-Proto: http"}, "oncue_session_80=", false},
	} {
		_, base := startAdmin(t, newFake(), func(o *AdminOptions) {
			o.Token, o.AllowedHosts = secret.New(token), []string{"oncue.example"}
			if c.proxies != "" {
				o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(c.proxies)}
			}
		})
		cookie := call(t, "POST", base+"/login", "token="+token, append(c.header, form)...).header.Get("Set-Cookie")
		if !strings.HasPrefix(cookie, c.want) || strings.Contains(cookie, "Secure") != c.secure ||
			!strings.Contains(cookie, "Path=/;") || strings.Contains(cookie, "Domain") {
			t.Errorf("%s, %v: %s", c.proxies, c.header, cookie)
			continue
		}
		session, _, _ := strings.Cut(cookie, ";")
		if got := call(t, "GET", base+"/status", "", append(c.header, "Cookie: "+session)...); got.status != 200 {
			t.Errorf("%v: the session is not taken: %d", c.header, got.status)
		}
	}
}

// TestLoginCode: a code logs in once, and not after it has expired.
func TestLoginCode(t *testing.T) {
	const token, form = "0123456789abcdef0123456789abcdef", "Content-Type: application/x-www-form-urlencoded"
	a, base := startAdmin(t, newFake(), func(o *AdminOptions) { o.Token = secret.New(token) })
	fresh := func() string {
		var answer struct{ Code string }
		got := call(t, "POST", base+"/api/v1/login-code", "", "Authorization: Bearer "+token)
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || len(answer.Code) < 20 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return answer.Code
	}
	if got := call(t, "POST", base+"/api/v1/login-code", ""); got.status != 401 {
		t.Errorf("a code for anybody: %d", got.status)
	}
	code := fresh()
	for try, want := range []int{303, 401} {
		if got := call(t, "POST", base+"/login", "token="+code, form); got.status != want {
			t.Errorf("try %d: %d, want %d", try, got.status, want)
		}
	}
	old, _, err := a.sessions.code(time.Now().Add(-codeLife))
	if err != nil {
		t.Fatal(err)
	}
	if got := call(t, "POST", base+"/login", "token="+old, form); got.status != 401 {
		t.Errorf("an old code: %d", got.status)
	}
	for range maxCodes + 1 {
		_, _, err = a.sessions.code(time.Now())
	}
	if err == nil {
		t.Error("codes are not bounded")
	}
}

// unixAdmin serves an admin side on a unix socket until the test ends.
func unixAdmin(t *testing.T, o AdminOptions) (*Admin, *http.Client) {
	t.Helper()
	a, err := NewAdmin(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ls, err := (&Sockets{}).Listen("unix:"+path, SocketAdmin)
	if err != nil {
		t.Fatal(err)
	}
	go a.Serve(ls...) //nolint:errcheck // ends with Close
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		_ = a.Close()
	})
	return a, client
}

func TestNoTokenIsNeededOnAUnixSocket(t *testing.T) {
	_, client := unixAdmin(t, AdminOptions{Controller: newFake(), Log: quiet(), Token: secret.New("some token")})
	resp, err := client.Get("http://any.name.is.fine/status")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %s", resp.Status)
	}
}

func TestNoTokenNoNetwork(t *testing.T) {
	a, err := NewAdmin(AdminOptions{Controller: newFake(), Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Serve(l); err == nil || !strings.Contains(err.Error(), "admin.token is required") {
		t.Errorf("served without a token: %v", err)
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	f := newFake("ABC123/lobby")
	_, base := startAdmin(t, f, func(o *AdminOptions) { o.AllowedHosts = []string{"oncue.example"} })
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	put := base + "/api/v1/streams/ABC123%2Flobby/mode"
	for _, header := range [][]string{
		{"Origin: http://evil.example"},
		{"Origin: null"},
		{"Sec-Fetch-Site: cross-site"},
		{"Sec-Fetch-Site: same-site", "Origin: http://localhost:1"},
	} {
		mustProblem(t, strings.Join(header, ", "), call(t, "PUT", put, `{"mode":"on"}`, header...), 403,
			"requests from other sites are refused", "")
	}
	if got := call(t, "POST", base+"/login", "token=x", "Content-Type: application/x-www-form-urlencoded",
		"Origin: http://evil.example"); got.status != 403 {
		t.Errorf("a login from another site: %d", got.status)
	}
	mustProblem(t, "a form", call(t, "PUT", put, `{"mode":"on"}`, "Content-Type: text/plain"), 415,
		"the body is not JSON", "send Content-Type: application/json")
	for _, host := range []string{"evil.example", "evil.example:" + port, "localhost.evil.example", "10.0.0.1",
		"127.0.0.1.evil.example", "[::2]:" + port} {
		mustProblem(t, host, call(t, "GET", base+"/status", "", "Host: "+host), 421, "the Host "+quote(host)+
			" is not a name of this host", "use http://localhost, or add the name to admin.allowed_hosts")
	}
	for _, host := range []string{"localhost", "LOCALHOST:" + port, "127.0.0.1", "127.1.2.3:80", "[::1]:" + port,
		"oncue.example", "oncue.example:443"} {
		if got := call(t, "GET", base+"/status", "", "Host: "+host); got.status != 200 {
			t.Errorf("host %s: %d %s", host, got.status, got.body)
		}
	}
	// No GET changes anything: only GET and HEAD pass without the check above, and their routes
	// only read.
	if len(f.requests) != 0 {
		t.Errorf("modes were set: %+v", f.requests)
	}
	if got := call(t, "PUT", put, `{"mode":"on"}`, "Origin: "+base, "Sec-Fetch-Site: same-origin"); got.status != 200 {
		t.Errorf("from the page itself: %d %s", got.status, got.body)
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	_, base := startAdmin(t, newFake(), nil)
	for _, path := range []string{"/", "/status", "/nowhere", "/login", "/assets/oncue.js", "/api/v1/openapi.yaml"} {
		got := call(t, "GET", base+path, "")
		for key, want := range map[string]string{
			"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer",
		} {
			if got.header.Get(key) != want {
				t.Errorf("%s: %s: %q", path, key, got.header.Get(key))
			}
		}
	}
}
