package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/web"
)

// codeOf is the code block of that language in a page of configs/docs.
func codeOf(t *testing.T, page, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../configs/docs", page))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("%s has no block of %s", page, language)
	}
	return code
}

// TestWakeLinksOfOtherLanguages runs what the page tells sites to do, and compares its links with
// ours.
func TestWakeLinksOfOtherLanguages(t *testing.T) {
	const key, stream = "a secret of 0123456789", "ABC123/lobby ä"
	for _, tt := range []struct{ language, program, file, before, after string }{
		{"python", "python3", "link.py", "", "\nimport json\nprint(json.dumps(wake_link('" + stream + "', 60)))\n"},
		{"php", "php", "link.php", "<?php\n", "\necho json_encode(wake_link('" + stream + "', 60));\n"},
		{"js", "node", "link.mjs", "", "\nconsole.log(JSON.stringify(wakeLink('" + stream + "', 60)));\n"},
	} {
		t.Run(tt.language, func(t *testing.T) {
			program, err := exec.LookPath(tt.program)
			if err != nil {
				t.Skip(tt.program + " is not in PATH: its lines are not tried")
			}
			file := filepath.Join(t.TempDir(), tt.file)
			code := tt.before + codeOf(t, "wake-links.md", tt.language) + tt.after
			if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(program, file)
			cmd.Env = append(os.Environ(), "WAKE_SECRET="+key)
			out, err := cmd.Output()
			var link struct {
				Stream, Sig string
				Exp         int64
			}
			if err == nil {
				err = json.Unmarshal(out, &link)
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if left := time.Until(time.Unix(link.Exp, 0)); link.Stream != stream || left > time.Minute || left < 30*time.Second {
				t.Errorf("%+v", link)
			}
			if want := web.SignWake(secret.New(key), stream, strconv.FormatInt(link.Exp, 10)); link.Sig != want {
				t.Errorf("sig is %s, want %s", link.Sig, want)
			}
		})
	}
}
