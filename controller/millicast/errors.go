package millicast

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Errors of the API that callers distinguish.
var (
	ErrNotFound     = errors.New("the platform does not know it")
	ErrUnauthorized = errors.New("the API secret is wrong or may not do this")
	ErrRateLimited  = errors.New("the platform asks to slow down")
	ErrWrongAccount = errors.New("the API secret is another account's")

	// ErrNoUsableToken is in the chain when a person has made the token useless that oncue made.
	ErrNoUsableToken = errors.New("oncue token rotate makes another one")
)

// APIError is an answer of the platform that is not a success.
type APIError struct {
	What       string        // the call: "list webhooks"
	Status     int           // of HTTP
	Message    string        // the platform's own words, shortened; may be empty
	RetryAfter time.Duration // the pause that the platform asks for; 0: none
	understood bool          // the platform itself answered "fail" or "error", not a proxy before it
}

func (e *APIError) Error() string {
	text := fmt.Sprintf("platform: %s: answered %d", e.What, e.Status)
	if name := http.StatusText(e.Status); name != "" {
		text += " " + name
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.RetryAfter > 0 {
		text += fmt.Sprintf(" (try again in %s)", e.RetryAfter.Round(time.Second))
	}
	return text
}

// Is matches the sentinels above.
func (e *APIError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		// The platform says 400 with a "fail" of any wording where others say 404. A proxy's 404
		// means nothing.
		return e.understood && (e.Status == http.StatusNotFound ||
			e.Status == http.StatusBadRequest && saysNotFound(e.Message))
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	case ErrRateLimited:
		return e.Status == http.StatusTooManyRequests
	}
	return false
}

// saysNotFound looks for "not found", "NotFound", "not_found" and the like, and for what the API's
// reference has for tokens: "No publish token with id: 99", "Invalid TokenId (100) for AccountId
// (200)".
func saysNotFound(message string) bool {
	letters := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, message)
	return slices.ContainsFunc(
		[]string{"notfound", "doesnotexist", "nopublishtoken", "invalidtokenid"},
		func(words string) bool { return strings.Contains(letters, words) })
}

// words joins the texts in a value of any shape, keys included, in a stable order.
func words(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []any:
		var parts []string
		for _, e := range v {
			if w := words(e); w != "" {
				parts = append(parts, w)
			}
		}
		return strings.Join(parts, "; ")
	case map[string]any:
		var parts []string
		for key, e := range v {
			if w := words(e); w != "" {
				parts = append(parts, key+": "+w)
			}
		}
		slices.Sort(parts)
		return strings.Join(parts, "; ")
	}
	return fmt.Sprint(v)
}

// shorten makes a text from outside fit on one line of a log.
func shorten(text string) string {
	const most = 200
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}
