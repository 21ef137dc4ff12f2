package exec

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// fromPage is the settings of an encoder in a YAML block of the page about this driver.
func fromPage(t *testing.T, encoder string) Settings {
	t.Helper()
	page, err := os.ReadFile("../../configs/docs/exec.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		var config struct {
			Encoders, Helpers map[string]struct{ Exec Settings }
		}
		if err := yaml.Unmarshal([]byte(block), &config); err != nil {
			t.Fatal(err)
		}
		e, is := config.Encoders[encoder]
		if !is {
			e, is = config.Helpers[encoder]
		}
		if is {
			s := Defaults()
			s.Command, s.Env, s.Ready = e.Exec.Command, e.Exec.Env, e.Exec.Ready
			return s
		}
	}
	t.Fatalf("the page has no encoder %s", encoder)
	return Settings{}
}

// TestGStreamer runs the conformance suite with the pipeline of the page, in a small picture.
func TestGStreamer(t *testing.T) {
	need(t, "gst-launch-1.0")
	s := fromPage(t, "gst")
	for i, word := range s.Command {
		s.Command[i] = strings.Replace(word, "width=1280,height=720", "width=160,height=90", 1)
	}
	conforms(t, s)
}

// TestChecksElements finds what a pipeline needs, and what is not there.
func TestChecksElements(t *testing.T) {
	need(t, "gst-launch-1.0", "gst-inspect-1.0")
	s := fromPage(t, "gst")
	texts := func(s Settings) (text string) {
		for _, f := range openIn(t, s, "").Check(t.Context(), newSink(t).job()) {
			text += string(f.Level) + ": " + f.What + "\n"
		}
		return text
	}
	if got := texts(s); !strings.Contains(got, "ok: it has videotestsrc, x264enc, h264parse, audiotestsrc, voaacenc, "+
		"aacparse, flvmux, rtmp2sink") || !strings.Contains(got, "gst-launch-1.0 is there: gst-launch-1.0 version 1.") {
		t.Error(got)
	}
	s.Command[slices.Index(s.Command, "x264enc")] = "x265enk"
	if got := texts(s); !strings.Contains(got, "error: this GStreamer has no element x265enk") {
		t.Error(got)
	}
}
