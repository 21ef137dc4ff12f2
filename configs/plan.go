package configs

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// StreamPlan is one stream as it would run.
type StreamPlan struct {
	ID       string
	Pattern  bool // stands for every name that matches
	Line     int  // where the file defines it
	Encoders []EncoderPlan
	Publish  string    // scheme and host, the rest masked; "" when the encoder knows by itself
	Keys     []KeyPlan // every key of Timing, in the order of the documentation
}

// EncoderPlan names one encoder of a stream.
type EncoderPlan struct {
	Name, Driver string
	Line         int
}

// KeyPlan is one resolved key.
type KeyPlan struct {
	Key, Value string
	Origin     Origin
}

// Plan tells what would run, stream by stream in file order, and where each value came from.
func (c *Config) Plan() []StreamPlan {
	plans := make([]StreamPlan, 0, len(c.Streams))
	for _, s := range c.Streams {
		p := StreamPlan{ID: s.ID, Pattern: s.IsPattern, Line: s.Line, Publish: masked(s.Publish)}
		for _, name := range s.Encoders {
			e := c.encoders[name]
			p.Encoders = append(p.Encoders, EncoderPlan{e.Name, e.Driver, e.Line})
		}
		for _, l := range leaves(reflect.ValueOf(s.Timing), "") {
			p.Keys = append(p.Keys, KeyPlan{l.path, l.text(), s.Origin(l.path)})
		}
		plans = append(plans, p)
	}
	return plans
}

// masked shows where a publishing URL leads, and not with which key.
func masked(v secret.Value) string {
	if !v.Set() {
		return ""
	}
	scheme, rest, ok := strings.Cut(v.Reveal(), "://")
	if !ok {
		return secret.Mask
	}
	host := rest
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		host = host[:end]
	}
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		host = host[at+1:]
	}
	return scheme + "://" + host + "/" + secret.Mask
}

// A leaf is one value of a struct tree that has a key of its own; lists and free mappings are one leaf.
type leaf struct {
	path  string
	value reflect.Value
}

func leaves(v reflect.Value, path string) []leaf {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct || v.Type() == secretType || isText(v.Type()) {
		return []leaf{{path, v}}
	}
	var list []leaf
	for _, k := range shapeOf(v.Type()).keys {
		if !k.own {
			list = append(list, leaves(v.FieldByIndex(k.index), join(path, k.name))...)
		}
	}
	return list
}

func (l leaf) text() string { return textOf(l.value) }

// textOf writes a value as the file would have it, secrets masked.
func textOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case Window:
		return fmt.Sprintf("%s %q for %s", x.Do, x.Cron, formatDuration(x.For))
	case fmt.Stringer:
		return x.String()
	case string:
		if x == "" {
			return `""`
		}
		return x
	}
	switch v.Kind() {
	case reflect.Slice:
		items := make([]string, v.Len())
		for i := range items {
			items[i] = textOf(v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Struct:
		var items []string
		for _, l := range leaves(v, "") {
			items = append(items, l.path+": "+l.text())
		}
		return "{" + strings.Join(items, ", ") + "}"
	}
	return fmt.Sprint(v.Interface())
}
