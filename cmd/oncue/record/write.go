package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// writer writes the settings.
type writer struct {
	strings.Builder
	*session
	env string // how names of variables begin
}

func (w *writer) line(indent int, format string, args ...any) {
	w.WriteString(strings.Repeat(" ", indent))
	fmt.Fprintf(w, format+"\n", args...)
}

func (s *session) guess() (*Guess, error) {
	env := strings.ToUpper(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(s.name, "_"))
	w := &writer{session: s, env: env}
	g := &Guess{}
	w.line(0, "# Guessed from %d recorded requests. What was made out, and must be tried:", len(s.all))
	if s.start >= 0 {
		s.note("%s is start, %s", s.nth(s.start), s.whyStart)
	} else {
		g.Missing = append(g.Missing, "start")
	}
	if s.stop >= 0 {
		s.note("%s is stop, %s", s.nth(s.stop), s.whyStop)
	} else {
		g.Missing = append(g.Missing, "stop")
	}
	if len(s.status) == 0 {
		g.Missing = append(g.Missing, "status")
	}
	for _, note := range s.notes {
		g.Notes = append(g.Notes, oneLine(s.hide(note)))
	}
	for _, note := range g.Notes {
		w.line(0, "# - %s", note)
	}
	w.line(0, "encoders:")
	w.line(2, "%s:", w.text(s.name))
	w.line(4, "http:")
	w.address()
	w.authorisation()
	if s.start >= 0 {
		w.request("start", s.all[s.start])
	}
	if s.stop >= 0 {
		w.request("stop", s.all[s.stop])
	}
	if len(s.status) > 0 {
		w.request("status", s.all[s.status[0]])
		for _, r := range []struct{ name, rule string }{
			{"starting", s.starting}, {"stopping", s.stopping}, {"live", s.live}, {"stopped", s.stopped},
		} {
			if r.rule != "" {
				w.line(8, "%s: %s", r.name, w.rule(r.rule))
			}
		}
	}
	g.Settings = w.String()
	var err error
	g.Fixtures, err = s.fixtures()
	return g, err
}

// oneLine makes a note fit for a comment.
func oneLine(note string) string {
	note = strings.ToValidUTF8(note, "·")
	note = strings.Join(strings.FieldsFunc(note, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }), " ")
	if runes := []rune(note); len(runes) > 200 {
		note = string(runes[:200]) + "…"
	}
	return note
}

// text is a value as YAML, without secrets; a dollar sign would begin a reference.
func (w *writer) text(text string) string { return flow(strings.ReplaceAll(w.hide(text), "$", "$$")) }

// rule is an expression as YAML.
func (w *writer) rule(text string) string {
	text = strings.ReplaceAll(w.hide(text), "$", "$$")
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// any is a value of a body as YAML, without secrets.
func (w *writer) any(v any) any {
	switch v := v.(type) {
	case string:
		return strings.ReplaceAll(w.hide(v), "$", "$$")
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, e := range v {
			out[strings.ReplaceAll(w.hide(key), "$", "$$")] = w.any(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = w.any(e)
		}
		return out
	}
	return v
}

func (w *writer) address() {
	w.line(6, "url: %s", w.text(w.base))
	if slices.ContainsFunc(w.all, func(x Exchange) bool { return x.insecure }) && strings.HasPrefix(w.base, "https:") {
		w.line(6, "tls: {insecure: true}   # as curl was told; better is pin, which oncue doctor prints")
	}
}

func (w *writer) authorisation() {
	if w.username != "" {
		w.line(6, "username: %s", flow(strings.ReplaceAll(w.username, "$", "$$")))
	}
	if w.password != "" || w.auth == "digest" {
		w.line(6, `password: "${%s_PASSWORD}"`, w.env)
	}
	var names []string
	for _, name := range slices.Sorted(maps.Values(w.secrets)) {
		if _, captured := w.captures[name]; name != "" && name != "password" && !captured {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		w.line(6, "secrets:")
		for _, name := range names {
			w.line(8, `%s: "${%s_%s}"`, name, w.env, strings.ToUpper(name))
		}
	}
	if w.auth == "" {
		return
	}
	w.line(6, "auth: %s", w.auth)
	if w.authName != "" {
		w.line(6, "auth_name: %s", w.text(w.authName))
	}
	if w.auth != "login" {
		return
	}
	w.request("login", w.all[w.login])
	if len(w.captures) > 0 {
		w.line(8, "capture:")
		for _, name := range slices.Sorted(maps.Keys(w.captures)) {
			w.line(10, "%s: {value: %s}", name, w.rule(w.captures[name]))
		}
	}
	if len(w.applied) > 0 {
		w.line(8, "apply: {headers: %s}", flow(w.applied))
	}
}

// request writes a request of the settings.
func (w *writer) request(key string, x Exchange) {
	w.line(6, "%s:", key)
	if x.Method != http.MethodGet {
		w.line(8, "method: %s", w.text(x.Method))
	}
	file, query := x.file(), map[string]any{}
	for _, l := range x.query() {
		query[l.key()] = l.text
	}
	if values := x.URL.Query(); len(query) < strings.Count(x.URL.RawQuery, "&")+1 && x.URL.RawQuery != "" {
		file += "?" + w.clean(values.Encode()) // a name stands there twice
		query = nil
	}
	w.line(8, "path: %s", w.text(file))
	if len(query) > 0 {
		w.line(8, "query: %s", flow(w.any(query)))
	}
	headers := map[string]string{}
	if w.auth != "login" {
		maps.Copy(headers, w.applied)
	}
	for name, values := range x.Headers {
		if _, applied := w.applied[name]; !applied && !usual.MatchString(name) && name != w.authName {
			headers[name] = strings.ReplaceAll(w.hide(values[0]), "$", "$$")
		}
	}
	if len(headers) > 0 {
		w.line(8, "headers: %s", flow(headers))
	}
	w.body(key, x)
}

func (w *writer) body(key string, x Exchange) {
	switch b := x.parsed(); b.kind {
	case "json":
		w.line(8, "json: %s", flow(w.credentials(key, b.json)))
	case "form":
		w.line(8, "form: %s", flow(w.credentials(key, b.form)))
	case "xml":
		w.line(8, "xml: %s", w.text(w.clean(b.text)))
	case "text":
		w.line(8, "body: %s", w.text(w.clean(b.text)))
		if called := x.Headers.Get("Content-Type"); called != "" {
			w.line(8, "content_type: %s", w.text(called))
		}
	}
}

// credentials puts placeholders for user and password into the body of a login.
func (w *writer) credentials(key string, v any) any {
	out := w.any(v)
	fields, ok := out.(map[string]any)
	if key != "login" || !ok {
		return out
	}
	for name, value := range fields {
		if userKey.MatchString(name) && value == w.username {
			fields[name] = "{username}"
		}
	}
	return fields
}

// fixtures are the exchanges without their secrets, in the order in which they were recorded.
func (s *session) fixtures() ([]byte, error) {
	type answer struct {
		Status int    `json:"status"`
		Type   string `json:"type,omitempty"`
		Body   string `json:"body,omitempty"`
	}
	type exchange struct {
		Method string  `json:"method"`
		Target string  `json:"target"`
		Body   string  `json:"body,omitempty"`
		Answer *answer `json:"answer,omitempty"`
	}
	all := make([]exchange, len(s.all))
	for i, x := range s.all {
		target := x.URL.EscapedPath()
		if x.URL.RawQuery != "" {
			plain, err := url.QueryUnescape(x.URL.RawQuery)
			if err != nil {
				plain = x.URL.RawQuery
			}
			target += "?" + plain
		}
		all[i] = exchange{Method: x.Method, Target: s.clean(target), Body: s.clean(x.Body)}
		if a := x.Answer; a != nil {
			all[i].Answer = &answer{a.Status, a.Type, s.clean(a.Body)}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(all)
	return b.Bytes(), err
}
