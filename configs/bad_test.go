package configs

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/bad/*.txt anew")

// report is what a person sees of a file: errors and warnings in file order.
func report(t testing.TB, file string, data []byte) (text string, bad bool) {
	t.Helper()
	_, all, err := testOptions().Parse(file, data)
	var problems Problems
	if err != nil && !errors.As(err, &problems) {
		t.Fatalf("%s: %v is no list of problems", file, err)
	}
	all = append(all, problems...)
	sortProblems(all)
	var lines strings.Builder
	for _, p := range all {
		lines.WriteString(p.String() + "\n")
	}
	return lines.String(), err != nil
}

var form = regexp.MustCompile(`^testdata/bad/[a-z0-9-]+\.yaml:[1-9][0-9]*:[1-9][0-9]*: (warning: )?[^ ].*?: .+$`)

// TestBadFiles compares the messages for every file in testdata/bad with the .txt file of its name.
// The names say what is wrong.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files in testdata/bad, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, bad := report(t, file, data)
			if wantBad := !strings.HasPrefix(filepath.Base(file), "warn-"); bad != wantBad {
				t.Errorf("refused: %v, want %v", bad, wantBad)
			}
			for line := range strings.Lines(got) {
				if !form.MatchString(strings.TrimSuffix(line, "\n")) {
					t.Errorf("not FILE:LINE:COL: path: text: %s", line)
				}
				if strings.Contains(line, "canary") {
					t.Errorf("shows a secret: %s", line)
				}
			}
			expected := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(expected)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}
