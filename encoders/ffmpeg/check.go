package ffmpeg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// Plan returns the command line of a start, with secrets masked.
func (e *Encoder) Plan(job encoders.Job) []string {
	e.note(job)
	if e.settings.usesGPU() {
		e.tryGPUs(context.Background(), false) // what is planned is what would be
	}
	c, err := build(e.known(context.Background()).published(), job, e.env.Dir == "" || !e.probesFully(job))
	var reader command
	if err == nil && e.settings.hot() {
		reader, err = e.reader(job)
	}
	if err != nil {
		return []string{"cannot start: " + e.redactor().clean(err.Error())}
	}
	lines := c.shell(e.redactor())
	if now, _ := e.now(); now.Warning != "" {
		lines = append(lines, e.redactor().clean(now.Warning))
	}
	if e.settings.hot() {
		lines = append(lines, "the input is held open between runs, and kept since its last key frame, by a process "+
			"that runs:")
		lines = append(lines, reader.shell(e.redactor())...)
	}
	if e.settings.Standby == "warm" && c.progress {
		lines = append(lines, "kept warm between runs: one process, loaded and waiting, about 10 MB of memory of its "+
			"own and no processor time")
	}
	return lines
}

// checkTime limits each program that a check runs.
const checkTime = 10 * time.Second

// Check tests the program, what it can do, and the input, as far as that is possible without
// opening it.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	e.note(job)
	var found []encoders.Finding
	add := func(level encoders.Level, what, hint string) {
		found = append(found, encoders.Finding{Level: level, What: e.redactor().clean(what), Hint: hint})
	}
	settings := e.known(ctx).published()
	c, err := build(settings, job, true)
	if err == nil && e.settings.hot() {
		var reader command
		reader, err = e.reader(job)
		c.own = append(c.own, reader.args...)
	}
	if err != nil {
		add(encoders.Bad, err.Error(), "")
		c = command{binary: e.settings.Binary}
		job.Publish, settings.Renditions = secret.New("/dev/null"), nil // to find out what else the command line shows
		if other, err := build(settings, job, true); err == nil {
			c.own = other.own
		}
	}
	path, err := proc.LookUp(c.binary, binaryKey)
	if err != nil {
		add(encoders.Bad, err.Error(), "Debian and Ubuntu: apt install ffmpeg")
		return found
	}
	if c.visible != "" {
		add(encoders.Warn, "the key can be seen in the process list of this machine: "+c.visible,
			"end the args with -f flv {publish} or -f mpegts {publish}")
	}
	if shown := shownSecret(c.own, e.redactor()); shown != "" {
		add(encoders.Warn, shown+" can be seen in the process list of this machine",
			"let only trusted users log in, or mount /proc with hidepid=2")
	}
	found = append(found, e.checkSandbox(job)...)
	if e.settings.Standby == "warm" {
		if cost := e.standbyCosts(); cost != "" {
			add(encoders.OK, cost, "")
		}
	}
	if !settings.isFFmpeg() {
		add(encoders.OK, path+" is there; what it can do is not known", "")
		return found
	}
	if settings.usesGPU() {
		found = append(found, e.checkEncoder(ctx)...)
		settings.gpu = e.chosen().gpu
		if again, err := build(settings, job, true); err == nil {
			c = again
		}
	}
	found = append(found, e.checkVersion(ctx, path, slices.Contains(c.args, "-isync")))
	needs := e.needs(c)
	if e.settings.hot() {
		needs = append(needs, need{"-muxers", "output format", "nut"})
	}
	found = append(found, e.checkNeeds(ctx, path, needs)...)
	for _, text := range []string{e.settings.Input, e.settings.AudioInput} {
		if in, err := readInput(job.Fill(text)); err == nil && text != "" {
			if f, ok := checkInput(in); ok {
				found = append(found, f)
			}
		}
	}
	return found
}

// standbyCosts describes the process that is kept warm; "" when there is none, or a start or stop
// is in progress.
func (e *Encoder) standbyCosts() string {
	select {
	case <-e.turn:
		defer e.leave()
		if e.standby != nil && e.standby.handle != nil && !e.standby.gone() {
			return e.standby.costs()
		}
	default:
	}
	return ""
}

var versionPattern = regexp.MustCompile(`^ffmpeg version (?:n)?((\d+)\.\d+\S*|\S+)`)

// oldest is the first major version that has the options used here.
const oldest = 5

// checkVersion tells the version, and whether it is too old, for -isync if that is used.
func (e *Encoder) checkVersion(ctx context.Context, path string, isync bool) encoders.Finding {
	out, err := e.askOnce(ctx, path, "-version")
	if err != nil {
		return encoders.Finding{Level: encoders.Bad, What: err.Error()}
	}
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return encoders.Finding{Level: encoders.Warn, What: path + " does not say which version of ffmpeg it is"}
	}
	if major, err := strconv.Atoi(m[2]); err == nil && major < oldest {
		return encoders.Finding{Level: encoders.Bad, What: fmt.Sprintf("%s is ffmpeg %s, which is too old", path, m[1]),
			Hint: fmt.Sprintf("install ffmpeg %d or later", oldest)}
	}
	if isync && strings.HasPrefix(m[1], "5.0") {
		return encoders.Finding{Level: encoders.Bad,
			What: fmt.Sprintf("%s is ffmpeg %s, which cannot keep a device and its audio_input together", path, m[1]),
			Hint: "install ffmpeg 5.1 or later"}
	}
	return encoders.Finding{Level: encoders.OK, What: fmt.Sprintf("%s is ffmpeg %s", path, m[1])}
}

// ownDevices are FFmpeg's formats that read hardware of this host.
var ownDevices = map[string]bool{"v4l2": true, "alsa": true, "pulse": true, "decklink": true}

// need is something that FFmpeg must have: an encoder, a muxer, a protocol.
type need struct{ list, kind, name string }

func (e *Encoder) needs(c command) []need {
	var n []need
	add := func(one need) {
		if !slices.Contains(n, one) { // each rendition needs the same
			n = append(n, one)
		}
	}
	for i := 0; i+1 < len(c.args); i++ {
		switch name := c.args[i+1]; c.args[i] {
		case "-c:v", "-c:a":
			if name != "copy" {
				add(need{"-encoders", "encoder", name})
			}
		case "-f":
			switch {
			case containerOf(c.args) == name:
				add(need{"-muxers", "output format", name})
			case ownDevices[name]:
				add(need{"-demuxers", "input device", name})
			}
		}
	}
	if len(c.args) > 0 {
		if scheme, _, ok := strings.Cut(c.args[len(c.args)-1], "://"); ok {
			add(need{"-protocols", "protocol", scheme})
		}
	}
	return n
}

// checkNeeds reports what FFmpeg has in one finding, and each thing that it lacks in its own.
func (e *Encoder) checkNeeds(ctx context.Context, path string, needs []need) []encoders.Finding {
	var found []encoders.Finding
	var has []string
	for _, n := range needs {
		switch out, err := e.askOnce(ctx, path, "-hide_banner", n.list); {
		case err != nil:
			found = append(found, encoders.Finding{Level: encoders.Bad, What: err.Error()})
		case !lists(out, n.name):
			f := encoders.Finding{Level: encoders.Bad, What: fmt.Sprintf("this ffmpeg has no %s %s", n.kind, n.name),
				Hint: "use an ffmpeg that was built with it"}
			if n.name == string(inputCard) {
				f.Hint = "those of Debian and Ubuntu have none: build one with --enable-decklink and Blackmagic's SDK, " +
					"and name it in binary"
			}
			found = append(found, f)
		default:
			has = append(has, n.kind+" "+n.name)
		}
	}
	if len(has) > 0 {
		found = append(found, encoders.Finding{Level: encoders.OK, What: "it has " + strings.Join(has, ", ")})
	}
	return found
}

// lists reports whether one of FFmpeg's lists has a name, as the first or second word of a line.
func lists(out, name string) bool {
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) > 2 {
			words = words[:2]
		}
		for _, w := range words {
			for alias := range strings.SplitSeq(w, ",") {
				if alias == name {
					return true
				}
			}
		}
	}
	return false
}

// hasMuxer returns a permanent error when the binary cannot write a format.
func (e *Encoder) hasMuxer(ctx context.Context, binary, name string) error {
	out, err := e.ask(ctx, binary, "-hide_banner", "-muxers")
	if err != nil {
		return err
	}
	if !lists(out, name) {
		return errNoWHIP
	}
	return nil
}

// ask runs the program and returns its output.
func (e *Encoder) ask(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = e.settings.environment("", encoders.Job{}, "")
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout = &out
	asked := e.settings
	asked.Input, asked.InputArgs, asked.OutputArgs, asked.Args = "", nil, nil, nil
	err := e.begin(cmd, asked, encoders.Job{})
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return "", fmt.Errorf("run %s %s: %w", path, strings.Join(args, " "), err)
	}
	return out.String(), nil
}

// begin starts a program for a test, confined as the encoder's processes are.
func (e *Encoder) begin(cmd *exec.Cmd, s Settings, job encoders.Job) error {
	if !s.confined() {
		return cmd.Start()
	}
	if s.apart() {
		return apartFrom(e.env).Do(cmd.Start)
	}
	return policyFor(s, encoders.Env{Guard: e.env.Guard}, job).Do(cmd.Start)
}

// answers caches the output of programs: a check of many encoders runs each program once.
var answers sync.Map

// askOnce is ask with a cache, which holds until the program changes.
func (e *Encoder) askOnce(ctx context.Context, path string, args ...string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("run %s: %w", path, err)
	}
	key := fmt.Sprint(path, info.Size(), info.ModTime(), args)
	if out, ok := answers.Load(key); ok {
		return out.(string), nil
	}
	out, err := e.ask(ctx, path, args...)
	if err == nil {
		answers.Store(key, out)
	}
	return out, err
}

// checkInput tests inputs of this host.
func checkInput(in input) (encoders.Finding, bool) {
	path := strings.TrimPrefix(in.url, "file:")
	if in.kind != inputFile && in.kind != inputDevice {
		return encoders.Finding{}, false
	}
	f, err := os.Open(path)
	if err == nil {
		f.Close()
		return encoders.Finding{Level: encoders.OK, What: path + " can be read"}, true
	}
	hint := ""
	switch {
	case errors.Is(err, os.ErrPermission) && in.kind == inputDevice:
		hint = "put the user that runs this into the group of the device, often video"
	case errors.Is(err, os.ErrNotExist) && in.kind == inputDevice:
		hint = "plug it in; v4l2-ctl --list-devices shows what is there"
	}
	return encoders.Finding{Level: encoders.Bad, What: "the input cannot be read: " + err.Error(), Hint: hint}, true
}

// costs describes what a standby costs.
func (s *standby) costs() string {
	text := fmt.Sprintf("process %d is kept warm for the next start, neither its input nor its output open", s.PID)
	if kilobytes := privateMemory(s.PID); kilobytes > 0 {
		text += fmt.Sprintf(", at %.0f MB of memory of its own", float64(kilobytes)/1000)
	}
	return text
}

// privateMemory returns RssAnon of /proc/PID/status, in kB; 0 when it is unknown.
func privateMemory(pid int) int {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(body)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
			return n
		}
	}
	return 0
}
