package httpapi

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/presets"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// Settings describes a box. Texts in it may hold placeholders: {stream}, {account}, {1}, {2} …,
// {username}, {password}, {publish} and its parts {publish_server}, {publish_key},
// {publish_stream}, {publish_token}, {publish_query}, {publish_streamid}, every key of vars and
// secrets, and what login captures. Functions follow a bar: {password|md5hex}; there are md5hex,
// sha1hex, sha256hex, base64, urlquery, lower and upper. Values are escaped for the place where
// they stand.
//
// Conditions and rules are expr-lang expressions over the answer: status (HTTP status), headers
// (names in lower case), body (parsed JSON or XML, else nil), text (unparsed), latency_ms, vars,
// stream, account and publish_scheme (rtmps, srt …). Beside expr's own functions and operators,
// such as `text matches "regexp"`, there are xpath("/a/@b") (nil when there is no such node),
// bit(x, mask), num(x), str(x) and truthy(x).
type Settings struct {
	Preset   string       `yaml:"preset" shown:"yes" doc:"a known device (see: oncue presets); your keys are laid over its keys"`
	URL      string       `yaml:"url" doc:"base address of the box, such as http://10.0.0.9, or of a program of this host, such as unix:///run/docker.sock"`
	Username string       `yaml:"username" doc:"for auth, and as {username}"`
	Password secret.Value `yaml:"password" doc:"for auth, and as {password}"`

	Vars    map[string]any          `yaml:"vars" doc:"values for placeholders and rules, such as a channel number"`
	Secrets map[string]secret.Value `yaml:"secrets" doc:"more secret values for placeholders"`

	Auth      string       `yaml:"auth" enum:"auto,none,basic,digest,bearer,header,query,login,aws-sigv4" doc:"how requests are authorised; auto is basic when there is a username or password, else none"`
	AuthName  string       `yaml:"auth_name" doc:"header or query key for auth: header and auth: query"`
	AuthValue secret.Value `yaml:"auth_value" doc:"for auth: bearer, header and query; {password} when left out"`
	AWS       AWS          `yaml:"aws" doc:"for auth: aws-sigv4; username is the access key's id, password the secret access key"`
	Login     Login        `yaml:"login" doc:"for auth: login, the request that opens a session"`

	Start  Steps  `yaml:"start" doc:"the request that starts the stream, or a list of them"`
	Stop   Steps  `yaml:"stop" doc:"the request that stops the stream, or a list of them"`
	Status Status `yaml:"status" doc:"the request that reads the state, and the rules that tell what it means"`

	boxes.Manners

	Timeout time.Duration `yaml:"timeout" min:"100ms" doc:"for one request and its answer"`
	Retries int           `yaml:"retries" min:"0" doc:"repeats of a request that the box could not accept"`
	TLS     TLS           `yaml:"tls" doc:"for https boxes whose certificate the system does not know"`
}

// AWS says for whom a request to AWS is signed.
type AWS struct {
	Region       string       `yaml:"region" doc:"such as eu-central-1"`
	Service      string       `yaml:"service" doc:"such as ec2"`
	SessionToken secret.Value `yaml:"session_token" doc:"of keys that expire"`
}

// TLS says which certificates to trust. The zero value trusts the system's authorities.
type TLS struct {
	CAFile   string `yaml:"ca_file" shown:"yes" doc:"PEM file with the authorities to trust instead of the system's"`
	Pin      string `yaml:"pin" shown:"yes" doc:"SHA-256 of the box's certificate, in hex with or without colons; nothing else is checked then"`
	Insecure bool   `yaml:"insecure" doc:"trust any certificate"`
}

// Request is one HTTP request and how its answer is judged. At most one of form, json, xml and body
// is set.
type Request struct {
	Method  string            `yaml:"method" shown:"yes" doc:"GET, HEAD, POST, PUT, PATCH or DELETE; GET when left out"`
	Path    string            `yaml:"path" doc:"below url; may hold a query"`
	Query   map[string]any    `yaml:"query" doc:"query parameters; null leaves one out"`
	Headers map[string]string `yaml:"headers" doc:"request headers"`

	Form        map[string]any `yaml:"form" doc:"body as a web form"`
	JSON        any            `yaml:"json" doc:"body as JSON; a text that is only {name} keeps the type of that value"`
	XML         string         `yaml:"xml" doc:"body as XML"`
	Body        string         `yaml:"body" doc:"body as it is"`
	ContentType string         `yaml:"content_type" shown:"yes" doc:"of the body, when it is not the usual one"`

	Timeout time.Duration `yaml:"timeout" doc:"for this request; 0 = the general one"`

	Success   string `yaml:"success" doc:"condition: the box has done it; status 200 to 299 when left out"`
	Already   string `yaml:"already" doc:"condition: it was so before, which is as good"`
	Busy      string `yaml:"busy" doc:"condition: the box is on for somebody else"`
	Permanent string `yaml:"permanent" doc:"condition: refused, and a repeat would be too; status 401 when left out"`
	Error     string `yaml:"error" doc:"expression: what the box says went wrong"`
}

// Step is one request of a start or stop.
type Step struct {
	When  string        `yaml:"when" doc:"condition over vars, stream, account and publish_scheme: send it only then"`
	Delay time.Duration `yaml:"delay" doc:"wait before it"`
	Request
}

// Steps are the requests of a start or a stop. In a file, one mapping stands for a list of one.
type Steps []Step

// Login opens a session. Cookies that the box sets are sent back in any case.
type Login struct {
	Request
	Capture     map[string]Capture `yaml:"capture" doc:"values to keep from the answer, as placeholders"`
	Apply       Apply              `yaml:"apply" doc:"what to add to every other request"`
	Lazy        bool               `yaml:"lazy" doc:"log in only when a request was refused"`
	ExpiredWhen string             `yaml:"expired_when" doc:"condition over any answer: the session is not valid; status 401 or 403 when left out"`
	MaxAge      time.Duration      `yaml:"max_age" doc:"log in anew after this long; 0 = never"`
	Backoff     time.Duration      `yaml:"backoff" doc:"after a refused login, do not try again for this long"`
}

// Capture says where a value comes from: exactly one of its keys is set.
type Capture struct {
	Value  string `yaml:"value" doc:"expression over the answer"`
	Cookie string `yaml:"cookie" doc:"name of a cookie"`
	Header string `yaml:"header" doc:"name of a header"`
	Regex  string `yaml:"regex" doc:"regular expression over the text; its first group, or all of it"`
}

// Apply is what a session adds to requests.
type Apply struct {
	Headers map[string]string `yaml:"headers" doc:"request headers"`
	Query   map[string]any    `yaml:"query" doc:"query parameters"`
}

// Status reads the state, and says what it means.
type Status struct {
	Request
	boxes.States
}

// Defaults returns settings for a box of which nothing is known.
func Defaults() Settings {
	return Settings{
		Auth:    "auto",
		Login:   Login{Backoff: 30 * time.Second},
		Manners: boxes.DefaultManners(),
		Timeout: 5 * time.Second,
		Retries: 2,
		Status:  Status{States: boxes.States{StallAfter: 10 * time.Second}},
	}
}

// PresetYAML returns the preset of that name, in the language of Settings. Its error lists the
// names that exist.
func (s *Settings) PresetYAML(name string) ([]byte, error) { return presets.HTTP.Get(name) }

// Validate reports everything that is wrong, each with the key path before a colon. Texts hold no
// secret.
func (s *Settings) Validate() []error {
	_, errs := compile(*s)
	return errs
}

// Notes names keys that are set and never sent.
func (s *Settings) Notes() []error {
	if s.Username == "" && !s.Password.Set() && len(s.Secrets) == 0 {
		return nil
	}
	p, _ := compile(*s)
	whose := "these requests do not send it"
	if s.Preset != "" {
		whose = "preset " + s.Preset + " does not send it"
	}
	var unused []error
	ask := func(key, name string, set, sent bool) {
		if set && !sent && !p.used[name] {
			unused = append(unused, fmt.Errorf("%s: is not used: %s; remove the key", key, whose))
		}
	}
	pair := p.auth == "basic" || p.auth == "digest" || p.auth == "aws-sigv4"
	ask("username", "username", s.Username != "", pair)
	ask("password", "password", s.Password.Set(), pair)
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		ask("secrets."+name, name, true, false)
	}
	return unused
}

// Address tells the stream of one box apart from others, by the first request of its start.
// Placeholders stay in it.
func (s *Settings) Address() string {
	p, errs := compile(*s)
	if len(errs) > 0 || len(p.start) == 0 {
		return "http " + s.URL
	}
	return "http " + p.start[0].outline(p)
}

// NeedsPublish reports whether the publishing URL is sent to the box; otherwise the box has its
// own.
func (s *Settings) NeedsPublish() bool {
	p, _ := compile(*s)
	return boxes.NeedsPublish(p.used)
}
