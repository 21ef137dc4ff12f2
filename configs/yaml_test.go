package configs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestMistakesFarDown checks that mistakes are also located in a file of many thousand lines.
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
		{"a missing quote", "  last: {publish: \"rtmp://h/last}", 1, "look for a missing \""},
		{"an alias of nothing that is a text before",
			"  # *nothing\n  last:\n    publish: 'to *nothing' # and *nothing\n    encoder: *nothing", 4,
			"there is no anchor &nothing"},
		{"the second of two aliases of nothing", "  one: *nothing\n  two: *nought", 1, "there is no anchor &nothing"},
		{"a long list in brackets before", "  list:\n    encoders: [" + strings.Repeat("\n      cam,", 80) +
			"]\n  last: [", 83, "not closed"},
		{"a tab", "  last:\n\tencoder: cam", 2, "a tab"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var file strings.Builder
			file.WriteString("accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}\nencoders:\n  cam: " +
				"{fake: {}}\nstreams:\n")
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

// mistaken is a valid file, in which one line at a time is broken.
const mistaken = `listen: ":8080"
admin:
  listen: "127.0.0.1:8081"   # loopback: nobody else
  token: abcdefghijklmnopq
accounts:
  ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}
encoders:
  cam:
    ffmpeg:
      input: "rtsp://x/1"
      args: []
  bench: {fake: {start_delay: 200ms}}
  spare: {fake: {}}
  studio:
    obs: {address: "10.0.0.5:4455", password: 'abcdefg', set_service: true}

streams:
  lobby:
    encoder: cam             # the best
    publish: "rtmp://h/a/lobby"
    idle_timeout: 2m
  # and one more
  door: {encoder: bench, publish: "rtmp://h/a/door"}
  stage:
    encoders:
      - studio
      - spare
    schedule:
      - cron: "0 18 * * FRI" # on Fridays: always
        for: 4h
    publish: "rtmp://h/a/stage"
`

// TestMistakesAreNamedAtTheirLine checks that one space, colon, quote or bracket too many or too
// few is reported in its line, although the parser often fails only later, or names the start of
// the block around it.
func TestMistakesAreNamedAtTheirLine(t *testing.T) {
	if text, _ := report(t, "good.yaml", []byte(mistaken)); text != "" {
		t.Fatal(text)
	}
	last := func(line, what string) string {
		if i := strings.LastIndex(line, what); i >= 0 {
			return line[:i] + line[i+1:]
		}
		return line
	}
	mistakes := map[string]func(string) string{
		"a space too few":    func(l string) string { return strings.TrimPrefix(l, " ") },
		"a space too many":   func(l string) string { return " " + l },
		"no colon":           func(l string) string { return strings.Replace(l, ":", "", 1) },
		"nothing after it":   func(l string) string { return strings.Replace(l, ": ", ":", 1) },
		"no closing quote":   func(l string) string { return last(l, `"`) },
		"no closing ' quote": func(l string) string { return last(l, "'") },
		"no opening quote":   func(l string) string { return strings.Replace(l, `"`, "", 1) },
		"no }":               func(l string) string { return last(l, "}") },
		"no ]":               func(l string) string { return last(l, "]") },
	}
	lines := strings.Split(mistaken, "\n")
	for what, spoil := range mistakes {
		for i, line := range lines {
			spoilt := spoil(line)
			if spoilt == line || blank([]byte(line)) || isItem([]byte(line)) && what == "a space too many" {
				continue // to YAML, such an item is more text of the one before
			}
			text := strings.Join(slices.Concat(lines[:i], []string{spoilt}, lines[i+1:]), "\n")
			got, bad := report(t, "x.yaml", []byte(text))
			if !bad && strings.Contains(what, "space") {
				continue // the line stands alone, so any indentation will do
			}
			if want := fmt.Sprintf("x.yaml:%d:", i+1); !strings.HasPrefix(got, want) {
				t.Errorf("%s in line %d, %q, gives:\n%s", what, i+1, spoilt, got)
			}
		}
	}
}

// TestLinesEndAsYAMLSays counts lines as the YAML parser does, which knows more line ends than some
// editors.
func TestLinesEndAsYAMLSays(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", "\r", "\u0085", "\u2028"} {
		text := strings.Join([]string{`listen: ":1"`, "log: {}", "data_dir: [x", ""}, end)
		if got, _ := report(t, "x.yaml", []byte(text)); !strings.HasPrefix(got, "x.yaml:3:") {
			t.Errorf("%q: %s", end, got)
		}
	}
}

// TestMistakeThatCannotBeFound refuses a file that is too large for a search for the mistake,
// without naming a line.
func TestMistakeThatCannotBeFound(t *testing.T) {
	var file strings.Builder
	for n := 0; file.Len() < 6<<20; n++ {
		fmt.Fprintf(&file, "x-%d: {a: [1, 2, 3], b: %s}\n", n, strings.Repeat("b", 2000))
	}
	file.WriteString("log: [\n")
	if got, bad := report(t, "x.yaml", []byte(file.String())); !bad ||
		!strings.Contains(got, "somewhere below this line") {
		t.Errorf("got %s", got)
	}
}
