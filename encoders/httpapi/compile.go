package httpapi

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// plan is the compiled settings: every text is a template, every condition a program.
type plan struct {
	settings Settings
	url      template
	vars     map[string]template // the vars that are texts
	auth     string              // none, basic, digest, bearer, header, query or login
	authText template
	login    *login
	start    []*request
	stop     []*request
	status   *statusRequest
	pin      []byte
	used     map[string]bool // names of placeholders
}

// request is a compiled Request.
type request struct {
	key     string // in the settings, for errors
	method  string
	path    template
	query   []param
	headers []param
	body    bodyOf
	timeout time.Duration
	delay   time.Duration

	when, success, already, busy, permanent, errorText rule
}

// param is one named value.
type param struct{ name, value template }

type login struct {
	*request
	capture map[string]capture
	headers []param
	query   []param
	expired rule
}

type capture struct {
	value  rule
	cookie string
	header string
	regex  *regexp.Regexp
}

type statusRequest struct {
	*request
	states                                                     []stateRule
	bitrate, fps, frames, dropped, bytes, duration, progressOf rule
}

// compiler makes a plan and collects everything that is wrong.
type compiler struct {
	plan  *plan
	names []string // of placeholders that may be used
	errs  []error
}

func (c *compiler) fail(key, format string, args ...any) {
	c.errs = append(c.errs, keyError{key, fmt.Sprintf(format, args...)})
}

// compile makes a plan, and says everything that is wrong with the settings. The plan is never nil;
// with errors it must not be run.
func compile(s Settings) (*plan, []error) {
	c := &compiler{plan: &plan{settings: s, vars: map[string]template{}, used: map[string]bool{}}}
	c.names = append([]string{"stream", "account", "username", "password"}, publishNames...)
	c.names = append(append(c.names, slices.Sorted(maps.Keys(s.Vars))...), slices.Sorted(maps.Keys(s.Secrets))...)
	c.vars()
	c.address()
	c.tls()
	c.auth()
	c.plan.start = c.steps("start", s.Start)
	c.plan.stop = c.steps("stop", s.Stop)
	c.status()
	c.numbers()
	return c.plan, c.errs
}

var varName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (c *compiler) vars() {
	s := &c.plan.settings
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		c.varName("secrets."+name, name)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Vars)) {
		c.varName("vars."+name, name)
		switch v := s.Vars[name].(type) {
		case nil:
			c.fail("vars."+name, "must be set")
		case string:
			c.plan.vars[name] = c.template("vars."+name, v)
		default:
			if _, ok := scalar(v); !ok {
				c.fail("vars."+name, "must be text, a number, true or false")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.plan.vars)) {
		if c.cycle(name, nil) {
			c.fail("vars."+name, "refers to itself")
			c.plan.vars[name] = nil
		}
	}
}

func (c *compiler) varName(key, name string) {
	if !varName.MatchString(name) {
		c.fail(key, "a name here is lower-case letters, digits and _, and begins with a letter")
	}
	if slices.Contains([]string{"stream", "account", "username", "password"}, name) ||
		slices.Contains(publishNames, name) {
		c.fail(key, "this name has a meaning already; choose another")
	}
}

func (c *compiler) cycle(name string, path []string) bool {
	if slices.Contains(path, name) {
		return true
	}
	path = append(path, name)
	return slices.ContainsFunc(c.plan.vars[name], func(p piece) bool { return p.name != "" && c.cycle(p.name, path) })
}

func (c *compiler) template(key, s string) template {
	t, err := parseTemplate(s)
	if err != nil {
		c.fail(key, "%s", err)
	}
	for _, p := range t {
		if p.name == "" {
			continue
		}
		c.plan.used[p.name] = true
		if p.name[0] > '9' && !slices.Contains(c.names, p.name) {
			c.fail(key, "%s is not known; allowed: {%s}, {1} …", p.text, strings.Join(c.names, "}, {"))
		}
	}
	return t
}

func (c *compiler) rule(key, source string) rule { return c.anyRule(key, source, false) }

func (c *compiler) anyRule(key, source string, value bool) rule {
	r, err := compileRule(source, value)
	if err != nil {
		c.fail(key, "%s", err)
	}
	return r
}

func (c *compiler) address() {
	s := &c.plan.settings
	c.plan.url = c.template("url", s.URL)
	filled := placeholder.ReplaceAllString(s.URL, "1")
	u, err := url.Parse(filled)
	switch {
	case s.URL == "":
		c.fail("url", "must be set, such as http://10.0.0.9")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		c.fail("url", "must be the address of the box, such as http://10.0.0.9 or https://10.0.0.9:8443")
	case u.User != nil:
		c.fail("url", "must hold no user name or password; write username and password")
	case u.RawQuery != "" || u.Fragment != "":
		c.fail("url", "must end before ? and #; write query with each request")
	}
}

func (c *compiler) steps(key string, steps Steps) []*request {
	if len(steps) == 0 {
		c.fail(key, "must be a request such as {method: POST, path: /%s}, or a list of them", key)
	}
	out := make([]*request, len(steps))
	for i, s := range steps {
		at := key
		if len(steps) > 1 {
			at = fmt.Sprintf("%s[%d]", key, i)
		}
		out[i] = c.request(at, s.Request)
		out[i].when = c.rule(at+".when", s.When)
		out[i].delay = s.Delay
	}
	return out
}

func (c *compiler) status() {
	s := c.plan.settings.Status
	out := &statusRequest{request: c.request("status", s.Request)}
	if s.Path == "" && len(s.Query) == 0 {
		c.fail("status.path", "must be set: without the state, a stop cannot be confirmed")
	}
	for _, key := range []struct{ name, source string }{{"live", s.Live}, {"stopped", s.Stopped}} {
		if key.source == "" {
			c.fail("status."+key.name, `must be a condition over the answer, such as 'body.state == "on"'`)
		}
	}
	for _, r := range s.rules() {
		if r.source != "" {
			out.states = append(out.states, stateRule{r.name, r.state, c.rule("status."+r.name, r.source)})
		}
	}
	measure := func(name, source string) rule { return c.anyRule("status."+name, source, true) }
	out.bitrate, out.fps, out.frames = measure("bitrate", s.Bitrate), measure("fps", s.FPS), measure("frames", s.Frames)
	out.dropped, out.bytes = measure("dropped", s.Dropped), measure("bytes", s.Bytes)
	out.duration, out.progressOf = measure("duration", s.Duration), measure("progress", s.Progress)
	c.plan.status = out
}

func (c *compiler) request(key string, s Request) *request {
	r := &request{key: key, method: strings.ToUpper(cmp.Or(s.Method, "GET")), timeout: s.Timeout}
	if r.timeout == 0 {
		r.timeout = c.plan.settings.Timeout
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, r.method) {
		c.fail(key+".method", "is %q; allowed: GET, HEAD, POST, PUT, PATCH, DELETE", s.Method)
	}
	r.path = c.template(key+".path", s.Path)
	if strings.ContainsAny(s.Path, "#\x00\r\n") || strings.Contains(s.Path, "://") {
		c.fail(key+".path", "must be a path below url, such as /api/start")
	}
	r.query = c.params(key+".query", s.Query)
	r.headers = c.params(key+".headers", anyValues(s.Headers))
	for name := range s.Headers {
		if n := strings.ToLower(name); n == "transfer-encoding" || n == "content-length" {
			c.fail(key+".headers."+name, "cannot be set: bodies are always sent with their length")
		}
	}
	r.body = c.body(key, s)
	r.success = c.rule(key+".success", cmp.Or(s.Success, "status >= 200 && status < 300"))
	r.already = c.rule(key+".already", s.Already)
	r.busy = c.rule(key+".busy", s.Busy)
	r.permanent = c.rule(key+".permanent", cmp.Or(s.Permanent, "status == 401"))
	r.errorText = c.anyRule(key+".error", s.Error, true)
	return r
}

func (c *compiler) params(key string, values map[string]any) []param {
	var out []param
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			continue
		}
		text, ok := scalar(values[name])
		if !ok {
			c.fail(key+"."+name, "must be text, a number, true or false")
		}
		out = append(out, param{c.template(key+"."+name, name), c.template(key+"."+name, text)})
	}
	return out
}

func (c *compiler) numbers() {
	s := &c.plan.settings
	if s.TLS.CAFile != "" && strings.ContainsAny(s.TLS.CAFile, "{}") {
		c.fail("tls.ca_file", "cannot hold placeholders")
	}
	if s.Interval < s.QuickInterval {
		c.fail("interval", "must not be shorter than quick_interval (%s)", s.QuickInterval)
	}
	for key, bad := range map[string]bool{
		"timeout": s.Timeout <= 0, "interval": s.Interval <= 0, "quick_interval": s.QuickInterval <= 0,
		"confirmations": s.Confirmations <= 0,
	} {
		if bad {
			c.errs = append(c.errs, keyError{key, "must be more than 0"})
		}
	}
	if s.FoundOff != "hand" && s.FoundOff != "failure" {
		c.fail("found_off", "is %q; allowed: hand, failure", s.FoundOff)
	}
}

func anyValues(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
