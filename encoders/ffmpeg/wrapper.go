package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

const (
	// wrapperTime limits the trial of a program that may wrap FFmpeg.
	wrapperTime = 5 * time.Second
	// wrapperFile keeps the outcome.
	wrapperFile = "ffmpeg.wrapper"
	// wrapperRun is the run in the cookie of a program on trial.
	wrapperRun = "trial"
)

// trial is the outcome of a program's trial.
type trial struct {
	Path    string    `json:"path"`
	Changed time.Time `json:"changed"`
	Size    int64     `json:"size"`
	Wraps   bool      `json:"wraps"` // it passes its args and descriptors on to FFmpeg
}

// known returns the settings, completed by whether a binary with another name passes its args on to
// FFmpeg. Each version of a program is tried once, and only when the args could hide the key: a
// program that has nothing to do with FFmpeg is never run for this.
func (e *Encoder) known(ctx context.Context) Settings {
	s := e.chosen()
	switch {
	case s.HideKey == "yes" && !s.isFFmpeg() && s.couldHide():
		s.wrapper = true
		return s
	case !s.mayWrap():
		return s
	}
	select {
	case e.trying <- struct{}{}:
		defer func() { <-e.trying }()
	case <-ctx.Done():
		return s
	}
	now, ok := e.program()
	if !ok {
		return s
	}
	if e.tried == (trial{}) {
		e.tried, _ = encoders.Recall[trial](e.env.Dir, wrapperFile) // if it cannot be read, try again
	}
	if !e.tried.of(now) {
		now.Wraps = e.wrapsFFmpeg(ctx, now.Path)
		if ctx.Err() != nil {
			return s // it had too little time; the next call tries again
		}
		e.tried = now
		if err := encoders.Remember(e.env.Dir, wrapperFile, now); err != nil {
			e.env.Log.Warn("the outcome of a trial cannot be saved", "error", err)
		}
	}
	s.wrapper = e.tried.Wraps
	return s
}

// of reports whether the trial is of the program as it is now.
func (t trial) of(now trial) bool {
	return t.Path == now.Path && t.Changed.Equal(now.Changed) && t.Size == now.Size
}

// program returns a trial of the binary as it is now, without an outcome.
func (e *Encoder) program() (trial, bool) {
	path, err := proc.LookUp(e.settings.Binary, binaryKey)
	if err != nil {
		return trial{}, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return trial{}, false
	}
	return trial{Path: path, Changed: info.ModTime(), Size: info.Size()}, true
}

// mayWrap reports whether the binary must be tried.
func (s Settings) mayWrap() bool { return s.HideKey == "auto" && !s.isFFmpeg() && s.couldHide() }

// couldHide reports whether the args would let an FFmpeg take the key out of sight.
func (s Settings) couldHide() bool {
	last := len(s.Args) - 1
	if last < 0 || s.Args[last] != placeholder || !slices.Contains(s.Args, "-i") {
		return false
	}
	format := containerOf(s.Args[:last])
	return format == "flv" || format == "mpegts" || format == "whip"
}

// wrapsFFmpeg runs the binary on a moment of silence, with no output. The binary counts as FFmpeg
// when it prints FFmpeg's name, reads an option file behind firstFD, and reports progress on its
// standard output: inside a container or on another host it would not have our descriptors. Every
// process that the binary has started is ended with it.
func (e *Encoder) wrapsFFmpeg(ctx context.Context, path string) bool {
	options, err := proc.Pipe("fflags=+bitexact\n")
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
	progress, said, how, err := e.attempt(ctx, path, []string{"-nostdin", "-progress", "pipe:1", "-f", "lavfi", "-i",
		"anullsrc", "-t", "0.1", "-f", "null", "-fpre", fmt.Sprintf("/dev/fd/%d", firstFD), "-"},
		[]*os.File{null, options}) // descriptors 3, the lock's, and 4
	return err == nil && how.Known && how.Code == 0 && how.Signal == 0 &&
		bytes.Contains(said, []byte("ffmpeg version")) && bytes.Contains(progress, []byte("progress=end"))
}

// endAll kills the family of a program on trial until nothing is left of it.
func endAll(id proc.Identity) {
	for range 50 {
		left := proc.Family(id)
		if len(left) == 0 {
			return
		}
		proc.SignalFamily(id, left, unix.SIGKILL)
		time.Sleep(10 * time.Millisecond)
	}
}
