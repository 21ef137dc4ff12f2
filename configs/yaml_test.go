package configs

import (
	"fmt"
	"strings"
	"testing"
)

// TestMistakesFarDown: in a file of many thousand lines, too, a mistake is said to be where it is.
func TestMistakesFarDown(t *testing.T) {
	const streams = 4000 // of three lines each
	for _, c := range []struct {
		what, text string
		line       int // of those after the streams
		word       string
	}{
		{"an alias of nothing", "  # not *nothing\n  last: {publish: *nothing}", 2, "there is no anchor &nothing"},
		{"an alias of nothing in a list", "  last:\n    encoders:\n    - *nothing", 3, "there is no anchor &nothing"},
		{"an open bracket", "  last: {encoders: [cam}", 1, "not closed"},
		{"a second colon", "  last:\n    encoder: cam: x", 2, "a second"},
		{"a tab", "  last:\n\tencoder: cam", 2, "a tab"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var file strings.Builder
			file.WriteString("accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}\nencoders:\n  cam: {fake: {}}\nstreams:\n")
			for n := range streams {
				fmt.Fprintf(&file, "  s%d:\n    encoder: cam\n    idle_timeout: 5m\n", n)
			}
			want := fmt.Sprintf("far.yaml:%d:", 4+3*streams+c.line)
			file.WriteString(c.text + "\n")
			got, bad := report(t, "far.yaml", []byte(file.String()))
			if !bad || !strings.HasPrefix(got, want) || !strings.Contains(got, c.word) {
				t.Errorf("got %s, want %s … %s", got, want, c.word)
			}
		})
	}
}
