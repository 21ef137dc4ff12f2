package configs

import (
	"encoding"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	prefixType   = reflect.TypeFor[netip.Prefix]()
	wholeNumber  = regexp.MustCompile(`^[-+]?[0-9]+$`)
)

// scalar fills v if its type is written as one word, and reports whether it is.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, path string, r rule) bool {
	switch v.Type() {
	case secretType:
		if text, pieces, ok := d.text(n, path, r.hint); ok && slices.Contains(r.enum, text) {
			v.Set(reflect.ValueOf(secret.New(text)))
		} else if ok {
			for _, p := range pieces {
				d.hide(p.value, p.raw)
			}
			if text != "" && d.literal == nil && !strings.Contains(n.Value, "${") {
				d.literal = &spot{d.placeOf(n), path}
			}
			d.hide(text, secret.Mask)
			if n.Style == 0 && isStuckTo(n.LineComment) {
				d.caution(n, path, "ends before the #, which begins a comment; put the value in quotes if the # is "+
					"part of it")
			}
			v.Set(reflect.ValueOf(secret.New(text)))
		}
		return true
	case durationType:
		d.duration(n, v, path, r)
		return true
	case prefixType:
		d.prefix(n, v, path, r)
		return true
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		d.unmarshal(n, u, v, path, r)
		return true
	}
	switch v.Kind() {
	case reflect.String:
		if n.ShortTag() == "!!bool" && slices.Contains(r.enum, "true") { // a choice that has more than yes and no
			v.SetString(strings.ToLower(n.Value))
		} else if text, pieces, ok := d.text(n, path, r.hint); ok && d.oneOf(n, text, path, r) {
			if !r.shown {
				d.hideReferred(text, pieces)
			}
			v.SetString(text)
		}
	case reflect.Bool:
		d.boolean(n, v, path, r)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.whole(n, v, path, r)
	case reflect.Float32, reflect.Float64:
		d.float(n, v, path, r)
	default:
		return false
	}
	return true
}

// text is a scalar as text with its references resolved, and those references. Numbers stay as
// written: `password: 0123` keeps its zero.
func (d *decoder) text(n *yaml.Node, path, hint string) (string, []piece, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "must be text, not %s%s", kindOf(n), hint)
		return "", nil, false
	}
	switch tag := n.ShortTag(); tag {
	case "!!null":
		return "", nil, true
	case "!!str", "!!int", "!!float", "!!timestamp":
	case "!!bool":
		d.fail(n, path, "must be text, and YAML reads %s as true or false; put it in quotes%s", n.Value, hint)
		return "", nil, false
	default:
		d.fail(n, path, "the tag %s is not known here; remove it", tag)
		return "", nil, false
	}
	if q := strings.TrimRight(n.Value, `"'`); n.Style == 0 && q != n.Value && !strings.ContainsAny(q, `"'`) {
		d.caution(n, path, "ends with a quote and does not begin with one; is one missing?")
	}
	text, pieces := d.refs.expand(n.Value)
	good := true
	for _, p := range pieces {
		if p.err != nil {
			d.fail(n, path, "%s", p.err)
			good = false
			continue
		}
		if p.warning != "" {
			d.caution(n, path, "%s", p.warning)
		}
	}
	return text, pieces, good
}

// word is the text of a scalar that must not be empty.
func (d *decoder) word(n *yaml.Node, path, what string, r rule) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "must be %s, not %s%s", what, kindOf(n), r.hint)
		return "", false
	}
	if isNull(n) {
		d.fail(n, path, "has no value; write %s, or remove the key", what)
		return "", false
	}
	if n.ShortTag() == "!!bool" && what != "true or false" {
		d.fail(n, path, "must be %s, not %s%s", what, n.Value, r.hint)
		return "", false
	}
	text, _, ok := d.text(n, path, r.hint)
	return text, ok
}

// hide remembers a secret, and what is shown in its place. The encoder that is being decoded gets
// it as well, for its driver.
func (d *decoder) hide(text, instead string) {
	if text == "" {
		return
	}
	if _, ok := d.hidden[text]; !ok {
		d.hidden[text] = instead
	}
	if e := d.encoderNow; e != nil {
		e.Secrets = append(e.Secrets, secret.New(text))
	}
}

// hideReferred hides the values of references in a text that is not of the secret type, unless they
// are harmless.
func (d *decoder) hideReferred(text string, pieces []piece) {
	for _, p := range pieces {
		if p.err == nil && secret.Referred(text, p.at, p.at+len(p.value)) {
			d.hide(p.value, p.raw)
		}
	}
}

// show is a value as the file has it, for an error: references unresolved, without the password of
// a URL, and not too long.
func show(n *yaml.Node) string {
	s := n.Value
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			s = scheme + "://" + secret.Mask + rest[at:]
		}
	}
	if r := []rune(s); len(r) > 40 {
		s = string(r[:37]) + "..."
	}
	return strconv.Quote(s)
}

func (d *decoder) oneOf(n *yaml.Node, text, path string, r rule) bool {
	if len(r.enum) == 0 || slices.Contains(r.enum, text) {
		return true
	}
	d.fail(n, path, "%s is not allowed%s", show(n), choices(text, r.enum))
	return false
}

func (d *decoder) duration(n *yaml.Node, v reflect.Value, path string, r rule) {
	text, ok := d.word(n, path, "a duration such as 30s", r)
	if !ok {
		return
	}
	got, err := words.ParseDuration(text)
	switch {
	case err != nil && text == n.Value:
		d.fail(n, path, "%s %s", show(n), err)
	case err != nil:
		d.fail(n, path, "%s does not give a duration; allowed: 500ms, 30s, 2m, 1h30m, 7d", show(n))
	case got < 0 && r.min == "":
		d.fail(n, path, "%s is negative; allowed: 0s and more", show(n))
	case d.inRange(n, path, r, func(s string) bool { m, _ := words.ParseDuration(s); return got < m },
		func(s string) bool { m, _ := words.ParseDuration(s); return got > m }):
		v.SetInt(int64(got))
	}
}

// inRange checks a value against its least and its largest.
func (d *decoder) inRange(n *yaml.Node, path string, r rule, below, above func(string) bool) bool {
	switch {
	case r.min != "" && below(r.min) && r.max != "":
		d.fail(n, path, "%s is too small; allowed: %s to %s", show(n), r.min, r.max)
	case r.min != "" && below(r.min):
		d.fail(n, path, "%s is too small; allowed: %s and more", show(n), r.min)
	case r.max != "" && above(r.max):
		d.fail(n, path, "%s is too large; allowed: up to %s", show(n), r.max)
	default:
		return true
	}
	return false
}

func (d *decoder) prefix(n *yaml.Node, v reflect.Value, path string, r rule) {
	text, ok := d.word(n, path, "a network such as 10.0.0.0/8", r)
	if !ok {
		return
	}
	got, err := netip.ParsePrefix(text)
	if err != nil {
		var addr netip.Addr
		if addr, err = netip.ParseAddr(text); err == nil {
			got, err = addr.Prefix(addr.BitLen())
		}
	}
	if err != nil {
		d.fail(n, path, "%s is not a network; allowed: 10.0.0.0/8, fd00::/8, or one address", show(n))
		return
	}
	v.Set(reflect.ValueOf(got.Masked()))
}

func (d *decoder) unmarshal(n *yaml.Node, u encoding.TextUnmarshaler, v reflect.Value, path string, r rule) {
	text, ok := d.word(n, path, "one value", r)
	if !ok || !d.oneOf(n, text, path, r) {
		return
	}
	err := u.UnmarshalText([]byte(text))
	switch {
	case err == nil:
	case text == n.Value:
		d.fail(n, path, "%s %s", show(n), err)
	default:
		d.fail(n, path, "%s does not give a valid value", show(n))
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value, path string, r rule) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool" {
		v.SetBool(strings.EqualFold(n.Value, "true"))
		return
	}
	text, ok := d.word(n, path, "true or false", r)
	if !ok {
		return
	}
	referred := text != n.Value
	switch {
	case referred && (text == "true" || text == "false"):
		v.SetBool(text == "true")
	case slices.Contains([]string{"yes", "on", "y"}, strings.ToLower(text)) && !referred:
		d.fail(n, path, "%s is not true or false; did you mean true?", show(n))
	case slices.Contains([]string{"no", "off", "n"}, strings.ToLower(text)) && !referred:
		d.fail(n, path, "%s is not true or false; did you mean false?", show(n))
	case !referred && (text == "true" || text == "false"):
		d.fail(n, path, "%s is text; remove the quotes", show(n))
	default:
		d.fail(n, path, "%s is not allowed; allowed: true, false", show(n))
	}
}

// number is the text of a scalar that must be a number.
func (d *decoder) number(n *yaml.Node, path, what string, r rule) (string, bool) {
	text, ok := d.word(n, path, what, r)
	if !ok {
		return "", false
	}
	if octal.MatchString(text) {
		d.fail(n, path, "a number that begins with 0 means different things to different programs; remove the 0")
		return "", false
	}
	if n.ShortTag() == "!!str" && text == n.Value && wholeNumber.MatchString(text) {
		d.fail(n, path, "%s is text; remove the quotes", show(n))
		return "", false
	}
	return text, true
}

func (d *decoder) whole(n *yaml.Node, v reflect.Value, path string, r rule) {
	text, ok := d.number(n, path, "a whole number", r)
	if !ok {
		return
	}
	got, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !wholeNumber.MatchString(text) {
		d.fail(n, path, "%s is not a whole number; allowed: 0, 1, 2 ...", show(n))
		return
	}
	if !d.inRange(n, path, r, func(s string) bool { m, _ := strconv.ParseInt(s, 10, 64); return got < m },
		func(s string) bool { m, _ := strconv.ParseInt(s, 10, 64); return got > m }) {
		return
	}
	switch {
	case v.CanInt() && !v.OverflowInt(got):
		v.SetInt(got)
	case v.CanUint() && got >= 0 && !v.OverflowUint(uint64(got)):
		v.SetUint(uint64(got))
	default:
		d.fail(n, path, "%s is too large or too small", show(n))
	}
}

func (d *decoder) float(n *yaml.Node, v reflect.Value, path string, r rule) {
	text, ok := d.number(n, path, "a number", r)
	if !ok {
		return
	}
	got, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(got, 0) || math.IsNaN(got) || strings.ContainsAny(text, "xXpP_") {
		d.fail(n, path, "%s is not a number; allowed: 1, 1.5, 2 ...", show(n))
		return
	}
	if d.inRange(n, path, r, func(s string) bool { m, _ := strconv.ParseFloat(s, 64); return got < m },
		func(s string) bool { m, _ := strconv.ParseFloat(s, 64); return got > m }) {
		v.SetFloat(got)
	}
}
