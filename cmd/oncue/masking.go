package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// masker takes secrets out of texts that leave the house.
type masker struct {
	long  []string // replaced wherever they stand, the longest first
	short []string // replaced where they stand alone, for they may be part of any word
}

// shortSecret is the length below which a secret is short, bytes.
const shortSecret = 6

// newMasker knows the secrets, the parts of those that are URLs, and how they look escaped or encoded.
func newMasker(secrets []secret.Value) *masker {
	all := map[string]bool{}
	for _, s := range secrets {
		for _, part := range append(urlSecrets(s.Reveal()), s.Reveal()) {
			quoted, _ := json.Marshal(part)
			for _, form := range []string{
				part, url.QueryEscape(part), url.PathEscape(part), string(bytes.Trim(quoted, `"`)),
				base64.StdEncoding.EncodeToString([]byte(part)), base64.RawURLEncoding.EncodeToString([]byte(part)),
			} {
				all[form] = true
			}
		}
	}
	m := &masker{}
	for text := range all {
		switch {
		case text == "":
		case len(text) < shortSecret:
			m.short = append(m.short, text)
		default:
			m.long = append(m.long, text)
		}
	}
	slices.SortFunc(m.long, func(a, b string) int { return len(b) - len(a) })
	return m
}

// urlSecrets are the parts of a URL that open something: passwords and the values of its query.
func urlSecrets(text string) []string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" {
		return nil
	}
	var parts []string
	if password, ok := u.User.Password(); ok {
		parts = append(parts, password)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		if len(value) < shortSecret {
			continue // a number or a flag
		}
		parts = append(parts, value)
		if decoded, err := url.QueryUnescape(value); err == nil {
			parts = append(parts, decoded)
		}
	}
	return parts
}

// keyed are texts that look like secrets, known or not: token=…, and user:password@ in addresses.
var keyed = regexp.MustCompile(`(?i)((?:token|password|passwd|passphrase|secret|api_?key|signature|streamid)=)[^&\s"'<>]+|(://[^/@\s:"']*:)[^/@\s"']+@`)

// mask takes all secrets out.
func (m *masker) mask(text []byte) []byte {
	s := string(text)
	for _, l := range m.long {
		s = strings.ReplaceAll(s, l, secret.Mask)
	}
	for _, l := range m.short {
		s = replaceAlone(s, l)
	}
	return []byte(keyed.ReplaceAllStringFunc(s, func(found string) string {
		parts := keyed.FindStringSubmatch(found)
		if parts[1] != "" {
			return parts[1] + secret.Mask
		}
		return parts[2] + secret.Mask + "@"
	}))
}

// replaceAlone masks word where no letter, digit or underscore is next to it.
func replaceAlone(s, word string) string {
	var out strings.Builder
	for {
		i := strings.Index(s, word)
		if i < 0 {
			return out.String() + s
		}
		end := i + len(word)
		out.WriteString(s[:i])
		if i > 0 && wordByte(s[i-1]) || end < len(s) && wordByte(s[end]) {
			out.WriteString(word)
		} else {
			out.WriteString(secret.Mask)
		}
		s = s[end:]
	}
}

func wordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func (m *masker) maskText(text string) string {
	if m == nil {
		return text
	}
	return string(m.mask([]byte(text)))
}
