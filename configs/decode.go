package configs

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
)

// A decoder fills Go values from YAML nodes and collects everything that is wrong on the way.
type decoder struct {
	file     string
	refs     references
	problems []Problem

	at      map[string]keyPlace    // every key that the file sets
	noted   []string               // the paths of at in order; those of an encoder or stream go when it is decoded
	bad     map[string]bool        // paths with an error
	own     map[string]*yaml.Node  // values that the loader decodes itself, by path
	foreign map[*yaml.Node]place   // nodes of presets, with the place where the file names the preset
	shapes  map[reflect.Type]shape // struct tags, read once
	hidden  map[string]string      // secrets, with what is shown instead

	encoderNow *Encoder // whose settings are being decoded; nil: none

	literal *spot // the first secret that is written in the file itself; nil: there is none

	streamsWritten         int // entries of `streams:`, good or bad
	depth, aliases, copied int
}

// spot is a value and where it stands.
type spot struct {
	place
	path string
}

type keyPlace struct{ key, value place }

const (
	maxPath   = 200     // bytes of a path in a problem
	maxDepth  = 100     // of nesting; an anchor that contains itself would nest forever
	maxCopies = 100_000 // values that come from aliases; a few lines of nested aliases can stand for billions
)

func (d *decoder) placeOf(n *yaml.Node) place {
	if p, ok := d.foreign[n]; ok {
		return p
	}
	return place{max(n.Line, 1), max(n.Column, 1)}
}

func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	d.report(d.placeOf(n), path, false, format, args...)
}

// caution warns of a value that may be intended.
func (d *decoder) caution(n *yaml.Node, path, format string, args ...any) {
	d.report(d.placeOf(n), path, true, format, args...)
}

func (d *decoder) report(at place, path string, warning bool, format string, args ...any) {
	if !warning {
		d.bad[path] = true
	}
	switch {
	case path == "":
		path = "file"
	case len(path) > maxPath:
		path = path[:maxPath] + "..."
	}
	text := fmt.Sprintf(format, args...)
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Col: at.col, Key: path, Text: text,
		Warning: warning})
}

// join appends a key to a path. Keys that could be mistaken for a path are quoted.
func join(path, key string) string {
	if !simple(key) && (key == "" || strings.ContainsAny(key, ".: \"\\[]\t\r\n") || !strconv.CanBackquote(key)) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// simple reports whether a key needs no further check, as most do not.
func simple(key string) bool {
	for i := range len(key) {
		if c := key[i]; !isWord(c) && c != '-' {
			return false
		}
	}
	return key != ""
}

// note remembers the place of a key.
func (d *decoder) note(path string, f field) {
	d.at[path] = keyPlace{d.placeOf(f.key), d.placeOf(f.value)}
	d.noted = append(d.noted, path)
	if isNull(f.value) && f.value.Value == "" && isStuckTo(f.key.LineComment) {
		d.caution(f.key, path,
			"is empty, because the # begins a comment; put the value in quotes if the # is part of it")
	}
}

// isStuckTo reports whether a comment begins without a space after its #, as a value could.
func isStuckTo(comment string) bool {
	return len(comment) > 1 && !strings.ContainsAny(comment[1:2], " \t#!-=")
}

// find is the place of a key, or else of the nearest key around it.
func (d *decoder) find(path string) keyPlace {
	for p := path; ; {
		if k, ok := d.at[p]; ok {
			return k
		}
		parent, _, ok := cutLast(p)
		if !ok {
			return keyPlace{place{1, 1}, place{1, 1}}
		}
		p = parent
	}
}

// cutLast splits the last key off a path.
func cutLast(path string) (parent, key string, ok bool) {
	cut := strings.LastIndexAny(path, ".[")
	if cut < 0 {
		return "", path, false
	}
	return path[:cut], path[cut+1:], true
}

// alone is implemented by structs of which one value may stand for the whole: encoders: [main] is
// encoders: [{name: main}].
type alone interface{ Alone() (field string) }

// value fills v, which must be settable, from n.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, r rule) {
	defer d.leave(n)
	n, ok := d.follow(n, path)
	if !ok || d.scalar(n, v, path, r) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull(n) {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(prefilled(v.Type().Elem()).Addr())
		}
		d.value(n, v.Elem(), path, r)
	case reflect.Interface:
		if got := d.free(n, path); got != nil {
			v.Set(reflect.ValueOf(got))
		} else {
			v.SetZero()
		}
	case reflect.Struct:
		if a, ok := v.Interface().(alone); ok && n.Kind == yaml.ScalarNode && !isNull(n) {
			d.value(n, v.FieldByName(a.Alone()), path, d.shape(v.Type()).byField(a.Alone()).rule)
			return
		}
		d.structure(n, v, path, r)
	case reflect.Map:
		d.mapping(n, v, path, r)
	case reflect.Slice:
		d.list(n, v, path, r)
	default:
		d.fail(n, path, "has a type (%s) that the configuration cannot hold", v.Type())
	}
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, r rule) {
	fields, ok := d.fields(n, path, r.hint)
	if !ok {
		return
	}
	s := d.shape(v.Type())
	for _, f := range fields {
		p := join(path, f.name)
		k, known := s.byName[f.name]
		if path == "" && strings.HasPrefix(f.name, "x-") {
			continue // the user's own, for anchors
		}
		if !known {
			d.unknown(f.key, p, f.name, s.names)
			continue
		}
		d.note(p, f)
		if k.own {
			d.own[p] = f.value
			continue
		}
		d.value(f.value, v.FieldByIndex(k.index), p, k.rule)
	}
}

// moved tells users of MediaMTX or go2rtc which key takes the place of theirs.
var moved = map[string]string{
	"address":                    "write listen: HOST:PORT",
	"api":                        "write admin: {listen: HOST:PORT}",
	"apiAddress":                 "write admin: {listen: HOST:PORT}",
	"logLevel":                   "write log: {level: info}",
	"metricsAddress":             "metrics are on the admin side; write admin: {listen: HOST:PORT}",
	"paths":                      "streams go under streams, their sources under encoders",
	"pathDefaults":               "write defaults",
	"runOnDemand":                "a command line is an encoder; write encoders: NAME: ffmpeg: args: [...]",
	"runOnDemandCloseAfter":      "write idle_timeout",
	"runOnDemandStartTimeout":    "write start_timeout",
	"runOnInit":                  "a command line is an encoder; write encoders: NAME: ffmpeg: args: [...]",
	"source":                     "a source is an encoder; write encoders: NAME: ffmpeg: input: URL",
	"sourceOnDemand":             "every stream is on demand here; remove the key",
	"sourceOnDemandCloseAfter":   "write idle_timeout",
	"sourceOnDemandStartTimeout": "write start_timeout",
}

func (d *decoder) unknown(n *yaml.Node, path, name string, allowed []string) {
	hint := ""
	if near, ok := words.Nearest(name, allowed); ok {
		d.bad[strings.TrimSuffix(path, name)+near] = true // so that it is not called missing as well
	} else if to, ok := moved[name]; ok {
		hint = "; " + to
	}
	d.fail(n, path, "unknown key%s%s", hint, choices(name, allowed))
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string, r rule) {
	fields, ok := d.fields(n, path, r.hint)
	if !ok {
		return
	}
	if v.Type().Key().Kind() != reflect.String {
		d.fail(n, path, "has a type (%s) that the configuration cannot hold", v.Type())
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(fields))
	for _, f := range fields {
		p := join(path, f.name)
		d.note(p, f)
		e := prefilled(v.Type().Elem())
		if e.Kind() == reflect.Pointer { // so that a name alone is a mapping with nothing in it
			e.Set(prefilled(e.Type().Elem()).Addr())
			d.value(f.value, e.Elem(), p, r.element())
		} else {
			d.value(f.value, e, p, r.element())
		}
		out.SetMapIndex(reflect.ValueOf(f.name).Convert(v.Type().Key()), e)
	}
	v.Set(out)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, r rule) {
	if isNull(n) {
		v.SetZero()
		return
	}
	switch {
	case n.Kind == yaml.MappingNode && v.Type().Elem().Kind() == reflect.Struct: // one alone
		e := prefilled(v.Type().Elem())
		d.value(n, e, path, r.element())
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), e))
		return
	case n.Kind != yaml.SequenceNode:
		d.fail(n, path, "must be a list such as [a, b], not %s%s", kindOf(n), r.hint)
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, item := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		d.note(p, field{"", item, item})
		e := prefilled(v.Type().Elem())
		d.value(item, e, p, r.element())
		out = reflect.Append(out, e)
	}
	v.Set(out)
}

// prefilled is a new value with its defaults in it.
func prefilled(t reflect.Type) reflect.Value {
	p := reflect.New(t)
	if f, ok := p.Interface().(Prefiller); ok {
		f.Prefill()
	}
	return p.Elem()
}

var (
	octal      = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
	secretType = reflect.TypeFor[secret.Value]()
)

// free is n as plain Go values: map[string]any, []any, string, int, float64, bool, nil.
func (d *decoder) free(n *yaml.Node, path string) any {
	defer d.leave(n)
	n, ok := d.follow(n, path)
	if !ok {
		return nil
	}
	switch n.Kind {
	case yaml.MappingNode:
		fields, _ := d.fields(n, path, "")
		out := make(map[string]any, len(fields))
		for _, f := range fields {
			p := join(path, f.name)
			d.note(p, f)
			out[f.name] = d.free(f.value, p)
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, item := range n.Content {
			out[i] = d.free(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		if octal.MatchString(n.Value) {
			d.fail(n, path, "a number that begins with 0 means different things to different programs; remove the 0, "+
				"or put it in quotes")
			return nil
		}
		var got any
		if err := n.Decode(&got); err != nil {
			d.fail(n, path, "is not a number or true/false; put it in quotes if it is text")
		}
		return got
	}
	text, pieces, _ := d.text(n, path, "")
	d.hideReferred(text, pieces)
	return text
}
