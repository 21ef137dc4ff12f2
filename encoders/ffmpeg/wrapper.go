package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
)

// wrapperTime bounds the try of a program that may stand before FFmpeg.
const wrapperTime = 5 * time.Second

// known returns the settings, and knows whether a binary of another name hands its args on to FFmpeg. That is tried once, and only when the
// args could hide the key: a program that has nothing to do with FFmpeg is never run for it.
func (e *Encoder) known(ctx context.Context) Settings {
	s := e.settings
	if s.isFFmpeg() || !s.couldHide() {
		return s
	}
	e.mu.Lock()
	done := e.tried
	e.mu.Unlock()
	if done == nil {
		wraps := wrapsFFmpeg(ctx, s.Binary)
		if ctx.Err() != nil {
			return s // it had no time, and may be tried again
		}
		done = &wraps
		e.mu.Lock()
		e.tried = done
		e.mu.Unlock()
	}
	s.wrapper = *done
	return s
}

// couldHide reports whether the args are those of an FFmpeg to which the key can go out of sight.
func (s Settings) couldHide() bool {
	last := len(s.Args) - 1
	if last < 0 || s.Args[last] != placeholder || !hasOption(s.Args, "-i") {
		return false
	}
	format := containerOf(s.Args[:last])
	return format == "flv" || format == "mpegts" || format == "whip"
}

// wrapsFFmpeg runs the binary with a second of silence to nowhere. It is as good as FFmpeg when it says FFmpeg's name, has read an option
// file behind optionFD, and reports progress on its standard output: a container or another machine does not have our descriptors.
func wrapsFFmpeg(ctx context.Context, binary string) bool {
	path, err := lookUp(binary)
	if err != nil {
		return false
	}
	options, err := pipeOf("fflags=+bitexact\n")
	if err != nil {
		return false
	}
	defer options.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return false
	}
	defer null.Close()
	ctx, cancel := context.WithTimeout(ctx, wrapperTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-nostdin", "-progress", "pipe:1", "-f", "lavfi", "-i", "anullsrc", "-t", "0.1", "-f", "null", "-fpre", fmt.Sprintf("/dev/fd/%d", optionFD), "-")
	cmd.Env = environment("", encoders.Job{})
	cmd.ExtraFiles = []*os.File{null, options} // descriptors 3, the lock's, and 4
	cmd.WaitDelay = time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	progress, err := cmd.Output()
	return err == nil && strings.Contains(said.String(), "ffmpeg version") && bytes.Contains(progress, []byte("progress=end"))
}
