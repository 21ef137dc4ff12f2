package httpapi

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"github.com/oncue/oncue/encoders/boxes"
)

// rendered is a request as it goes to the box, with texts that show it to people.
type rendered struct {
	method  string
	url     *url.URL
	headers [][2]string
	body    []byte

	contentType string
	shown       string // method and address, secrets masked
	target      string // method and path alone, for errors
}

// render fills a request. session adds the headers and parameters of a login; it may be nil.
func (r *request) render(v *values, session *login) (*rendered, error) {
	out := &rendered{method: r.method}
	base, target, err := r.address(v, session, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.key, err)
	}
	if out.url, err = url.Parse(base + target); err != nil {
		return nil, fmt.Errorf("%s: the address cannot be built", r.key)
	}
	base, target, err = r.address(v, session, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.key, err)
	}
	out.shown = r.method + " " + boxes.Clean(v.Mask, base+target)
	out.target = r.method + " " + boxes.Clean(v.Mask, cmp.Or(target, "/"))
	headers := r.headers
	if session != nil {
		headers = append(headers[:len(headers):len(headers)], session.headers...)
	}
	for _, p := range headers {
		name, err := p.name.Fill(v.Values, boxes.InHeader, false)
		if err != nil {
			return nil, fmt.Errorf("%s.headers: %w", r.key, err)
		}
		value, err := p.value.Fill(v.Values, boxes.InHeader, false)
		if err != nil {
			return nil, fmt.Errorf("%s.headers: %w", r.key, err)
		}
		out.headers = append(out.headers, [2]string{name, value})
	}
	if out.body, err = r.body.fill(v, false); err != nil {
		return nil, fmt.Errorf("%s: %w", r.key, err)
	}
	if out.body != nil {
		out.contentType = r.body.contentType
	}
	return out, nil
}

// address is the URL: where the box is, and path and query.
func (r *request) address(v *values, session *login, shown bool) (base, target string, err error) {
	base, err = v.plan.base(v.Values, shown)
	if err != nil {
		return "", "", err
	}
	path, query, err := r.fillPath(v, shown)
	if err != nil {
		return "", "", err
	}
	params := r.query
	if session != nil {
		params = append(params[:len(params):len(params)], session.query...)
	}
	if v.plan.auth == "query" && session == nil {
		value := v.plan.authText
		if shown {
			value = boxes.Template{{Text: boxes.Mask}}
		}
		params = append(params[:len(params):len(params)], param{boxes.Template{{Text: v.plan.settings.AuthName}}, value})
	}
	more, err := fillQuery(params, v, shown)
	if err != nil {
		return "", "", err
	}
	if query != "" && more != "" {
		query += "&"
	}
	if query += more; query != "" {
		query = "?" + query
	}
	base = strings.TrimRight(base, "/")
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return base, path + query, nil
}

// fillPath fills the path, and the query that may follow it.
func (r *request) fillPath(v *values, shown bool) (path, query string, err error) {
	at, out := boxes.InPath, [2]strings.Builder{}
	for _, p := range r.path {
		if p.Name != "" {
			text, err := boxes.Template{p}.Fill(v.Values, at, shown)
			if err != nil {
				return "", "", err
			}
			out[at-boxes.InPath].WriteString(text)
			continue
		}
		text := p.Text
		if i := strings.IndexByte(text, '?'); i >= 0 && at == boxes.InPath {
			out[0].WriteString(text[:i])
			text, at = text[i+1:], boxes.InQuery
		}
		out[at-boxes.InPath].WriteString(strings.ReplaceAll(text, " ", "%20"))
	}
	return out[0].String(), out[1].String(), nil
}

// outline is the request with vars filled in and everything else as it is written.
func (r *request) outline(p *plan) string {
	var b strings.Builder
	b.WriteString(r.method + " ")
	put := func(t boxes.Template) { b.WriteString(p.words.Outline(t)) }
	put(p.url)
	put(r.path)
	for _, q := range r.query {
		b.WriteString(" ")
		put(q.name)
		b.WriteString("=")
		put(q.value)
	}
	return b.String()
}
