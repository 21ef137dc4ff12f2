package ffmpeg

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// command is one command line, and the files and facts that belong to it.
type command struct {
	gpu      gpu      // what encodes; zero: x264, or whatever the args say
	env      []string // the variables that the settings give
	binary   string
	args     []string
	options  []string // the option file of each output, read from descriptor optionFD(i); "" for none
	sound    string   // audio_input as a list, which is the last of options; "" when the command line names it
	list     string   // the input as a list, read from descriptor listFD; "" when the command line names it
	held     bool     // descriptor listFD is the input itself, a connection to the relay
	progress bool     // it is asked to report progress on its standard output
	fast     bool     // the input is probed briefly
	whip     bool
	visible  string   // why the key can be seen in the process list; "" when it cannot
	own      []string // the args that the settings give, in which other secrets could be seen there
}

// The descriptors of a child, apart from 0, 1 and 2, and from optionFD of further outputs.
const (
	lockFD  = 3
	firstFD = 4
	listFD  = 5
)

// optionFD is the descriptor of an output's option file.
func optionFD(output int) int {
	if output == 0 {
		return firstFD
	}
	return listFD + output
}

// reporting makes FFmpeg report in a form that can be read for weeks: plain lines, one block twice
// a second.
var reporting = []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info",
	"-stats_period", "0.5", "-progress", "pipe:1"}

// build makes the command line for a job. All of its errors are permanent: only a change of the
// configuration helps.
func build(s Settings, job encoders.Job, fast bool) (command, error) {
	if err := checkMatches(s, job); err != nil {
		return command{}, encoders.Permanent(err)
	}
	var c command
	var err error
	if len(s.Args) > 0 {
		c, err = rawCommand(s, job)
	} else {
		c, err = madeCommand(s, job, fast)
	}
	if err != nil {
		return command{}, encoders.Permanent(err)
	}
	c.env, c.binary, c.gpu = s.variables(job), s.Binary, s.gpu
	return c, nil
}

// madeCommand makes the command line for Input.
func madeCommand(s Settings, job encoders.Job, fast bool) (command, error) {
	s.Input, s.InputArgs, s.OutputArgs = argument(job, s.Input), fillAll(job, s.InputArgs), fillAll(job, s.OutputArgs)
	in := input{kind: inputHeld, url: s.Input}
	if !s.held {
		var err error
		if in, err = readInput(s.Input); err != nil {
			return command{}, fmt.Errorf("the input %w", err)
		}
	}
	outputs, err := readOutputs(s, job.Publish.Reveal())
	if err != nil {
		return command{}, err
	}
	c := command{held: s.held, progress: true, fast: fast && in.brief(), whip: outputs[0].format == "whip",
		visible: outputs[0].visible}
	c.args = append(append(c.args, reporting...), s.gpu.setup()...)
	opened, list := in.opening(s, fast, newRedactor(s, job))
	c.list = list
	c.own = append(opened[:len(opened):len(opened)], s.OutputArgs...)
	c.args = append(c.args, opened...)
	if s.AudioInput != "" {
		brief := false
		if opened, list, brief, err = s.openSound(job, optionFD(len(outputs)), fast); err != nil {
			return command{}, err
		}
		c.args, c.own, c.sound = append(c.args, opened...), append(c.own, opened...), list
		c.fast = c.fast || fast && brief
	}
	if in.silent(s) {
		c.args = append(c.args, "-f", "lavfi", "-i", "anullsrc=sample_rate=48000:channel_layout=stereo")
	}
	if len(s.Renditions) > 0 {
		c.args = append(c.args, "-filter_complex", ladder(s, in))
	}
	for i, out := range outputs {
		encoded := codecs(s, in, out.format)
		if len(s.Renditions) > 0 {
			encoded = s.rendition(i, in, out.format)
		}
		c.options = append(c.options, out.file())
		c.args = append(c.args, without(encoded, s.OutputArgs)...)
		c.args = append(c.args, s.OutputArgs...)
		c.args = append(c.args, without(out.arguments(i), s.OutputArgs)...)
		c.args = append(c.args, out.url)
	}
	if c.sound != "" {
		c.options = append(c.options, c.sound)
	}
	return c, nil
}

// arguments are the options on the command line, including the one for the option file, without the
// URL.
func (o output) arguments(place int) []string {
	return append(append([]string{"-f", o.format}, o.options...), o.preset(place)...)
}

// preset is the option that makes FFmpeg read the option file of the output in a place of the
// command line; empty without one.
func (o output) preset(place int) []string {
	if len(o.hidden) == 0 {
		return nil
	}
	return []string{"-fpre", fmt.Sprintf("/dev/fd/%d", optionFD(place))}
}

const placeholder = "{publish}"

// rawCommand is the user's own command line. If FFmpeg's last argument is {publish} and its
// container is given, the key goes into the option file.
func rawCommand(s Settings, job encoders.Job) (command, error) {
	c := command{}
	args := fillAll(job, s.Args)
	if s.isFFmpeg() {
		args, c.list = hideInputs(args, newRedactor(s, job))
	}
	c.own = args
	publish := job.Publish.Reveal()
	last := len(args) - 1
	for i, arg := range args {
		if !strings.Contains(arg, placeholder) {
			c.args = append(c.args, arg)
			continue
		}
		if publish == "" {
			return command{}, errors.New("args want {publish}, and the stream has no publishing URL")
		}
		out, err := readOutput(publish)
		switch fits := i == last && arg == placeholder; {
		case err == nil && !out.network: // a file needs no key
		case !s.isFFmpeg():
			c.visible = s.Binary + " is no ffmpeg, and none behind it was found, so it gets {publish} in its args"
		case err == nil && out.visible != "":
			c.visible = out.visible
		case err == nil && fits && containerOf(args[:last]) == out.format:
			c.options = []string{out.file()}
			c.args = append(c.args, out.preset(0)...)
			c.args = append(c.args, out.url)
			continue
		default:
			c.visible = "{publish} is not the last of its args after -f flv or -f mpegts"
			if err == nil && fits {
				c.visible = "{publish} does not follow -f " + out.format + ", which its kind of URL needs"
			}
		}
		c.args = append(c.args, strings.ReplaceAll(arg, placeholder, publish))
	}
	if s.isFFmpeg() && !slices.Contains(s.Args, "-progress") {
		c.args = append(append([]string{}, reporting...), c.args...)
		c.progress = true
	}
	return c, nil
}

// containerOf returns the value of the last -f.
func containerOf(args []string) string {
	for i := len(args) - 2; i >= 0; i-- {
		if args[i] == "-f" {
			return args[i+1]
		}
	}
	return ""
}

func fillAll(job encoders.Job, args []string) []string {
	filled := make([]string, len(args))
	for i, a := range args {
		filled[i] = argument(job, a)
	}
	return filled
}

// argument fills the placeholders in a word. Viewers choose their values, so it keeps a word from
// becoming an option.
func argument(job encoders.Job, word string) string {
	filled := job.Fill(word)
	if strings.HasPrefix(filled, "-") && !strings.HasPrefix(word, "-") {
		return "%2D" + filled[1:]
	}
	return filled
}

// checkMatches refuses what a pattern has matched where a word would mean something else with it:
// nothing at all, or a folder above.
func checkMatches(s Settings, job encoders.Job) error {
	harmless := job
	harmless.Name, harmless.Account, harmless.Matches = "x", "x", slices.Repeat([]string{"x"}, len(job.Matches))
	words := slices.Concat([]string{s.Input, s.AudioInput}, s.InputArgs, s.AudioInputArgs, s.OutputArgs, s.Args, s.Allow,
		slices.Collect(maps.Values(s.Env)))
	for _, w := range words {
		for i, m := range job.Matches {
			if place := fmt.Sprintf("{%d}", i+1); m == "" && strings.Contains(w, place) {
				return fmt.Errorf("%s is empty for the stream %s, and its settings need it in %q", place, job.Name, w)
			}
		}
		if climbs(job.Fill(w)) > climbs(harmless.Fill(w)) {
			return fmt.Errorf("the name of the stream %s would lead to another folder in %q", job.Name, w)
		}
	}
	return nil
}

// climbs counts the parts of a path that lead to another folder than the name before says.
func climbs(word string) (n int) {
	for part := range strings.FieldsFuncSeq(word, func(r rune) bool { return strings.ContainsRune("/:=|,", r) }) {
		if part == "." || part == ".." {
			n++
		}
	}
	return n
}

// shell returns the command line as one would type it, secrets masked.
func (c command) shell(r redactor) []string {
	var words []string
	for _, v := range c.env {
		name, value, _ := strings.Cut(v, "=")
		words = append(words, name+"="+proc.Quote(r.clean(value)))
	}
	words = append(words, proc.Quote(c.binary))
	for _, a := range c.args {
		words = append(words, proc.Quote(r.clean(a)))
	}
	lines := []string{strings.Join(words, " ")}
	files := c.options
	if c.sound != "" {
		files = files[:len(files)-1]
	}
	for i, options := range files {
		for line := range strings.Lines(options) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			if name != "rtmp_app" {
				value = secret.Mask
			}
			lines = append(lines, fmt.Sprintf("by descriptor %d, out of sight: %s=%s", optionFD(i), name, value))
		}
	}
	for i, list := range []string{c.list, c.sound} {
		fd := []int{listFD, optionFD(len(files))}[i]
		for line := range strings.Lines(list) {
			if strings.HasPrefix(line, "file ") || r.Holds(line) {
				lines = append(lines, fmt.Sprintf("by descriptor %d, out of sight: %s", fd, r.clean(strings.TrimSpace(line))))
			}
		}
	}
	if c.visible != "" {
		lines = append(lines, "the key can be seen in the process list: "+c.visible)
	}
	if shown := shownSecret(c.own, r); shown != "" {
		lines = append(lines, shown+" can be seen in the process list")
	}
	return lines
}
