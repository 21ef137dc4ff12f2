package boxes

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// Mask stands where a secret was.
const Mask = secret.Mask

// NewMasker knows the secrets of the words, those that the loader found, and those of the job's
// publishing URL.
func NewMasker(w *Words, known []secret.Value, job encoders.Job) *secret.Masker {
	m := secret.NewMasker()
	parts := SplitPublish(job.Publish.Reveal())
	m.Spare(job.Name, job.Account, parts["publish_stream"])
	for _, v := range known {
		m.Know(v.Reveal())
	}
	for _, name := range []string{"publish", "publish_key", "publish_token", "publish_query", "publish_streamid"} {
		m.Know(parts[name])
	}
	m.Know(w.Password.Reveal())
	for _, v := range w.Secrets {
		m.Know(v.Reveal())
	}
	Learn(m, "", w.Vars)
	return m
}

// Learn adds the values whose keys say that they are secrets.
func Learn(m *secret.Masker, key string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			Learn(m, k, e)
		}
	case []any:
		for _, e := range v {
			Learn(m, key, e)
		}
	default:
		if text, ok := Scalar(v); ok && secret.Named(key) {
			m.Know(text)
		}
	}
}

// Clean makes a text of the box or of a library fit to print: secrets masked, and no control
// characters.
func Clean(m *secret.Masker, s string) string {
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

// Excerpt is Clean for errors: runs of spaces are one, and the text is cut to maxShown.
func Excerpt(m *secret.Masker, s string) string {
	if len(s) > 64*maxShown {
		s = s[:64*maxShown]
	}
	s = strings.Join(strings.Fields(Clean(m, s)), " ")
	if utf8.RuneCountInString(s) > maxShown {
		s = string([]rune(s)[:maxShown]) + "…"
	}
	return s
}
