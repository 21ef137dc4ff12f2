// Package mediamtxtest finds MediaMTX for tests that want the real program.
package mediamtxtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const version = "v1.20.1"

// Program finds MediaMTX: on the path, built by an earlier run, or, where
// ONCUE_TEST_MEDIAMTX is set, built now.
func Program(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("mediamtx"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("there is no folder to build MediaMTX in: %v", err)
	}
	path := filepath.Join(cache, "oncue-test", "mediamtx-"+version)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("ONCUE_TEST_MEDIAMTX") == "" {
		t.Skip("mediamtx is not installed; with ONCUE_TEST_MEDIAMTX=1 this test builds it, once, in some minutes")
	}
	if err := build(t.TempDir(), path); err != nil {
		t.Skipf("MediaMTX cannot be built: %v", err)
	}
	return path
}

// build builds from the module in a copy, because the module lacks two files that its own
// build makes: a version and a browser script, which nothing here uses.
func build(dir, path string) error {
	run := func(name string, args ...string) ([]byte, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stderr = dir, nil
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		out, err := cmd.Output()
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			err = fmt.Errorf("%s %s: %w: %s", name, args[0], err, failed.Stderr)
		}
		return out, err
	}
	out, err := run("go", "mod", "download", "-json", "github.com/bluenviron/mediamtx@"+version)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return err
	}
	dir = filepath.Join(dir, "mediamtx")
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		return err
	}
	for name, text := range map[string]string{"internal/core/VERSION": version,
		"internal/servers/hls/hls.min.js": "\n"} {
		name = filepath.Join(dir, name)
		if err := os.Chmod(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	_, err = run("go", "build", "-o", path, ".")
	return err
}
