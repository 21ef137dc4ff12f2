package configs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// FuzzParse looks for texts for which the loader returns neither a whole configuration nor problems
// that have a place in the file and hide the values of references.
func FuzzParse(f *testing.F) {
	addFiles(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, all, err := testOptions().Parse("x.yaml", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("configuration %v beside error %v", c, err)
		}
		var problems Problems
		if err != nil && !errors.As(err, &problems) {
			t.Fatalf("%v is no list of problems", err)
		}
		lines := len(linesOf(data))
		for _, p := range append(all, problems...) {
			if p.Line < 1 || p.Col < 1 || p.Line > lines || p.Key == "" || p.Text == "" {
				t.Fatalf("problem without place or text: %+v", p)
			}
			if strings.Contains(p.Text, "canary-value") && !strings.Contains(string(data), "canary-value") {
				t.Fatalf("shows a secret: %s", p)
			}
		}
		if c == nil {
			return
		}
		c.Plan()
		if d := Diff(c, c); len(d) > 0 {
			t.Fatalf("differs from itself: %q", d)
		}
		for _, s := range c.Streams {
			if s.IsPattern {
				continue
			}
			if got, _, ok := c.Lookup(s.Account, s.Name); !ok || got != s {
				t.Fatalf("%s is not found", s.ID)
			}
		}
	})
}

// addFiles makes the example and all bad files seeds.
func addFiles(f *testing.F) {
	f.Helper()
	f.Add(Example)
	f.Add([]byte(planned))
	f.Add([]byte("\r00")) // to YAML, that is a line end
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(read(f, file))
	}
}
