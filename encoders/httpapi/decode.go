package httpapi

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Steps are the requests of a start or a stop. In a file they are one mapping, or a list of them.
type Steps []Step

// DecodeAny takes the plain value that stands in the file: a mapping, or a list of mappings. It replaces what was there.
func (s *Steps) DecodeAny(v any) error {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	if v == nil {
		list = nil
	}
	steps := make(Steps, len(list))
	var errs []error
	for i, item := range list {
		at := ""
		if ok {
			at = fmt.Sprintf("[%d]", i)
		}
		fields, isMap := item.(map[string]any)
		if !isMap {
			errs = append(errs, keyError{at, "must be a request such as {method: POST, path: /start}, or a list of them"})
			continue
		}
		errs = append(errs, decodeStruct(reflect.ValueOf(&steps[i]).Elem(), fields, at)...)
	}
	*s = steps
	return errors.Join(errs...)
}

// keyError is what is wrong with one key; key is a path inside the settings, or inside what is decoded.
type keyError struct{ key, text string }

func (e keyError) Error() string {
	if e.key == "" {
		return e.text
	}
	return strings.TrimPrefix(e.key, ".") + ": " + e.text
}

// decodeStruct fills v, which holds only the kinds that requests are made of, by its yaml tags.
func decodeStruct(v reflect.Value, fields map[string]any, at string) []error {
	index := map[string][]int{}
	var names []string
	for _, f := range reflect.VisibleFields(v.Type()) {
		if name := f.Tag.Get("yaml"); name != "" {
			index[name] = f.Index
			names = append(names, name)
		}
	}
	var errs []error
	for _, name := range sortedKeys(fields) {
		i, ok := index[name]
		if !ok {
			errs = append(errs, keyError{at + "." + name, "unknown key; allowed: " + strings.Join(names, ", ")})
			continue
		}
		if text := decodeValue(v.FieldByIndex(i), fields[name]); text != "" {
			errs = append(errs, keyError{at + "." + name, text})
		}
	}
	return errs
}

// decodeValue fills v from a plain value, or says what it must be.
func decodeValue(v reflect.Value, from any) string {
	if from == nil {
		v.SetZero()
		return ""
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		text, _ := from.(string)
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return "must be a duration such as 500ms or 5s"
		}
		v.SetInt(int64(d))
		return ""
	}
	switch v.Kind() {
	case reflect.String:
		text, ok := scalar(from)
		if !ok {
			return "must be text"
		}
		v.SetString(text)
	case reflect.Interface:
		v.Set(reflect.ValueOf(from))
	case reflect.Map:
		fields, ok := from.(map[string]any)
		if !ok {
			return "must be a mapping of names to values"
		}
		out := reflect.MakeMapWithSize(v.Type(), len(fields))
		for _, name := range sortedKeys(fields) {
			e := reflect.New(v.Type().Elem()).Elem()
			if text := decodeValue(e, fields[name]); text != "" {
				return name + " " + text
			}
			out.SetMapIndex(reflect.ValueOf(name), e)
		}
		v.Set(out)
	default:
		return fmt.Sprintf("has a type (%s) that a request cannot hold", v.Type())
	}
	return ""
}

// scalar writes a plain value as the file has it. ok is false for mappings, lists and nothing.
func scalar(v any) (text string, ok bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool, int, int64, uint64:
		return fmt.Sprint(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
