package exec

import (
	"os"
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
