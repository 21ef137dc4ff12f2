package configs

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
)

// StreamPlan is one stream as it would run.
type StreamPlan struct {
	ID       string
	Pattern  bool          // stands for every name that matches
	Line     int           // where the file defines it
	Encoders []EncoderPlan // the cover is the last
	Keys     []KeyPlan     // every key of Timing, in the order of the documentation
}

// EncoderPlan names one encoder of a stream.
type EncoderPlan struct {
	Name, Driver string
	Line         int
	Cover        bool
	Needs        []string // helpers, in the order of their starts
	Publish      []string // where it publishes to, what may be a key masked; none when it knows by itself
}

// KeyPlan is one resolved key.
type KeyPlan struct {
	Key, Value string
	Origin     Origin
}

// Plan says what would run, stream by stream in file order, and where each value comes from.
func (c *Config) Plan() []StreamPlan {
	plans := make([]StreamPlan, 0, len(c.Streams))
	for _, s := range c.Streams {
		p := StreamPlan{ID: s.ID, Pattern: s.IsPattern, Line: s.Line}
		for i, name := range s.All() {
			e := c.encoders[name]
			p.Encoders = append(p.Encoders, EncoderPlan{e.Name, e.Driver, e.Line, name == s.Cover, e.Needs, c.Masked(s, i)})
		}
		for _, l := range leaves(reflect.ValueOf(s.Timing), "") {
			p.Keys = append(p.Keys, KeyPlan{l.path, l.text(), s.Origin(l.path)})
		}
		plans = append(plans, p)
	}
	return plans
}

// Masked shows where the encoder in a place of the stream's list publishes to, and not with which
// key: one URL, one for each quality when it has several, none when it knows by itself.
func (c *Config) Masked(s *Stream, place int) []string {
	urls, err := c.addresses(s, place)
	if err != nil {
		return []string{secret.Mask}
	}
	for i, u := range urls {
		urls[i] = s.masked(u)
	}
	return urls
}

// masked shows a publishing URL. Of the path it shows what is known to be no key: the stream's own
// name, placeholders, and the words of the usual applications.
func (s *Stream) masked(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if !ok {
		return secret.Mask
	}
	host, path, query := rest, "", ""
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host, path = rest[:end], rest[end:]
	}
	host = host[strings.LastIndexByte(host, '@')+1:]
	path, query, _ = strings.Cut(path, "?")
	path, fragment, _ := strings.Cut(path, "#")
	shown := scheme + "://" + host
	for i, part := range strings.Split(path, "/") {
		if i > 0 {
			shown += "/" + s.open(part)
		}
	}
	if fragment != "" {
		shown += "#" + secret.Mask
	}
	for i, pair := range strings.Split(query, "&") {
		key, value, has := strings.Cut(pair, "=")
		switch {
		case pair == "" && i == 0:
			continue
		case !has && !ingest.Shown(key):
			pair = secret.Mask
		case key == "streamid": // of SRT: NAME?t=TOKEN
			decoded, err := url.PathUnescape(value)
			name, inner, hasQuery := strings.Cut(decoded, "?")
			switch pair = key + "=" + s.open(name); {
			case err != nil:
				pair = key + "=" + secret.Mask
			case hasQuery && inner != "":
				pair += "?" + maskedParameters(inner)
			}
		case !ingest.Shown(key):
			pair = key + "=" + secret.Mask
		}
		shown += map[bool]string{true: "?", false: "&"}[i == 0] + pair
	}
	return shown
}

// open is a part of a publishing URL as it may be shown.
func (s *Stream) open(part string) string {
	name, err := url.PathUnescape(part)
	if part == "" || err == nil && name == s.Name || openWords[part] ||
		ingest.Placeholder.ReplaceAllString(part, "") == "" {
		return part
	}
	return secret.Mask
}

var openWords = map[string]bool{"v2": true, "pub": true, "live": true, "app": true, "api": true, "whip": true}

// maskedParameters shows those parameters in an SRT stream id that anybody may see.
func maskedParameters(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		key, _, has := strings.Cut(pair, "=")
		switch {
		case ingest.Shown(key):
		case has && (key == "t" || key == "token"):
			pairs[i] = key + "=" + secret.Mask
		default:
			pairs[i] = secret.Mask
		}
	}
	return strings.Join(pairs, "&")
}

// A leaf is one value of a struct tree that has a key of its own; lists and free mappings are one
// leaf.
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
		return words.FormatDuration(x)
	case Window:
		return fmt.Sprintf("%s %q for %s", x.Do, x.Cron, words.FormatDuration(x.For))
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
