package millicast

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// Misfit says an error of encoding/json in the words of JSON, for those who know nothing of this program's types: which field is wrong, and
// what belongs there.
func Misfit(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		what := "it"
		if e.Field != "" {
			what = e.Field
		}
		return fmt.Sprintf("%s must be %s, not %s", what, belongs(e.Type), holds(e.Value))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok && !strings.HasPrefix(e.Error(), "unexpected end") {
		return fmt.Sprintf("it is not JSON from byte %d on", e.Offset)
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return "it breaks off, and is no whole JSON"
	}
	if errors.Is(err, io.EOF) {
		return "it is empty"
	}
	if key, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return key + " is not one of its fields"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// belongs names the JSON that a Go type is read from.
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

// holds names what encoding/json calls the kind of a JSON value: "array", "number 1.5".
func holds(value string) string {
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
