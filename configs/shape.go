package configs

import (
	"reflect"
	"strings"
)

// A rule is what struct tags require of a value.
type rule struct {
	enum     []string
	min, max string
	shown    bool   // its text is no secret, whatever it is
	hint     string // added to errors about the kind of value, "; " first
	doc      string
}

// element is the rule for what is inside a list or mapping.
func (r rule) element() rule { return rule{enum: r.enum, min: r.min, max: r.max, shown: r.shown} }

// key is one key of a struct.
type key struct {
	name  string
	field string // of Go
	index []int
	typ   reflect.Type
	own   bool // the loader decodes it itself
	rule  rule
}

// shape is a struct as a mapping.
type shape struct {
	keys   []key
	names  []string
	byName map[string]key
}

// byField is the key of a Go field; empty when it has none.
func (s shape) byField(name string) key {
	for _, k := range s.keys {
		if k.field == name {
			return k
		}
	}
	return key{}
}

func (d *decoder) shape(t reflect.Type) shape {
	s, ok := d.shapes[t]
	if !ok {
		s = shapeOf(t)
		d.shapes[t] = s
	}
	return s
}

// shapeOf reads the tags of a struct type. Embedded structs stand inline; a field without a yaml
// tag is no key.
func shapeOf(t reflect.Type) shape {
	s := shape{byName: map[string]key{}}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		k := key{name: name, field: f.Name, index: f.Index, typ: f.Type, own: options == "own", rule: ruleOf(f.Tag)}
		s.keys = append(s.keys, k)
		s.names = append(s.names, name)
		s.byName[name] = k
	}
	return s
}

func ruleOf(tag reflect.StructTag) rule {
	r := rule{min: tag.Get("min"), max: tag.Get("max"), doc: tag.Get("doc")}
	if e := tag.Get("enum"); e != "" {
		r.enum = strings.Split(e, ",")
	}
	r.shown = tag.Get("shown") == "yes" || len(r.enum) > 0
	if h := tag.Get("hint"); h != "" {
		r.hint = "; " + h
	}
	return r
}
