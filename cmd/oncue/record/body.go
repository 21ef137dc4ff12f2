package record

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// body is what a request or an answer carries.
type body struct {
	kind string // json, form, xml, text, or "" for nothing
	json any
	form map[string]any
	text string
}

// leaf is one plain value of a body.
type leaf struct {
	kind   string // json, form, xml or text
	keys   []string
	text   string
	value  string // as an expression
	number bool
}

func (l leaf) path() string { return strings.Join(l.keys, "\x00") }

func (l leaf) key() string {
	if len(l.keys) == 0 {
		return ""
	}
	return l.keys[len(l.keys)-1]
}

// parse reads a body by its text; what it was called helps where the text does not tell.
func parse(text, called string) body {
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "":
		return body{}
	case trimmed[0] == '<':
		return body{kind: "xml", text: text}
	case strings.Contains(called, "form-urlencoded") && !strings.ContainsAny(trimmed, " \t\n\"'<>{}"):
		if values, err := url.ParseQuery(text); err == nil {
			b := body{kind: "form", form: map[string]any{}, text: text}
			for name := range values {
				b.form[name] = values.Get(name)
			}
			return b
		}
	}
	d := json.NewDecoder(strings.NewReader(trimmed))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err == nil && !d.More() {
		switch v.(type) {
		case map[string]any, []any:
			return body{kind: "json", json: v, text: text}
		}
	}
	return body{kind: "text", text: text}
}

// leaves lists the values of a request's body, in an order that depends on their keys alone.
func (b body) leaves() []leaf {
	var found []leaf
	switch b.kind {
	case "json":
		addLeaves(&found, leaf{kind: "json"}, b.json)
	case "form":
		addLeaves(&found, leaf{kind: "form"}, b.form)
	case "text", "xml":
		found = append(found, leaf{kind: "text", text: b.text})
	}
	return found
}

// answerLeaves lists the values of an answer that a rule can ask for.
func (b body) answerLeaves() []leaf {
	if b.kind != "xml" {
		found := b.leaves()
		if len(found) == 1 && found[0].kind == "text" {
			text := strings.TrimSpace(found[0].text)
			found[0].text, found[0].value = text, strconv.Quote(text)
		}
		return found
	}
	var found []leaf
	var at []string
	d := xml.NewDecoder(strings.NewReader(b.text))
	for {
		token, err := d.Token()
		if err != nil {
			return found
		}
		switch token := token.(type) {
		case xml.StartElement:
			at = append(at, token.Name.Local)
			for _, a := range token.Attr {
				keys := append(slices.Clone(at), "@"+a.Name.Local)
				found = append(found, leaf{kind: "xml", keys: keys, text: a.Value, value: strconv.Quote(a.Value)})
			}
		case xml.EndElement:
			at = at[:max(len(at)-1, 0)]
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); text != "" {
				found = append(found, leaf{kind: "xml", keys: slices.Clone(at), text: text, value: strconv.Quote(text)})
			}
		}
	}
}

func addLeaves(found *[]leaf, at leaf, v any) {
	below := func(key string) leaf {
		return leaf{kind: at.kind, keys: append(slices.Clone(at.keys), key)}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			addLeaves(found, below(key), v[key])
		}
	case []any:
		for i, e := range v {
			addLeaves(found, below(fmt.Sprint("#", i)), e)
		}
	case string:
		at.text, at.value = v, strconv.Quote(v)
		*found = append(*found, at)
	case nil:
		at.text, at.value = "null", "nil"
		*found = append(*found, at)
	default:
		at.text, at.value = fmt.Sprint(v), fmt.Sprint(v)
		_, at.number = v.(json.Number)
		*found = append(*found, at)
	}
}

var simpleKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// rule is the condition that an answer holds this value.
func (l leaf) rule() string { return l.expression() + " == " + l.value }

// expression finds the value in an answer.
func (l leaf) expression() string {
	switch l.kind {
	case "text":
		return "trim(text)"
	case "xml":
		return fmt.Sprintf("xpath(%q)", "/"+strings.Join(l.keys, "/"))
	}
	e := "body"
	for _, key := range l.keys {
		n, isIndex := strings.CutPrefix(key, "#")
		switch {
		case isIndex && n == "0":
			e = "first(" + e + " ?? [])"
		case isIndex:
			e = "get(" + e + " ?? [], " + n + ")"
		case simpleKey.MatchString(key):
			e += "?." + key
		default:
			e = fmt.Sprintf("get(%s ?? {}, %q)", e, key)
		}
	}
	return e
}

// flow writes a value as JSON, which is YAML, too.
func flow(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // plain values cannot fail
	return strings.TrimSpace(b.String())
}
