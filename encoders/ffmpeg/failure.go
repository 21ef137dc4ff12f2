package ffmpeg

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// failure is why a process ended although it should have run.
type failure struct {
	text        string // fit for people, no secret
	permanent   bool   // proven
	probing     bool   // the input may have been probed too briefly
	unexplained bool   // only the exit status is known
	inputEnded  bool   // without a complaint
	hardware    bool   // it was the hardware encoder's
	absent      bool   // and there is none
	hint        string // the likely fix, if one is known

	proof proof  // what would make it permanent
	found bool   // by FFmpeg's words, in line
	line  int    // which line says it
	name  string // what it is about
}

// cause recognises one reason by FFmpeg's words. They were collected from FFmpeg 5.1; later
// versions print the same in other places. Much of what FFmpeg prints was written by others:
// titles, file names, a server's messages. So only complaints are searched, and if FFmpeg's words
// begin or end a line, only there.
type cause struct {
	says    *regexp.Regexp
	means   string // %s is "input", "audio_input" or "publishing server"
	proof   proof  // what makes it permanent
	probing bool
	gpu     bool   // it is the hardware encoder's
	absent  bool   // and there is none
	hint    string // the likely fix
}

// proof is what it takes to believe that a retry cannot help. The words alone are not enough.
type proof int

const (
	never     proof = iota
	atOnce          // the line came before anything was opened
	noEncoder       // the program's own list of encoders lacks $1
	noDecoder
	noFilter
	noFormat
	noProtocol
	noLibrary // the program's loader printed it, before any other line
)

// inventories are the options that make a program list what it has.
var inventories = map[proof]string{
	noEncoder: "-encoders", noDecoder: "-decoders", noFilter: "-filters", noFormat: "-formats",
	noProtocol: "-protocols",
}

// causes are tried in this order: the first one that is found in a run's complaints wins.
var causes = []cause{
	{says: says(`^Unrecognized option '([^']*)'`), means: "unknown option -$1", proof: atOnce},
	{says: says(`^Option (\S+) not found\.?$`), means: "unknown option $1", proof: atOnce},
	{says: says(`^Unable to parse option value "([^"]*)"`),
		means: "an option has the impossible value $1", proof: atOnce},
	{says: says(`^Missing argument for option '([^']*)'`), means: "option -$1 lacks its value", proof: atOnce},
	{says: says(`^Error (?:splitting|parsing) the argument list`),
		means: "the command line is not understood", proof: atOnce},
	{says: says(`^Unknown encoder '([^']*)'$`), means: "this ffmpeg has no encoder $1", proof: noEncoder, gpu: true},
	{says: says(`^Unknown decoder '([^']*)'$`), means: "this ffmpeg has no decoder $1", proof: noDecoder},
	{says: says(`^No such filter: '([^']*)'$`), means: "this ffmpeg has no filter $1", proof: noFilter},
	{says: says(`^(?:Requested output format|Unknown input format:?) '([^']*)'`),
		means: "this ffmpeg does not know the format $1", proof: noFormat},
	{says: says(`^Protocol '([^']*)' not on whitelist`),
		means: "the %s leads to protocol $1, which is not allowed for it"},
	{says: says(`^(?:([a-z][a-z0-9+-]*):.*: )?Protocol not found$`),
		means: "this ffmpeg does not know the protocol of the %s", proof: noProtocol},
	{says: says(`maybe incorrect parameters such as`), gpu: true,
		means: "the encoder does not take its settings, or not with these pictures"},
	{says: says(`^\S+: error while loading shared libraries: (\S+): `),
		means: "the program lacks its library $1", proof: noLibrary},
	{says: says(`(?i):SRT\b.*(?:BADSECRET|incorrect passphrase)|(?:^|: )incorrect passphrase`),
		means: "the %s refuses the passphrase"},
	{says: says(`(?i)^HTTP error 401\b|: Server returned 401\b|^method \S+ failed: 401\b|(?:^` +
		`|: )(?:401 )?unauthori[sz]ed$|^Server error: .*(?:unauthori[sz]ed|authoriz?ation failed` +
		`|authentication failed|Connect\.Rejected|Publish\.(?:BadName|Denied)|invalid token)`),
		means: "the %s refuses the password or key"},
	{says: says(`(?i)^HTTP error 403\b|: Server returned 403\b|^method \S+ failed: 403\b|(?:^` +
		`|: )(?:403 )?forbidden$|^Server error: .*access denied`),
		means: "the %s forbids it"},
	{says: says(`^Failed to resolve hostname|Name or service not known$|Temporary failure in name resolution$`),
		means: "the host name of the %s is not known (DNS)"},
	{says: says(`(?:^|: )Connection refused$`), means: "connection refused by the %s"},
	{says: says(`(?:^|: )(?:No route to host|Network is unreachable)$`), means: "no network leads to the %s"},
	{says: says(`^cannot open audio device (.*) \((.*)\)$`), means: "the sound device $1 does not open: $2"},
	{says: says(`: No such process$`), means: "no sound server (PulseAudio, PipeWire) answers oncue's user"},
	{says: says(`(?:^|: )Device or resource busy$`), means: "the device is busy: another program uses it"},
	{says: says(`(?:^|: )No space left on device$`), means: "the disk is full"},
	{says: says(`(?i)^av_interleaved_write_frame\(\): (?:Broken pipe|Connection reset|End of file)` +
		`|^Error writing trailer of .*: (?:Broken pipe|Connection reset)|^Error muxing a packet`),
		means: "the publishing server closed the connection"},
	{says: says(`(?i)^av_interleaved_write_frame\(\): (?:Connection timed out|Operation timed out)`),
		means: "the publishing server accepts no more data"},
	{says: says(`(?:^|: )(?:Connection timed out|Operation timed out|ETIMEDOUT)$`),
		means: "the %s does not answer"},
	{says: says(`(?:^|: )(?:Connection reset by peer|Broken pipe)$|^Cannot read RTMP handshake`),
		means: "the %s closed the connection"},
	{says: says(`^Connection to srt://\S* failed`), means: "the %s does not take the SRT connection"},
	{says: says(`(?i)^HTTP error 404\b|: Server returned 404\b|^method \S+ failed: 404\b|(?:^` +
		`|: )(?:No such file or directory|No such device)$`),
		means: "the %s is not found"},
	{says: says(`(?:^|: )(?:Permission denied|Operation not permitted)$`), means: "permission denied for the %s"},
	{says: says(`: Server returned 5XX Server Error`), means: "the server of the %s reports an internal error"},
	{says: says(`^Stream map '0:v:0' matches no streams`), means: "the input has no video", probing: true},
	{says: says(`^Stream map '0:a:0' matches no streams`), means: "the input has no audio", probing: true},
	{says: says(`^Stream map '1:a:0' matches no streams`), means: "audio_input has no audio", probing: true},
	{says: says(`Could not find codec parameters|dimensions not set|does not contain any stream`),
		means: "the input's pictures could not be understood from their beginning", probing: true},
	{says: says(`(?:^|: )Invalid data found when processing input$`),
		means: "the input is not a video that ffmpeg understands", probing: true},
	{says: says(`(?:^|: )(?:Cannot allocate memory|Out of memory)$`), means: "out of memory"},
	{says: says(`(?:^|: )Input/output error$`), means: "the %s broke off"},
}

func says(words string) *regexp.Regexp { return regexp.MustCompile(words) }

var (
	levelled = regexp.MustCompile(`^((?:\[[^\]]* @ 0x[0-9a-f]+\] )*)` +
		`\[(quiet|panic|fatal|error|warning|info|verbose|debug|trace)\] ?`)
	reply       = regexp.MustCompile(`^((?:HTTP error|method \S+ failed:) \d+) .*`) // whose end the server wrote
	mapping     = regexp.MustCompile(`^(?:\[info\] )?Stream mapping:$`)
	component   = regexp.MustCompile(`^\[[^\]]* @ 0x[0-9a-f]+\] `)
	inputOpened = regexp.MustCompile(`^(?:\[info\] )?Input #0, `)
	soundOpened = regexp.MustCompile(`^(?:\[info\] )?Input #1, `)
	evaluation  = regexp.MustCompile(`^(?:\[[^\]]* @ 0x[0-9a-f]+\] )?\[Eval @ 0x[0-9a-f]+\] `) // of an option
	library     = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d+/\S+ *\S*:SRT\b`)
	denied      = regexp.MustCompile(`(?i)permission denied|operation not permitted|no new privileges`)
	loud        = map[string]bool{"panic": true, "fatal": true, "error": true, "warning": true}

	signalled = regexp.MustCompile(`^\[info\] Exiting normally, received signal (\d+)\.$`)
	complaint = regexp.MustCompile(`\[(?:error|fatal|panic)\]|(?i)\berror\b`)
	noise     = regexp.MustCompile(`^(?:\[[^\]]* @ 0x[0-9a-f]+\] )?\[(?:info|verbose|debug)\]|^\s|^` + notePrefix)
	prefix    = regexp.MustCompile(`^(?:\[([A-Za-z0-9_,]+) @ 0x[0-9a-f]+\] )?\[[a-z]+\] `)
	anywhere  = regexp.MustCompile(` @ 0x[0-9a-f]+`)
)

// logTail is how much of a run's output is examined.
const logTail = 256 << 10

// explain finds out why a process ended.
func (e *Encoder) explain(p *process, how proc.Exit) failure {
	body, err := proc.LastBytes(filepath.Join(e.env.Dir, logFile), p.LogFrom, logTail)
	if err != nil {
		return failure{text: fmt.Sprintf("it ended (%v), and its output cannot be read: %v", how, err)}
	}
	said := words{lines: outputLines(body), cut: len(body) >= logTail, ffmpeg: p.Progress,
		sound: e.settings.AudioInput != ""}
	f := classify(said, how, e.redactor(), func(f failure) bool { return e.proves(said, f) })
	if f.inputEnded && said.sound && e.settings.Audio == "copy" {
		f.text = "the input or audio_input ended (exit status 0)"
	}
	if e.settings.confined() && !e.settings.apart() && heldBack(said.lines) {
		f.text += "; it may touch only what its settings name: if it needs more, " +
			"write that into allow, or set sandbox: off"
	}
	if f.probing && p.Fast {
		f.text += "; it was probed briefly, the next start takes the time it needs"
		if err := os.WriteFile(filepath.Join(e.env.Dir, probeFile), []byte(p.Input), 0o600); err != nil {
			e.env.Log.Warn("a failed brief probing cannot be saved", "error", err)
		}
	}
	return f
}

// heldBack reports whether the system may have refused something to the program. FFmpeg says that
// of an RTMP server's refusal, too.
func heldBack(lines []string) bool {
	refused := slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "Server error: ") })
	return slices.ContainsFunc(lines, func(l string) bool {
		return denied.MatchString(l) && !(refused && strings.Contains(l, "rtmp"))
	})
}

// proves reports whether it is proven that a retry cannot help.
func (e *Encoder) proves(said words, f failure) bool {
	switch f.proof {
	case atOnce:
		return said.beforeAll(f.line)
	case noLibrary:
		return f.line == 0 && !said.cut
	}
	path, err := proc.LookUp(e.settings.Binary, binaryKey)
	if err != nil || !said.ffmpeg || f.name == "" {
		return false
	}
	out, err := e.ask(context.Background(), path, "-hide_banner", inventories[f.proof])
	return err == nil && !lists(out, f.name)
}

// words are a run's output, line by line.
type words struct {
	lines  []string
	cut    bool // the beginning is missing
	ffmpeg bool // it is an FFmpeg that marks each line with its level
	sound  bool // it has an audio_input, which it opens after the input
}

// outputLines splits output only at line feeds: text from an input may contain other breaks.
func outputLines(body []byte) []string {
	var out []string
	for line := range strings.SplitSeq(string(body), "\n") {
		line = strings.TrimRight(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, line), " ")
		if line != "" && !strings.HasPrefix(line, notePrefix) {
			out = append(out, line)
		}
	}
	return out
}

// complains returns the message of a line, and whether it is a complaint of the program's own.
func (w words) complains(line string) (message string, ok bool) {
	m := levelled.FindStringSubmatch(line)
	switch {
	case m != nil:
		return reply.ReplaceAllString(line[len(m[0]):], "$1"), loud[m[2]]
	case library.MatchString(line):
		return line, true
	case w.ffmpeg && slices.ContainsFunc(w.lines, levelled.MatchString):
		return "", false // it continues an earlier line, whatever that was
	}
	return component.ReplaceAllString(line, ""), line[0] != ' '
}

// description returns which lines hold FFmpeg's description of its inputs, in the inputs' own
// words; from is -1 when no input was opened.
func (w words) description() (from, to int) {
	from = slices.IndexFunc(w.lines, inputOpened.MatchString)
	for i, line := range w.lines {
		if mapping.MatchString(line) {
			to = i
		}
	}
	return from, to
}

// beforeAll reports whether a line came before any input was opened or read: then nobody else can
// have influenced it.
func (w words) beforeAll(line int) bool {
	return w.ffmpeg && !w.cut && !slices.ContainsFunc(w.lines[:line], func(l string) bool {
		return inputOpened.MatchString(l) || component.MatchString(l) && !evaluation.MatchString(l)
	})
}

// classify turns what a run has said and its exit into words.
func classify(said words, how proc.Exit, r redactor, proves func(failure) bool) failure {
	f := said.reason(how, proves)
	lines := said.lines
	if f.found { // FFmpeg repeats one cause at each of its layers
		lines = lines[f.line : f.line+1]
	}
	if last := lastWords(lines); last != "" {
		f.text += "; it said: " + last
	}
	f.text = r.clean(f.text)
	return f
}

func (w words) reason(how proc.Exit, proves func(failure) bool) failure {
	if last := len(w.lines) - 1; last >= 0 && how.Known && how.Code == 255 {
		if m := signalled.FindStringSubmatch(w.lines[last]); m != nil {
			return failure{text: "somebody stopped it with signal " + m[1]}
		}
	}
	switch {
	case how.Known && how.Signal == unix.SIGKILL:
		return failure{text: "killed by signal 9: the machine ran out of memory, or somebody killed it"}
	case how.Known && how.Signal != 0:
		return failure{text: fmt.Sprintf("killed by signal %d (%s)", how.Signal, unix.SignalName(how.Signal))}
	}
	side := "input"
	from, to := w.description()
	switch {
	case from >= 0 && w.sound && !slices.ContainsFunc(w.lines, soundOpened.MatchString):
		side = "audio_input"
	case from >= 0: // the input is open, so the trouble is behind it
		side = "publishing server"
	}
	for _, c := range slices.Concat(gpuCauses, causes) {
		if how.Known && how.Code == 0 && !c.probing {
			continue
		}
		for i, line := range w.lines {
			message, ok := w.complains(line)
			if !ok || i > from && i < to {
				continue
			}
			m := c.says.FindStringSubmatchIndex(message)
			if m == nil {
				continue
			}
			f := failure{probing: c.probing, proof: c.proof, line: i, found: true, hardware: c.gpu, absent: c.absent,
				hint: c.hint}
			f.text = strings.ReplaceAll(string(c.says.ExpandString(nil, c.means, message, m)), "%s", side)
			f.name = string(c.says.ExpandString(nil, "$1", message, m))
			f.permanent = c.proof != never && proves(f)
			if c.proof == never || f.permanent || !w.ffmpeg && c.proof != noLibrary {
				return f
			}
		}
	}
	if how.Known && how.Code == 0 {
		return failure{text: "the input ended (exit status 0)", inputEnded: true}
	}
	if i := slices.IndexFunc(w.lines, gpuComponent.MatchString); i >= 0 {
		return failure{text: "the hardware encoder failed", line: i, found: true, hardware: true}
	}
	return failure{text: fmt.Sprintf("it ended by itself (%v)", how), unexplained: true}
}

const (
	lastLines = 3
	lastChars = 400
)

// lastWords returns the last complaints, or the last lines when there are none.
func lastWords(output []string) string {
	var said, all []string
	for _, line := range output {
		if noise.MatchString(line) {
			continue
		}
		short := anywhere.ReplaceAllString(prefix.ReplaceAllString(line, "$1 "), "")
		short = strings.TrimSpace(short)
		all = append(all, short)
		if complaint.MatchString(line) {
			said = append(said, short)
		}
	}
	if len(said) == 0 {
		said = all
	}
	text := strings.Join(said[max(0, len(said)-lastLines):], " | ")
	if runes := []rune(text); len(runes) > lastChars {
		text = "…" + string(runes[len(runes)-lastChars:])
	}
	return text
}

// inputMark identifies an input in files, where its text, possibly secret, must not stand.
func inputMark(s Settings, job encoders.Job) string {
	sum := sha256.Sum256([]byte(job.Fill(s.Input)))
	return hex.EncodeToString(sum[:8])
}

// probesFully reports whether short probing of this input has failed before.
func (e *Encoder) probesFully(job encoders.Job) bool {
	mark, err := os.ReadFile(filepath.Join(e.env.Dir, probeFile))
	return err == nil && string(mark) == inputMark(e.settings, job)
}
