package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
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

// parseYAML returns the top value of the one document in data, or nil for an empty file. Its error is a *syntaxError.
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
		return nil, &syntaxError{place{second.Line, second.Column}, "a second document starts here; the whole configuration is one document (remove the ---)"}
	}
	return doc.Content[0], nil
}

func unreadable(r rune) bool {
	return r == utf8.RuneError || r == 0x7f || r < ' ' && r != '\t' && r != '\n' && r != '\r'
}

func placeOf(data []byte, offset int) place {
	before := data[:offset]
	start := bytes.LastIndexByte(before, '\n') + 1
	return place{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1}
}

var (
	yamlLine      = regexp.MustCompile(`^line ([0-9]+): `)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`) // the one error that comes without a line
)

// explainYAML turns the parser's words into ours and finds the line that is to blame.
func explainYAML(data []byte, err error) *syntaxError {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		return &syntaxError{aliasOf(lines, m[1]), fmt.Sprintf("there is no anchor &%s before this alias; define it, or put the value in quotes if it is a text", m[1])}
	}
	line = blame(lines, line)
	content := strings.TrimRight(string(lines[line-1]), "\r\n")
	indent := content[:len(content)-len(strings.TrimLeft(content, " \t"))]
	at := place{line, utf8.RuneCountInString(indent) + 1}
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		return &syntaxError{place{line, tab + 1}, "a tab in the indentation; YAML wants spaces"}
	}
	switch {
	case strings.Contains(text, "mapping values are not allowed"):
		text = "a second \": \" on one line, or wrong indentation; put the value in quotes, or line the key up with its neighbours"
	case strings.Contains(text, "did not find expected key"):
		text = "this does not fit the lines before; check the indentation and look for a missing \":\""
	case strings.Contains(text, "cannot start any token"):
		text = "a value cannot begin with this character; put it in quotes"
	case strings.Contains(text, "did not find expected ',' or"):
		text = "a list or mapping in brackets is not closed; look for a missing \",\", \"]\" or \"}\""
	case strings.Contains(text, "unexpected end of stream"):
		text = "a quoted text is not closed"
	}
	return &syntaxError{at, text}
}

// aliasOf finds the first *name that stands as a value.
func aliasOf(lines [][]byte, name string) place {
	alias := regexp.MustCompile(`(?:^|[\s,:\[{-])(\*` + regexp.QuoteMeta(name) + `)(?:[\s,\]}]|$)`)
	for i, line := range lines {
		if m := alias.FindSubmatchIndex(line); m != nil && !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			return place{i + 1, utf8.RuneCount(line[:m[2]]) + 1}
		}
	}
	return place{1, 1}
}

// blameBudget bounds the bytes that blame parses, so that a huge broken file is refused quickly.
const blameBudget = 2 << 20

// blame finds the line after the longest beginning of the file that is good YAML. The parser itself names where the block around the
// mistake began, which may be far above.
func blame(lines [][]byte, reported int) int {
	reported = min(max(reported, 1), len(lines))
	found, size, spent := 0, 0, 0
	var head []byte
	for i, line := range lines {
		head = append(head, line...)
		size += len(line)
		if i+1 < reported-1 {
			continue
		}
		if spent += size; spent > blameBudget {
			if found == i { // and the mistake may be far below
				return reported
			}
			break
		}
		var n yaml.Node
		if yaml.Unmarshal(head, &n) == nil {
			found = i + 1
		}
	}
	if found == 0 || found == len(lines) {
		return reported
	}
	for found < len(lines)-1 && len(bytes.TrimSpace(lines[found])) == 0 {
		found++
	}
	return found + 1
}
