package boxes

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// Values is what placeholders stand for, in one call of the driver.
type Values struct {
	Words    *Words
	Job      encoders.Job
	Captured map[string]string // what the box has told, such as the name of a session
	Mask     *secret.Masker
}

// ErrNotYet is in the chain when only the box gives the value.
var ErrNotYet = errors.New("is not known before the login")

// Text returns the value of a name as text, and whether it must be hidden.
func (v *Values) Text(name string) (value string, hidden bool, err error) {
	raw, hidden, err := v.Value(name)
	if err != nil {
		return "", false, err
	}
	value, ok := Scalar(raw)
	if !ok {
		return "", false, fmt.Errorf("{%s} is not a plain value", name)
	}
	return value, hidden, nil
}

// Value returns the value of a name in its own type.
func (v *Values) Value(name string) (value any, hidden bool, err error) {
	w := v.Words
	switch name {
	case "stream":
		return v.Job.Name, false, nil
	case "account":
		return v.Job.Account, false, nil
	case "username":
		return w.Username, false, nil
	case "password":
		return w.Password.Reveal(), true, nil
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n > len(v.Job.Matches) {
			return nil, false, fmt.Errorf("{%s}: the stream's pattern has no such part", name)
		}
		return v.Job.Matches[n-1], false, nil
	}
	if slices.Contains(PublishNames, name) {
		part, ok := SplitPublish(v.Job.Publish.Reveal())[name]
		if !ok || part == "" {
			return nil, false, fmt.Errorf("{%s}: the stream's publish does not give it", name)
		}
		return part, true, nil
	}
	if t, ok := w.texts[name]; ok {
		text, err := t.Fill(v, InText, false)
		return text, t.hidden(w), err
	}
	if value, ok := w.Vars[name]; ok {
		return value, false, nil
	}
	if value, ok := w.Secrets[name]; ok {
		return value.Reveal(), true, nil
	}
	if value, ok := v.Captured[name]; ok {
		return value, true, nil
	}
	return nil, false, fmt.Errorf("{%s}: %w", name, ErrNotYet)
}

// hidden reports whether the text holds a secret. The compiler has refused cycles.
func (t Template) hidden(w *Words) bool {
	for _, piece := range t {
		if piece.Name == "password" || slices.Contains(PublishNames, piece.Name) {
			return true
		}
		if _, ok := w.Secrets[piece.Name]; ok {
			return true
		}
		if inner, ok := w.texts[piece.Name]; ok && inner.hidden(w) {
			return true
		}
	}
	return false
}

// PublishNames are the placeholders that SplitPublish can give.
var PublishNames = []string{
	"publish", "publish_server", "publish_key", "publish_stream", "publish_token", "publish_query", "publish_streamid",
}

// fixedNames are the placeholders that every box has.
var fixedNames = append([]string{"stream", "account", "username", "password"}, PublishNames...)

// SplitPublish splits a publishing URL. For RTMP, the key is the stream's name with its query, and
// the server what is before it. For SRT, the key is the decoded stream id, and the server has no
// options. For WHIP, the key is what follows the last slash.
func SplitPublish(full string) map[string]string {
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

// Scheme is that of the publishing URL, such as rtmps.
func (v *Values) Scheme() string {
	scheme, _, _ := strings.Cut(v.Job.Publish.Reveal(), "://")
	return scheme
}

// Rendered returns vars for the rules: texts with their placeholders filled, other values
// unchanged.
func (v *Values) Rendered() map[string]any {
	out := make(map[string]any, len(v.Words.Vars))
	maps.Copy(out, v.Words.Vars)
	for name, t := range v.Words.texts {
		if text, err := t.Fill(v, InText, false); err == nil {
			out[name] = text
		}
	}
	return out
}
