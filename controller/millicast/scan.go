package millicast

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Hooks are read by a scanner of our own because encoding/json is too lenient for signed input: it
// takes the last of two equal keys, and TYPE for type, so that two readers of one body can see two
// different hooks.

const (
	maxDepth = 16 // of nested objects and arrays; the platform's deepest hooks have 3
	maxKeys  = 64 // of one object whose keys are compared with each other; the platform's longest has 11
)

var (
	errJSON     = errors.New("the body is not JSON")
	errUTF8     = errors.New("the body is not UTF-8")
	errDepth    = errors.New("the body is nested too deeply")
	errKeys     = errors.New("an object has too many keys")
	errTwice    = errors.New("an object has the same key twice")
	errSpelling = errors.New("a key is spelled in another case")
	errNoObject = errors.New("the body is not an object")
)

// kind is the JSON type of a value.
type kind byte

const (
	kindNone kind = iota // absent
	kindString
	kindNumber
	kindLiteral // true, false, null
	kindObject
	kindArray
)

// value is one JSON value, still as written.
type value struct {
	kind kind
	raw  []byte // without the quotes of a string
}

// int returns the value of a whole number that fits an int64.
func (v value) int() (int64, bool) {
	if v.kind != kindNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(string(v.raw), 10, 64)
	return n, err == nil
}

// text returns the text of a string value, escapes resolved; "" for all other values.
func (v value) text() string {
	if v.kind != kindString {
		return ""
	}
	return string(unescape(v.raw))
}

type scanner struct {
	in    []byte
	at    int
	depth int
}

// object reads an object and puts the value of each key in known at the same index of found. A key
// that is a known one in another case is refused, like two keys that differ in case alone.
func (s *scanner) object(known []string, found []value) error {
	if !s.take('{') {
		return errJSON
	}
	if s.depth++; s.depth > maxDepth {
		return errDepth
	}
	defer func() { s.depth-- }()
	if s.space(); s.take('}') {
		return nil
	}
	var seen [maxKeys][]byte
	for n := 0; ; n++ {
		key, err := s.key()
		if err != nil {
			return err
		}
		if n == maxKeys {
			return errKeys
		}
		key = unescape(key)
		place, err := indexOf(key, known, seen[:n])
		if err != nil {
			return err
		}
		seen[n] = key
		v, err := s.value()
		if err != nil {
			return err
		}
		if place >= 0 {
			found[place] = v
		}
		if s.space(); s.take('}') {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// indexOf returns the key's place in known, or -1.
func indexOf(key []byte, known []string, seen [][]byte) (int, error) {
	for _, k := range seen {
		if bytes.EqualFold(k, key) {
			return -1, errTwice
		}
	}
	for i, k := range known {
		if string(key) == k {
			return i, nil
		}
		if strings.EqualFold(k, string(key)) {
			return -1, errSpelling
		}
	}
	return -1, nil
}

// key reads a member's name and the colon after it.
func (s *scanner) key() ([]byte, error) {
	s.space()
	key, err := s.str()
	if err != nil {
		return nil, err
	}
	if s.space(); !s.take(':') {
		return nil, errJSON
	}
	return key, nil
}

// value reads any value. Objects and arrays are checked for grammar and returned whole.
func (s *scanner) value() (value, error) {
	s.space()
	if s.at == len(s.in) {
		return value{}, errJSON
	}
	start := s.at
	switch c := s.in[s.at]; {
	case c == '"':
		raw, err := s.str()
		return value{kindString, raw}, err
	case c == '{':
		err := s.skip('}', true)
		return value{kindObject, s.in[start:s.at]}, err
	case c == '[':
		err := s.skip(']', false)
		return value{kindArray, s.in[start:s.at]}, err
	case c == '-' || c >= '0' && c <= '9':
		err := s.number()
		return value{kindNumber, s.in[start:s.at]}, err
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if bytes.HasPrefix(s.in[s.at:], []byte(word)) {
			s.at += len(word)
			return value{kindLiteral, s.in[start:s.at]}, nil
		}
	}
	return value{}, errJSON
}

// skip reads past an object or array, whose opening bracket is next.
func (s *scanner) skip(end byte, keys bool) error {
	if s.depth++; s.depth > maxDepth {
		return errDepth
	}
	defer func() { s.depth-- }()
	s.at++
	if s.space(); s.take(end) {
		return nil
	}
	for {
		if keys {
			if _, err := s.key(); err != nil {
				return err
			}
		}
		if _, err := s.value(); err != nil {
			return err
		}
		if s.space(); s.take(end) {
			return nil
		}
		if !s.take(',') {
			return errJSON
		}
	}
}

// str reads a string and returns what is between the quotes. It checks the escapes and leaves them.
func (s *scanner) str() ([]byte, error) {
	if !s.take('"') {
		return nil, errJSON
	}
	start := s.at
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			s.at++
			return s.in[start : s.at-1], nil
		case c == '\\':
			if !s.escape() {
				return nil, errJSON
			}
		case c < ' ':
			return nil, errJSON
		default:
			s.at++
		}
	}
	return nil, errJSON
}

// escape reads past one escape sequence. Half a surrogate pair is refused: it is no character.
func (s *scanner) escape() bool {
	if s.at+1 >= len(s.in) {
		return false
	}
	switch s.in[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return true
	case 'u':
		r, ok := hex4(s.in[s.at:])
		if !ok {
			return false
		}
		s.at += 6
		if !utf16.IsSurrogate(r) {
			return true
		}
		low, ok := hex4(s.in[s.at:])
		s.at += 6
		return ok && utf16.DecodeRune(r, low) != utf8.RuneError
	}
	return false
}

// number reads past a number, by JSON's grammar.
func (s *scanner) number() error {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return errJSON
	}
	if s.take('.') && !s.digits() {
		return errJSON
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if !s.digits() {
			return errJSON
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.at
	for s.at < len(s.in) && s.in[s.at] >= '0' && s.in[s.at] <= '9' {
		s.at++
	}
	return s.at > start
}

func (s *scanner) space() {
	for s.at < len(s.in) {
		switch s.in[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.in) && s.in[s.at] == c {
		s.at++
		return true
	}
	return false
}

// hex4 reads \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// unescape resolves the escapes of a string that str has read.
func unescape(raw []byte) []byte {
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return raw
	}
	out := append(make([]byte, 0, len(raw)), raw[:i]...)
	for ; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, _ := hex4(raw[i-1:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := hex4(raw[i+1:])
				r = utf16.DecodeRune(r, low)
				i += 6
			}
			out = utf8.AppendRune(out, r)
		default: // the character itself
			out = append(out, raw[i])
		}
	}
	return out
}
