package web

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

func TestToken(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	f := newFake("ABC123/lobby")
	_, base := startAdmin(t, f, func(o *AdminOptions) { o.Token = secret.New(token) })
	const hint = "send Authorization: Bearer with admin.token of the configuration"
	for _, path := range []string{"/status", "/metrics", "/readyz", "/api/v1/streams", "/api/v1/watch", "/api/v1/openapi.yaml", "/demo/", "/nowhere", "/assets%2F..%2Fstatus", "/login%2F..%2Fstatus"} {
		mustProblem(t, path, call(t, "GET", base+path, ""), 401, "a token is required", hint)
	}
	for _, header := range []string{"Bearer wrong", "Bearer ", "Basic " + token, token, "Bearer " + token + "x"} {
		mustProblem(t, header, call(t, "GET", base+"/status", "", "Authorization: "+header), 401, "the token is wrong", hint)
	}
	mustProblem(t, "put", call(t, "PUT", base+"/api/v1/streams/ABC123%2Flobby/mode", `{"mode":"on"}`), 401, "a token is required", hint)
	if got := call(t, "GET", base+"/status", "", "Authorization: bearer "+token); got.status != 200 {
		t.Errorf("with the token: %d %s", got.status, got.body)
	}
	for _, path := range []string{"/healthz", "/login"} {
		if got := call(t, "GET", base+path, ""); got.status != 200 {
			t.Errorf("%s without a token: %d", path, got.status)
		}
	}
	if got := call(t, "GET", base+"/", "", "Accept: text/html"); got.status != 303 || got.header.Get("Location") != "/login" {
		t.Errorf("a browser without a session: %d, to %q", got.status, got.header.Get("Location"))
	}

	form := "Content-Type: application/x-www-form-urlencoded"
	if got := call(t, "POST", base+"/login", "token=wrong", form); got.status != 401 || !strings.Contains(got.body, "not the token") || got.header.Get("Set-Cookie") != "" {
		t.Errorf("a wrong login: %d %s", got.status, got.body)
	}
	got := call(t, "POST", base+"/login", "token="+token, form)
	cookie := got.header.Get("Set-Cookie")
	if got.status != 303 || got.header.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, token) {
		t.Fatalf("login: %d %s", got.status, cookie)
	}
	session, _, _ := strings.Cut(cookie, ";")
	for _, path := range []string{"/", "/status"} {
		if got := call(t, "GET", base+path, "", "Cookie: "+session); got.status != 200 {
			t.Errorf("%s with the session: %d %s", path, got.status, got.body)
		}
	}
	for _, bad := range []string{session + "0", strings.Replace(session, "=1", "=9", 1), sessionCookie + "=", sessionCookie + "=1.", sessionCookie + "=x.y"} {
		if got := call(t, "GET", base+"/status", "", "Cookie: "+bad); got.status != 401 {
			t.Errorf("with session %q: %d", bad, got.status)
		}
	}
	if old := newSessions(secret.New(token)).issue(time.Now().Add(-sessionLife - time.Second)); newSessions(secret.New(token)).valid(old) {
		t.Error("an ended session is valid")
	}
	for range 20 {
		got = call(t, "POST", base+"/login", "token=wrong", form)
	}
	if got.status != 429 {
		t.Errorf("after many tries: %d", got.status)
	}
	if got := call(t, "POST", base+"/logout", "", "Cookie: "+session); got.status != 303 || !strings.Contains(got.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %s", got.status, got.header.Get("Set-Cookie"))
	}
}

func TestNoTokenIsNeededOnAUnixSocket(t *testing.T) {
	a, err := NewAdmin(AdminOptions{Controller: newFake(), Log: quiet(), Token: secret.New("some token")})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	ls, err := (&Sockets{}).Listen("unix:"+path, SocketAdmin)
	if err != nil {
		t.Fatal(err)
	}
	go a.Serve(ls...) //nolint:errcheck // ends with Close
	defer a.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
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
		mustProblem(t, strings.Join(header, ", "), call(t, "PUT", put, `{"mode":"on"}`, header...), 403, "requests from other sites are refused", "")
	}
	if got := call(t, "POST", base+"/login", "token=x", "Content-Type: application/x-www-form-urlencoded", "Origin: http://evil.example"); got.status != 403 {
		t.Errorf("a login from another site: %d", got.status)
	}
	mustProblem(t, "a form", call(t, "PUT", put, `{"mode":"on"}`, "Content-Type: text/plain"), 415, "the body is not JSON", "send Content-Type: application/json")
	for _, host := range []string{"evil.example", "evil.example:" + port, "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "[::2]:" + port} {
		mustProblem(t, host, call(t, "GET", base+"/status", "", "Host: "+host), 421, "the Host "+quote(host)+" is not this machine's own", "use http://localhost, or add the name to admin.allowed_hosts")
	}
	for _, host := range []string{"localhost", "LOCALHOST:" + port, "127.0.0.1", "127.1.2.3:80", "[::1]:" + port, "oncue.example", "oncue.example:443"} {
		if got := call(t, "GET", base+"/status", "", "Host: "+host); got.status != 200 {
			t.Errorf("host %s: %d %s", host, got.status, got.body)
		}
	}
	// No GET changes anything: no other method than GET and HEAD goes without the check above, and these routes read.
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
			"Content-Security-Policy": contentPolicy, "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		} {
			if got.header.Get(key) != want {
				t.Errorf("%s: %s: %q", path, key, got.header.Get(key))
			}
		}
	}
}
