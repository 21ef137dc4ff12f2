package boxes

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

// Template is a text with placeholders, ready to be filled.
type Template []Piece

// Piece is literal text, or the value of a name put through functions.
type Piece struct {
	Text  string // as written
	Name  string // "" for literal text
	Funcs []string
}

// Placeholder finds the placeholders of a text: the name, and the functions with their bars.
var Placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_]*|[1-9][0-9]?)((?:\|[a-z0-9]+)*)\}`)

// ParseTemplate cuts s at its placeholders. Braces around anything else are literal text.
func ParseTemplate(s string) (Template, error) {
	var t Template
	at := 0
	for _, m := range Placeholder.FindAllStringSubmatchIndex(s, -1) {
		if m[0] > at {
			t = append(t, Piece{Text: s[at:m[0]]})
		}
		p := Piece{Text: s[m[0]:m[1]], Name: s[m[2]:m[3]]}
		if m[5] > m[4] {
			p.Funcs = strings.Split(s[m[4]+1:m[5]], "|")
		}
		for _, f := range p.Funcs {
			if _, ok := templateFunc(f, ""); !ok {
				const known = "base64, lower, md5hex, sha1hex, sha256hex, upper, urlquery"
				return nil, fmt.Errorf("%s calls %q; allowed: %s", p.Text, f, known)
			}
		}
		t, at = append(t, p), m[1]
	}
	if at < len(s) {
		t = append(t, Piece{Text: s[at:]})
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
		return QueryEscape(s), true
	case "lower":
		return strings.ToLower(s), true
	case "upper":
		return strings.ToUpper(s), true
	}
	return "", false
}

// Place is where a value is put; it decides how the value is escaped.
type Place int

const (
	InHost Place = iota
	InPath
	InQuery // and forms
	InHeader
	InXML
	InText    // as it is; JSON is escaped by its encoder
	InLine    // of text
	InPattern // a regular expression, which matches the value as it is
)

var hostValue = regexp.MustCompile(`^[A-Za-z0-9.-]+$`)

// escape escapes value for the place, or says why it cannot stand there.
func (at Place) escape(value string) (string, error) {
	switch at {
	case InHost:
		if !hostValue.MatchString(value) {
			return "", fmt.Errorf("cannot stand in the address of a box")
		}
	case InPath:
		if value == "." || value == ".." {
			return "", fmt.Errorf("cannot stand in a path")
		}
		return url.PathEscape(value), nil
	case InQuery:
		return QueryEscape(value), nil
	case InHeader:
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return "", fmt.Errorf("cannot stand in a header")
		}
	case InLine:
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return "", fmt.Errorf("cannot stand in a line of text")
		}
	case InPattern:
		return regexp.QuoteMeta(value), nil
	case InXML:
		var b strings.Builder
		err := xml.EscapeText(&b, []byte(value))
		return b.String(), err
	}
	return value, nil
}

// QueryEscape writes a space as %20: embedded servers seldom know the plus sign.
func QueryEscape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// Fill replaces the placeholders. With shown, it masks secrets: that text is for people.
func (t Template) Fill(v *Values, at Place, shown bool) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.Name == "" {
			b.WriteString(p.Text)
			continue
		}
		value, hidden, err := v.Text(p.Name)
		if err != nil {
			return "", err
		}
		if shown && hidden {
			b.WriteString(Mask)
			continue
		}
		for _, f := range p.Funcs {
			value, _ = templateFunc(f, value)
			if hidden {
				v.Mask.Know(value)
			}
		}
		value, err = at.escape(value)
		if err != nil {
			return "", fmt.Errorf("the value of %s %w", p.Text, err)
		}
		b.WriteString(value)
	}
	return b.String(), nil
}

// Alone returns the name in a text that is one placeholder and nothing else.
func (t Template) Alone() (name string, ok bool) {
	if len(t) == 1 && t[0].Name != "" && len(t[0].Funcs) == 0 {
		return t[0].Name, true
	}
	return "", false
}
