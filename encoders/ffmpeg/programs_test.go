package ffmpeg

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oncue/oncue/encoders"
)

// What a program needs is kept, and found out anew when it has become another one.
func TestKeptGrantsFollowChanges(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first", "run"), filepath.Join(dir, "second", "run")
	binary := filepath.Join(dir, "encoder")
	for _, path := range []string{first, second} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := Settings{Binary: binary, Args: []string{"x"}}
	for _, to := range []string{first, second} {
		_ = os.Remove(binary)
		if err := os.Symlink(to, binary); err != nil {
			t.Fatal(err)
		}
		for range 2 { // found out, and kept
			p := policyFor(s, encoders.Env{}, encoders.Job{})
			if !slices.Contains(p.Read, filepath.Dir(to)) {
				t.Errorf("%s is not granted: %q", filepath.Dir(to), p.Read)
			}
		}
	}
	s.Binary = first
	script := filepath.Join(dir, "second", "run")
	_ = policyFor(s, encoders.Env{}, encoders.Job{})
	if err := os.WriteFile(first, []byte("#!"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if p := policyFor(s, encoders.Env{}, encoders.Job{}); !slices.Contains(p.Read, script) {
		t.Errorf("the new interpreter %s is not granted: %q", script, p.Read)
	}
}
