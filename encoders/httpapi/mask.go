package httpapi

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

const mask = secret.Mask

// newMasker knows the secrets of the settings, those that the loader found, and those of the
// publishing URL.
func newMasker(s *Settings, known []secret.Value, job encoders.Job) *secret.Masker {
	m := secret.NewMasker()
	parts := splitPublish(job.Publish.Reveal())
	m.Spare(job.Name, job.Account, parts["publish_stream"])
	for _, v := range known {
		m.Know(v.Reveal())
	}
	for _, name := range []string{"publish", "publish_key", "publish_token", "publish_query", "publish_streamid"} {
		m.Know(parts[name])
	}
	m.Know(s.Password.Reveal())
	m.Know(s.AuthValue.Reveal())
	if s.Password.Set() {
		m.Know(s.Username + ":" + s.Password.Reveal()) // what basic encodes
	}
	for _, v := range s.Secrets {
		m.Know(v.Reveal())
	}
	learn(m, "", s.Vars)
	requests := []Request{s.Login.Request, s.Status.Request}
	for _, step := range append(s.Start[:len(s.Start):len(s.Start)], s.Stop...) {
		requests = append(requests, step.Request)
	}
	for _, r := range requests {
		m.Learn(r.Path)
		m.Learn(r.XML)
		m.Learn(r.Body)
		for _, values := range []any{r.Query, anyValues(r.Headers), r.Form, r.JSON} {
			learn(m, "", values)
		}
	}
	return m
}

// learn adds the values whose keys say that they are secrets.
func learn(m *secret.Masker, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			learn(m, k, e)
		}
	case []any:
		for _, e := range v {
			learn(m, key, e)
		}
	default:
		if text, ok := scalar(v); ok && secret.Named(key) {
			m.Know(text)
		}
	}
}

// clean makes a text of the box or of a library fit to print: secrets masked, and no control
// characters.
func clean(m *secret.Masker, s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, m.Mask(s))
}

// maxShown is how much of an answer an error shows, in characters.
const maxShown = 200

// excerpt is clean for errors: runs of spaces are one, and the text is cut to maxShown.
func excerpt(m *secret.Masker, s string) string {
	if len(s) > 64*maxShown {
		s = s[:64*maxShown]
	}
	s = strings.Join(strings.Fields(clean(m, s)), " ")
	if utf8.RuneCountInString(s) > maxShown {
		s = string([]rune(s)[:maxShown]) + "…"
	}
	return s
}
