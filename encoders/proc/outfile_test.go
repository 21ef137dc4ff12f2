package proc

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := OpenOutput(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(text string) {
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("one\ntwo\n")
	if done, err := Rotate(path, 8); done || err != nil {
		t.Errorf("rotate of 8 bytes: %v, %v", done, err)
	}
	write("three\n")
	if done, err := Rotate(path, 8); !done || err != nil {
		t.Errorf("rotate of 14 bytes: %v, %v", done, err)
	}
	write("four\n")
	read := func(path string) string {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	if got := read(path) + "|" + read(path+".1"); got != "four\n|o\nthree\n" {
		t.Errorf("the files hold %q", got)
	}
	for _, c := range []struct {
		from, n int64
		want    string
	}{{0, 100, "four\n"}, {2, 100, "ur\n"}, {100, 100, "four\n"}, {0, 3, ""}} {
		if got, err := LastBytes(path, c.from, c.n); err != nil || string(got) != c.want {
			t.Errorf("LastBytes from %d, %d: %q, %v; want %q", c.from, c.n, got, err, c.want)
		}
	}
}

func TestLines(t *testing.T) {
	got := Lines([]byte("one\n\nframe=1\rframe=2\r\n\x1b[31mred\x07\n"))
	if d := cmp.Diff([]string{"one", "frame=2", "[31mred"}, got); d != "" {
		t.Error(d)
	}
}
