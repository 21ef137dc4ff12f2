package httpapi

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/oncue/oncue/configs/secret"
)

const mask = secret.Mask

// masker hides secrets in texts for people. Any goroutine may use it.
type masker struct {
	mu    sync.Mutex
	known []string // longest first
}

// newMasker knows the secrets of the settings and of the publishing URL, in the forms in which boxes send them back.
func newMasker(s *Settings, publish string) *masker {
	m := &masker{}
	m.addForms(s.Password.Reveal())
	for _, v := range s.Secrets {
		m.addForms(v.Reveal())
	}
	if s.Password.Set() {
		m.add(base64.StdEncoding.EncodeToString([]byte(s.Username + ":" + s.Password.Reveal())))
	}
	if publish != "" {
		parts := splitPublish(publish)
		for _, name := range []string{"publish", "publish_key", "publish_token", "publish_query", "publish_streamid"} {
			// A key without a token is the stream's name, which is no secret.
			if name != "publish_key" && name != "publish_streamid" || parts[name] != parts["publish_stream"] {
				m.addForms(parts[name])
			}
		}
	}
	return m
}

// addForms adds a secret and its usual encodings.
func (m *masker) addForms(s string) {
	if s == "" {
		return
	}
	md, sh1, sh256 := md5.Sum([]byte(s)), sha1.Sum([]byte(s)), sha256.Sum256([]byte(s))
	for _, form := range []string{
		s, url.QueryEscape(s), queryEscape(s), url.PathEscape(s), jsonText(s),
		hex.EncodeToString(md[:]), hex.EncodeToString(sh1[:]), hex.EncodeToString(sh256[:]),
		base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
	} {
		m.add(form)
	}
}

// add hides s. Texts of one or two characters are hidden only where they stand alone.
func (m *masker) add(s string) {
	if s == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i, found := slices.BinarySearchFunc(m.known, s, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	if !found {
		m.known = slices.Insert(m.known, i, s)
	}
}

// hide masks every secret in s.
func (m *masker) hide(s string) string {
	m.mu.Lock()
	known := slices.Clone(m.known)
	m.mu.Unlock()
	for _, k := range known {
		if len(k) < 3 {
			s = hideWord(s, k)
			continue
		}
		s = strings.ReplaceAll(s, k, mask)
		if up := strings.ToUpper(k); up != k && isHex(k) {
			s = strings.ReplaceAll(s, up, mask)
		}
	}
	return s
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) >= 32
}

func hideWord(s, word string) string {
	inWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	var b strings.Builder
	for {
		i := strings.Index(s, word)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i])
		after, _ := utf8.DecodeRuneInString(s[i+len(word):])
		b.WriteString(s[:i])
		if inWord(before) || inWord(after) {
			b.WriteString(word)
		} else {
			b.WriteString(mask)
		}
		s = s[i+len(word):]
	}
}

// secretKeys are names of parameters, headers and fields whose values are hidden even where nobody said that they are secret.
var secretKeys = regexp.MustCompile(`(?i)pass|token|secret|auth|cookie|session|credential|signature|api[-_]?key|^key$|^pw[d]?$`)

var (
	secretPair  = regexp.MustCompile(`(?i)([\w.-]*(?:pass|token|secret|session|credential|api[-_]?key|pwd)[\w.-]*=)([^&\s"';,<]+)`)
	secretField = regexp.MustCompile(`(?i)("[^"]*(?:pass|token|secret|session|credential|api[-_]?key|pwd)[^"]*"\s*:\s*")((?:[^"\\]|\\.)+)(")`)
)

// clean makes a text of the box or of a library fit for people: secrets hidden, also those under telling names, and no control characters.
func (m *masker) clean(s string) string {
	s = m.hide(s)
	s = secretPair.ReplaceAllString(s, "${1}"+mask)
	s = secretField.ReplaceAllString(s, "${1}"+mask+"${3}")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, s)
}

// maxShown is how much of an answer an error shows, in characters.
const maxShown = 200

// excerpt is clean, with runs of spaces squeezed and cut to a length for errors.
func (m *masker) excerpt(s string) string {
	if len(s) > 64*maxShown {
		s = s[:64*maxShown]
	}
	s = strings.Join(strings.Fields(m.clean(s)), " ")
	if utf8.RuneCountInString(s) > maxShown {
		s = string([]rune(s)[:maxShown]) + "…"
	}
	return s
}
