package httpapi

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// template is a text with placeholders, ready to be filled.
type template []piece

// piece is literal text, or the value of a name put through functions.
type piece struct {
	text  string // as written
	name  string // "" for literal text
	funcs []string
}

var placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_]*|[1-9][0-9]?)((?:\|[a-z0-9]+)*)\}`)

// parseTemplate cuts s at its placeholders. Braces around anything else are literal text.
func parseTemplate(s string) (template, error) {
	var t template
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(s, -1) {
		if m[0] > at {
			t = append(t, piece{text: s[at:m[0]]})
		}
		p := piece{text: s[m[0]:m[1]], name: s[m[2]:m[3]]}
		if m[5] > m[4] {
			p.funcs = strings.Split(s[m[4]+1:m[5]], "|")
		}
		for _, f := range p.funcs {
			if _, ok := templateFunc(f, ""); !ok {
				const known = "base64, lower, md5hex, sha1hex, sha256hex, upper, urlquery"
				return nil, fmt.Errorf("%s calls %q; allowed: %s", p.text, f, known)
			}
		}
		t, at = append(t, p), m[1]
	}
	if at < len(s) {
		t = append(t, piece{text: s[at:]})
	}
	return t, nil
}

func templateFunc(name, s string) (string, bool) {
	switch name {
	case "md5hex":
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:]), true
	case "sha1hex":
		sum := sha1.Sum([]byte(s))
		return hex.EncodeToString(sum[:]), true
	case "sha256hex":
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), true
	case "base64":
		return base64.StdEncoding.EncodeToString([]byte(s)), true
	case "urlquery":
		return queryEscape(s), true
	case "lower":
		return strings.ToLower(s), true
	case "upper":
		return strings.ToUpper(s), true
	}
	return "", false
}

// place is where a value is put; it decides how the value is escaped.
type place int

const (
	inHost place = iota
	inPath
	inQuery // and forms
	inHeader
	inXML
	inText // as it is; JSON is escaped by its encoder
)

var hostValue = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// escape escapes value for the place, or says why it cannot stand there.
func (at place) escape(value string) (string, error) {
	switch at {
	case inHost:
		if !hostValue.MatchString(value) {
			return "", fmt.Errorf("cannot stand in the address of a box")
		}
	case inPath:
		if value == "." || value == ".." {
			return "", fmt.Errorf("cannot stand in a path")
		}
		return url.PathEscape(value), nil
	case inQuery:
		return queryEscape(value), nil
	case inHeader:
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return "", fmt.Errorf("cannot stand in a header")
		}
	case inXML:
		var b strings.Builder
		err := xml.EscapeText(&b, []byte(value))
		return b.String(), err
	}
	return value, nil
}

// queryEscape writes a space as %20: embedded servers seldom know the plus sign.
func queryEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// fill replaces the placeholders. With shown, it masks secrets: that text is for people.
func (t template) fill(v *values, at place, shown bool) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.name == "" {
			b.WriteString(p.text)
			continue
		}
		value, hidden, err := v.text(p.name)
		if err != nil {
			return "", err
		}
		if shown && hidden {
			b.WriteString(mask)
			continue
		}
		for _, f := range p.funcs {
			value, _ = templateFunc(f, value)
			if hidden {
				v.mask.Know(value)
			}
		}
		value, err = at.escape(value)
		if err != nil {
			return "", fmt.Errorf("the value of %s %w", p.text, err)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// alone returns the name in a text that is one placeholder and nothing else.
func (t template) alone() (name string, ok bool) {
	if len(t) == 1 && t[0].name != "" && len(t[0].funcs) == 0 {
		return t[0].name, true
	}
	return "", false
}
