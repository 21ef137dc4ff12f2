package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestApart runs a shell that tries to reach what is hidden, and that works as a user's own program
// does.
func TestApart(t *testing.T) {
	if !CanPartApart() {
		t.Skip("needs root, and Landlock 6")
	}
	dir := t.TempDir()
	write := func(path, text string) string {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("oncue.yaml", "canary")
	db := write("data/oncue.db", "canary")
	write("data/encoders/other/file", "canary")
	own := filepath.Dir(write("data/encoders/mine/file", "mine"))
	script := write("script", `
cat "$1/oncue.yaml" "$1/data/oncue.db" "$1/data/encoders/other/file" /proc/$2/environ /proc/$2/root"$1"/oncue.yaml
echo x >> "$1/oncue.yaml"; echo x >> "$1/data/oncue.db"; rm -f "$1/oncue.yaml"
umount "$1/oncue.yaml" && cat "$1/oncue.yaml"
kill -0 $2 && echo canary signal
cat "$1/oncue.yaml" && echo canary read; true >> "$1/data/oncue.db" && echo canary write
cat "$1/data/encoders/mine/file"
echo up > "$1/pid"; cat "$1/pid"; chmod 600 "$1/pid"
echo more > "$1/data/encoders/mine/new"; cat "$1/data/encoders/mine/new"
`)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", script, dir, strconv.Itoa(os.Getpid()))
	cmd.Stdout = w
	apart.refill() // a room made in advance must behave like a new one
	a := Apart{Hidden: []string{config, db, filepath.Join(dir, "data/encoders"), filepath.Join(dir, "none")}, Own: own}
	if err := a.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out := make([]byte, 10000)
	n, _ := readAll(r, out)
	_ = cmd.Wait()
	if got := string(out[:n]); got != "mineup\nmore\n" {
		t.Errorf("it says %q", got)
	}
	for path, want := range map[string]string{"oncue.yaml": "canary", "data/oncue.db": "canary", "pid": "up\n",
		"data/encoders/mine/new": "more\n"} {
		if text, err := os.ReadFile(filepath.Join(dir, path)); err != nil || string(text) != want {
			t.Errorf("%s holds %q, %v", path, text, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("the mounts are seen outside: %v", err)
	}
}

func readAll(r *os.File, into []byte) (n int, err error) {
	for err == nil {
		var more int
		more, err = r.Read(into[n:])
		n += more
	}
	return n, err
}
