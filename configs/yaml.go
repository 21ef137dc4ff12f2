package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A place is where something stands in the file, from 1.
type place struct{ line, col int }

// syntaxError is a file that is no YAML at all.
type syntaxError struct {
	place
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

// parseYAML returns the top value of the one document in data, or nil for an empty file. Its error
// is a *syntaxError.
func parseYAML(data []byte) (*yaml.Node, error) {
	if at := bytes.IndexFunc(data, unreadable); at >= 0 {
		text := "this is not UTF-8 text; save the file as UTF-8"
		if data[at] < utf8.RuneSelf {
			text = "a control character; remove it, or write it as an escape in double quotes"
		}
		return nil, &syntaxError{placeOf(data, at), text}
	}
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, explainYAML(data, err)
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, explainYAML(data, err)
	default:
		return nil, &syntaxError{place{second.Line, second.Column},
			"a second document starts here; the whole configuration is one document (remove the ---)"}
	}
	return doc.Content[0], nil
}

func unreadable(r rune) bool {
	return r == utf8.RuneError || r == 0x7f || r < ' ' && r != '\t' && r != '\n' && r != '\r'
}

// lineEnd is what ends a line for the YAML reader, whose line numbers are used everywhere.
var lineEnd = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// linesOf cuts data after each line end.
func linesOf(data []byte) [][]byte {
	var lines [][]byte
	at := 0
	for _, end := range lineEnd.FindAllIndex(data, -1) {
		lines = append(lines, data[at:end[1]])
		at = end[1]
	}
	return append(lines, data[at:])
}

func placeOf(data []byte, offset int) place {
	lines := linesOf(data[:offset])
	return place{len(lines), utf8.RuneCount(lines[len(lines)-1]) + 1}
}

var (
	yamlLine      = regexp.MustCompile(`^line ([0-9]+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`) // the one error that comes without a line

)

// explainYAML replaces the parser's error by a plain one, at the line of the mistake.
func explainYAML(data []byte, err error) *syntaxError {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		return missingAnchor(data, m[1])
	}
	reported := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		reported, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	lines := linesOf(data)
	line, sure := blame(lines, reported)
	content := strings.TrimRight(string(lines[line-1]), "\r\n")
	indent := content[:len(content)-len(strings.TrimLeft(content, " \t"))]
	at := place{line, utf8.RuneCountInString(indent) + 1}
	if !sure {
		return &syntaxError{at, "somewhere below this line is a mistake, such as a missing quote, bracket or space; " +
			"to find it, check a part of the file alone"}
	}
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		return &syntaxError{place{line, tab + 1}, "a tab in the indentation; YAML wants spaces"}
	}
	if open := openQuote(data, len(bytes.Join(lines[:line], nil))); open >= 0 {
		return &syntaxError{placeOf(data, open),
			fmt.Sprintf("a quoted text is not closed; look for a missing %c", data[open])}
	}
	switch {
	case strings.Contains(text, "mapping values are not allowed"), strings.Contains(text, "did not find expected key"),
		strings.Contains(text, "did not find expected '-' indicator"):
		return misfit(lines, at, text)
	case strings.Contains(text, "expected <document start>"):
		first := slices.IndexFunc(lines, func(l []byte) bool { return !blank(l) })
		at, text = place{first + 1, 1}, "this line is indented further than the ones below; remove the spaces before it"
	case strings.Contains(text, "could not find expected ':'"):
		text = "a key without a value; look for a missing \":\", or a missing space after it"
	case strings.Contains(text, "cannot start any token"):
		text = "a value cannot begin with this character; put it in quotes"
	case strings.Contains(text, "did not find expected ',' or"), strings.Contains(text, "expected node content"):
		text = "a list or mapping in brackets is not closed; look for a missing \",\", \"]\" or \"}\""
		if comment.MatchString(content) {
			text += "; a # after a space begins a comment, unless it stands in quotes"
		}
	case strings.Contains(text, "unexpected end of stream"):
		text = "a quoted text is not closed"
	}
	return &syntaxError{at, text}
}

var (
	noSpace = regexp.MustCompile(`^ *(?:- +)?([A-Za-z0-9_-]+:)(?:[^\s/]|/[^/])`) // key:value
	// key value
	noColon  = regexp.MustCompile(`^ *(?:- +)?([A-Za-z0-9_/*?][A-Za-z0-9_/*?-]*)(?:[ \t]+(?:[^:]|:[^\s])*)?$`)
	hasValue = regexp.MustCompile(`^ *(?:- +)?([A-Za-z0-9_-]+:) +[^\s|>&]`)
	comment  = regexp.MustCompile(`(?:^|[ \t])#.*`)
)

// misfit explains a line at which the parser did not expect a key. Often the mistake is in a line
// above.
func misfit(lines [][]byte, at place, said string) *syntaxError {
	text := "this does not fit the lines before; check the indentation and look for a missing \":\""
	n := previous(lines, at.line)
	for n > 0 && isItem(lines[n-1]) && strings.Contains(said, "mapping values") {
		n = previous(lines, n) // the items are one text with the line above them
	}
	if n == 0 {
		return &syntaxError{at, text}
	}
	above := bytes.TrimRight(comment.ReplaceAll(lines[n-1], nil), " \t\r\n")
	word, what := noSpace.FindSubmatchIndex(above), "a space is missing after %q"
	if word == nil && !isItem(lines[at.line-1]) {
		word, what = noColon.FindSubmatchIndex(above), "a \":\" is missing after %q"
	}
	if word != nil && word[2] < at.col {
		return &syntaxError{place{n, utf8.RuneCount(above[:word[2]]) + 1},
			fmt.Sprintf(what, string(above[word[2]:word[3]]))}
	}
	if line, col := misplaced(lines, at); line != at.line {
		return &syntaxError{place{line, col}, text}
	}
	if strings.Contains(said, "mapping values") {
		text = "a second \": \" on one line, or wrong indentation; put the value in quotes, or line the key up with " +
			"its neighbours"
		if m := hasValue.FindSubmatchIndex(above); m != nil && m[2] < at.col-1 {
			text = fmt.Sprintf("wrong indentation: %q above has a value already, so nothing can stand below it; line "+
				"the two up", string(above[m[2]:m[3]]))
		}
	}
	return &syntaxError{at, text}
}

func isItem(line []byte) bool { return bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("- ")) }

// previous is the line before one, from 1, that is neither empty nor a comment; 0: there is none.
func previous(lines [][]byte, line int) int {
	for line--; line > 0 && blank(lines[line-1]); line-- {
	}
	return line
}

func blank(line []byte) bool {
	text := bytes.TrimSpace(line)
	return len(text) == 0 || text[0] == '#'
}

// misplaced finds the line with the wrong indentation, when the parser did not expect the line at
// the place at: that line, or one above it that is not indented by whole steps while this one is.
func misplaced(lines [][]byte, at place) (line, col int) {
	step, indent := stepOf(lines), at.col-1
	if step == 0 || indent%step != 0 {
		return at.line, at.col
	}
	for n := previous(lines, at.line); n > 0; n = previous(lines, n) {
		above := indentOf(lines[n-1])
		if above%step != 0 && (isItem(lines[n-1]) || aKey.Match(lines[n-1])) {
			return n, above + 1
		}
		if above < indent {
			break
		}
	}
	return at.line, at.col
}

// stepOf is the number of spaces by which most sections of the file indent their entries.
func stepOf(lines [][]byte) int {
	steps := map[int]int{}
	for i, line := range lines[1:] {
		if indent := indentOf(line); indent > 0 && !blank(line) && indentOf(lines[i]) == 0 && !blank(lines[i]) {
			steps[indent]++
		}
	}
	best := 0
	for step, n := range steps {
		if n > steps[best] || n == steps[best] && step < best {
			best = step
		}
	}
	return best
}

var aKey = regexp.MustCompile(`^ *[^\s#:'"{}\[\],-][^\s:]*:(?:\s|$)`)

func indentOf(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }

// openQuote finds the beginning of a quoted text that spans lines and is followed by what cannot
// follow a value: its closing quote is missing, and the parser used the next one instead. It is -1
// when there is none before limit.
func openQuote(text []byte, limit int) int {
	begins := true // a value may begin here
	for i := 0; i < limit; i++ {
		switch c := text[i]; {
		case begins && (c == '"' || c == '\''):
			end := closing(text[i+1:], c)
			if end < 0 {
				return i
			}
			quoted, rest := text[i+1:i+1+end], text[i+1+end+1:]
			if lineEnd.Match(quoted) && !afterValue.Match(rest) {
				return i
			}
			i += 1 + end
			begins = false
		case c == '#' && (i == 0 || bytes.IndexByte([]byte(" \t\r\n"), text[i-1]) >= 0):
			for i+1 < limit && text[i+1] != '\n' && text[i+1] != '\r' {
				i++
			}
		case c == '\n' || c == '\r':
			begins = true
		case c == ' ' || c == '\t':
			begins = begins || i > 0 && bytes.IndexByte([]byte(":-,?"), text[i-1]) >= 0
		default:
			begins = c == '{' || c == '[' || c == ','
		}
	}
	return -1
}

// afterValue matches what can follow a value.
var afterValue = regexp.MustCompile(`^[ \t]*(?:[,:\]}\r\n]|#|$)`)

// closing is where the text that began with quote ends.
func closing(text []byte, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\', quote == '\'' && bytes.HasPrefix(text[i:], []byte("''")):
			i++
		case text[i] == quote:
			return i
		}
	}
	return -1
}

// documentStart is the line that may stand before a document.
var documentStart = regexp.MustCompile(`(?m)^---[ \t]*(?:#.*)?$`)

// missingAnchor finds the first alias of an undefined anchor: it defines the anchor above
// everything and parses the file again.
func missingAnchor(data []byte, name string) *syntaxError {
	text := fmt.Sprintf("there is no anchor &%s before this alias; define it, or put the value in quotes if it is a "+
		"text", name)
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if at := documentStart.FindIndex(data); at != nil {
		data = slices.Concat(data[:at[0]], data[at[1]:])
	}
	added, missing := "", name
	for n := range 100 { // others may be missing as well
		added += fmt.Sprintf("x-%d: &%s x\n", n, missing)
		var doc yaml.Node
		err := yaml.Unmarshal(append([]byte(added), data...), &doc)
		if err == nil {
			if alias := firstAlias(&doc, name); alias != nil {
				return &syntaxError{place{alias.Line - n - 1, alias.Column}, text}
			}
			break
		}
		m := unknownAnchor.FindStringSubmatch(strings.TrimPrefix(err.Error(), "yaml: "))
		if m == nil {
			break
		}
		missing = m[1]
	}
	return &syntaxError{place{1, 1}, "somewhere in this file, " + text}
}

func firstAlias(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Value == name {
		return n
	}
	for _, child := range n.Content {
		if found := firstAlias(child, name); found != nil {
			return found
		}
	}
	return nil
}

const (
	blameBudget = 32 << 20 // bytes that blame parses, so that it refuses a huge broken file within seconds
	blameNear   = 10       // lines that it tries one by one
)

// blame finds the line after the longest beginning of the file that is valid YAML. The parser
// itself only names the start of the block around the mistake, which may be far above. sure is
// false when blame found nothing better in time.
func blame(lines [][]byte, reported int) (line int, sure bool) {
	reported = min(max(reported, 1), len(lines))
	ends := make([]int, len(lines)+1) // of the first n lines, bytes
	for i, l := range lines {
		ends[i+1] = ends[i] + len(l)
	}
	text, spent := bytes.Join(lines, nil), 0
	good := func(n int) bool {
		spent += ends[n]
		return isMapping(text[:ends[n]])
	}
	found := 0
	for starts := entryStarts(lines); ; {
		// Between two entries the beginning is good up to the mistake, and bad below it.
		low, _ := slices.BinarySearch(starts, found+1)
		next := low + sort.Search(len(starts)-low,
			func(i int) bool { return spent > blameBudget || !good(starts[low+i]) })
		if next > low {
			found = starts[next-1]
		}
		last := len(lines)
		if next < len(starts) {
			last = min(last, starts[next]+blameNear)
		}
		before := found
		for n := found + 1; n <= last && spent <= blameBudget; n++ {
			if good(n) {
				found = n
			}
		}
		if spent > blameBudget {
			return reported, false
		}
		if found == before || next == len(starts) || found < starts[next] {
			break
		}
	}
	if found == 0 || found == len(lines) {
		return reported, true
	}
	for found < len(lines)-1 && len(bytes.TrimSpace(lines[found])) == 0 {
		found++
	}
	return found + 1, true
}

// isMapping reports whether a text is the beginning of a configuration. Undefined anchors do not
// matter.
func isMapping(text []byte) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return unknownAnchor.MatchString(strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return len(doc.Content) == 0 || doc.Content[0].Kind == yaml.MappingNode || isNull(doc.Content[0])
}

// entryStarts lists the lines, from 0, at which a key of the file or of one of its sections begins.
func entryStarts(lines [][]byte) []int {
	var starts []int
	section := 0 // indentation of its entries; 0: not known yet
	for i, line := range lines {
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		switch {
		case blank(line):
			continue
		case indent == 0:
			section = 0
		case section == 0:
			section = indent
		}
		if indent <= section {
			starts = append(starts, i)
		}
	}
	return starts
}
