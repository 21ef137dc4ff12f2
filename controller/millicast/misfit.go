package millicast

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Misfit describes an error of encoding/json in the words of JSON, for readers who do not know this
// program's types: which field is wrong, and what belongs there.
func Misfit(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		what := "it"
		if e.Field != "" {
			what = e.Field
		}
		return fmt.Sprintf("%s must be %s, not %s", what, belongs(e.Type), found(e.Value))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok && !strings.HasPrefix(e.Error(), "unexpected end") {
		return fmt.Sprintf("it is not JSON at byte %d", e.Offset)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it ends in the middle of the JSON"
	}
	if errors.Is(err, io.EOF) {
		return "it is empty"
	}
	if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return key + " is not one of its fields"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// belongs names the kind of JSON value that a Go type is read from.
func belongs(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return belongs(t.Elem())
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// found names the JSON value that encoding/json describes as "array" or "number 1.5".
func found(value string) string {
	kind, literal, isLiteral := strings.Cut(value, " ")
	switch {
	case isLiteral:
		return literal
	case kind == "string":
		return "text"
	case kind == "bool":
		return "true or false"
	case kind == "array":
		return "a list"
	case kind == "object":
		return "an object"
	}
	return "a " + kind
}
