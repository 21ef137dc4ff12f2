package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/antchfx/xmlquery"
	"github.com/antchfx/xpath"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// answer is what a box said, read and parsed.
type answer struct {
	status int
	header http.Header
	text   string
	body   any            // parsed JSON or XML, nil for anything else
	doc    *xmlquery.Node // for XML
	took   time.Duration
}

// newAnswer decides by the text how to parse it: boxes often send JSON as text/html.
func newAnswer(status int, header http.Header, text []byte, took time.Duration) *answer {
	a := &answer{status: status, header: header, text: string(text), took: took}
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")))
	switch {
	case len(trimmed) == 0:
	case trimmed[0] == '<':
		doc, err := xmlquery.Parse(bytes.NewReader(trimmed))
		if err != nil {
			break
		}
		if root := rootElement(doc); root != nil {
			a.doc, a.body = doc, map[string]any{root.Data: xmlValue(root, 0)}
		}
	default:
		a.body = parseJSON(trimmed)
	}
	return a
}

// parseJSON returns nil for anything that is not exactly one JSON value. Whole numbers become int,
// so that they print and compare as whole numbers.
func parseJSON(text []byte) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		n, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return n
	case map[string]any:
		for k, e := range v {
			v[k] = plainNumbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = plainNumbers(e)
		}
	}
	return v
}

func rootElement(doc *xmlquery.Node) *xmlquery.Node {
	for n := doc.FirstChild; n != nil; n = n.NextSibling {
		if n.Type == xmlquery.ElementNode {
			return n
		}
	}
	return nil
}

const maxXMLDepth = 100

// xmlValue is an element as rules see it: its text, or a map of its children, attributes ("@name")
// and text ("#text"). Several children of one name are a list.
func xmlValue(n *xmlquery.Node, depth int) any {
	if depth > maxXMLDepth {
		return nil
	}
	fields := map[string]any{}
	for _, a := range n.Attr {
		fields["@"+a.Name.Local] = a.Value
	}
	var text strings.Builder
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch c.Type {
		case xmlquery.TextNode, xmlquery.CharDataNode:
			text.WriteString(c.Data)
		case xmlquery.ElementNode:
			v := xmlValue(c, depth+1)
			switch old := fields[c.Data].(type) {
			case nil:
				fields[c.Data] = v
			case []any:
				fields[c.Data] = append(old, v)
			default:
				fields[c.Data] = []any{old, v}
			}
		}
	}
	trimmed := strings.TrimSpace(text.String())
	if len(fields) == 0 {
		return trimmed
	}
	if trimmed != "" {
		fields["#text"] = trimmed
	}
	return fields
}

// xpath evaluates a path: the text of the first node, or the value of an expression. nil means that
// there is no such node.
func (a *answer) xpath(path string) (any, error) {
	e, err := xpath.Compile(path)
	if err != nil {
		return nil, fmt.Errorf("xpath(%q): %w", path, err)
	}
	if a.doc == nil {
		return nil, nil
	}
	v := e.Evaluate(xmlquery.CreateXPathNavigator(a.doc))
	nodes, ok := v.(*xpath.NodeIterator)
	if !ok {
		return v, nil
	}
	if !nodes.MoveNext() {
		return nil, nil
	}
	return strings.TrimSpace(nodes.Current().Value()), nil
}

// facts is the answer as rules see it.
func (a *answer) facts(v *values) facts {
	headers := make(map[string]string, len(a.header))
	for name, list := range a.header {
		headers[strings.ToLower(name)] = strings.Join(list, ", ")
	}
	f := v.facts()
	f.Status, f.Headers, f.Body, f.Text, f.XPath = a.status, headers, a.body, a.text, a.xpath
	f.LatencyMS = int(a.took.Milliseconds())
	return f
}

// facts is what rules see before there is an answer.
func (v *values) facts() facts {
	return facts{Vars: v.Rendered(), Stream: v.Job.Name, Account: v.Job.Account, Scheme: v.Scheme(),
		XPath: (&answer{}).xpath}
}

// show is the answer for an error: its status and the beginning of its text.
func (a *answer) show(m *secret.Masker) string {
	s := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if a.status >= 300 && a.status < 400 {
		if to := a.header.Get("Location"); to != "" {
			s += ", a redirect to " + boxes.Excerpt(m, shortURL(to)) + " that is not followed"
		}
	}
	if text := boxes.Excerpt(m, a.text); text != "" {
		return strings.TrimSpace(s) + ": " + text
	}
	return strings.TrimSpace(s)
}

// shortURL removes the parts of a URL that may hold secrets.
func shortURL(u string) string {
	u, _, _ = strings.Cut(u, "?")
	u, _, _ = strings.Cut(u, "#")
	if i := strings.Index(u, "://"); i >= 0 {
		if at := strings.LastIndexByte(u, '@'); at > i {
			u = u[:i+3] + u[at+1:]
		}
	}
	return u
}
