package exec

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// versions are the programs that only print their version for this option. Nobody knows what
// another program would do.
var versions = map[string]string{
	gstLaunch: "--version", "obs": "--version", "ffmpeg": "-version", "Xvfb": "-version", "mediamtx": "--version",
	"vlc": "--version", "cvlc": "--version",
}

const gstLaunch = "gst-launch-1.0"

// askTime is enough for GStreamer to look through its plugins for the first time.
const askTime = 20 * time.Second

// known tells what can be known of a program that is there.
func known(ctx context.Context, c command) []encoders.Finding {
	name := filepath.Base(c.path)
	option, is := versions[name]
	if !is {
		return []encoders.Finding{{Level: encoders.OK, What: c.path + " is there; what it can do is not known"}}
	}
	said, err := ask(ctx, c.path, option)
	if err != nil {
		return []encoders.Finding{{Level: encoders.Bad, What: fmt.Sprintf("%s cannot be run: %v", c.path, err)}}
	}
	found := []encoders.Finding{{Level: encoders.OK, What: c.path + " is there: " + said}}
	if name == gstLaunch {
		found = append(found, elements(ctx, filepath.Join(filepath.Dir(c.path), "gst-inspect-1.0"), c.args)...)
	}
	return found
}

var element = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// elements finds what a pipeline needs and this GStreamer does not have: words that begin a
// pipeline, or follow a !, and are neither properties nor references.
func elements(ctx context.Context, inspect string, args []string) (found []encoders.Finding) {
	var has, asked []string
	for i, word := range args {
		begins := i > 0 && (args[i-1] == "!" || strings.HasSuffix(args[i-1], ".") || strings.HasPrefix(args[i-1], "-") ||
			i == 1)
		if !begins || !element.MatchString(word) || slices.Contains(asked, word) {
			continue
		}
		asked = append(asked, word)
		_, err := ask(ctx, inspect, "--exists", word)
		var exit *exec.ExitError
		switch {
		case err == nil:
			has = append(has, word)
		case errors.As(err, &exit):
			found = append(found, encoders.Finding{Level: encoders.Bad, What: "this GStreamer has no element " + word,
				Hint: "install the plugin that has it: gstreamer1.0-plugins-base, -good, -bad, -ugly or gstreamer1.0-libav"})
		default:
			return nil // there is no gst-inspect-1.0
		}
	}
	if len(has) > 0 {
		found = append(found, encoders.Finding{Level: encoders.OK, What: "it has " + strings.Join(has, ", ")})
	}
	return found
}

// ask runs a program for a question, and returns the first line that it says.
func ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = proc.Environment("", encoders.Job{}, "")
	cmd.WaitDelay = askTime / 10
	said, err := cmd.CombinedOutput()
	for _, line := range proc.Lines(said) {
		return strings.TrimSpace(line), err
	}
	return "it says nothing", err
}
