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

	"github.com/oncue/oncue/encoders/boxes"
)

// plan is the compiled settings: every text is a template, every condition a program.
type plan struct {
	settings Settings
	url      boxes.Template
	socket   string // path, when the box is a program of this host behind a unix socket
	words    *boxes.Words
	auth     string // none, basic, digest, bearer, header, query, login or aws-sigv4
	authText boxes.Template
	region   boxes.Template // for aws-sigv4
	service  boxes.Template
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
	path    boxes.Template
	query   []param
	headers []param
	body    bodyOf
	timeout time.Duration
	delay   time.Duration

	when, success, already, busy, permanent, errorText boxes.Rule
}

// param is one named value.
type param struct{ name, value boxes.Template }

type login struct {
	*request
	capture map[string]capture
	headers []param
	query   []param
	expired boxes.Rule
}

type capture struct {
	value  boxes.Rule
	cookie string
	header string
	regex  *regexp.Regexp
}

type statusRequest struct {
	*request
	states boxes.StateRules
}

// compiler makes a plan and collects everything that is wrong.
type compiler struct {
	*boxes.Compiler
	plan *plan
}

// compile makes a plan, and says everything that is wrong with the settings. The plan is never nil;
// with errors it must not be run.
func compile(s Settings) (*plan, []error) {
	c := &compiler{
		boxes.NewCompiler(boxes.Words{Username: s.Username, Password: s.Password, Vars: s.Vars, Secrets: s.Secrets}),
		&plan{settings: s},
	}
	c.plan.words, c.plan.used = c.Words, c.Used
	c.address()
	c.tls()
	c.auth()
	c.plan.start = c.steps("start", s.Start)
	c.plan.stop = c.steps("stop", s.Stop)
	c.status()
	c.numbers()
	return c.plan, c.Errs
}

func (c *compiler) rule(key, source string) boxes.Rule { return c.Condition(language, key, source) }

func (c *compiler) address() {
	s := &c.plan.settings
	c.plan.url = c.Template("url", s.URL)
	if path, ok := strings.CutPrefix(s.URL, "unix:"); ok {
		c.socket(path)
		return
	}
	filled := boxes.Placeholder.ReplaceAllString(s.URL, "1")
	u, err := url.Parse(filled)
	switch {
	case s.URL == "":
		c.Fail("url", "must be set, such as http://10.0.0.9 or unix:///run/docker.sock")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		const like = "http://10.0.0.9, https://10.0.0.9:8443 or unix:///run/docker.sock"
		c.Fail("url", "must be the address of the box, such as %s", like)
	case u.User != nil:
		c.Fail("url", "must hold no user name or password; write username and password")
	case u.RawQuery != "" || u.Fragment != "":
		c.Fail("url", "must end before ? and #; write query with each request")
	}
}

func (c *compiler) steps(key string, steps Steps) []*request {
	if len(steps) == 0 {
		c.Fail(key, "must be a request such as {method: POST, path: /%s}, or a list of them", key)
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
		c.Fail("status.path", "must be set: without the state, a stop cannot be confirmed")
	}
	out.states = c.States(language, s.States, `body.state == "on"`)
	c.plan.status = out
}

func (c *compiler) request(key string, s Request) *request {
	r := &request{key: key, method: strings.ToUpper(cmp.Or(s.Method, "GET")), timeout: s.Timeout}
	if r.timeout == 0 {
		r.timeout = c.plan.settings.Timeout
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, r.method) {
		c.Fail(key+".method", "is %q; allowed: GET, HEAD, POST, PUT, PATCH, DELETE", s.Method)
	}
	r.path = c.Template(key+".path", s.Path)
	if strings.ContainsAny(s.Path, "#\x00\r\n") || strings.Contains(s.Path, "://") {
		c.Fail(key+".path", "must be a path below url, such as /api/start")
	}
	r.query = c.params(key+".query", s.Query)
	r.headers = c.params(key+".headers", anyValues(s.Headers))
	for name := range s.Headers {
		if n := strings.ToLower(name); n == "transfer-encoding" || n == "content-length" {
			c.Fail(key+".headers."+name, "cannot be set: bodies are always sent with their length")
		}
	}
	r.body = c.body(key, s)
	r.success = c.rule(key+".success", cmp.Or(s.Success, "status >= 200 && status < 300"))
	r.already = c.rule(key+".already", s.Already)
	r.busy = c.rule(key+".busy", s.Busy)
	r.permanent = c.rule(key+".permanent", cmp.Or(s.Permanent, "status == 401"))
	r.errorText = c.Expression(language, key+".error", s.Error)
	return r
}

func (c *compiler) params(key string, values map[string]any) []param {
	var out []param
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] == nil {
			continue
		}
		text, ok := boxes.Scalar(values[name])
		if !ok {
			c.Fail(key+"."+name, "must be text, a number, true or false")
		}
		out = append(out, param{c.Template(key+"."+name, name), c.Template(key+"."+name, text)})
	}
	return out
}

func (c *compiler) numbers() {
	s := &c.plan.settings
	if s.TLS.CAFile != "" && strings.ContainsAny(s.TLS.CAFile, "{}") {
		c.Fail("tls.ca_file", "cannot hold placeholders")
	}
	if s.Timeout <= 0 {
		c.Fail("timeout", "must be more than 0")
	}
	c.Manners(s.Manners)
}

func anyValues(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}
