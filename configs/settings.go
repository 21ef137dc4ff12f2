package configs

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/secret"
)

// EncodeSettings writes the settings of a driver as [DecodeSettings] reads them. Secrets are in the
// clear: the caller must encrypt the result.
func EncodeSettings(settings any) ([]byte, error) {
	return yaml.Marshal(plainOf(reflect.ValueOf(settings)))
}

// DecodeSettings fills the settings of a driver, a pointer to its struct, with what EncodeSettings
// wrote. Other fields become zero, so later defaults change nothing.
func DecodeSettings(data []byte, settings any) error {
	var plain any
	if err := yaml.Unmarshal(data, &plain); err != nil {
		return err
	}
	v := reflect.ValueOf(settings).Elem()
	v.SetZero()
	return fill(v, plain)
}

// plainOf is a value in maps, lists and scalars; structs are maps by the names of their fields.
func plainOf(v reflect.Value) any {
	switch {
	case !v.IsValid():
		return nil
	case v.Type() == secretType:
		return v.Interface().(secret.Value).Reveal()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return plainOf(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && !v.Field(i).IsZero() {
				m[f.Name] = plainOf(v.Field(i))
			}
		}
		return m
	case reflect.Map:
		m := map[string]any{}
		for _, k := range v.MapKeys() {
			m[k.String()] = plainOf(v.MapIndex(k))
		}
		return m
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plainOf(v.Index(i))
		}
		return list
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	}
	return v.Int() // a type of its own, such as a duration, would be written in its own way
}

func fill(v reflect.Value, plain any) error {
	if plain == nil {
		return nil
	}
	if v.Type() == secretType {
		text, ok := plain.(string)
		if !ok {
			return fmt.Errorf("a secret is a %T", plain)
		}
		v.Set(reflect.ValueOf(secret.New(text)))
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), plain)
	case reflect.Interface:
		v.Set(reflect.ValueOf(plain))
		return nil
	case reflect.Struct, reflect.Map:
		return fillNamed(v, plain)
	case reflect.Slice:
		list, ok := plain.([]any)
		if !ok {
			return fmt.Errorf("a %s is a %T", v.Type(), plain)
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list), len(list)))
		for i := range list {
			if err := fill(v.Index(i), list[i]); err != nil {
				return err
			}
		}
		return nil
	}
	p := reflect.ValueOf(plain)
	if p.Kind() == reflect.Bool && v.Kind() == reflect.String { // what an earlier version knew as true or false
		v.SetString(fmt.Sprint(plain))
		return nil
	}
	if !p.CanConvert(v.Type()) || p.Kind() == reflect.String != (v.Kind() == reflect.String) {
		return fmt.Errorf("a %s is a %T", v.Type(), plain)
	}
	v.Set(p.Convert(v.Type()))
	return nil
}

// fillNamed fills a struct or a map.
func fillNamed(v reflect.Value, plain any) error {
	m, ok := plain.(map[string]any)
	if !ok {
		return fmt.Errorf("a %s is a %T", v.Type(), plain)
	}
	if v.Kind() == reflect.Map {
		v.Set(reflect.MakeMap(v.Type()))
	}
	for name, value := range m {
		if v.Kind() == reflect.Map {
			e := reflect.New(v.Type().Elem()).Elem()
			if err := fill(e, value); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
			continue
		}
		f, there := v.Type().FieldByName(name)
		if !there {
			return fmt.Errorf("%s has no %s", v.Type(), name)
		}
		if err := fill(v.FieldByIndex(f.Index), value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
