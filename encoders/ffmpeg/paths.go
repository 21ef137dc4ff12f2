package ffmpeg

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/sandbox"
)

// wide are folders that hold what belongs to others.
var wide = regexp.MustCompile(`^(/|/(bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)` +
	`|/home/[^/]+|/etc/.*|/var/(lib|log|tmp|cache|run|spool)|/run/.*)$`)

// tooWide reports whether a folder must not be granted as a whole.
func (g *grants) tooWide(dir string) bool {
	real := sandbox.Real(dir)
	return wide.MatchString(real) || real == os.Getenv("HOME") || sandbox.Holds(real, g.guard.Paths) || g.guards(real)
}

// word grants the paths that a word contains.
func (g *grants) word(job encoders.Job, word string, grant func(path string)) {
	filled := argument(job, word)
	g.template = filled != word
	for _, path := range paths(filled) {
		if !g.guarded(path) {
			grant(path)
		}
	}
	g.template = false
}

// guarded reports whether a path is, or lies in, something of the daemon's.
func (g *grants) guarded(path string) bool { return g.guards(sandbox.Real(path)) }

// guards is guarded for a path whose links are resolved.
func (g *grants) guards(real string) bool {
	return slices.ContainsFunc(g.guard.Paths, func(p string) bool { return sandbox.Holds(p, []string{real}) })
}

// options grants the files in options: a font, a picture, a list.
func (g *grants) options(job encoders.Job, args []string) {
	for _, a := range args {
		g.word(job, a, g.either)
	}
}

// arguments grants the files in a whole command line of FFmpeg: inputs for reading, outputs for
// writing.
func (g *grants) arguments(job encoders.Job, args []string) {
	for i, a := range args {
		before := ""
		if i > 0 {
			before = args[i-1]
		}
		switch {
		case before == "-i":
			g.input(job, a)
		case i == len(args)-1 || !strings.HasPrefix(before, "-"):
			if !strings.HasPrefix(a, "-") && a != placeholder {
				g.relative(job, a, g.output)
				g.word(job, a, g.output)
			}
		default:
			g.word(job, a, g.either)
		}
	}
}

// input grants an input: a file, a device, or the files in a filter graph.
func (g *grants) input(job encoders.Job, text string) {
	g.relative(job, text, g.source)
	g.word(job, text, g.source)
}

// relative grants a file that is named relative to the daemon's working folder.
func (g *grants) relative(job encoders.Job, word string, grant func(path string)) {
	filled := strings.TrimPrefix(argument(job, word), "file:")
	if filled == "" || filepath.IsAbs(filled) || strings.Contains(filled, ":") {
		return
	}
	abs, err := filepath.Abs(filled)
	g.template = filled != strings.TrimPrefix(word, "file:")
	if err == nil && !g.guarded(abs) {
		grant(abs)
	}
	g.template = false
}

var pathBreaks = regexp.MustCompile(`[\s=:,;'"|@()\[\]{}\\]+`)

// paths lists the absolute paths in a word: the word itself, and parts of it as in
// fontfile=/usr/share/x.ttf.
func paths(word string) []string {
	word = strings.ReplaceAll(strings.ReplaceAll(word, "file:///", "/"), "file:/", "/")
	var found []string
	for _, piece := range append([]string{word}, pathBreaks.Split(word, -1)...) {
		if len(piece) < 2 || piece[0] != '/' || piece[1] == '/' || strings.ContainsRune(piece, 0) {
			continue
		}
		if path := filepath.Clean(piece); !slices.Contains(found, path) {
			found = append(found, path)
		}
	}
	return found
}

// indexes are the endings of files that name other files in their folder.
var indexes = map[string]bool{
	".m3u8": true, ".m3u": true, ".mpd": true, ".txt": true, ".ffconcat": true, ".concat": true, ".pls": true,
	".sdp": true, ".ism": true, ".xml": true, ".avs": true, ".idx": true,
}

// source grants a path for reading.
func (g *grants) source(path string) {
	if g.device(path) {
		return
	}
	info, err := os.Stat(path)
	if err == nil && (!info.IsDir() || !g.template && !g.tooWide(path)) {
		g.Read = append(g.Read, path)
	}
	if indexes[filepath.Ext(path)] || strings.ContainsAny(path, "%*?") {
		if dir := filepath.Dir(path); !g.tooWide(dir) {
			g.Read = append(g.Read, dir)
		}
	}
}

// output grants a path for writing. A muxer may create and rename files next to it.
func (g *grants) output(path string) {
	if g.device(path) {
		return
	}
	dir := filepath.Dir(path)
	temporary := dir == "/tmp" || dir == "/var/tmp"
	if !g.tooWide(dir) || temporary && !sandbox.Holds(dir, g.guard.Paths) {
		g.Write = append(g.Write, dir)
		return
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
		g.Write = append(g.Write, path)
	case errors.Is(err, fs.ErrNotExist) && g.replaces:
		g.Write, g.outputs = append(g.Write, path), append(g.outputs, path)
	}
}

// either grants a path that may be read or written. An executable file must not be changed.
func (g *grants) either(path string) {
	if g.device(path) {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		if dir := filepath.Dir(path); !g.template && !g.tooWide(dir) {
			g.Write = append(g.Write, dir)
		}
	case info.IsDir():
		if !g.template && !g.tooWide(path) {
			g.Write = append(g.Write, path)
		}
	case info.Mode()&0o111 != 0:
		g.Read = append(g.Read, path)
	default:
		g.Write = append(g.Write, path)
		g.source(path)
	}
}

// device grants a path if it is one in /dev, and reports whether it is.
func (g *grants) device(path string) bool {
	if !strings.HasPrefix(path, "/dev/") {
		return strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/sys/")
	}
	if !strings.HasPrefix(path, "/dev/fd/") && !strings.HasPrefix(path, "/dev/std") {
		g.Devices = append(g.Devices, path)
	}
	return true
}
