package httpapi

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

func TestMistakesAreFound(t *testing.T) {
	const good = "url: http://10.0.0.9\nstart: {method: POST, path: /on}\nstop: {method: POST, path: /off}\n"
	const rules = "status: {path: /s, live: 'body.on', stopped: '!body.on'}\n"
	const steps = "start: {path: /on}\nstop: {path: /off}\n"
	for _, c := range []struct{ text, want string }{
		{good + "status: {path: /s, live: 'boddy.on', stopped: 'true'}", "status.live: unknown name boddy"},
		{good + "status: {path: /s, live: 'body.on ==', stopped: 'true'}", "status.live: unexpected token EOF"},
		{good + "status: {path: /s, live: 'status', stopped: 'true'}", "status.live: expected bool, but got int"},
		{good + "status: {path: /s, live: 'xpath(\"/a[\") == \"x\"', stopped: 'true'}", "status.live: xpath(\"/a[\")"},
		{good + "status: {path: /s, stopped: 'true'}", "status.live: must be a condition"},
		{good + "status: {live: 'true', stopped: 'true'}", "status.path: must be set"},
		{good + rules + "vars: {channel: null}", "vars.channel: must be set"},
		{good + rules + "vars: {a: '{b}', b: '{a}'}", "refers to itself"},
		{good + rules + "vars: {stream: x}", "vars.stream: this name has a meaning already"},
		{steps + rules, "url: must be set"},
		{"url: ftp://x\n" + steps + rules, "url: must be the address"},
		{"url: unix:run/x.sock\n" + steps + rules, "url: must name the socket by its whole path"},
		{"url: unix:///run/../x.sock\n" + steps + rules, "url: must name the socket by its whole path"},
		{"url: unix:///run/{stream}.sock\n" + steps + rules, "url: must be a path without placeholders"},
		{"url: unix:///run/x.sock\ntls: {insecure: true}\n" + steps + rules, "tls: has no meaning for a unix"},
		{"url: http://a:b@x\n" + steps + rules, "url: must hold no user name"},
		{"url: http://x\nstop: {path: /off}\n" + rules, "start: must be a request"},
		{"url: http://x\nstart: {path: '/on/{chanel}'}\nstop: {path: /off}\n" + rules,
			"start.path: {chanel} is not known"},
		{"url: http://x\nstart: [{path: /a}, {path: '/{password|md6}'}]\nstop: {path: /off}\n" + rules,
			`start[1].path: {password|md6} calls "md6"`},
		{"url: http://x\nstart: {method: POST, path: /a, json: {}, body: x}\nstop: {path: /off}\n" + rules,
			"start: has json and body; a request has one body"},
		{"url: http://x\nstart: {path: /a, json: {a: 1}}\nstop: {path: /off}\n" + rules, "start.method: must be POST"},
		{"url: http://x\nstart: {method: FETCH, path: /a}\nstop: {path: /off}\n" + rules, `start.method: is "FETCH"`},
		{good + rules + "auth: header\npassword: x", "auth_name: must name the header"},
		{good + rules + "auth: login", "login.path: must be set"},
		{good + rules + "auth: aws-sigv4\nusername: a\npassword: b\naws: {region: x}", "aws.service: must be set for"},
		{good + rules + "tls: {pin: abc}", "tls.pin: must be a SHA-256"},
	} {
		if _, err := load(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nreports %v; want %q", c.text, err, c.want)
		}
	}
}

// TestEscaping sends a stream's name to every place of a request.
func TestEscaping(t *testing.T) {
	const name = `a/b ?&="<ü>`
	var path, query, form, jsonBody, xmlBody, header string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/json"):
			path, query, header = r.URL.EscapedPath(), r.URL.Query().Get("q"), r.Header.Get("X-Name")
			jsonBody = bodyOfRequest(r)
		case r.URL.Path == "/form":
			form = r.FormValue("n")
		case r.URL.Path == "/xml":
			xmlBody = bodyOfRequest(r)
		}
		reply(w, `{"on":false}`)
	}))
	t.Cleanup(server.Close)
	e := open(t, "url: "+server.URL+`
vars: {number: 5}
start:
  - method: POST
    path: "/json/{stream}/x?q={stream}"
    headers: {X-Name: "n {account}"}
    json: {n: "{stream}", i: "{number}", t: "no {number}"}
  - {method: POST, path: /form, form: {n: "{stream}"}}
  - {method: POST, path: /xml, xml: "<a>{stream}</a>"}
stop: {path: /off}
status: {path: /s, live: body.on, stopped: "!body.on"}
`)
	job := encodertest.NewJob("")
	job.Name = name
	if err := e.Start(within(t, 5*time.Second), job); err != nil {
		t.Fatal(err)
	}
	var decoded map[string]any
	if err := json.Unmarshal([]byte(jsonBody), &decoded); err != nil || decoded["n"] != name || decoded["i"] != 5.0 ||
		decoded["t"] != "no 5" {
		t.Errorf("the JSON body is %s (%v)", jsonBody, err)
	}
	if path != "/json/a%2Fb%20%3F&=%22%3C%C3%BC%3E/x" || query != name || form != name || header != "n ABC123" {
		t.Errorf("path %q, query %q, form %q, header %q", path, query, form, header)
	}
	if xmlBody != `<a>a/b ?&amp;=&#34;&lt;ü&gt;</a>` {
		t.Errorf("the XML body is %s", xmlBody)
	}
	job.Name = ".."
	if err := e.Start(within(t, 5*time.Second), job); !encoders.IsPermanent(err) {
		t.Errorf("a name that climbs out of its path: %v; want a permanent error", err)
	}
}

func TestAuthKinds(t *testing.T) {
	for auth, want := range map[string]string{
		"auth: bearer":                                  "Authorization: Bearer " + password,
		"auth: header\nauth_name: X-Api-Key":            "X-Api-Key: " + password,
		"auth: query\nauth_name: key":                   "key=" + password,
		"auth: bearer\nauth_value: '{password|md5hex}'": "Bearer 8",
		"username: ''":                                  "Authorization: Basic OmNhbmFyeTBkOWY1MXNlY3JldA==",
	} {
		var got strings.Builder
		e, _ := serveHandler(t, auth+"\npassword: "+password+"\n"+ownBox, func(w http.ResponseWriter, r *http.Request) {
			_ = r.Header.Write(&got)
			got.WriteString(r.URL.RawQuery)
			w.WriteHeader(http.StatusForbidden)
		})
		s := status(t, e)
		if want == "Bearer 8" {
			if strings.Contains(got.String(), password) {
				t.Errorf("%s sends the password itself", auth)
			}
			continue
		}
		if !strings.Contains(got.String(), want) {
			t.Errorf("%s sends %q", auth, got.String())
		}
		mustSay(t, s.Error, "403 Forbidden")
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply(w, `{"state":"off"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	base := "url: " + server.URL + "\nretries: 0\n" + ownBox
	s := status(t, open(t, base))
	if s.State != encoders.StateUnknown {
		t.Fatalf("an unknown certificate is trusted: %+v", s)
	}
	_, pin, found := strings.Cut(s.Error, "tls: {pin: ")
	if !found {
		t.Fatalf("%q does not say how to trust it", s.Error)
	}
	pin, _, _ = strings.Cut(pin, "}")
	if s := status(t, open(t, base+"\ntls: {pin: '"+pin+"'}")); s.State != encoders.StateStopped {
		t.Errorf("with its pin it is %+v", s)
	}
	if s := status(t, open(t, base+"\ntls: {insecure: true}")); s.State != encoders.StateStopped {
		t.Errorf("without checks it is %+v", s)
	}
	s = status(t, open(t, base+"\ntls: {pin: '"+strings.Repeat("ab", 32)+"'}"))
	if s.State != encoders.StateUnknown {
		t.Errorf("with another pin it is %+v", s)
	}
	mustSay(t, s.Error, "not the pinned one")
}

func TestAddressesTellStreamsApart(t *testing.T) {
	one := settingsOf(t, "preset: epiphan-pearl\nurl: http://10.0.0.9\nvars: {channel: 1}")
	two := settingsOf(t, "preset: epiphan-pearl\nurl: http://10.0.0.9\nvars: {channel: 2}")
	if one.Address() == two.Address() {
		t.Errorf("both are %q", one.Address())
	}
	forward := settingsOf(t, "preset: mediamtx-forward\nurl: http://10.0.0.9\nvars: {path: cam}")
	if one.NeedsPublish() || !forward.NeedsPublish() {
		t.Error("only a forward needs the publishing address")
	}
}

func TestNotesNameWhatIsNotSent(t *testing.T) {
	box := func(change func(*Settings)) Settings {
		s := Defaults()
		s.URL = "http://10.0.0.9"
		s.Start, s.Stop = Steps{{Request: Request{Path: "/on"}}}, Steps{{Request: Request{Path: "/off"}}}
		s.Status.Path, s.Status.Live, s.Status.Stopped = "/", "body.on", "not body.on"
		s.Username, s.Password = "admin", secret.New("hush-hush")
		change(&s)
		return s
	}
	for what, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"basic":  {func(*Settings) {}, ""},
		"digest": {func(s *Settings) { s.Auth = "digest" }, ""},
		"none":   {func(s *Settings) { s.Auth = "none" }, "username password"},
		"bearer": {func(s *Settings) { s.Auth = "bearer" }, "username"},
		"a token of its own": {func(s *Settings) { s.Auth, s.AuthValue = "bearer", secret.New("x") },
			"username password"},
		"in a path": {func(s *Settings) { s.Auth, s.Start[0].Path = "none", "/{username}/{password|md5hex}" },
			""},
		"a secret": {func(s *Settings) { s.Secrets = map[string]secret.Value{"pin": secret.New("1234")} },
			"secrets.pin"},
		"a secret that is sent": {func(s *Settings) {
			s.Secrets, s.Stop[0].Path = map[string]secret.Value{"pin": secret.New("1234")}, "/{pin}"
		}, ""},
		"a login by the password": {func(s *Settings) {
			s.Auth, s.Login.Request = "login", Request{Method: "POST", Path: "/in", Body: "{password}"}
		}, "username"},
	} {
		s := box(c.change)
		if errs := s.Validate(); len(errs) > 0 {
			t.Errorf("%s: %v", what, errs)
		}
		var keys []string
		for _, note := range s.Notes() {
			key, _, _ := strings.Cut(note.Error(), ":")
			keys = append(keys, key)
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("%s: notes about %q, want %q", what, got, c.want)
		}
	}
}
