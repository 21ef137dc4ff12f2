package record

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/httpapi"
)

const canary = encodertest.Canary

// machine is what the fake boxes of this test do: a start or stop shows at the second look.
type machine struct {
	on    bool
	looks int // since the last change
}

func (m *machine) set(on bool) {
	if m.on != on {
		m.on, m.looks = on, 0
	}
}

// state is one of off, rising, on, falling.
func (m *machine) state() string {
	m.looks++
	switch {
	case m.on && m.looks > 1:
		return "on"
	case m.on:
		return "rising"
	case m.looks == 1:
		return "falling"
	}
	return "off"
}

// A fakeBox has an API of one kind. The requests are those of its own web page.
type fakeBox struct {
	handler            func(*machine) http.HandlerFunc
	log                func(c *recorder) // what the page does first
	start, stop, state func(c *recorder)
}

// recorder is a browser that saves what it does.
type recorder struct {
	t       *testing.T
	base    string
	header  http.Header
	entries []any
	curl    strings.Builder
	answer  string // the latest
}

func (c *recorder) do(method, target, called, body string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+target, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header = c.header.Clone()
	req.Header.Set("User-Agent", "Mozilla/5.0")
	if called != "" {
		req.Header.Set("Content-Type", called)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	c.answer = string(text)
	if cookie, _, _ := strings.Cut(res.Header.Get("Set-Cookie"), ";"); cookie != "" {
		c.header.Set("Cookie", cookie)
	}
	var headers []any
	fmt.Fprintf(&c.curl, "curl '%s' \\\n  -X '%s'", c.base+target, method)
	for name := range req.Header {
		headers = append(headers, map[string]string{"name": strings.ToLower(name), "value": req.Header.Get(name)})
		fmt.Fprintf(&c.curl, " \\\n  -H '%s: %s'", strings.ToLower(name), req.Header.Get(name))
	}
	request := map[string]any{"method": method, "url": c.base + target, "headers": headers}
	if body != "" {
		request["postData"] = map[string]string{"mimeType": called, "text": body}
		fmt.Fprintf(&c.curl, " \\\n  --data-raw $'%s'", strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(body))
	}
	c.curl.WriteString(" \\\n  --compressed ;\n")
	c.entries = append(c.entries, map[string]any{"request": request, "response": map[string]any{
		"status": res.StatusCode, "content": map[string]string{"mimeType": res.Header.Get("Content-Type"), "text": c.answer},
	}})
}

func (c *recorder) har() []byte {
	text, err := json.Marshal(map[string]any{"log": map[string]any{"version": "1.2", "entries": c.entries}})
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

var boxes = map[string]fakeBox{
	"a login that gives a token, and JSON": {
		handler: func(m *machine) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var sent map[string]any
				_ = json.Unmarshal(body, &sent)
				if r.URL.Path == "/api/login" {
					if sent["username"] != "admin" || sent["password"] != canary {
						w.WriteHeader(http.StatusForbidden)
						return
					}
					fmt.Fprint(w, `{"data":{"access_token":"5Qn9session-token"}}`)
					return
				}
				if r.URL.Path == "/" || strings.HasSuffix(r.URL.Path, ".js") {
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprint(w, "<!doctype html><title>start</title>")
					return
				}
				if r.Header.Get("Authorization") != "Bearer 5Qn9session-token" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				switch r.Method + " " + r.URL.Path {
				case "PUT /api/stream/1":
					if enabled, ok := sent["enabled"].(bool); ok && sent["profile"] == "HD $1" {
						m.set(enabled)
					}
				case "GET /api/stream/1/status":
					fmt.Fprintf(w, `{"uptime":%d,"streams":[{"id":1,"state":%q}]}`, m.looks, m.state())
				default:
					http.NotFound(w, r)
				}
			}
		},
		log: func(c *recorder) {
			c.do("GET", "/", "", "")
			c.do("GET", "/app.js", "", "")
			c.do("POST", "/api/login", "application/json", `{"username":"admin","password":"`+canary+`"}`)
			c.header.Set("Authorization", "Bearer 5Qn9session-token")
		},
		start: func(c *recorder) {
			c.do("PUT", "/api/stream/1", "application/json", `{"enabled":true,"profile":"HD $1"}`)
		},
		stop: func(c *recorder) {
			c.do("PUT", "/api/stream/1", "application/json", `{"enabled":false,"profile":"HD $1"}`)
		},
		state: func(c *recorder) { c.do("GET", "/api/stream/1/status", "", "") },
	},
	"a password in each request, and XML": {
		handler: func(m *machine) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				user, password, _ := r.BasicAuth()
				if user != "admin" || password != canary {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				switch r.URL.Path {
				case "/cgi/startEncoder":
					m.set(true)
				case "/cgi/stopEncoder":
					m.set(false)
				}
				w.Header().Set("Content-Type", "text/xml")
				fmt.Fprintf(w, `<box><time>%d</time><encoder name="a"><state>%s</state></encoder></box>`, m.looks, m.state())
			}
		},
		log: func(c *recorder) {
			c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("admin:"+canary)))
		},
		start: func(c *recorder) { c.do("GET", "/cgi/startEncoder", "", "") },
		stop:  func(c *recorder) { c.do("GET", "/cgi/stopEncoder", "", "") },
		state: func(c *recorder) { c.do("GET", "/cgi/getStatus", "", "") },
	},
	"a key in the query, numbers for commands, and text": {
		handler: func(m *machine) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				q := r.URL.Query()
				if q.Get("apikey") != canary {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				switch q.Get("action") + " " + q.Get("value") {
				case "set 3":
					m.set(true)
				case "set 4":
					m.set(false)
				case "get ":
					fmt.Fprintln(w, map[string]int{"off": 0, "rising": 1, "on": 2, "falling": 3}[m.state()])
				}
			}
		},
		log:   func(*recorder) {},
		start: func(c *recorder) { c.do("GET", "/config?action=set&param=Replicator&value=3&apikey="+canary, "", "") },
		stop:  func(c *recorder) { c.do("GET", "/config?action=set&param=Replicator&value=4&apikey="+canary, "", "") },
		state: func(c *recorder) { c.do("GET", "/config?action=get&param=State&apikey="+canary, "", "") },
	},
	"a login with a cookie, and forms": {
		handler: func(m *machine) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/login" && r.FormValue("user") == "admin" && r.FormValue("pwd") == canary {
					w.Header().Set("Set-Cookie", "sid=5Qn9session-cookie; Path=/; HttpOnly")
					return
				}
				if c, err := r.Cookie("sid"); err != nil || c.Value != "5Qn9session-cookie" {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				switch r.URL.Path + " " + r.FormValue("cmd") {
				case "/control begin":
					m.set(true)
				case "/control end":
					m.set(false)
				}
				state := m.state()
				fmt.Fprintf(w, `{"ok":true,"live":%t,"busy":%t}`, state == "on", state == "rising" || state == "falling")
			}
		},
		log: func(c *recorder) {
			c.do("POST", "/login", "application/x-www-form-urlencoded", "user=admin&pwd="+canary)
		},
		start: func(c *recorder) { c.do("POST", "/control", "application/x-www-form-urlencoded", "cmd=begin&out=1") },
		stop:  func(c *recorder) { c.do("POST", "/control", "application/x-www-form-urlencoded", "cmd=end&out=1") },
		state: func(c *recorder) { c.do("GET", "/info", "", "") },
	},
}

// record presses start and stop at a box, and looks before and after as its page does.
func record(t *testing.T, b fakeBox, base string) *recorder {
	c := &recorder{t: t, base: base, header: http.Header{}}
	b.log(c)
	c.do("GET", "/favicon.ico", "", "")
	looks := func() { b.state(c); b.state(c); b.state(c) }
	looks()
	b.start(c)
	looks()
	b.stop(c)
	looks()
	return c
}

// open makes the driver of guessed settings, as the daemon does from a file.
func open(t *testing.T, settings string) *httpapi.Encoder {
	t.Helper()
	loader := configs.Options{
		Drivers: map[string]func() any{"http": func() any { s := httpapi.Defaults(); return &s }},
		Env:     func(name string) (string, bool) { return canary, strings.HasPrefix(name, "STAGE_BOX_") },
	}
	file, _, err := loader.Parse("guess.yaml", []byte(settings+`
accounts: {ABC123: {webhook_secrets: [MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3]}}
streams: {lobby: {encoder: stage-box}}
`))
	if err != nil {
		t.Fatalf("%v\n%s", err, settings)
	}
	found, _ := file.Encoder("stage-box")
	s := *found.Settings.(*httpapi.Settings)
	s.QuickInterval, s.Interval = 10*time.Millisecond, 50*time.Millisecond
	e, err := httpapi.New(s, encoders.Env{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("%v\n%s", err, settings)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// TestRoundTrip records a session at a box, and lets the driver work that box by what was guessed.
func TestRoundTrip(t *testing.T) {
	for name, b := range boxes {
		t.Run(name, func(t *testing.T) {
			m := &machine{looks: 10}
			server := httptest.NewServer(b.handler(m))
			t.Cleanup(server.Close)
			c := record(t, b, server.URL)
			all, err := Read(c.har())
			if err != nil {
				t.Fatal(err)
			}
			g, err := Make(all, "stage-box")
			if err != nil || len(g.Missing) > 0 {
				t.Fatalf("%v %+v", err, g)
			}
			noSecrets(t, g)
			*m = machine{looks: 10}
			e := open(t, g.Settings)
			job := encodertest.NewJob("")
			await := func(want encoders.State) {
				t.Helper()
				for range 1000 {
					s, err := e.Status(t.Context(), job)
					if err != nil {
						t.Fatal(err)
					}
					if s.State == want {
						return
					}
				}
				s, _ := e.Status(t.Context(), job)
				t.Fatalf("not %s: %+v\n%s", want, s, g.Settings)
			}
			await(encoders.StateStopped)
			if err := e.Start(t.Context(), job); err != nil {
				t.Fatalf("%v\n%s", err, g.Settings)
			}
			await(encoders.StatePublishing)
			if !m.on {
				t.Error("the box is not on")
			}
			if err := e.Stop(t.Context(), job); err != nil {
				t.Fatalf("%v\n%s", err, g.Settings)
			}
			if m.on {
				t.Error("the box is still on")
			}

			// The same as curl lines, which have no answers: the rules are made up, and that is said.
			lines, err := Read([]byte(c.curl.String()))
			if err != nil || len(lines) != len(all) {
				t.Fatalf("%d of %d requests from curl lines: %v", len(lines), len(all), err)
			}
			g, err = Make(lines, "stage-box")
			if err != nil || len(g.Missing) > 0 {
				t.Fatalf("by curl lines: %v %+v", err, g)
			}
			noSecrets(t, g)
			if !strings.Contains(g.Settings, "made up") {
				t.Errorf("that the rules are made up is not said:\n%s", g.Settings)
			}
			open(t, g.Settings)
		})
	}
}

func noSecrets(t *testing.T, g *Guess) {
	t.Helper()
	for _, text := range append([]string{g.Settings, string(g.Fixtures)}, g.Notes...) {
		for _, secret := range []string{canary, "5Qn9session", base64.StdEncoding.EncodeToString([]byte("admin:" + canary))} {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in it:\n%s", secret, text)
			}
		}
	}
	if !json.Valid(g.Fixtures) {
		t.Errorf("the fixtures are no JSON:\n%s", g.Fixtures)
	}
}

// TestEscapedSecrets sends a password with every kind of escape.
func TestEscapedSecrets(t *testing.T) {
	const password = `p@ss w/ö&"<9$x`
	quoted, _ := json.Marshal(password)
	for _, line := range []string{
		`curl http://x/login -d 'user=a&pass=` + url.QueryEscape(password) + `'; curl http://x/start -d on=1`,
		`curl http://x/login --json '{"user":"a","pass":` + string(quoted) + `}'; curl http://x/start?k=` +
			url.QueryEscape(password),
		`curl 'http://x/start?token=` + url.QueryEscape(password) + `&a=1&a=2' ` +
			`--data-raw '<k>p@ss w/ö&amp;&quot;&lt;9$x</k>'`,
		`curl 'http://x/start/` + url.PathEscape(password) + `' -u 'a:` + password + `' -d 'all: ` + password + `'`,
	} {
		all, err := Read([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		g, err := Make(all, "box")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{g.Settings, string(g.Fixtures)} {
			if strings.Contains(text, "p@ss") || strings.Contains(text, "p%40ss") || strings.Contains(text, "9$") {
				t.Errorf("%s\ngives\n%s", line, text)
			}
		}
	}
}

func TestCurlLines(t *testing.T) {
	parsed := func(text string) string {
		all, err := Read([]byte(text))
		if err != nil {
			return "error: " + err.Error()
		}
		var lines []string
		for _, x := range all {
			names := make([]string, 0, len(x.Headers))
			for name, values := range x.Headers {
				names = append(names, name+": "+strings.Join(values, ", "))
			}
			slices.Sort(names)
			line := fmt.Sprint(x.Method, " ", x.base(), x.URL.RequestURI(), " ", names, " ", x.Body)
			lines = append(lines, strings.TrimSpace(line))
		}
		return strings.Join(lines, "\n")
	}
	for text, want := range map[string]string{
		`curl 10.0.0.9/on`:                 "GET http://10.0.0.9/on []",
		`curl -XPOST "http://x/a b"`:       "POST http://x/a%20b []",
		`curl -X POST -k`:                  "error: command 1: it has no address that can be read",
		`curl -sSfXPOST http://x/on`:       "POST http://x/on []",
		"curl http://x/a\ncurl http://x/b": "GET http://x/a []\nGET http://x/b []",
		`# one
curl 'http://x/a?q=1#f' \
  -H 'X-A: b''c' -H "X-D: \"e\\ $" --data-raw $'it\'s \u00fc\x21\n' --compressed ; `: "POST http://x/a?q=1 " +
			"[Content-Type: application/x-www-form-urlencoded X-A: bc X-D: \"e\\ $] it's ü!",
		`curl -G http://x/a -d b=1 --data-urlencode 'c=d e'`: "GET http://x/a?b=1&c=d+e []",
		`curl --json '{"a":1}' http://x/`:                    `POST http://x/ [Content-Type: application/json] {"a":1}`,
		`curl -u admin:pw http://x/`:                         "GET http://x/ [Authorization: Basic YWRtaW46cHc=]",
		`curl --unix-socket /run/docker.sock http://d/info`:  "GET unix:///run/docker.sock/info []",
		`curl 'http://x/`:                                    "error: a quote does not end",
		`wget http://x/`:                                     "error: command 1 is not curl",
		`curl http://x/ -d @secret.txt`: "error: command 1: " +
			"its body is a file: put the text of the file into the command",
		`curl http://x/ --teleport`: "error: command 1: " +
			"it has an option that oncue does not know; remove it if it does not matter",
		``: "error: it holds no request: " +
			"it must be a HAR file, or lines that begin with curl",
		`{"log":{"entries":[{"request":{"url":":"}}]}}`: "error: request 1: its address cannot be read",
		`{"log":`: "error: it is no HAR file: its JSON cannot be read",
	} {
		if diff := cmp.Diff(want, parsed(text)); diff != "" {
			t.Errorf("%s\n%s", text, diff)
		}
	}
}

// FuzzRecord reads anything, and guesses from it; a password that is known stays hidden.
func FuzzRecord(f *testing.F) {
	f.Add(`curl -u admin:` + canary + ` http://10.0.0.9/start`)
	f.Add(`curl http://x/login -d 'user=a&password=` + canary + `'; curl http://x/stop -H 'X-Token: ` + canary + `'`)
	f.Add(`{"log":{"entries":[{"request":{"method":"POST","url":"http://x/on","postData":{"text":"{\"key\":[1]}"}},` +
		`"response":{"status":200,"content":{"text":"<a><b/></a>"}}}]}}`)
	f.Add(`curl $'\u12\x4\0777' "\"" \` + "\n" + `x`)
	f.Fuzz(func(t *testing.T, text string) {
		all, err := Read([]byte(text))
		if err != nil {
			return
		}
		all = append(all, Exchange{Method: "POST", URL: &url.URL{Scheme: "http", Host: "x", Path: "/start"},
			Headers: http.Header{"Authorization": {"Bearer " + canary + "twice"}}})
		g, err := Make(all, "box")
		if err != nil {
			return
		}
		var parsed map[string]any
		if err := yaml.Unmarshal([]byte(g.Settings), &parsed); err != nil {
			t.Errorf("%v\n%s", err, g.Settings)
		}
		if strings.Contains(g.Settings+string(g.Fixtures), canary+"twice") {
			t.Errorf("a secret is in it:\n%s\n%s", g.Settings, g.Fixtures)
		}
	})
}
