package record

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// usual are headers that any browser sends, and that say nothing to a box.
var usual = regexp.MustCompile(`(?i)^(accept(-.*)?|user-agent|host|content-length|content-type|origin|referer|` +
	`connection|cache-control|pragma|if-.*|dnt|upgrade-.*|priority|sec-.*|te|cookie|authorization|x-requested-with)$`)

// findSecrets gives every secret of the recording a name, and finds how requests are authorised.
func (s *session) findSecrets() {
	if s.password != "" {
		s.secrets[s.password] = "password"
	}
	cookie := ""
	for i, x := range s.all {
		if u := x.URL.User; u != nil {
			password, _ := u.Password()
			s.pair("basic", u.Username(), password)
		}
		s.authorised(x)
		if cookie == "" && i != s.login {
			cookie = x.Headers.Get("Cookie")
		}
		for name, values := range x.Headers {
			if secret.Named(name) && !usual.MatchString(name) && values[0] != "" {
				s.header(name, values[0])
			}
		}
		for _, l := range append(x.query(), x.parsed().leaves()...) {
			if l.text != "" && secret.Named(l.key()) {
				s.keep(l.key(), l.text)
			}
		}
	}
	if cookie != "" && s.auth != "login" {
		s.keep("cookie", cookie)
		s.applied["Cookie"] = "{" + s.secrets[cookie] + "}"
		s.note("no login was recorded: the cookie ends some time; record once more from the log-in page on")
	}
	for _, value := range cookieValues(s.all) { // they are secrets wherever else they stand
		if s.secrets[value] == "" {
			s.secrets[value] = ""
		}
	}
}

func cookieValues(all []Exchange) (values []string) {
	for _, x := range all {
		for _, pair := range strings.Split(x.Headers.Get("Cookie"), ";") {
			if _, value, _ := strings.Cut(pair, "="); len(strings.TrimSpace(value)) >= enough {
				values = append(values, strings.TrimSpace(value))
			}
		}
	}
	return values
}

// authorised looks at the header that says who asks.
func (s *session) authorised(x Exchange) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(x.Headers.Get("Authorization")), " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(kind) {
	case "":
	case "basic":
		plain, _ := base64.StdEncoding.DecodeString(rest)
		user, password, _ := strings.Cut(string(plain), ":")
		s.secrets[rest] = ""
		if x.digest {
			kind = "digest"
		}
		s.pair(strings.ToLower(kind), user, password)
	case "digest":
		m := regexp.MustCompile(`username="([^"]*)"`).FindStringSubmatch(rest)
		if m != nil {
			s.pair("digest", m[1], "")
		}
	case "bearer":
		switch {
		case s.captured("token", rest):
			s.applied["Authorization"] = "Bearer {" + s.secrets[rest] + "}"
		case s.auth == "":
			s.auth, s.password = "bearer", rest
			s.secrets[rest] = "password"
		default:
			s.keep("token", rest)
		}
	default:
		s.header("Authorization", x.Headers.Get("Authorization"))
	}
}

// pair is a user with a password.
func (s *session) pair(auth, user, password string) {
	if s.auth != "" && s.auth != auth {
		return
	}
	s.auth, s.username = auth, user
	if password != "" {
		s.password = password
		s.secrets[password] = "password"
	}
}

// header is a header with a secret: of the session, of all requests, or of some.
func (s *session) header(name, value string) {
	switch {
	case s.captured(name, value):
	case s.auth == "":
		s.auth, s.authName, s.password = "header", name, value
		s.secrets[value] = "password"
		return
	case s.auth == "header" && s.authName == name && s.password == value:
		return
	default:
		s.keep(name, value)
	}
	s.applied[name] = "{" + s.secrets[value] + "}"
}

// captured reports whether the login's answer gave a value, and gives that value a name.
func (s *session) captured(name, value string) bool {
	if s.login < 0 || s.all[s.login].Answer == nil {
		return false
	}
	if _, known := s.captures[s.secrets[value]]; known {
		return true
	}
	answer := s.all[s.login].Answer
	for _, l := range parse(answer.Body, answer.Type).answerLeaves() {
		if l.text == value && l.kind != "text" && len(value) >= enough {
			s.keep(name, value)
			s.captures[s.secrets[value]] = l.expression()
			return true
		}
	}
	return false
}

// enough is how long a value must be to be found inside others.
const enough = 6

// keep gives a secret a name of its own.
func (s *session) keep(name, value string) {
	if s.secrets[value] != "" {
		return
	}
	name = strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "_"), "_0123456789")
	if name == "" || slices.Contains([]string{"password", "username", "stream", "account"}, name) {
		name = "secret_" + name
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "x_"), "_")
	taken := slices.Collect(maps.Values(s.secrets))
	for base, n := name, 'b'; slices.Contains(taken, name); n++ {
		name = base + "_" + string(n)
	}
	s.secrets[value] = name
}

// hide puts placeholders in the place of secrets.
func (s *session) hide(text string) string {
	values := slices.SortedFunc(maps.Keys(s.secrets), func(a, b string) int { return len(b) - len(a) })
	for _, value := range values {
		placeholder := "***"
		if name := s.secrets[value]; name != "" {
			placeholder = "{" + name + "}"
		}
		if text == value {
			return placeholder
		}
		if len(value) >= enough {
			text = strings.ReplaceAll(text, value, placeholder)
		}
	}
	return text
}

// clean is hide for texts in which values may be escaped, or which may hold what looks like a
// secret.
func (s *session) clean(text string) string {
	mask := secret.NewMasker()
	for value := range s.secrets {
		mask.Know(value)
	}
	return mask.Mask(s.hide(text))
}
