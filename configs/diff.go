package configs

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// Diff says in words what changes from one configuration to the next, for the log of a reload. It
// never shows a secret, and of encoders only which keys changed. Nil means that nothing changed.
func Diff(old, new *Config) []string {
	var lines []string
	for _, change := range changes(reflect.ValueOf(*old), reflect.ValueOf(*new),
		func(path string) bool { return path == "accounts" }) {
		lines = append(lines, change.String())
	}
	lines = append(lines, diffAccounts(old, new)...)
	lines = append(lines, diffEncoders(old, new)...)
	return append(lines, diffStreams(old, new)...)
}

// change is one key with another value than before.
type change struct{ path, from, to string }

func (c change) String() string {
	if c.from == c.to || c.from == secret.Mask || c.to == secret.Mask { // a secret, or something with secrets inside
		return c.path + " changed"
	}
	return (*secret.Masker)(nil).Mask(fmt.Sprintf("%s %s -> %s", c.path, c.from, c.to))
}

// changes compares two structs of one type key by key.
func changes(old, new reflect.Value, skip func(path string) bool) []change {
	var list []change
	before := map[string]leaf{}
	for _, l := range leaves(old, "") {
		before[l.path] = l
	}
	for _, l := range leaves(new, "") {
		was, ok := before[l.path]
		switch {
		case skip(l.path):
		case !ok:
			list = append(list, change{l.path, "", l.text()})
		case !reflect.DeepEqual(was.value.Interface(), l.value.Interface()) && !(empty(was.value) && empty(l.value)):
			list = append(list, change{l.path, was.text(), l.text()})
		}
	}
	return list
}

// empty reports whether v is an empty list, written or not.
func empty(v reflect.Value) bool { return v.Kind() == reflect.Slice && v.Len() == 0 }

func none(string) bool { return false }

func diffAccounts(old, new *Config) []string {
	var lines []string
	for _, id := range slices.Sorted(maps.Keys(old.Accounts)) {
		if new.Accounts[id] == nil {
			lines = append(lines, fmt.Sprintf("account %s removed", id))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(new.Accounts)) {
		if old.Accounts[id] == nil {
			lines = append(lines, fmt.Sprintf("account %s added", id))
		} else if list := changes(reflect.ValueOf(old.Accounts[id]), reflect.ValueOf(new.Accounts[id]),
			none); len(list) > 0 {
			lines = append(lines, fmt.Sprintf("account %s: %s", id, joined(list)))
		}
	}
	return lines
}

func diffEncoders(old, new *Config) []string {
	var lines []string
	for _, e := range old.Boxes() {
		if now, ok := new.Encoder(e.Name); !ok || now.Helper != e.Helper {
			lines = append(lines, fmt.Sprintf("%s %s removed", e.word(), e.Name))
		}
	}
	for _, e := range new.Boxes() {
		was, ok := old.Encoder(e.Name)
		switch {
		case !ok || was.Helper != e.Helper:
			lines = append(lines, fmt.Sprintf("%s %s added (%s)", e.word(), e.Name, e.Driver))
		case was.Driver != e.Driver:
			lines = append(lines, fmt.Sprintf("%s %s: driver %s -> %s", e.word(), e.Name, was.Driver, e.Driver))
		default:
			var keys []string
			for _, c := range changes(was.beside(), e.beside(), none) {
				keys = append(keys, c.path)
			}
			for _, c := range changes(reflect.ValueOf(was.Settings), reflect.ValueOf(e.Settings), none) {
				keys = append(keys, c.path)
			}
			if len(keys) > 0 {
				lines = append(lines, fmt.Sprintf("%s %s: %s changed", e.word(), e.Name, strings.Join(keys, ", ")))
			}
		}
	}
	return lines
}

func (e *Encoder) word() string {
	if e.Helper {
		return "helper"
	}
	return "encoder"
}

func diffStreams(old, new *Config) []string {
	var lines []string
	for _, s := range old.Streams {
		if new.exact[s.ID] == nil {
			lines = append(lines, fmt.Sprintf("stream %s removed", s.ID))
		}
	}
	for _, s := range new.Streams {
		was := old.exact[s.ID]
		if was == nil {
			lines = append(lines, fmt.Sprintf("stream %s added (%s)", s.ID, strings.Join(s.Encoders, ", ")))
		} else if list := streamChanges(was, s); len(list) > 0 {
			lines = append(lines, fmt.Sprintf("stream %s: %s", s.ID, joined(list)))
		}
	}
	if order := patternsOf(old, new); !slices.Equal(order, patternsOf(new, old)) {
		lines = append(lines, "patterns are tried in another order: "+strings.Join(patternsOf(new, old), ", "))
	}
	return lines
}

// streamChanges leaves out what only follows the defaults; those are reported once.
func streamChanges(old, new *Stream) []change {
	var list []change
	if old.Cover != new.Cover {
		list = append(list, change{"cover", old.Cover, new.Cover})
	}
	if !slices.Equal(old.Encoders, new.Encoders) {
		list = append(list, change{"encoders", strings.Join(old.Encoders, ", "), strings.Join(new.Encoders, ", ")})
	}
	if !slices.EqualFunc(old.publishes, new.publishes, Publish.Same) {
		list = append(list, change{path: "publish"})
	}
	return append(list, changes(reflect.ValueOf(old.Timing), reflect.ValueOf(new.Timing), func(path string) bool {
		_, before := old.own[path]
		_, after := new.own[path]
		return !before && !after
	})...)
}

// patternsOf lists the patterns of c that other has as well, in c's order.
func patternsOf(c, other *Config) []string {
	var ids []string
	for _, s := range c.patterns {
		if other.exact[s.ID] != nil {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func joined(list []change) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = c.String()
	}
	return strings.Join(texts, ", ")
}
