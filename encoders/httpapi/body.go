package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// bodyOf is the compiled body of a request.
type bodyOf struct {
	contentType string
	form        []param
	json        any // templates in place of texts
	text        boxes.Template
	at          boxes.Place
	kind        string // form, json, xml, body, or "" for none
}

func (c *compiler) body(key string, s Request) bodyOf {
	var b bodyOf
	var kinds []string
	if len(s.Form) > 0 {
		kinds = append(kinds, "form")
		b = bodyOf{contentType: "application/x-www-form-urlencoded", form: c.params(key+".form", s.Form)}
	}
	if s.JSON != nil {
		kinds = append(kinds, "json")
		b = bodyOf{contentType: "application/json", json: c.json(key+".json", s.JSON)}
	}
	if s.XML != "" {
		kinds = append(kinds, "xml")
		b = bodyOf{contentType: "application/xml", text: c.Template(key+".xml", s.XML), at: boxes.InXML}
	}
	if s.Body != "" {
		kinds = append(kinds, "body")
		b = bodyOf{contentType: "text/plain; charset=utf-8", text: c.Template(key+".body", s.Body), at: boxes.InText}
	}
	switch {
	case len(kinds) > 1:
		c.Fail(key, "has %s; a request has one body", strings.Join(kinds, " and "))
	case len(kinds) == 1:
		b.kind = kinds[0]
		if s.Method == "" || strings.EqualFold(s.Method, "GET") || strings.EqualFold(s.Method, "HEAD") {
			c.Fail(key+".method", "must be POST, PUT or PATCH for a request with a body")
		}
	}
	if s.ContentType != "" {
		b.contentType = s.ContentType
	}
	return b
}

// json copies a plain value with templates in place of its texts.
func (c *compiler) json(key string, v any) any {
	switch v := v.(type) {
	case string:
		return c.Template(key, v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = c.json(key+"."+k, e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = c.json(fmt.Sprintf("%s[%d]", key, i), e)
		}
		return out
	}
	return v
}

// fill writes the body. It is nil when there is none.
func (b bodyOf) fill(v *values, shown bool) ([]byte, error) {
	switch b.kind {
	case "":
		return nil, nil
	case "form":
		text, err := fillQuery(b.form, v, shown)
		return []byte(text), err
	case "json":
		filled, err := fillJSON(b.json, v, shown)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false) // a URL's & as it is: not every box undoes escapes
		err = e.Encode(filled)
		return bytes.TrimRight(out.Bytes(), "\n"), err
	}
	text, err := b.text.Fill(v.Values, b.at, shown)
	return []byte(text), err
}

func fillJSON(v any, val *values, shown bool) (any, error) {
	switch v := v.(type) {
	case boxes.Template:
		if name, ok := v.Alone(); ok && !shown {
			raw, _, err := val.Value(name)
			return raw, err
		}
		return v.Fill(val.Values, boxes.InText, shown)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			filled, err := fillJSON(e, val, shown)
			if err != nil {
				return nil, err
			}
			out[k] = filled
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			filled, err := fillJSON(e, val, shown)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	}
	return v, nil
}

func fillQuery(params []param, v *values, shown bool) (string, error) {
	var pairs []string
	for _, p := range params {
		name, err := p.name.Fill(v.Values, boxes.InText, shown)
		if err != nil {
			return "", err
		}
		text, err := fillParam(p.value, v, shown)
		if err != nil {
			return "", err
		}
		if shown && secret.Named(name) && text != "" {
			text = boxes.Mask
		}
		pairs = append(pairs, boxes.QueryEscape(name)+"="+text)
	}
	return strings.Join(pairs, "&"), nil
}

// fillParam fills a query or form value. All of it is escaped, also what was written in the
// settings.
func fillParam(t boxes.Template, v *values, shown bool) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.Name == "" {
			b.WriteString(boxes.QueryEscape(p.Text))
			continue
		}
		text, err := boxes.Template{p}.Fill(v.Values, boxes.InQuery, shown)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
