package handover

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// AMF0 markers (Action Message Format AMF 0, Adobe, 2007).
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
)

var errAMF = errors.New("a command is not understood")

// value cuts the first value off. depth bounds how deep values nest.
func value(data []byte, depth int) (first, rest []byte, err error) {
	size, err := sizeOf(data, depth)
	if err != nil || size > len(data) {
		return nil, nil, errAMF
	}
	return data[:size], data[size:], nil
}

// sizeOf is the length of the first value; it may be more than there is.
func sizeOf(data []byte, depth int) (int, error) {
	if len(data) == 0 || depth == 0 {
		return 0, errAMF
	}
	need := func(n int) bool { return len(data) >= n }
	switch data[0] {
	case amfNumber:
		return 9, nil
	case amfBoolean:
		return 2, nil
	case amfNull, amfUndefined:
		return 1, nil
	case amfDate:
		return 11, nil
	case amfString:
		if need(3) {
			return 3 + int(binary.BigEndian.Uint16(data[1:])), nil
		}
	case amfLongString:
		if need(5) {
			return 5 + int(binary.BigEndian.Uint32(data[1:])), nil
		}
	case amfObject:
		end, err := properties(data[1:], depth, nil)
		return 1 + end, err
	case amfECMAArray:
		if need(5) {
			end, err := properties(data[5:], depth, nil)
			return 5 + end, err
		}
	case amfStrictArray:
		if need(5) {
			rest := data[5:]
			for range binary.BigEndian.Uint32(data[1:]) {
				var err error
				if _, rest, err = value(rest, depth-1); err != nil {
					return 0, err
				}
			}
			return len(data) - len(rest), nil
		}
	}
	return 0, errAMF
}

// properties calls each for every property of an object, and returns where the object ends.
func properties(data []byte, depth int, each func(name string, value []byte)) (end int, err error) {
	rest := data
	for {
		if len(rest) < 3 {
			return 0, errAMF
		}
		n := int(binary.BigEndian.Uint16(rest))
		if n == 0 && rest[2] == amfObjectEnd {
			return len(data) - len(rest) + 3, nil
		}
		if len(rest) < 2+n {
			return 0, errAMF
		}
		name := string(rest[2 : 2+n])
		var v []byte
		if v, rest, err = value(rest[2+n:], depth-1); err != nil {
			return 0, err
		}
		if each != nil {
			each(name, v)
		}
	}
}

// text reads a string value; "" for others.
func text(v []byte) string {
	if len(v) > 3 && v[0] == amfString {
		return string(v[3:])
	}
	return ""
}

func appendText(out []byte, s string) []byte {
	if len(s) > math.MaxUint16 {
		out = binary.BigEndian.AppendUint32(append(out, amfLongString), uint32(len(s)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, amfString), uint16(len(s)))
	}
	return append(out, s...)
}

const maxDepth = 8

// target is what the real server is told.
type target struct {
	app string // of the URL
	url string // up to the application
	key string // stream name and query
}

// renamed puts the target into a command of a publisher. Other commands come back as they are.
func (t target) renamed(command []byte) ([]byte, error) {
	name, rest, err := value(command, maxDepth)
	if err != nil {
		return nil, err
	}
	number, rest, err := value(rest, maxDepth)
	if err != nil {
		return nil, err
	}
	out := append(bytes.Clone(name), number...)
	switch text(name) {
	case "connect":
		object, rest, err := value(rest, maxDepth)
		if err != nil || object[0] != amfObject {
			return nil, errAMF
		}
		out = append(out, amfObject)
		_, err = properties(object[1:], maxDepth, func(name string, v []byte) {
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(name))), name...)
			switch name {
			case "app":
				out = appendText(out, t.app)
			case "tcUrl", "swfUrl", "pageUrl":
				out = appendText(out, t.url)
			default:
				out = append(out, v...)
			}
		})
		return append(append(out, 0, 0, amfObjectEnd), rest...), err
	case "publish", "releaseStream", "FCPublish", "FCUnpublish":
		nothing, rest, err := value(rest, maxDepth)
		if err != nil {
			return nil, err
		}
		_, rest, err = value(rest, maxDepth)
		if err != nil {
			return nil, err
		}
		return append(appendText(append(out, nothing...), t.key), rest...), nil
	}
	return command, nil
}

// refusal is what a server complains of; "" when the command is no complaint.
func refusal(command []byte) string {
	name, rest, err := value(command, maxDepth)
	if err != nil || text(name) != "onStatus" && text(name) != "_error" {
		return ""
	}
	said := map[string]string{}
	for len(rest) > 0 {
		var v []byte
		if v, rest, err = value(rest, maxDepth); err != nil {
			return ""
		}
		if v[0] == amfObject {
			_, _ = properties(v[1:], maxDepth, func(name string, v []byte) { said[name] = text(v) })
		}
	}
	if said["level"] != "error" {
		return ""
	}
	if said["description"] == "" {
		return said["code"]
	}
	return said["code"] + ", " + said["description"]
}
