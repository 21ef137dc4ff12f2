package systemtest

import (
	"bufio"
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadmeDemo runs the demo as the README says, until it has shown a viewer's whole visit.
func TestReadmeDemo(t *testing.T) {
	t.Parallel()
	needFFmpeg(t) // the demo would install it
	shown := regexp.MustCompile(`(?m)^go run ./cmd/oncue (demo.*)$`).FindAllStringSubmatch(readFile(t,
		"../../../README.md"),
		-1)
	if len(shown) == 0 {
		t.Fatal("the README shows no demo")
	}
	for _, m := range shown {
		var errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), buildOncue(t),
			append(strings.Fields(m[1]), "--listen", "127.0.0.1:0")...)
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer limit.Stop()
		visited := false
		var printed strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			printed.WriteString(lines.Text() + "\n")
			if !visited && strings.Contains(lines.Text(), "is off; the encoder ran") {
				visited = true
				_ = cmd.Process.Signal(syscall.SIGINT)
			}
		}
		if err := cmd.Wait(); err != nil || !visited {
			t.Errorf("oncue %s: %v\n%s%s", m[1], err, printed.String(), errs.String())
		}
	}
}
