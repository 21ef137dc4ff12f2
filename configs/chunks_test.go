package configs

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzChunks holds a good file that is read in chunks, of an entry each, to the same file read as a whole.
func FuzzChunks(f *testing.F) {
	addFiles(f)
	for _, c := range chunkCases {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameInChunks(t, data) })
}

func sameInChunks(t *testing.T, data []byte) {
	t.Helper()
	o := testOptions()
	c, warnings, ok := o.parseChunked("x.yaml", data, 1)
	if !ok {
		return
	}
	whole, wholeWarnings, err := o.parseWhole("x.yaml", data)
	if diff := cmp.Diff(wholeWarnings, warnings); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	if diff := Diff(whole, c); len(diff) > 0 {
		t.Fatalf("differs: %q", diff)
	}
	for i, s := range c.Streams {
		if w := whole.Streams[i]; w.Line != s.Line || w.ID != s.ID || !maps.Equal(w.own, s.own) {
			t.Fatalf("stream %+v instead of %+v", s, w)
		}
	}
	for i, e := range c.Encoders {
		if w := whole.Encoders[i]; w.Line != e.Line || w.Name != e.Name {
			t.Fatalf("encoder %+v instead of %+v", e, w)
		}
	}
}

const oneAccount = "accounts: {acc: {webhook_secrets: [MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]}}\n"

var chunkCases = []struct {
	name, text string
	chunked    bool
}{
	{"an alias of the top", planned, false},
	{"block and flow", oneAccount + "streams: # all\n\n# first\n  a: {encoder: x}\n\n  b:\n    encoder: x\n    idle_timeout: 3s\nencoders:\n  x: {fake: {}}\n# end\n   ", true},
	{"two texts over lines", oneAccount + "encoders:\n  x: {ffmpeg: {input: \"a\n    y: b\"}}\n  z:\n    ffmpeg:\n      input: |\n        q\n\n        r: s\nstreams:\n  a: {encoder: x, publish: rtmp://h/a/b}\n  b: {encoder: z, publish: rtmp://h/a/b}\n", true},
	{"an anchor in its entry", oneAccount + "encoders:\n  x: {ffmpeg: {input: &e one}}\nstreams:\n  a: &a {encoder: x, publish: rtmp://h/a/b}\n", true},
	{"an alias", oneAccount + "encoders:\n  x: {fake: &f {}}\n  y: {fake: *f}\nstreams:\n  a: {encoder: x}\n", false},
	{"a merge", oneAccount + "x-all: &all {a: {encoder: x}}\nencoders:\n  x: {fake: {}}\nstreams:\n  <<: *all\n", false},
	{"a flow section", oneAccount + "encoders: {x: {fake: {}}}\nstreams: {a: {encoder: x}}\n", false},
	{"a section over lines", oneAccount + "encoders:\n  {x: {fake: {}}}\n", false},
	{"a name twice", oneAccount + "encoders:\n  x: {fake: {}}\n  x: {fake: {}}\n", false},
	{"a section twice", oneAccount + "encoders:\n  x: {fake: {}}\nencoders:\n  y: {fake: {}}\n", false},
	{"two documents", oneAccount + "encoders:\n  x: {fake: {}}\n---\n", false},
	{"a section in a text", oneAccount + "x-t: \"q\nencoders:\n  b: {fake: {}}\n\"\n", false},
	{"a list", oneAccount + "encoders:\n  - x\n", false},
	{"a tab", oneAccount + "encoders:\n  x: {fake: {}}\n\ty: {fake: {}}\n", false},
	{"an entry too deep", oneAccount + "encoders:\n  x: {fake: {}}\n   y: {fake: {}}\n", false},
	{"an entry not deep enough", oneAccount + "encoders:\n  x: {fake: {}}\n y: {fake: {}}\n", false},
	{"a wrong value", oneAccount + "encoders:\n  x: {fake: {fps: many}}\n", false},
	{"returns before the ends of lines", strings.ReplaceAll(oneAccount+"encoders:\n  x: {fake: {}}\n  y: {fake: {}}\nstreams:\n  a: {encoder: x}\n", "\n", "\r\n"), true},
	{"a return alone", oneAccount + "encoders:\n  x: {fake: {}} # a\r  y: {fake: {}}\nstreams:\n  a: {encoder: x}\n", false},
	{"a line separator", oneAccount + "encoders:\n  x: {fake: {}} # a\u2028  y: {fake: {}}\nstreams:\n  a: {encoder: x}\n", false},
	{"a control character", oneAccount + "encoders:\n  x: {fake: {}} # \x01\nstreams:\n  a: {encoder: x}\n", false},
	{"nothing", "", false},
}

// TestChunks tells which files are read in chunks, and that nobody notices.
func TestChunks(t *testing.T) {
	for _, c := range chunkCases {
		t.Run(c.name, func(t *testing.T) {
			if _, _, ok := testOptions().parseChunked("x.yaml", []byte(c.text), 1); ok != c.chunked {
				t.Errorf("read in chunks: %v", ok)
			}
			sameInChunks(t, []byte(c.text))
		})
	}
}
