package configs

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/secret"
)

// Archive writes the configuration as it was understood, for a support archive: numbers, durations
// and choices as they are, of texts only those whose keys are marked as shown (see [Options]), of
// other addresses the scheme and the host, and a mask for everything else. It leaves out defaults.
// It cannot be loaded.
func (c *Config) Archive(drivers map[string]func() any) ([]byte, error) {
	root := archived(reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem())
	lists := map[bool]*yaml.Node{false: {Kind: yaml.MappingNode}, true: {Kind: yaml.MappingNode}}
	for _, e := range c.Boxes() {
		usual := &Encoder{Helper: e.Helper}
		usual.prefill()
		settings := reflect.ValueOf(e.Settings).Elem()
		inner := archived(settings, reflect.ValueOf(drivers[e.Driver]()).Elem())
		m := archived(e.beside(), usual.beside())
		put(m, e.Driver, inner)
		put(lists[e.Helper], e.Name, m)
	}
	put(root, "encoders", lists[false])
	if len(c.Helpers) > 0 {
		put(root, "helpers", lists[true])
	}
	list := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range c.Streams {
		m := archived(reflect.ValueOf(streamKeys{Timing: s.Timing}), reflect.ValueOf(streamKeys{Timing: c.Defaults}))
		used := &yaml.Node{Kind: yaml.SequenceNode}
		for i, name := range s.All() {
			e := &yaml.Node{Kind: yaml.MappingNode}
			put(e, "name", word(name))
			if shown := c.Masked(s, i); len(shown) > 0 {
				put(e, "publish", word(strings.Join(shown, " ")))
			}
			if name == s.Cover {
				put(m, "cover", e)
				continue
			}
			used.Content = append(used.Content, e)
		}
		put(m, "encoders", used)
		put(list, s.ID, m)
	}
	put(root, "streams", list)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := errors.Join(e.Encode(root), e.Close())
	return out.Bytes(), err
}

// archived is a struct as a mapping of what differs from its defaults.
func archived(v, defaults reflect.Value) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range shapeOf(v.Type()).keys {
		value, usual := v.FieldByIndex(k.index), defaults.FieldByIndex(k.index)
		if !k.own && !reflect.DeepEqual(value.Interface(), usual.Interface()) {
			put(m, k.name, archivedValue(value, usual, k.rule))
		}
	}
	return m
}

func archivedValue(v, usual reflect.Value, r rule) *yaml.Node {
	t := v.Type()
	switch {
	case t == secretType:
		return word(v.Interface().(secret.Value).String())
	case t == durationType, t == prefixType, isText(t):
		return word(textOf(v))
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return word("")
		}
		return archivedValue(v.Elem(), prefilled(t.Elem()), r)
	case reflect.Interface:
		return archivedFree(v.Interface())
	case reflect.Struct:
		return archived(v, usual)
	case reflect.Map:
		m := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range slices.SortedFunc(slices.Values(v.MapKeys()),
			func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			put(m, key.String(), archivedValue(v.MapIndex(key), prefilled(t.Elem()), r.element()))
		}
		return m
	case reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			list.Content = append(list.Content, archivedValue(v.Index(i), prefilled(t.Elem()), r.element()))
		}
		return list
	case reflect.String:
		if r.shown {
			return word((*secret.Masker)(nil).Mask(v.String()))
		}
		return word(maskedText(v.String()))
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: textOf(v)}
}

// archivedFree is a free value, with only its keys shown.
func archivedFree(v any) *yaml.Node {
	switch v := v.(type) {
	case nil:
		return word("")
	case map[string]any, []any:
		return archivedValue(reflect.ValueOf(v), reflect.Value{}, rule{})
	}
	return word(secret.Mask)
}

// maskedText shows the scheme and host of an address, and nothing of other texts.
func maskedText(text string) string {
	if text == "" {
		return ""
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || strings.ContainsAny(text, " \t\r\n'\"") {
		return secret.Mask
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return scheme + "://" + rest[strings.LastIndexByte(rest, '@')+1:] + "/" + secret.Mask
}

func put(m *yaml.Node, key string, value *yaml.Node) { m.Content = append(m.Content, word(key), value) }

func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}
