package secret

import (
	"cmp"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// least is the length in bytes below which nothing counts as a secret: such a text is easier
	// guessed than read, and it is found in every other word. A PIN has four.
	least = 4
	// alone is the length in bytes below which a secret is masked only where no letter or digit is
	// next to it. Five letters are part of many ordinary words (a password "cam1" of "cam10"). Six
	// and more seldom are, and a secret next to other text must be masked.
	alone = 6
)

// Masker removes secrets from texts for people: those that it knows, and what looks like one; see
// the package comment. A nil Masker knows none. Any goroutine may use a Masker.
type Masker struct {
	mu     sync.RWMutex
	known  map[[least]byte][]needle // by their first bytes, the longest first
	seen   map[string]bool
	spared map[string]bool
}

// needle is a text to be found, and what replaces it.
type needle struct{ text, instead string }

// NewMasker returns a Masker that knows the values.
func NewMasker(values ...Value) *Masker {
	m := new(Masker)
	for _, v := range values {
		m.Know(v.Reveal())
	}
	return m
}

// Spare excludes texts that are part of a secret, such as a stream's name in its publishing URL.
// Call it before Know.
func (m *Masker) Spare(texts ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.spared == nil {
		m.spared = make(map[string]bool, len(texts))
	}
	for _, t := range texts {
		m.spared[t] = true
	}
}

// Know adds a secret in all the forms in which programs write it. Of a URL it also adds the parts
// that open something.
func (m *Masker) Know(text string) {
	for _, part := range append(urlParts(text), text) {
		m.know(part, Mask, forms)
	}
}

// KnowAs is Know for our own texts, in which nothing is encoded. A secret may have a better mask
// there than [Mask], such as the name of its variable. It costs a tenth of Know.
func (m *Masker) KnowAs(text, instead string) {
	for _, part := range append(urlParts(text), text) {
		m.know(part, instead, func(text string) []string { return []string{text} })
	}
}

// Learn adds what looks like a secret in a text of the configuration, such as the password of a
// URL, so that it is masked elsewhere, too.
func (m *Masker) Learn(text string) {
	for _, s := range (looks{text: text, whole: true}).spans() {
		for _, part := range valueParts(text[s.from:s.to]) {
			m.know(part, Mask, forms)
		}
	}
}

func (m *Masker) know(text, instead string, forms func(string) []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(text) < least || m.seen[text] || m.spared[text] {
		return
	}
	if m.known == nil { // ten thousand encoders have a masker each, and few have secrets
		m.known, m.seen = map[[least]byte][]needle{}, map[string]bool{}
	}
	m.seen[text] = true
	for _, form := range forms(text) {
		form = lower(form)
		if len(form) < least {
			continue
		}
		first := [least]byte([]byte(form))
		list := m.known[first]
		i, found := slices.BinarySearchFunc(list, form, func(n needle, form string) int {
			return cmp.Or(cmp.Compare(len(form), len(n.text)), strings.Compare(n.text, form))
		})
		if !found {
			m.known[first] = slices.Insert(list, i, needle{form, instead})
		}
	}
}

// forms are the ways in which programs write a text, except for those that [plain] undoes.
func forms(text string) []string {
	md, sha, sha2 := md5.Sum([]byte(text)), sha1.Sum([]byte(text)), sha256.Sum256([]byte(text))
	list := []string{
		text, strings.ReplaceAll(text, " ", "+"),
		base64.StdEncoding.EncodeToString([]byte(text)), base64.RawStdEncoding.EncodeToString([]byte(text)),
		base64.URLEncoding.EncodeToString([]byte(text)), base64.RawURLEncoding.EncodeToString([]byte(text)),
	}
	// A publishing token stands in base64url in the URLs of SRT, and in hexadecimal elsewhere.
	if raw, ok := tokenBytes(text); ok {
		list = append(list, hex.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
			base64.RawStdEncoding.EncodeToString(raw))
	}
	for _, sum := range [][]byte{[]byte(text), md[:], sha[:], sha2[:]} {
		list = append(list, hex.EncodeToString(sum))
	}
	return list
}

// tokenBytes are the bytes that a text stands for which looks like a publishing token, in
// hexadecimal or base64url.
func tokenBytes(text string) (raw []byte, ok bool) {
	raw, err := hex.DecodeString(text)
	if err != nil {
		raw, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	return raw, err == nil && len(raw) >= 16
}

// lower is text in small letters, byte by byte, so that positions stay the same.
func lower(text string) string {
	b := []byte(text)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// escape is one character as a URL, JSON, a shell or XML writes it.
var escape = regexp.MustCompile(`^(?:%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|'\\''|\\["'\\/]|` +
	`&(?:quot|apos|amp|lt|gt|#[0-9]{2,3}|#x[0-9A-Fa-f]{2});)`)

// plain undoes the escapes of a text, whichever of its characters are written so. At tells where
// each byte of plain, and its end, stands in text; it is nil when nothing is escaped.
func plain(text string) (undone string, at []int) {
	var b []byte
	done := 0
	put := func(s string, from, step int) {
		for i := range len(s) {
			b, at = append(b, s[i]), append(at, from+i*step)
		}
	}
	for i := 0; i < len(text); i++ {
		if strings.IndexByte(`%\&'`, text[i]) < 0 {
			continue
		}
		if e := escape.FindString(text[i:]); e != "" {
			put(text[done:i], done, 1)
			put(unescape(e), i, 0)
			done = i + len(e)
			i = done - 1
		}
	}
	if done == 0 {
		return text, nil
	}
	put(text[done:], done, 1)
	return string(b), append(at, len(text))
}

func unescape(s string) string {
	switch {
	case s[0] == '%':
		c, _ := hex.DecodeString(s[1:])
		return string(c)
	case s[0] == '&':
		return html.UnescapeString(s)
	case s[0] == '\\' && s[1] == 'u':
		n, _ := strconv.ParseUint(s[2:], 16, 16)
		return string(rune(n))
	case s[0] == '\\':
		return s[1:]
	}
	return "'"
}

// openKeys are parameters of streaming URLs whose values open nothing.
var openKeys = map[string]bool{
	"mode": true, "latency": true, "pkt_size": true, "connect_timeout": true, "timeout": true, "sourceid": true,
	"priority": true,
	"pbkeylen": true, "transtype": true,
}

// urlParts are the parts of a URL that open something: its user and password, and values of its
// query.
func urlParts(text string) []string {
	_, rest, ok := strings.Cut(text, "://")
	if !ok || strings.ContainsAny(text, " \t\r\n") {
		return nil
	}
	var parts []string
	authority, query := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
		_, query, _ = strings.Cut(rest[i:], "?")
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		parts = append(parts, valueParts(authority[:i])...)
	}
	return append(parts, queryParts(query)...)
}

func queryParts(query string) []string {
	var parts []string
	for _, pair := range strings.FieldsFunc(query, func(r rune) bool { return strings.ContainsRune("&?;", r) }) {
		key, value, _ := strings.Cut(pair, "=")
		if openKeys[strings.ToLower(key)] || len(value) < alone && !Named(key) || holder.MatchString(value) {
			continue // a number, a flag or a placeholder
		}
		parts = append(parts, value)
		for _, plain := range unescaped(value) {
			parts = append(parts, plain)
			if _, inner, ok := strings.Cut(plain, "?"); ok { // SRT: streamid=name?t=…
				parts = append(parts, queryParts(inner)...)
			}
		}
	}
	return parts
}

// unescaped are the texts that a percent-encoded one can stand for: a plus sign may be a space.
func unescaped(text string) []string {
	var list []string
	for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
		if plain, err := decode(text); err == nil && plain != text && !slices.Contains(list, plain) {
			list = append(list, plain)
		}
	}
	return list
}

// valueParts are the secrets in a text that looks like one: the password of user:password, and the
// first of the values that cameras join (X_channel=1), each also without percent escapes.
func valueParts(value string) []string {
	parts := []string{value}
	if _, password, ok := strings.Cut(value, ":"); ok {
		parts = append(parts, password)
	}
	if i := strings.IndexByte(value, '='); i > 0 {
		if j := strings.LastIndexAny(value[:i], "_;,"); j > 0 {
			parts = append(parts, value[:j])
		}
	}
	for _, p := range parts[:len(parts):len(parts)] {
		parts = append(parts, unescaped(p)...)
	}
	return parts
}

// span is a piece of a text, and what replaces it.
type span struct {
	from, to int
	instead  string
}

// spans finds what must not be shown, in order and without overlaps.
func (m *Masker) spans(text string) []span {
	all := append(m.knownIn(text), looks{text: text}.spans()...)
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to)) })
	var merged []span
	for _, s := range all {
		if last := len(merged) - 1; last >= 0 && s.from < merged[last].to {
			merged[last].to = max(merged[last].to, s.to)
		} else {
			merged = append(merged, s)
		}
	}
	return merged
}

// knownIn finds the known secrets in a text, also those that overlap, and those that are escaped
// once or twice.
func (m *Masker) knownIn(text string) []span {
	if m == nil {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.known) == 0 {
		return nil
	}
	found := m.written(lower(text))
	once, at := plain(text)
	if at == nil {
		return found
	}
	for _, s := range m.written(lower(once)) {
		found = append(found, span{at[s.from], at[s.to], s.instead})
	}
	twice, inner := plain(once)
	if inner == nil {
		return found
	}
	for _, s := range m.written(lower(twice)) {
		found = append(found, span{at[inner[s.from]], at[inner[s.to]], s.instead})
	}
	return found
}

// written finds the known secrets that a text holds unescaped. The caller holds mu.
func (m *Masker) written(text string) []span {
	var found []span
	for i := 0; i+least <= len(text); i++ {
		for _, n := range m.known[[least]byte([]byte(text[i:i+least]))] {
			end := i + len(n.text)
			if strings.HasPrefix(text[i:], n.text) && (len(n.text) >= alone || standsAlone(text, i, end)) {
				found = append(found, span{i, end, n.instead})
				break
			}
		}
	}
	return found
}

// standsAlone reports whether no letter or digit is next to text[from:to]. Those of a percent
// escape are none.
func standsAlone(text string, from, to int) bool {
	if from >= 3 && text[from-3] == '%' && isHex(text[from-2]) && isHex(text[from-1]) {
		return to == len(text) || !isLetter(text[to])
	}
	return (from == 0 || !isLetter(text[from-1])) && (to == len(text) || !isLetter(text[to]))
}

func isLetter(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// Mask returns text with [Mask] in place of every secret.
func (m *Masker) Mask(text string) string {
	spans := m.spans(text)
	if len(spans) == 0 {
		return text
	}
	var out strings.Builder
	at := 0
	for _, s := range spans {
		out.WriteString(text[at:s.from])
		out.WriteString(s.instead)
		at = s.to
	}
	out.WriteString(text[at:])
	return out.String()
}

// Holds reports whether Mask would change text.
func (m *Masker) Holds(text string) bool { return len(m.spans(text)) > 0 }

// Blank overwrites every secret in text with as many asterisks, and reports whether there was one.
// It is for files to which another process still appends: nothing in them moves.
func (m *Masker) Blank(text []byte) bool {
	spans := m.spans(string(text))
	for _, s := range spans {
		for i := s.from; i < s.to; i++ {
			text[i] = '*'
		}
	}
	return len(spans) > 0
}

var (
	// hostPort is an address without a scheme, in which placeholders may stand.
	hostPort = regexp.MustCompile(`^(?:[A-Za-z0-9._{}-]+|\[[0-9A-Fa-f:.]+\]):(?:[0-9]{1,5}|\{[0-9]+\})$`)
	// bareURL names a server and nothing on it.
	bareURL = regexp.MustCompile(`^[a-z]+://[A-Za-z0-9._:{}\[\]-]+/?$`)
)

// Referred reports whether text[from:to], the value of a reference, counts as a secret. The package
// comment says why.
func Referred(text string, from, to int) bool {
	value := text[from:to]
	if len(value) < alone || inHost(text, from, to) || bareURL.MatchString(value) {
		return false
	}
	if _, err := netip.ParseAddr(value); err == nil {
		return false
	}
	if strings.HasPrefix(value, "/") {
		if _, err := os.Lstat(value); err == nil {
			return false
		}
	}
	return true
}

// inHost reports whether text[from:to] is part of an address's host and port.
func inHost(text string, from, to int) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return hostPort.MatchString(text)
	}
	start := len(scheme) + len("://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	end := start + len(rest)
	start += strings.LastIndexByte(rest, '@') + 1
	return from >= start && to <= end
}
