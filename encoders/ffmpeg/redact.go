package ffmpeg

import (
	"net/url"
	"regexp"
	"sort"
	"strings"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// redactor masks secrets in text: the ones it knows, and what looks like one.
type redactor struct{ known []string }

// newRedactor knows the secret parts of a job and of the settings.
func newRedactor(s Settings, job encoders.Job) redactor {
	found := map[string]bool{}
	note := func(text string) {
		if len(text) >= 4 && text != job.Name && text != job.Account {
			found[text] = true
		}
	}
	if publish := job.Publish.Reveal(); publish != "" {
		note(publish)
		noteURL(publish, note)
		if out, err := readOutput(publish); err == nil {
			for _, h := range out.hidden {
				if h.name != "rtmp_app" {
					note(h.value)
					noteURL(h.value, note)
				}
			}
		}
	}
	for _, text := range append(append([]string{s.Input}, s.InputArgs...), s.Args...) {
		if u, err := url.Parse(text); err == nil && u.User != nil {
			password, _ := u.User.Password()
			note(password)
			note(url.QueryEscape(password))
		}
	}
	for _, args := range [][]string{s.Args, s.InputArgs, s.OutputArgs} {
		for _, value := range secretValues(fillAll(job, args)) {
			note(value)
		}
	}
	var r redactor
	for text := range found {
		r.known = append(r.known, text)
	}
	sort.Slice(r.known, func(i, j int) bool { return len(r.known[i]) > len(r.known[j]) }) // the whole before its parts
	return r
}

// noteURL notes the values of a URL's query and its password, as written and decoded.
func noteURL(text string, note func(string)) {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		password, _ := u.User.Password()
		note(password)
	}
	_, query, _ := strings.Cut(text, "?")
	for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return strings.ContainsRune("&?,;", r) }) {
		name, value, _ := strings.Cut(pair, "=")
		if public[strings.ToLower(name)] {
			continue
		}
		note(value)
		if decoded, err := url.PathUnescape(value); err == nil {
			note(decoded)
			if decoded != text && strings.Contains(decoded, "=") {
				noteURL(decoded, note)
			}
		}
	}
}

// public names the query keys whose values are no secret.
var public = map[string]bool{"mode": true, "latency": true, "pkt_size": true, "connect_timeout": true, "timeout": true, "sourceid": true,
	"priority": true, "pbkeylen": true, "transtype": true}

var (
	userinfo = regexp.MustCompile(`(://)[^/@\s'"]+@`)
	pairs    = regexp.MustCompile(`(?i)\b(token|passphrase|password|passwd|streamid|streamkey|secret|apikey|api_key|auth|signature|t|key)=([^&\s'"|]+)`)
	headers  = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization:?\s*=?\s*(?:basic|bearer|digest)?\s+)[^\s'"]+`)
)

// clean returns text without secrets.
func (r redactor) clean(text string) string {
	for _, s := range r.known {
		text = strings.ReplaceAll(text, s, secret.Mask)
	}
	text = userinfo.ReplaceAllString(text, "${1}"+secret.Mask+"@")
	text = pairs.ReplaceAllString(text, "${1}="+secret.Mask)
	return headers.ReplaceAllString(text, "${1}"+secret.Mask)
}
