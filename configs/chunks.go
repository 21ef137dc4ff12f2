package configs

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"go.yaml.in/yaml/v3"
)

const (
	largeFile = 64 << 10 // bytes from which a file is parsed in chunks
	chunkSize = 16 << 10 // bytes of one, about
)

// chunked is a large file whose `encoders:` and `streams:` are parsed some entries at a time, beside the decoder, which forgets them one by one. The
// nodes of a whole file take thirty times its size, and to touch so much fresh memory is what a start with ten thousand streams waits for most.
//
// Only what reads the same in chunks is cut: sections in block style, between two of their entries. What does not fit, such as an alias of an anchor
// elsewhere, or a mistake, breaks its chunk, and the file is read anew as a whole. The owner calls end.
type chunked struct {
	rest     *yaml.Node // the file without the entries of its sections
	sections []*section
	stop     atomic.Bool
	done     chan struct{}
}

type section struct {
	name    string
	line    int // of its name
	indent  int // of its entries
	entries int // about how many
	chunks  []chunk
	parsed  chan *yaml.Node // a mapping for each chunk, in order; nil for a broken one
}

type chunk struct {
	text []byte // of the file's own
	line int    // of its first, from 1
}

// chunksOf begins to parse a file, and returns nil for one that has to be read as a whole. The decoder takes the sections in the order of their names.
// size is that of a chunk, bytes, about.
func chunksOf(data []byte, size int) *chunked {
	if bytes.IndexFunc(data, otherBreak) >= 0 {
		return nil
	}
	rest, sections := cut(data, size)
	if len(sections) == 0 {
		return nil
	}
	root, err := parseYAML(rest)
	if err != nil || root == nil || root.Kind != yaml.MappingNode {
		return nil
	}
	for _, s := range sections {
		value := s.valueIn(root)
		if value == nil {
			return nil
		}
		value.Line, value.Column = s.chunks[0].line, s.indent+1
		s.parsed = make(chan *yaml.Node, len(s.chunks))
	}
	slices.SortFunc(sections, func(a, b *section) int { return strings.Compare(a.name, b.name) })
	f := &chunked{rest: root, sections: sections, done: make(chan struct{})}
	go f.parse()
	return f
}

func (f *chunked) parse() {
	defer close(f.done)
	for _, s := range f.sections {
		for i := range s.chunks {
			if f.stop.Load() {
				return
			}
			s.parsed <- s.chunks[i].parse(s.indent)
		}
		close(s.parsed)
	}
}

// end waits until nothing is parsed any more.
func (f *chunked) end() {
	f.stop.Store(true)
	<-f.done
}

// section returns the section of that name, nil if it was not cut. f may be nil.
func (f *chunked) section(name string) *section {
	if f == nil {
		return nil
	}
	for _, s := range f.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// otherBreak reports whether YAML ends a line here, and cut does not.
func otherBreak(r rune) bool { return r == '\u0085' || r == '\u2028' || r == '\u2029' }

var sectionName = regexp.MustCompile(`^(encoders|streams):[ \t]*(?:#.*)?\r?\n$`)

// cut takes the entries of the sections out of a file; lines stay where they are.
func cut(data []byte, size int) (rest []byte, sections []*section) {
	rest = make([]byte, 0, len(data)/8)
	var now *section
	line, at := 0, 0
	for text := range bytes.Lines(data) {
		line++
		here := data[at:at]
		at += len(text)
		switch {
		case bytes.IndexByte(bytes.TrimSuffix(text, []byte("\r\n")), '\r') >= 0:
			return nil, nil // it ends a line, too
		case text[0] == '%' || bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("...")):
			return nil, nil // more than one document, perhaps
		case !bytes.ContainsRune([]byte(" \t\r\n#"), rune(text[0])): // a key of the file
			now = nil
			if name := sectionName.FindSubmatch(text); name != nil {
				now = &section{name: string(name[1]), line: line}
				sections = append(sections, now)
			}
			rest = append(rest, text...)
			continue
		case now == nil:
			rest = append(rest, text...)
			continue
		}
		now.add(text, here, line, size)
		rest = append(rest, '\n')
	}
	for i, s := range sections {
		if len(s.chunks) == 0 || slices.ContainsFunc(sections[:i], func(o *section) bool { return o.name == s.name }) {
			return nil, nil
		}
	}
	return rest, sections
}

// add takes the next line of the file, which begins here.
func (s *section) add(text, here []byte, line, size int) {
	entry := bytes.TrimLeft(text, " ")
	indent := len(text) - len(entry)
	last := len(s.chunks) - 1
	if last < 0 {
		if len(bytes.TrimSpace(entry)) == 0 || entry[0] == '#' {
			return
		}
		s.indent = indent
	}
	begins := indent == s.indent && len(entry) > 0 && isWord(entry[0])
	if begins {
		s.entries++
	}
	if last < 0 || begins && len(s.chunks[last].text) >= size {
		s.chunks = append(s.chunks, chunk{here, line})
		last++
	}
	c := &s.chunks[last]
	c.text = c.text[:len(c.text)+len(text)] // its lines stand together in the file
}

// valueIn finds the section in the file around it: nil when its name is not the key that it seems.
func (s *section) valueIn(root *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(root.Content); i += 2 {
		if key, value := root.Content[i], root.Content[i+1]; key.Value == s.name && key.Line == s.line && key.Column == 1 && isNull(value) && value.Value == "" && value.Anchor == "" {
			return value
		}
	}
	return nil
}

func (c *chunk) parse(indent int) *yaml.Node {
	n, err := parseYAML(c.text)
	if err != nil || n == nil || n.Kind != yaml.MappingNode || n.Style&yaml.FlowStyle != 0 || n.Column != indent+1 || n.Anchor != "" || n.Tag != "!!map" {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			return nil // what it brings in comes after all keys
		}
	}
	shift(n, c.line-1)
	return n
}

func shift(n *yaml.Node, lines int) {
	n.Line += lines
	for _, child := range n.Content {
		shift(child, lines)
	}
}
