package configs

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// encoders decodes `encoders:` or `helpers:`, each by the driver that one of its keys names.
func (d *decoder) encoders(c *Config, section string, drivers map[string]func() any) []*Encoder {
	if _, ok := d.own[section]; !ok {
		return nil
	}
	known := slices.Sorted(maps.Keys(drivers))
	one := strings.TrimSuffix(section, "s")
	entries, _ := d.fields(d.own[section], section, "; each "+one+" is NAME: {DRIVER: {...}}")
	list := make([]*Encoder, 0, len(entries))
	for _, f := range entries {
		path := join(section, f.name)
		before := len(d.noted)
		d.note(path, f)
		e := &Encoder{Name: f.name, Helper: section == "helpers", Line: d.placeOf(f.key).line}
		e.prefill()
		if !plain(f.name) {
			d.fail(f.key, path, "the name of an encoder or helper may hold letters, digits, dot, _ and -, at most 128, "+
				"and begins with a letter or digit")
		}
		if other := c.encoders[f.name]; other != nil {
			d.fail(f.key, path, "there is an encoder of that name (line %d); give the helper another", other.Line)
			continue
		}
		if d.encoder(f.value, e, path, drivers, known) {
			list = append(list, e)
		}
		c.encoders[f.name] = e
		d.noted = d.noted[:before]
	}
	return list
}

// prefill fills in the defaults of the keys beside the driver's.
func (e *Encoder) prefill() {
	if e.Helper {
		e.Linger, e.ReadyTimeout = time.Minute, 30*time.Second
	} else {
		e.Cost = 1
	}
}

// beside is the struct of the keys beside the driver's.
func (e *Encoder) beside() reflect.Value {
	if e.Helper {
		return reflect.ValueOf(&e.HelperKeys).Elem()
	}
	return reflect.ValueOf(&e.EncoderKeys).Elem()
}

func (d *decoder) encoder(n *yaml.Node, e *Encoder, path string, drivers map[string]func() any, known []string) bool {
	one := func() string { return "write exactly one of " + strings.Join(known, ", ") }
	hint := ""
	if n.Kind != yaml.MappingNode {
		hint = fmt.Sprintf("; %s, such as %s: {%s: {}}", one(), e.Name, first(known))
	}
	keys, ok := d.fields(n, path, hint)
	if !ok {
		return false
	}
	var chosen *field
	beside := d.shape(e.beside().Type())
	for i, k := range keys {
		if own, ok := beside.byName[k.name]; ok {
			d.note(join(path, k.name), k)
			d.value(k.value, e.beside().FieldByIndex(own.index), join(path, k.name), own.rule)
			continue
		}
		if _, ok := drivers[k.name]; !ok {
			if owners := d.driversWith(k.name, drivers, chosen); len(owners) > 0 {
				d.fail(k.key, join(path, k.name), "is a key of %s; put it below %s:, indented further",
					strings.Join(owners, " and "), strings.Join(owners, ": or "))
			} else {
				d.fail(k.key, join(path, k.name), "unknown driver or key%s",
					choices(k.name, slices.Concat(known, beside.names)))
			}
			return false
		}
		if chosen != nil {
			d.fail(k.key, join(path, k.name), "this entry already has the driver %s (line %d); %s", chosen.name,
				d.placeOf(chosen.key).line, one())
			return false
		}
		chosen = &keys[i]
	}
	if chosen == nil {
		d.fail(n, path, "names no driver; %s", one())
		return false
	}
	settings := drivers[chosen.name]()
	v := reflect.ValueOf(settings)
	path = join(path, chosen.name)
	d.note(path, *chosen)
	d.encoderNow = e
	defer func() { d.encoderNow = nil }()
	d.value(d.preset(chosen.value, settings, path), v.Elem(), path,
		rule{hint: "; write " + chosen.name + ": {} when there is nothing to set"})
	e.Driver, e.Settings = chosen.name, settings
	if _, ok := settings.(HelperOnly); ok && !e.Helper {
		d.fail(chosen.key, path, "publishes nothing; write it under helpers:, and its name under needs: of an encoder")
	}
	if p, ok := settings.(Publisher); ok && e.Helper && p.NeedsPublish() && !goesWithout(settings) {
		d.fail(chosen.key, path, "asks for the URL to publish to, and a helper publishes nothing")
	}
	if !d.bad[path] && !d.bad[join(path, "preset")] { // without its preset everything would be missing
		switch check := settings.(type) {
		case Validator:
			d.validate(errors.Join(check.Validate()...), path, d.shape(v.Elem().Type()))
		case JoinedValidator:
			d.validate(check.Validate(), path, d.shape(v.Elem().Type()))
		}
		if r, ok := settings.(SecretRefuser); ok {
			d.validate(r.RefuseSecrets(e.Secrets), path, d.shape(v.Elem().Type()))
		}
		if n, ok := settings.(Noter); ok && !d.badBelow(path) {
			d.findings(errors.Join(n.Notes()...), path, d.shape(v.Elem().Type()), d.remark)
		}
	}
	return true
}

// driversWith lists the drivers whose settings have that key, or only the chosen one if it has.
func (d *decoder) driversWith(name string, drivers map[string]func() any, chosen *field) []string {
	var owners []string
	for _, driver := range slices.Sorted(maps.Keys(drivers)) {
		if _, has := d.shape(reflect.TypeOf(drivers[driver]()).Elem()).byName[name]; !has {
			continue
		}
		if chosen != nil && chosen.name == driver {
			return []string{driver}
		}
		owners = append(owners, driver)
	}
	return owners
}

var keyed = regexp.MustCompile(`^(([a-z][a-z0-9_]*)(?:[.\[][^: ]*)?): (.+)$`)

// validate reports the findings of a validator about the settings at path, each at the key with
// which it begins.
func (d *decoder) validate(err error, path string, s shape) {
	d.findings(err, path, s, func(key, format string, args ...any) {
		if d.isSet(key) {
			d.wrong(key, format, args...)
		} else {
			d.missing(key, format, args...)
		}
	})
}

// findings calls report for each finding, with the key with which it begins.
func (d *decoder) findings(err error, path string, s shape, report func(key, format string, args ...any)) {
	if err == nil {
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			d.findings(e, path, s, report)
		}
		return
	}
	key, text := path, err.Error()
	if m := keyed.FindStringSubmatch(text); m != nil {
		if _, known := s.byName[m[2]]; known {
			key, text = m[1], m[3]
			if path != "" {
				key = path + "." + key
			}
		}
	}
	report(key, "%s", text)
}

// badBelow reports whether a key at or below path has an error.
func (d *decoder) badBelow(path string) bool {
	for bad := range d.bad {
		if bad == path || strings.HasPrefix(bad, path+".") {
			return true
		}
	}
	return false
}

func first(names []string) string {
	if len(names) == 0 {
		return "DRIVER"
	}
	return names[0]
}

// preset lays the settings of the file over those of the preset that they name, and returns n when
// they name none.
func (d *decoder) preset(n *yaml.Node, settings any, path string) *yaml.Node {
	p, ok := settings.(Presetter)
	if !ok {
		return n
	}
	fields, ok := d.fields(n, path, "")
	if !ok {
		return n
	}
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == "preset" })
	if i < 0 || isNull(fields[i].value) {
		return n
	}
	chosen := fields[i]
	d.note(join(path, "preset"), chosen)
	name, pieces := d.refs.expand(chosen.value.Value)
	if chosen.value.Kind != yaml.ScalarNode || slices.ContainsFunc(pieces, func(p piece) bool { return p.err != nil }) {
		return n // decoding the key itself says why
	}
	data, err := p.PresetYAML(name)
	if err != nil {
		d.fail(chosen.value, join(path, "preset"), "%s", err)
		return n
	}
	base, err := parseYAML(data)
	if err != nil || base == nil || base.Kind != yaml.MappingNode {
		d.fail(chosen.value, join(path, "preset"), "the preset %s is broken: not a YAML mapping", show(chosen.value))
		return n
	}
	d.adopt(base, d.placeOf(chosen.value))
	return d.overlay(base, fields)
}

// adopt makes problems inside a preset point at the place that names it.
func (d *decoder) adopt(n *yaml.Node, at place) {
	d.foreign[n] = at
	for _, child := range n.Content {
		d.adopt(child, at)
	}
}

// overlay returns base with the fields of the file over it: mappings key by key, all else replaced.
func (d *decoder) overlay(base *yaml.Node, over []field) *yaml.Node {
	out := *base
	out.Content = slices.Clone(base.Content)
	d.foreign[&out] = d.foreign[base]
	for _, f := range over {
		at := -1
		for i := 0; i+1 < len(out.Content); i += 2 {
			if out.Content[i].Value == f.name {
				at = i
			}
		}
		if at < 0 {
			out.Content = append(out.Content, f.key, f.value)
			continue
		}
		value := f.value
		if old := out.Content[at+1]; old.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode {
			if inner, ok := d.fields(value, f.name, ""); ok {
				value = d.overlay(old, inner)
			}
		}
		out.Content[at], out.Content[at+1] = f.key, value
	}
	return &out
}
