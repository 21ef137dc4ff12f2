package record

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// readCurl reads curl commands, as browsers copy them for bash.
func readCurl(text string) ([]Exchange, error) {
	commands, err := shellCommands(text)
	if err != nil {
		return nil, err
	}
	var all []Exchange
	for i, words := range commands {
		if words[0] != "curl" {
			return nil, fmt.Errorf("command %d is not curl", i+1)
		}
		x, err := curlExchange(words[1:])
		if err != nil {
			return nil, fmt.Errorf("command %d: %w", i+1, err)
		}
		all = append(all, x)
	}
	return all, nil
}

// Options of curl that matter here, by their short and long names; the others are in ignored, with
// whether a value follows.
var (
	curlShort = map[byte]string{
		'X': "request", 'H': "header", 'd': "data", 'u': "user", 'b': "cookie", 'G': "get", 'I': "head", 'k': "insecure",
		's': "silent", 'S': "show-error", 'L': "location", 'i': "include", 'v': "verbose", 'f': "fail", 'g': "globoff",
		'o': "output", 'm': "max-time", 'A': "user-agent", 'e': "referer", 'x': "proxy", 'w': "write-out", 'F': "form",
		'c': "cookie-jar",
	}
	curlTakes = []string{
		"request", "header", "data", "data-raw", "data-binary", "data-ascii", "data-urlencode", "json", "user", "cookie",
		"url", "unix-socket", "oauth2-bearer", "output", "max-time", "connect-timeout", "user-agent", "referer", "proxy",
		"write-out", "cacert", "form", "form-string", "retry", "cookie-jar",
	}
	curlAlone = []string{
		"get", "head", "insecure", "digest", "basic", "silent", "show-error", "location", "include", "verbose", "fail",
		"globoff", "compressed", "http1.1", "http2", "anyauth", "fail-with-body", "no-progress-meter",
	}
)

// curlExchange is what one command sends.
func curlExchange(args []string) (Exchange, error) {
	x := Exchange{Headers: http.Header{}}
	var address, user, method string
	var data []string
	asQuery, head := false, false
	set := func(name, value string) error {
		switch name {
		case "request":
			method = value
		case "header":
			key, text, _ := strings.Cut(value, ":")
			x.Headers.Add(strings.TrimSpace(key), strings.TrimSpace(text))
		case "data", "data-raw", "data-binary", "data-ascii", "json":
			if strings.HasPrefix(value, "@") && name != "data-raw" {
				return errors.New("its body is a file: put the text of the file into the command")
			}
			data = append(data, value)
			if name == "json" {
				x.Headers.Set("Content-Type", "application/json")
			}
		case "data-urlencode":
			key, text, ok := strings.Cut(value, "=")
			if !ok {
				key, text = "", value
			}
			data = append(data, strings.TrimPrefix(key+"="+url.QueryEscape(text), "="))
		case "user":
			user = value
		case "oauth2-bearer":
			x.Headers.Set("Authorization", "Bearer "+value)
		case "cookie":
			x.Headers.Set("Cookie", value)
		case "url":
			address = value
		case "unix-socket":
			x.socket = value
		case "form", "form-string":
			return errors.New("it sends a form in parts (-F), which the http driver cannot")
		case "get":
			asQuery = true
		case "head":
			head = true
		case "insecure":
			x.insecure = true
		case "digest":
			x.digest = true
		}
		return nil
	}
	for i := 0; i < len(args); i++ {
		word := args[i]
		var name, value string
		switch {
		case strings.HasPrefix(word, "--"):
			name = word[2:]
		case len(word) > 1 && word[0] == '-':
			if name = curlShort[word[1]]; slices.Contains(curlTakes, name) {
				value = word[2:]
			} else if len(word) > 2 { // -sS is -s -S
				args[i] = "-" + word[2:]
				i--
			}
		default:
			address = word
			continue
		}
		switch {
		case slices.Contains(curlTakes, name):
			if value == "" {
				if i++; i == len(args) {
					return x, errors.New("its last option has no value")
				}
				value = args[i]
			}
		case !slices.Contains(curlAlone, name):
			return x, errors.New("it has an option that oncue does not know; remove it if it does not matter")
		}
		if err := set(name, value); err != nil {
			return x, err
		}
	}
	if address != "" && !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return x, errors.New("it has no address that can be read")
	}
	x.URL = u
	x.Body = strings.Join(data, "&")
	switch {
	case asQuery:
		u.RawQuery = strings.Trim(u.RawQuery+"&"+x.Body, "&")
		x.Body = ""
	case head:
		method = cmp.Or(method, "HEAD")
	case len(data) > 0:
		method = cmp.Or(method, "POST")
		if x.Headers.Get("Content-Type") == "" {
			x.Headers.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	x.Method = strings.ToUpper(cmp.Or(method, "GET"))
	if user != "" {
		x.Headers.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user)))
	}
	return x, nil
}

// shellCommands cuts a text into commands and their words, as bash does with what browsers copy:
// all kinds of quotes, but no variables.
func shellCommands(text string) ([][]string, error) {
	var all [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	errOpen := errors.New("a quote does not end")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
				i++
			}
			if text[i] != '\n' {
				inWord = true
				word.WriteByte(text[i])
			}
		case c == '\'':
			end := strings.IndexByte(text[i+1:], '\'')
			if end < 0 {
				return nil, errOpen
			}
			inWord = true
			word.WriteString(text[i+1 : i+1+end])
			i += end + 1
		case c == '"' || c == '$' && strings.HasPrefix(text[i:], `$'`):
			plain, n, ok := quoted(text[i:])
			if !ok {
				return nil, errOpen
			}
			inWord = true
			word.WriteString(plain)
			i += n - 1
		case c == '#' && !inWord:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == '\n' || c == ';' || c == '&' || c == '|':
			endCommand()
		case c == ' ' || c == '\t' || c == '\r':
			endWord()
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	endCommand()
	return all, nil
}

// quoted reads "…" or $'…' at the beginning of text, and returns what it stands for and its length.
func quoted(text string) (plain string, length int, ok bool) {
	var b strings.Builder
	ansi := text[0] == '$'
	i, end := 1, byte('"')
	if ansi {
		i, end = 2, '\''
	}
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case c == end:
			return b.String(), i + 1, true
		case c != '\\' || i+1 == len(text):
			b.WriteByte(c)
		case ansi:
			i += ansiEscape(text[i+1:], &b)
		default:
			i++
			if strings.IndexByte("\"\\$`\n", text[i]) < 0 {
				b.WriteByte('\\')
			}
			if text[i] != '\n' {
				b.WriteByte(text[i])
			}
		}
	}
	return "", 0, false
}

// ansiEscape writes what stands after a backslash in $'…', and returns its length.
func ansiEscape(text string, b *strings.Builder) int {
	const from, to = "abefnrtv", "\a\b\x1b\f\n\r\t\v"
	digits, base := 0, 16
	at := 1
	switch c := text[0]; {
	case c == 'u':
		digits = 4
	case c == 'U':
		digits = 8
	case c == 'x':
		digits = 2
	case '0' <= c && c <= '7':
		at, digits, base = 0, 3, 8
	default:
		if n := strings.IndexByte(from, c); n >= 0 {
			c = to[n]
		}
		b.WriteByte(c)
		return 1
	}
	end := at
	for end < len(text) && end < at+digits {
		if _, err := strconv.ParseUint(text[end:end+1], base, 8); err != nil {
			break
		}
		end++
	}
	n, err := strconv.ParseUint(text[at:end], base, 32)
	switch {
	case err != nil:
		b.WriteString(`\` + text[:end])
	case text[0] == 'u' || text[0] == 'U':
		if n > utf8.MaxRune {
			n = utf8.RuneError
		}
		b.WriteRune(rune(n))
	default:
		b.WriteByte(byte(n))
	}
	return end
}
