package httpapi

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/presets"
	"github.com/oncue/oncue/configs/secret"
)

// settingsOf reads settings as a file has them, over those of the preset that they name.
func settingsOf(t testing.TB, text string) Settings {
	t.Helper()
	fields := mapping(t, []byte(text))
	if name, ok := fields["preset"].(string); ok {
		base, err := presets.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Log("preset", name)
		fields = overlay(mapping(t, base), fields)
	}
	s := Defaults()
	fill(t, reflect.ValueOf(&s).Elem(), fields, "")
	return s
}

func mapping(t testing.TB, text []byte) map[string]any {
	t.Helper()
	fields := map[string]any{}
	if err := yaml.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// overlay is the rule for presets: mappings key by key, all else as a whole.
func overlay(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for k, v := range over {
		old, isMap := out[k].(map[string]any)
		if inner, both := v.(map[string]any); isMap && both {
			v = overlay(old, inner)
		}
		out[k] = v
	}
	return out
}

// fill does what the configuration's loader does.
func fill(t testing.TB, v reflect.Value, from any, at string) {
	t.Helper()
	if d, ok := v.Addr().Interface().(interface{ DecodeAny(any) error }); ok {
		if err := d.DecodeAny(from); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		return
	}
	if s, ok := v.Addr().Interface().(*secret.Value); ok {
		text, _ := scalar(from)
		*s = secret.New(text)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		known := map[string][]int{}
		for _, f := range reflect.VisibleFields(v.Type()) {
			if name := f.Tag.Get("yaml"); name != "" {
				known[name] = f.Index
			}
		}
		for name, value := range from.(map[string]any) {
			index, ok := known[name]
			if !ok {
				t.Fatalf("%s.%s: unknown key", at, name)
			}
			fill(t, v.FieldByIndex(index), value, at+"."+name)
		}
	case reflect.Map:
		out := reflect.MakeMap(v.Type())
		for name, value := range from.(map[string]any) {
			e := reflect.New(v.Type().Elem()).Elem()
			fill(t, e, value, at+"."+name)
			out.SetMapIndex(reflect.ValueOf(name), e)
		}
		v.Set(out)
	case reflect.Bool:
		v.SetBool(from.(bool))
	case reflect.Int:
		v.SetInt(int64(from.(int)))
	default:
		if d, ok := from.(string); ok && v.Type() == reflect.TypeFor[time.Duration]() {
			parsed, err := time.ParseDuration(d)
			if err != nil {
				t.Fatalf("%s: %v", at, err)
			}
			v.SetInt(int64(parsed))
			return
		}
		if text := decodeValue(v, from); text != "" {
			t.Fatalf("%s %s", at, text)
		}
	}
}

// needed is what each preset leaves to the user, beside url, username and password.
var needed = map[string]string{
	"datarhei-core":       `vars: {process: cam}`,
	"mediamtx-forward":    `vars: {path: cam}`,
	"wowza-target":        `vars: {application: live, entry: millicast}`,
	"gstd":                `vars: {pipeline: cam}`,
	"haivision-makito-x4": `vars: {stream_id: 3}`,
	"kiloview-e3":         `vars: {stream_id: 7}`,
}

func TestPresetsAreValid(t *testing.T) {
	for _, name := range presets.Names() {
		s := settingsOf(t, "preset: "+name+"\nurl: http://10.0.0.9\nusername: admin\npassword: pw12345\n"+needed[name])
		for _, err := range s.Validate() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
