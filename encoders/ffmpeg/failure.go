package ffmpeg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
)

// failure is why a process ended although it should run.
type failure struct {
	text        string // fit for people, no secret
	permanent   bool
	probing     bool // it may have been probed too briefly
	unexplained bool // nothing but the exit status tells
}

// cause knows one reason by FFmpeg's words. They were collected from FFmpeg 5.1; later ones say the same in other places.
type cause struct {
	says      *regexp.Regexp
	means     string // %s is "input" or "publishing server"
	permanent bool
	probing   bool
}

// causes are tried in this order: the first one that is found anywhere in the run's output wins.
var causes = []cause{
	{says: regexp.MustCompile(`Unrecognized option '([^']*)'`), means: "unknown option -$1", permanent: true},
	{says: regexp.MustCompile(`Option (\S+) not found`), means: "unknown option $1", permanent: true},
	{says: regexp.MustCompile(`Unable to parse option value "([^"]*)"`), means: "an option has the impossible value $1", permanent: true},
	{says: regexp.MustCompile(`Missing argument for option '([^']*)'`), means: "option -$1 lacks its value", permanent: true},
	{says: regexp.MustCompile(`Error (?:splitting|parsing) the argument list`), means: "the command line is not understood", permanent: true},
	{says: regexp.MustCompile(`Unknown encoder '([^']*)'`), means: "this ffmpeg has no encoder $1", permanent: true},
	{says: regexp.MustCompile(`Unknown decoder '([^']*)'`), means: "this ffmpeg has no decoder $1", permanent: true},
	{says: regexp.MustCompile(`No such filter: '([^']*)'`), means: "this ffmpeg has no filter $1", permanent: true},
	{says: regexp.MustCompile(`(?:Requested output format|Unknown input format:?) '([^']*)'`), means: "this ffmpeg does not know the format $1", permanent: true},
	{says: regexp.MustCompile(`Protocol '([^']*)' not on whitelist`), means: "the %s leads to protocol $1, which is not allowed for it", permanent: true},
	{says: regexp.MustCompile(`Protocol not found`), means: "this ffmpeg does not know the protocol of the %s", permanent: true},
	{says: regexp.MustCompile(`(?i)maybe incorrect parameters such as`), means: "the encoder does not take its settings", permanent: true},
	{says: regexp.MustCompile(`error while loading shared libraries: (\S+)`), means: "the program lacks its library $1", permanent: true},
	{says: regexp.MustCompile(`(?i)BADSECRET|incorrect passphrase`), means: "the %s refuses the passphrase"},
	{says: regexp.MustCompile(`(?i)\b401\b|unauthori[sz]ed|authoriz?ation failed|authentication failed|Connect\.Rejected|Publish\.(?:BadName|Denied)|invalid token`), means: "the %s refuses the password or key"},
	{says: regexp.MustCompile(`(?i)\b403 Forbidden|access denied`), means: "the %s forbids it"},
	{says: regexp.MustCompile(`Failed to resolve hostname|Name or service not known|Temporary failure in name resolution`), means: "the host name of the %s is not known (DNS)"},
	{says: regexp.MustCompile(`Connection refused`), means: "connection refused by the %s"},
	{says: regexp.MustCompile(`No route to host|Network is unreachable`), means: "no network leads to the %s"},
	{says: regexp.MustCompile(`Device or resource busy`), means: "the device is busy: another program uses it"},
	{says: regexp.MustCompile(`No space left on device`), means: "the disk is full"},
	{says: regexp.MustCompile(`(?i)av_interleaved_write_frame\(\): (?:Broken pipe|Connection reset|End of file)|Error writing trailer of .*: (?:Broken pipe|Connection reset)|Error muxing a packet`), means: "the publishing server closed the connection"},
	{says: regexp.MustCompile(`(?i)av_interleaved_write_frame\(\): (?:Connection timed out|Operation timed out)`), means: "the publishing server takes nothing any more"},
	{says: regexp.MustCompile(`Connection timed out|Operation timed out|ETIMEDOUT`), means: "the %s does not answer"},
	{says: regexp.MustCompile(`Connection reset by peer|Broken pipe|Cannot read RTMP handshake`), means: "the %s closed the connection"},
	{says: regexp.MustCompile(`Connection to srt://\S* failed`), means: "the %s does not take the SRT connection"},
	{says: regexp.MustCompile(`(?i)404 Not Found|No such file or directory|No such device`), means: "the %s is not found"},
	{says: regexp.MustCompile(`Permission denied`), means: "permission denied for the %s"},
	{says: regexp.MustCompile(`5XX Server Error`), means: "the server of the %s has an error of its own"},
	{says: regexp.MustCompile(`Stream map '0:v:0' matches no streams`), means: "the input has no video", probing: true},
	{says: regexp.MustCompile(`Stream map '0:a:0' matches no streams`), means: "the input has no audio", probing: true},
	{says: regexp.MustCompile(`Could not find codec parameters|dimensions not set|does not contain any stream`), means: "the input's pictures could not be understood from their beginning", probing: true},
	{says: regexp.MustCompile(`Invalid data found when processing input`), means: "the input is not a video that ffmpeg understands", probing: true},
	{says: regexp.MustCompile(`Cannot allocate memory|Out of memory`), means: "out of memory"},
	{says: regexp.MustCompile(`Input/output error`), means: "the %s broke off"},
}

var (
	signalled = regexp.MustCompile(`received signal (\d+)`)
	complaint = regexp.MustCompile(`\[(?:error|fatal|panic)\]|(?i)\berror\b`)
	noise     = regexp.MustCompile(`^(?:\[[^\]]* @ 0x[0-9a-f]+\] )?\[(?:info|verbose|debug)\]`)
	prefix    = regexp.MustCompile(`^(?:\[([A-Za-z0-9_,]+) @ 0x[0-9a-f]+\] )?\[[a-z]+\] `)
	anywhere  = regexp.MustCompile(` @ 0x[0-9a-f]+`)
)

// logTail is how much of a run's output is looked at.
const logTail = 16 << 10

// explain finds out why a process ended.
func (e *Encoder) explain(p *process, how exit) failure {
	body, err := lastBytes(filepath.Join(e.env.Dir, logFile), p.LogFrom, logTail)
	if err != nil {
		return failure{text: fmt.Sprintf("it ended (%v), and its output cannot be read: %v", how, err)}
	}
	f := classify(lines(body), how, e.redactor())
	if f.probing && p.Fast {
		f.text += "; it was probed briefly, the next start takes the time it needs"
		if err := os.WriteFile(filepath.Join(e.env.Dir, probeFile), []byte(p.Input), 0o600); err != nil {
			e.env.Log.Warn("a failed short probing is forgotten", "encoder", e.env.Name, "error", err)
		}
	}
	return f
}

// classify turns a run's last output and its exit into words.
func classify(output []string, how exit, r redactor) failure {
	f := reason(strings.Join(output, "\n"), how)
	if last := lastWords(output); last != "" {
		f.text += "; it said: " + last
	}
	f.text = r.clean(f.text)
	return f
}

func reason(output string, how exit) failure {
	if m := signalled.FindStringSubmatch(output); m != nil && (!how.known || how.code == 255) {
		return failure{text: "somebody stopped it with signal " + m[1]}
	}
	switch {
	case how.known && how.signal == unix.SIGKILL:
		return failure{text: "killed by signal 9: the machine ran out of memory, or somebody killed it"}
	case how.known && how.signal != 0:
		return failure{text: fmt.Sprintf("killed by signal %d (%s)", how.signal, unix.SignalName(how.signal))}
	}
	side := "input"
	if strings.Contains(output, "Input #0,") { // it is open, so the trouble is behind it
		side = "publishing server"
	}
	for _, c := range causes {
		m := c.says.FindStringSubmatchIndex(output)
		if m == nil || how.known && how.code == 0 && !c.probing {
			continue
		}
		text := string(c.says.ExpandString(nil, c.means, output, m))
		return failure{text: strings.ReplaceAll(text, "%s", side), permanent: c.permanent, probing: c.probing}
	}
	if how.known && how.code == 0 {
		return failure{text: "the input ended (exit status 0)"}
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

// inputMark stands for an input in the files, where its text has no place.
func inputMark(s Settings, job encoders.Job) string {
	sum := sha256.Sum256([]byte(job.Fill(s.Input)))
	return hex.EncodeToString(sum[:8])
}

// probesFully reports whether short probing of this input has failed before.
func (e *Encoder) probesFully(job encoders.Job) bool {
	mark, err := os.ReadFile(filepath.Join(e.env.Dir, probeFile))
	return err == nil && string(mark) == inputMark(e.settings, job)
}
