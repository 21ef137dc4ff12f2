// Package secret holds the one type for values that must never be shown, and the one [Masker] that
// takes them out of texts.
//
// Every package that carries a password, a token or a publishing URL uses [Value]; there is no
// other way to hold one. It is the only package here that all others may import.
//
// # What is masked
//
// A masker hides what it knows: every [Value], and what the loader of the configuration read from
// ${NAME} and ${file:PATH}. The value of a reference is a secret wherever it stands, because only
// its owner can tell a password from a scene's name, unless
//
//   - its key names an address, a path or a choice, or does not hold text,
//   - it is the host and port of an address, or an existing path of this host: a message that
//     hides which host does not answer is useless, and the address opens nothing,
//   - it has fewer than six bytes: it would be found in ordinary words. Where it stands as a
//     password, the text around it shows that.
//
// It also hides what looks like a secret, known or not: what stands before the @ of a URL, values
// of parameters, fields, elements and options whose names say so ([Named]), the headers
// Authorization, Cookie and their kind, bearer tokens and JSON web tokens.
//
// A known secret of six bytes and more is hidden wherever it is found, in every form in which
// programs write it (percent-encoded, quoted, base64, hex, and as a digest), in small letters or
// capitals; a shorter one only where no letter or digit is beside it.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
)

// Mask is what a set secret prints as, everywhere.
const Mask = "********"

// Value is a secret. It prints, logs and marshals as [Mask] (as nothing when it is empty); only
// [Value.Reveal] gives the text. Its zero value is "not set". It holds a pointer because fmt cannot
// call the methods of an unexported field and would print its contents. Compare with Same, not with
// ==.
type Value struct{ text *string }

// New wraps text.
func New(text string) Value {
	if text == "" {
		return Value{}
	}
	return Value{&text}
}

// Reveal returns the secret itself, for the one place that needs it: a request body, a pipe to a
// child, a MAC.
func (v Value) Reveal() string {
	if v.text == nil {
		return ""
	}
	return *v.text
}

// Set reports whether the secret is not empty.
func (v Value) Set() bool { return v.text != nil }

// Equal compares in constant time, also for texts of different lengths.
func (v Value) Equal(text string) bool {
	a, b := sha256.Sum256([]byte(v.Reveal())), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Same reports whether both hold the same secret, in constant time.
func (v Value) Same(other Value) bool { return v.Equal(other.Reveal()) }

func (v Value) String() string {
	if v.text == nil {
		return ""
	}
	return Mask
}

// GoString keeps %#v from looking inside.
func (v Value) GoString() string { return `"` + v.String() + `"` }

// LogValue keeps slog from looking inside.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON writes the mask.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(v.String()) }

// MarshalText writes the mask.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText takes the text as it is; the configuration loader resolves references before.
func (v *Value) UnmarshalText(text []byte) error {
	*v = New(string(text))
	return nil
}
