package configs

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/oncue/oncue/configs/words"
)

// Schema is the JSON Schema (draft 2020-12) of the configuration file, for editors: what may stand
// where, what it is for, and what holds when it is not there. Drivers are as in [Options].
func Schema(drivers map[string]func() any) []byte {
	g := generator{drivers: drivers}
	s := g.object(reflect.ValueOf(Default()).Elem())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "oncue configuration"
	s["patternProperties"] = object{"^x-": true}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("configs: the schema is made of maps, texts and numbers only: " + err.Error())
	}
	return append(out, '\n')
}

type object = map[string]any

type generator struct {
	drivers map[string]func() any
	inside  []reflect.Type // structs around the present one, to end recursion
}

const (
	referencePattern = `\$\{`
	durationPattern  = `^(0|([0-9]+d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*)$`
)

// orReference allows ${NAME} where the text itself must have a form.
func orReference(s object) object {
	return object{"anyOf": []any{s, object{"type": "string", "pattern": referencePattern}}}
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// of is the schema for v, whose present value is the default.
func (g *generator) of(v reflect.Value, r rule) object {
	s := g.kind(v, r)
	if r.doc != "" {
		s["description"] = r.doc
	}
	if def, ok := defaultOf(v); ok {
		if text, is := def.(string); is && len(r.enum) > 0 {
			def = choice(text)
		}
		s["default"] = def
	}
	return s
}

// choice is a word of an enum as the file has it.
func choice(word string) any {
	if word == "true" || word == "false" {
		return word == "true"
	}
	return word
}

func (g *generator) kind(v reflect.Value, r rule) object {
	t := v.Type()
	text := object{"type": []string{"string", "number", "null"}}
	switch {
	case t == secretType:
		return text
	case t == durationType:
		return object{"anyOf": []any{
			object{"type": "string", "pattern": durationPattern}, object{"const": 0},
			object{"type": "string", "pattern": referencePattern},
		}}
	case isText(t):
		return object{"type": []string{"string", "number"}}
	}
	switch v.Kind() {
	case reflect.String:
		if len(r.enum) > 0 {
			var choices []any
			for _, word := range r.enum {
				choices = append(choices, choice(word))
			}
			return orReference(object{"enum": choices})
		}
		return text
	case reflect.Bool:
		return orReference(object{"type": "boolean"})
	case reflect.Float32, reflect.Float64:
		return orReference(bounded(object{"type": "number"}, r))
	case reflect.Pointer:
		return g.kind(prefilled(t.Elem()), r)
	case reflect.Slice:
		item := g.of(prefilled(t.Elem()), r.element())
		list := object{"type": []string{"array", "null"}, "items": item}
		if t.Elem().Kind() == reflect.Struct && t.Elem() != secretType && !isText(t.Elem()) {
			return object{"anyOf": []any{list, item}} // one may stand alone
		}
		return list
	case reflect.Map:
		return object{"type": []string{"object", "null"},
			"additionalProperties": g.of(prefilled(t.Elem()), r.element())}
	case reflect.Struct:
		if slices.Contains(g.inside, t) {
			return object{"type": []string{"object", "null"}}
		}
		if a, ok := v.Interface().(alone); ok {
			one := g.of(v.FieldByName(a.Alone()), shapeOf(t).byField(a.Alone()).rule)
			return object{"anyOf": []any{one, g.object(v)}}
		}
		return g.object(v)
	case reflect.Interface:
		return object{}
	default:
		return orReference(bounded(object{"type": "integer"}, r))
	}
}

func bounded(s object, r rule) object {
	if n, err := strconv.ParseFloat(r.min, 64); err == nil {
		s["minimum"] = n
	}
	if n, err := strconv.ParseFloat(r.max, 64); err == nil {
		s["maximum"] = n
	}
	return s
}

// object is the schema of a struct.
func (g *generator) object(v reflect.Value) object {
	g.inside = append(g.inside, v.Type())
	defer func() { g.inside = g.inside[:len(g.inside)-1] }()
	properties := object{}
	for _, k := range shapeOf(v.Type()).keys {
		var s object
		switch k.typ {
		case reflect.TypeFor[[]*Encoder]():
			s = g.encoders(k.name == "helpers")
		case reflect.TypeFor[[]*Stream]():
			s = object{"type": []string{"object", "null"},
				"additionalProperties": g.object(reflect.ValueOf(streamKeys{Timing: builtIn()}))}
		default:
			properties[k.name] = g.of(v.FieldByIndex(k.index), k.rule)
			continue
		}
		s["description"] = k.rule.doc
		properties[k.name] = s
	}
	return object{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
}

func (g *generator) encoders(helpers bool) object {
	e := &Encoder{Helper: helpers}
	e.prefill()
	properties, _ := g.object(e.beside())["properties"].(object)
	var one []any // exactly one driver
	for _, name := range slices.Sorted(maps.Keys(g.drivers)) {
		settings := g.drivers[name]
		if _, ok := settings().(HelperOnly); ok && !helpers {
			continue
		}
		properties[name] = g.object(reflect.ValueOf(settings()).Elem())
		one = append(one, object{"required": []string{name}})
	}
	return object{"type": []string{"object", "null"}, "additionalProperties": object{
		"type": "object", "properties": properties, "additionalProperties": false, "oneOf": one,
	}}
}

// defaultOf is a value as JSON has it; ok is false for secrets and for what has no value of its
// own.
func defaultOf(v reflect.Value) (any, bool) {
	switch x := v.Interface().(type) {
	case time.Duration:
		return words.FormatDuration(x), true
	case fmt.Stringer:
		return x.String(), v.Type() != secretType
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Interface, reflect.Pointer:
		return nil, false
	case reflect.Slice:
		if v.Len() > 0 && v.Type().Elem().Kind() == reflect.String {
			return v.Interface(), true
		}
		return []any{}, v.Len() == 0
	}
	return v.Interface(), true
}
