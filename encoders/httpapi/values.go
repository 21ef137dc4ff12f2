package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// values is what placeholders stand for, in one call of the driver.
type values struct {
	plan     *plan
	job      encoders.Job
	captured map[string]string // from the login
	mask     *secret.Masker
}

// errBeforeLogin is in the chain when only a login gives the value.
var errBeforeLogin = errors.New("is not known before the login")

// text returns the value of a name as text, and whether it must be hidden.
func (v *values) text(name string) (value string, hidden bool, err error) {
	raw, hidden, err := v.value(name)
	if err != nil {
		return "", false, err
	}
	value, ok := scalar(raw)
	if !ok {
		return "", false, fmt.Errorf("{%s} is not a plain value", name)
	}
	return value, hidden, nil
}

// value returns the value of a name in its own type.
func (v *values) value(name string) (value any, hidden bool, err error) {
	s := &v.plan.settings
	switch name {
	case "stream":
		return v.job.Name, false, nil
	case "account":
		return v.job.Account, false, nil
	case "username":
		return s.Username, false, nil
	case "password":
		return s.Password.Reveal(), true, nil
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n > len(v.job.Matches) {
			return nil, false, fmt.Errorf("{%s}: the stream's pattern has no such part", name)
		}
		return v.job.Matches[n-1], false, nil
	}
	if slices.Contains(publishNames, name) {
		part, ok := splitPublish(v.job.Publish.Reveal())[name]
		if !ok || part == "" {
			return nil, false, fmt.Errorf("{%s}: the stream's publish does not give it", name)
		}
		return part, true, nil
	}
	if t, ok := v.plan.vars[name]; ok {
		text, err := t.fill(v, inText, false)
		return text, t.hidden(v.plan), err
	}
	if value, ok := s.Vars[name]; ok {
		return value, false, nil
	}
	if value, ok := s.Secrets[name]; ok {
		return value.Reveal(), true, nil
	}
	if value, ok := v.captured[name]; ok {
		return value, true, nil
	}
	return nil, false, fmt.Errorf("{%s}: %w", name, errBeforeLogin)
}

// hidden reports whether the text holds a secret. The compiler has refused cycles.
func (t template) hidden(p *plan) bool {
	for _, piece := range t {
		if piece.name == "password" || slices.Contains(publishNames, piece.name) {
			return true
		}
		if _, ok := p.settings.Secrets[piece.name]; ok {
			return true
		}
		if inner, ok := p.vars[piece.name]; ok && inner.hidden(p) {
			return true
		}
	}
	return false
}

// publishNames are the placeholders that splitPublish can give.
var publishNames = []string{
	"publish", "publish_server", "publish_key", "publish_stream", "publish_token", "publish_query", "publish_streamid",
}

// splitPublish splits a publishing URL. For RTMP, the key is the stream's name with its query, and
// the server what is before it. For SRT, the key is the decoded stream id, and the server has no
// options. For WHIP, the key is what follows the last slash.
func splitPublish(full string) map[string]string {
	parts := map[string]string{"publish": full}
	address, query, _ := strings.Cut(full, "?")
	parts["publish_query"] = query
	a, err := ingest.Parse(full)
	if err != nil {
		return parts
	}
	parts["publish_server"], parts["publish_key"] = a.Server(), a.Key()
	parts["publish_stream"], parts["publish_token"], parts["publish_streamid"] = a.Stream, a.Token, a.ID
	switch i := strings.LastIndexByte(address, '/'); {
	case a.ID != "":
		parts["publish_server"] = address
	case a.WHIP():
		parts["publish_server"], parts["publish_key"] = address[:i], full[i+1:]
	}
	return parts
}

// rendered returns vars for the rules: texts with their placeholders filled, other values
// unchanged.
func (v *values) rendered() map[string]any {
	out := make(map[string]any, len(v.plan.settings.Vars))
	for name, raw := range v.plan.settings.Vars {
		out[name] = raw
		if t, ok := v.plan.vars[name]; ok {
			if text, err := t.fill(v, inText, false); err == nil {
				out[name] = text
			}
		}
	}
	return out
}
