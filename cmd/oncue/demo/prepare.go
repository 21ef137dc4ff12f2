package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/store"
)

type Options struct {
	Install, Once, Verbose bool
	Listen                 string
	ListenSet              bool
	Version                string
}

// Prepare makes sure that there are a C compiler (SQLite is C) and an FFmpeg. If this binary was
// built without SQLite, Prepare runs the demo again from the sources; then done is true.
func (o Options) Prepare(ctx context.Context, out, errs io.Writer) (done bool, err error) {
	var missing []string
	if !store.Supported {
		missing = append(missing, "gcc", "libc6-dev")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		missing = append(missing, "ffmpeg")
	}
	if len(missing) == 0 {
		return false, nil
	}
	if !o.Install {
		return false, term.Hint(fmt.Errorf("%s missing on this machine", isAre(missing)),
			"oncue demo --install installs it with apt; or: apt-get install "+strings.Join(missing, " "))
	}
	if err := aptInstall(ctx, missing, out, errs); err != nil {
		return false, err
	}
	if store.Supported {
		return false, nil
	}
	return true, o.rebuild(ctx, out, errs)
}

func isAre(things []string) string {
	if len(things) == 1 {
		return things[0] + " is"
	}
	return strings.Join(things[:len(things)-1], ", ") + " and " + things[len(things)-1] + " are"
}

func aptInstall(ctx context.Context, packages []string, out, errs io.Writer) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil {
		return term.Hint(fmt.Errorf("%s missing, and this system has no apt-get", isAre(packages)),
			"install them with the package manager of this system")
	}
	var as []string
	if os.Geteuid() != 0 {
		if as = []string{"sudo"}; !have("sudo") {
			return term.Hint(errors.New("installing packages needs root"),
				"run it as root: apt-get install "+strings.Join(packages, " "))
		}
	}
	fmt.Fprintf(out, "installing %s with apt-get; this takes about a minute\n", strings.Join(packages, ", "))
	for _, args := range [][]string{
		{"update", "-qq"}, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...),
	} {
		line := append(append([]string{}, as...), apt)
		line = append(line, args...)
		cmd := exec.CommandContext(ctx, line[0], line[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		text, err := cmd.CombinedOutput()
		if err != nil {
			fmt.Fprint(errs, lastLines(string(text), 10))
			return fmt.Errorf("%s: %w", strings.Join(line, " "), err)
		}
	}
	return nil
}

func have(program string) bool { _, err := exec.LookPath(program); return err == nil }

// rebuild runs the demo again with a binary that has SQLite in it.
func (o Options) rebuild(ctx context.Context, out, errs io.Writer) error {
	if _, err := os.Stat("cmd/oncue"); err != nil || !have("go") {
		return term.Hint(errors.New("this binary was built without a C compiler and has no SQLite"),
			"build it again, now that gcc is here: go build ./cmd/oncue")
	}
	fmt.Fprintln(out, "building again with the C compiler; the first time SQLite takes about a minute")
	args := []string{"run", "./cmd/oncue", "demo", "--listen", o.Listen}
	if o.Once {
		args = append(args, "--once")
	}
	if o.Verbose {
		args = append(args, "--verbose")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it cleans up
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Run(); err != nil && ctx.Err() == nil {
		return term.Said(err)
	}
	return nil
}

func lastLines(text string, n int) string {
	lines := strings.SplitAfter(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n-1):], "")
}
