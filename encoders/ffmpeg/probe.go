package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// probeTime is how long a network input has to show what it is. Local inputs need only processor
// time.
const probeTime = 5 * time.Second

// Probe opens the input as a start would, reads its first packets and closes it. It publishes
// nothing.
func (e *Encoder) Probe(ctx context.Context, job encoders.Job) []encoders.Finding {
	return e.probe(ctx, job, probeTime, checkTime)
}

// probe is Probe with its time limits, for network inputs and for others.
func (e *Encoder) probe(ctx context.Context, job encoders.Job, remote, local time.Duration) []encoders.Finding {
	e.note(job)
	s := e.settings
	s.Input, s.InputArgs = argument(job, s.Input), fillAll(job, s.InputArgs)
	found := e.probeInput(ctx, job, s, "its input", remote, local)
	if s.AudioInput != "" {
		found = append(found, e.probeInput(ctx, job, s.ofSound(job), "its audio_input", remote, local)...)
	}
	return found
}

// probeInput opens the input of the settings, which people know by what.
func (e *Encoder) probeInput(ctx context.Context, job encoders.Job, s Settings, what string,
	remote, local time.Duration) []encoders.Finding {
	in, err := readInput(s.Input)
	if s.Input == "" || err != nil || in.kind == inputDevice ||
		in.kind == inputTest && !strings.HasPrefix(s.Input, "lavfi") {
		return nil // unknown in args, reported by Check, a device that may be in use, or known to work
	}
	path, err := proc.LookUp(s.Binary, binaryKey)
	if err != nil {
		return nil // Check says so
	}
	limit := local
	if in.live {
		limit = remote
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	said, how, err := e.openInput(ctx, path, in, s, job)
	f := encoders.Finding{Level: encoders.Bad}
	switch seen := contents(said); {
	case err != nil:
		f.What = err.Error()
	case how.Known && how.Code == 0 && how.Signal == 0:
		f.Level, f.What = encoders.OK, fmt.Sprintf("%s opens in %.1f s: %s", what, time.Since(began).Seconds(), seen)
	case ctx.Err() != nil && seen != "":
		f.Level, f.What = encoders.OK, fmt.Sprintf("%s opens, but brings little within %s: %s", what, limit, seen)
	case ctx.Err() != nil:
		f.What = fmt.Sprintf("%s sends nothing within %s", what, limit)
		f.Hint = "is it on, and does it send?"
		if in.kind == inputUDP || in.kind == inputSRT { // the sender may start later
			f.Level = encoders.Warn
		}
	default:
		all := words{lines: said, ffmpeg: true}
		reason := classify(all, how, e.redactor(), func(f failure) bool { return e.proves(all, f) })
		if reason.proof == noFormat && reason.permanent {
			return nil // Check says so
		}
		f.What = what + " does not open: " + reason.text
		switch {
		case in.live:
			f.Hint = "is the input on, and are its address, user and password right?"
		case in.soundCard():
			f.Hint = "arecord -L and pactl list short sources list names; a packaged oncue needs " +
				"systemd/examples/cameras.conf, else its user the group audio"
		case in.kind == inputCard:
			f.Hint = "ffmpeg -sources decklink lists the cards"
		}
		if reason.probing && in.brief() { // after a start that fails like this, the next one probes fully
			f.Level = encoders.Warn
		}
	}
	f.What = e.redactor().clean(f.What)
	return append([]encoders.Finding{f}, enlarged(s.Renditions, contents(said))...)
}

// enlarged warns of renditions that are larger than the picture that comes, as contents tells it.
func enlarged(renditions []Rendition, seen string) []encoders.Finding {
	m := height.FindStringSubmatch(seen)
	if m == nil || len(renditions) == 0 {
		return nil
	}
	high, err := strconv.Atoi(m[1])
	if err != nil || renditions[0].Height <= high {
		return nil
	}
	return []encoders.Finding{{Level: encoders.Warn,
		What: fmt.Sprintf("its best rendition has %d lines, and its input %d: enlarging costs bitrate and shows no more",
			renditions[0].Height, high),
		Hint: fmt.Sprintf("begin renditions with height: %d", high)}}
}

// openInput makes FFmpeg read a moment of the input, and returns its output. It hides a secret of
// the input as a start does.
func (e *Encoder) openInput(
	ctx context.Context, path string, in input, s Settings, job encoders.Job,
) (said []string, how proc.Exit, err error) {
	args := []string{"-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info"}
	opened, list := in.opening(s, true, newRedactor(s, job))
	args = append(append(args, opened...), "-map", "0:v?", "-map", "0:a?", "-c", "copy", "-t", "0.2", "-f", "null", "-")
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = s.environment("", job, "")
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if list != "" {
		pipe, err := listOf(command{list: list})
		if err != nil {
			return nil, proc.Exit{}, err
		}
		defer pipe.Close()
		cmd.ExtraFiles = make([]*os.File, listFD-2)
		cmd.ExtraFiles[listFD-3] = pipe
	}
	err = e.begin(cmd, e.settings, job)
	if err == nil {
		err = cmd.Wait()
	}
	if cmd.ProcessState == nil {
		return nil, proc.Exit{}, fmt.Errorf("run %s: %w", path, err)
	}
	how = proc.Exit{Known: true, Code: cmd.ProcessState.ExitCode()}
	return outputLines(stderr.Bytes()), how, nil
}

var (
	streamLine = regexp.MustCompile(`Stream #0:\d+.*?: (?:Video|Audio): ([A-Za-z0-9_]+)`)
	pictures   = regexp.MustCompile(`, (\d{2,5}x\d{2,5})\b`)
	height     = regexp.MustCompile(`\b\d{2,5}x(\d{2,5})\b`)
)

// contents summarises FFmpeg's description of an open input: "h264 1280x720, aac". It is "" when
// the input is not open.
func contents(said []string) string {
	var found []string
	for _, line := range said {
		if strings.Contains(line, "Output #0") {
			break
		}
		m := streamLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text := m[1]
		if size := pictures.FindStringSubmatch(line); size != nil {
			text += " " + size[1]
		}
		if !slices.Contains(found, text) {
			found = append(found, text)
		}
	}
	return strings.Join(found, ", ")
}
