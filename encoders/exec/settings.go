package exec

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/proc"
)

// Settings says what to run. {stream}, {account}, {1}, {2} … are filled in everywhere; {publish}
// and {publish_file} in Command and Env.
type Settings struct {
	// Command is the program, a path or a name in PATH, and its arguments. No shell reads it.
	Command []string          `yaml:"command" doc:"the program and its arguments; {publish} is where to publish: with RTMP a local address that leads there, so that the key is in no process list; {publish_file} is a file that holds the URL"`
	Env     map[string]string `yaml:"env" doc:"more environment variables of it; they may hold secrets, which all programs of its user can read: files is safer"`
	// Files are texts that the program reads from descriptors of its own: no other user and no list
	// shows them. {file:NAME} in Command and Env is the path of one. {publish} is the URL in them,
	// {publish_server} and {publish_key} are what other programs call server and stream key.
	Files map[string]string `yaml:"files" doc:"texts for files that only the program can read, such as {login: \"user=a\\npassword=${PW}\"}; {file:login} in command and env is its path, and {publish} in the text the URL"`
	Dir   string            `yaml:"dir" shown:"yes" doc:"the folder it runs in; empty = one of its own, which is kept"`

	KillGroup    bool          `yaml:"kill_group" doc:"a stop signals all that it has started; false: the program alone, which is to end the rest. What is left then is ended in any case"`
	StallTimeout time.Duration `yaml:"stall_timeout" doc:"nothing delivered for this long is a stall; 0 = never"`
	Liveness     string        `yaml:"liveness" enum:"auto,bytes,exit" doc:"what shows that it publishes: bytes that it has sent over TCP, or that it has not ended; auto: bytes where it publishes over RTMP"`
	Ready        Ready         `yaml:"ready" doc:"what shows that it is ready; left out: that it delivers, or that it runs"`

	SecretsInArgv bool   `yaml:"secrets_in_argv" doc:"true: {publish} is the URL itself, and secrets may stand in command: everybody on this host can read them in the process list"`
	Sandbox       string `yaml:"sandbox" enum:"auto,off" doc:"auto: it is kept from what belongs to the daemon (as root); off: it can do all that the daemon can"`
	LogSize       int64  `yaml:"log_size" min:"4096" doc:"bytes of output kept; as much again of what came before"`

	secrets []secret.Value // the secrets in them that the loader knows
}

// Ready is when a program is ready: all that is set has to be true.
type Ready struct {
	TCP    string `yaml:"tcp" shown:"yes" doc:"something listens at this host:port; :port is on this host"`
	File   string `yaml:"file" shown:"yes" doc:"this file exists; of a unix socket, that something listens there"`
	Output string `yaml:"output" doc:"a line of its output matches this regular expression"`
}

// Defaults returns the settings of an encoder that sets only its command.
func Defaults() Settings {
	return Settings{KillGroup: true, StallTimeout: 10 * time.Second, Liveness: "auto", Sandbox: "auto", LogSize: 1 << 20}
}

var filePlaceholder = regexp.MustCompile(`\{file:([^{}]*)\}`)

// Validate reports every impossible value, each as "key: what is wrong".
func (s Settings) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	if len(s.Command) == 0 || s.Command[0] == "" {
		bad("command", "is missing: write the program and its arguments as a list")
	} else if strings.ContainsAny(s.Command[0], "{}") {
		bad("command", "begins with a placeholder: a viewer's stream name must not choose the program")
	}
	for _, text := range s.Command {
		if strings.ContainsRune(text, 0) {
			bad("command", "holds a NUL character")
		}
	}
	proc.CheckVariables(s.Env, bad)
	for _, name := range s.fileNames() {
		if !s.mentions(fileNamed(name)) {
			bad("files."+name, "is read by nobody: write %s into command or env", fileNamed(name))
		}
	}
	for _, text := range append(slices.Collect(maps.Values(s.Env)), s.Command...) {
		for _, m := range filePlaceholder.FindAllStringSubmatch(text, -1) {
			if _, is := s.Files[m[1]]; !is {
				bad("files", "has no %s, which %s names", m[1], m[0])
			}
		}
	}
	if s.Ready.TCP != "" {
		if _, port, err := net.SplitHostPort(s.Ready.TCP); err != nil || port == "" {
			bad("ready.tcp", "is %q, must be host:port or :port", s.Ready.TCP)
		}
	}
	if _, err := regexp.Compile(s.Ready.Output); err != nil {
		bad("ready.output", "is no regular expression: %v", err)
	}
	return errors.Join(errs...)
}

// NeedsPublish reports whether a start needs a publishing URL.
func (s Settings) NeedsPublish() bool {
	inFile := func(name string) bool { return strings.Contains(s.Files[name], "{publish") }
	return s.mentions(handover.Placeholder) || s.mentions(urlFile) || slices.ContainsFunc(s.fileNames(), inFile)
}

// RefuseSecrets reports words of Command that hold a secret: everybody on the host could read them.
func (s Settings) RefuseSecrets(known []secret.Value) error {
	if s.SecretsInArgv {
		return nil
	}
	const least = 4 // shorter values are no secrets, and stand in many words
	var errs []error
	for i, word := range s.Command {
		if slices.ContainsFunc(known, func(v secret.Value) bool {
			return len(v.Reveal()) >= least && strings.Contains(word, v.Reveal())
		}) {
			errs = append(errs, fmt.Errorf("command[%d]: holds a secret, which everybody on this host could read in the "+
				"process list: put it into env or files, or set secrets_in_argv", i))
		}
	}
	return errors.Join(errs...)
}
