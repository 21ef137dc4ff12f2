package secret

import (
	"regexp"
	"slices"
	"strings"
)

// Names of parameters, headers, options and fields that hold a secret, as devices, servers and
// programs call them, in small letters: by what stands anywhere in them, by how they end, and by
// their last part.
var (
	nameHolds = []string{
		"passw", "passphrase", "passcode", "pswd", "pwd", "token", "secret", "credential", "signature",
		"apikey", "api_key", "api-key", "streamkey", "stream_key", "stream-key", "streamid", "playpath",
		"session", "sessid", "cookie", "jwt", "loginpas", "hdnea", "hdnts", "hdntl",
		"auth_", "auth.", "auth-", "authkey", "authcode", "authhash", "authdata", "authoriz",
	}
	nameEnds  = []string{"pass", "auth", "authentication"}
	lastParts = []string{
		"psw", "pw", "key", "keyid", "sig", "sign", "sid", "pin", "psk", "hmac", "otp", "ticket", "md5", "hash",
		"digest", "pas",
	}
)

// Named reports whether a parameter, header, option or field of this name holds a secret, going by
// its name alone.
func Named(name string) bool {
	name = lower(strings.TrimLeft(name, "-"))
	last := name[strings.LastIndexAny(name, "_.-")+1:]
	return name == "t" || slices.Contains(lastParts, last) ||
		slices.ContainsFunc(nameEnds, func(end string) bool { return strings.HasSuffix(name, end) }) ||
		slices.ContainsFunc(nameHolds, func(part string) bool { return strings.Contains(name, part) })
}

// looks finds secrets by the text around them.
//
// Every text for people is checked, so the expressions below are tried only where a match can
// begin.
type looks struct {
	text  string
	whole bool // it is one value of a configuration, in which quotes end nothing
}

var (
	// headerName and headerValue are the two sides of the colon in a line of HTTP whose value is a
	// secret. The value ends at the line's end or at the quote around it.
	headerName = regexp.MustCompile(`(?i)\b(?:(?:proxy-)?authorization|(?:set-)?cookie2?|` +
		`(?:[a-z0-9]+-)+[a-z0-9-]*(?:key|token|auth|secret|password|signature|session|credential))$`)
	headerValue = regexp.MustCompile(`^\s*["']?(?:(?i:basic|bearer|token)\s+([^\s'"]+)|` +
		`((?i:digest)\s[^\r\n']+)|([^\s'"][^\r\n'"]*))`)

	bearer  = regexp.MustCompile(`(?i)\bbearer\s+([a-z0-9._~+/=-]{8,})`)
	jwt     = regexp.MustCompile(`\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*`)
	field   = regexp.MustCompile(`"([^"\\]{1,64})"\s*:\s*(?:"((?:[^"\\]|\\.)+)"|([0-9]+))`)
	element = regexp.MustCompile(`<(?:\w+:)?([\w.-]{1,64})>([^<]+)</`)
	option  = regexp.MustCompile(`^-{1,2}([A-Za-z][\w-]{0,63})['"]?\s+(?:'([^']+)'|"([^"]+)"|([^\s'"-]\S*))`)

	// holder is a text that stands for a value: a placeholder, a reference, a word of an example,
	// or a mask.
	holder = regexp.MustCompile(`^(?:\{[\w|]+\}|\$\{[^}]*\}|\.\.\.|…|(?:\{stream\}%3Ft%3D)?TOKEN|\*+)$`)
)

func (l looks) spans() []span {
	found := l.users(nil)
	found = l.parameters(found)
	found = l.headers(found)
	found = l.options(found)
	for _, like := range []*regexp.Regexp{field, element} {
		for _, m := range like.FindAllStringSubmatchIndex(l.text, -1) {
			if Named(l.text[m[2]:m[3]]) {
				found = l.addGroups(found, 0, m[4:])
			}
		}
	}
	if small := lower(l.text); strings.Contains(small, "bearer") {
		for _, m := range bearer.FindAllStringSubmatchIndex(small, -1) {
			found = l.addGroups(found, 0, m[2:])
		}
	}
	if strings.Contains(l.text, "eyJ") {
		for _, m := range jwt.FindAllStringIndex(l.text, -1) {
			found = l.add(found, m[0], m[1])
		}
	}
	return found
}

// headers finds the values of HTTP headers that hold a secret.
func (l looks) headers(found []span) []span {
	for i := range len(l.text) {
		if l.text[i] != ':' {
			continue
		}
		end := len(strings.TrimRight(l.text[:i], " \t\r\n\f"))
		if end > 0 && (l.text[end-1] == '"' || l.text[end-1] == '\'') {
			end--
		}
		if headerName.MatchString(l.nameBefore(end)) {
			found = l.addGroups(found, i+1, groups(headerValue, l.text[i+1:]))
		}
	}
	return found
}

// options finds the values of command line options whose names say that they hold a secret.
func (l looks) options(found []span) []span {
	for i := range len(l.text) {
		if l.text[i] != '-' || i > 0 && strings.IndexByte(" \t\r\n\f'\"", l.text[i-1]) < 0 {
			continue
		}
		m := option.FindStringSubmatchIndex(l.text[i:])
		if m != nil && Named(l.text[i+m[2]:i+m[3]]) {
			found = l.addGroups(found, i, m[4:])
		}
	}
	return found
}

// groups is where the groups of a match stand in text; nil when there is none.
func groups(like *regexp.Regexp, text string) []int {
	if m := like.FindStringSubmatchIndex(text); m != nil {
		return m[2:]
	}
	return nil
}

// addGroups adds the groups of a match, counted from base.
func (l looks) addGroups(found []span, base int, groups []int) []span {
	for i := 0; i < len(groups); i += 2 {
		if groups[i] >= 0 {
			found = l.add(found, base+groups[i], base+groups[i+1])
		}
	}
	return found
}

// add notes a secret, unless the text only stands for one.
func (l looks) add(found []span, from, to int) []span {
	if from >= to || holder.MatchString(l.text[from:to]) {
		return found
	}
	return append(found, span{from, to, Mask})
}

// wordEnd is where the word that begins at from ends.
func (l looks) wordEnd(from int) int {
	ends := " \t\r\n'\"`<>|"
	if l.whole {
		ends = "\r\n"
	}
	if i := strings.IndexAny(l.text[from:], ends); i >= 0 {
		return from + i
	}
	return len(l.text)
}

// users finds what stands before the @ of a URL. All of it is masked, because some servers accept a
// token as the user. A password may hold a slash that should have been escaped; it differs from a
// path by a colon that no port follows.
func (l looks) users(found []span) []span {
	for at := 0; ; {
		i := strings.Index(l.text[at:], "://")
		if i < 0 {
			return found
		}
		from := at + i + len("://")
		word := l.text[from:l.wordEnd(from)]
		authority := word
		if j := strings.IndexAny(word, "/?#"); j >= 0 {
			authority = word[:j]
		}
		_, port, hasPort := strings.Cut(authority, ":")
		if hasPort && strings.Trim(port, "0123456789") != "" && !strings.Contains(authority, "@") {
			authority = word
		}
		if j := strings.LastIndexByte(authority, '@'); j > 0 {
			found = l.add(found, from, from+j)
		}
		at = from
	}
}

// parameters finds the values of name=value, in a query, a path or anywhere else, also with a
// percent-encoded equals sign.
func (l looks) parameters(found []span) []span {
	for at := 0; at < len(l.text); {
		i := strings.IndexAny(l.text[at:], "=%")
		if i < 0 {
			return found
		}
		i += at
		at = i + 1
		if l.text[i] == '%' {
			if !strings.HasPrefix(strings.ToUpper(l.text[i:min(len(l.text), i+3)]), "%3D") {
				continue
			}
			at = i + 3
		}
		name := l.nameBefore(i)
		if !Named(name) && !l.short(i, name) {
			continue
		}
		from, to := at, 0
		if quote := strings.IndexByte(`'"`, byteAt(l.text, at)); quote >= 0 {
			from++
			to = from + max(0, strings.IndexByte(l.text[from:], l.text[at]))
		} else {
			to = l.wordEnd(from)
			if j := strings.IndexByte(l.text[from:to], '&'); j >= 0 {
				to = from + j
			}
			if !l.whole {
				to = from + len(strings.TrimRight(l.text[from:to], ").,:;]}"))
				if strings.HasPrefix(strings.TrimPrefix(l.text[from:to], "$"), "{") && byteAt(l.text, to) == '}' {
					to++ // of a placeholder
				}
			}
		}
		found = l.add(found, from, to)
	}
	return found
}

// nameBefore is the name that ends before i, without the rest of a percent escape.
func (l looks) nameBefore(i int) string {
	from := i
	for from > 0 && (isLetter(l.text[from-1]) || strings.IndexByte("_.-", l.text[from-1]) >= 0) {
		from--
	}
	if from > 0 && l.text[from-1] == '%' && i-from > 2 && isHex(l.text[from]) && isHex(l.text[from+1]) {
		from += 2
	}
	return l.text[from:i]
}

// short reports whether a name of one letter means a key or a password: it does only in a query.
func (l looks) short(i int, name string) bool {
	at := i - len(name) - 1
	return (name == "k" || name == "p") && at >= 0 && strings.IndexByte("?&", l.text[at]) >= 0
}

func byteAt(text string, i int) byte {
	if i < len(text) {
		return text[i]
	}
	return 0
}
