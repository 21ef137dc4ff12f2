package rtmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// AMF0 markers.
const (
	amfNumber      = 0x00
	amfBoolean     = 0x01
	amfString      = 0x02
	amfObject      = 0x03
	amfNull        = 0x05
	amfUndefined   = 0x06
	amfECMAArray   = 0x08
	amfObjectEnd   = 0x09
	amfStrictArray = 0x0a
	amfDate        = 0x0b
	amfLongString  = 0x0c
	amfXML         = 0x0f
	amfTypedObject = 0x10
)

// maxDepth is how deep AMF0 values may nest. Publishers nest twice.
const maxDepth = 16

var errShortAMF = errors.New("amf0: a value is cut short")

// Object is an AMF0 object, or an ECMA array, in the order it was written.
type Object []Property

// Property is one named value of an [Object].
type Property struct {
	Name  string
	Value any // float64, bool, string, nil, Object or []any
}

// Get returns the value of a property, or nil.
func (o Object) Get(name string) any {
	for _, p := range o {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}

// decodeAMF reads all values of a message. Nothing is allocated ahead of the bytes that fill it.
func decodeAMF(data []byte) ([]any, error) {
	var values []any
	for len(data) > 0 {
		v, rest, err := decodeValue(data, 0)
		if err != nil {
			return values, err
		}
		values, data = append(values, v), rest
	}
	return values, nil
}

func decodeValue(data []byte, depth int) (value any, rest []byte, err error) {
	if len(data) == 0 {
		return nil, nil, errShortAMF
	}
	if depth > maxDepth {
		return nil, nil, fmt.Errorf("amf0: values nest deeper than %d", maxDepth)
	}
	marker, data := data[0], data[1:]
	switch marker {
	case amfNumber:
		if len(data) < 8 {
			return nil, nil, errShortAMF
		}
		return math.Float64frombits(binary.BigEndian.Uint64(data)), data[8:], nil
	case amfBoolean:
		if len(data) < 1 {
			return nil, nil, errShortAMF
		}
		return data[0] != 0, data[1:], nil
	case amfString:
		return decodeString(data, 2)
	case amfLongString, amfXML:
		return decodeString(data, 4)
	case amfNull, amfUndefined:
		return nil, data, nil
	case amfObject:
		return decodeObject(data, depth)
	case amfECMAArray:
		if len(data) < 4 {
			return nil, nil, errShortAMF
		}
		return decodeObject(data[4:], depth) // the count is a hint that encoders get wrong
	case amfTypedObject:
		_, data, err := decodeString(data, 2)
		if err != nil {
			return nil, nil, err
		}
		return decodeObject(data, depth)
	case amfStrictArray:
		return decodeArray(data, depth)
	case amfDate:
		if len(data) < 10 {
			return nil, nil, errShortAMF
		}
		return math.Float64frombits(binary.BigEndian.Uint64(data)), data[10:], nil
	}
	return nil, nil, fmt.Errorf("amf0: unknown marker %#x", marker)
}

// decodeString reads a string whose length takes size bytes, 2 or 4.
func decodeString(data []byte, size int) (value any, rest []byte, err error) {
	if len(data) < size {
		return nil, nil, errShortAMF
	}
	length := uint64(binary.BigEndian.Uint16(data))
	if size == 4 {
		length = uint64(binary.BigEndian.Uint32(data))
	}
	data = data[size:]
	if uint64(len(data)) < length {
		return nil, nil, errShortAMF
	}
	return string(data[:length]), data[length:], nil
}

func decodeObject(data []byte, depth int) (value any, rest []byte, err error) {
	object := Object{}
	for {
		name, rest, err := decodeString(data, 2)
		if err != nil {
			return nil, nil, err
		}
		if name == "" && len(rest) > 0 && rest[0] == amfObjectEnd {
			return object, rest[1:], nil
		}
		v, rest, err := decodeValue(rest, depth+1)
		if err != nil {
			return nil, nil, err
		}
		object = append(object, Property{Name: name.(string), Value: v})
		data = rest
	}
}

func decodeArray(data []byte, depth int) (value any, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errShortAMF
	}
	count, data := binary.BigEndian.Uint32(data), data[4:]
	array := []any{}
	for range count {
		var v any
		if v, data, err = decodeValue(data, depth+1); err != nil {
			return nil, nil, err
		}
		array = append(array, v)
	}
	return array, data, nil
}

// appendAMF writes values. It panics on a type that [Property] does not list: only this package's
// own answers are written.
func appendAMF(dst []byte, values ...any) []byte {
	for _, value := range values {
		switch v := value.(type) {
		case nil:
			dst = append(dst, amfNull)
		case float64:
			dst = binary.BigEndian.AppendUint64(append(dst, amfNumber), math.Float64bits(v))
		case bool:
			b := byte(0)
			if v {
				b = 1
			}
			dst = append(dst, amfBoolean, b)
		case string:
			if len(v) > math.MaxUint16 {
				dst = binary.BigEndian.AppendUint32(append(dst, amfLongString), uint32(len(v)))
			} else {
				dst = binary.BigEndian.AppendUint16(append(dst, amfString), uint16(len(v)))
			}
			dst = append(dst, v...)
		case Object:
			dst = append(dst, amfObject)
			for _, p := range v {
				dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Name)))
				dst = append(dst, p.Name...)
				dst = appendAMF(dst, p.Value)
			}
			dst = append(dst, 0, 0, amfObjectEnd)
		case []any:
			dst = binary.BigEndian.AppendUint32(append(dst, amfStrictArray), uint32(len(v)))
			dst = appendAMF(dst, v...)
		default:
			panic(fmt.Sprintf("amf0: cannot write a %T", value))
		}
	}
	return dst
}
