package tcp

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/presets"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// Settings describes a box. Texts in it may hold placeholders: {stream}, {account}, {1}, {2} …,
// {username}, {password}, {publish} and its parts {publish_server}, {publish_key},
// {publish_stream}, {publish_token}, {publish_query}, {publish_streamid}, every key of vars and
// secrets, and the named groups of earlier expect patterns. Functions follow a bar:
// {password|md5hex}; there are md5hex, sha1hex, sha256hex, base64, urlquery, lower and upper. In a
// pattern, a placeholder matches its value as it is.
//
// Patterns are regular expressions of Go over one message; (?m) makes ^ and $ match at each line of
// a block. Conditions and rules are expr-lang expressions over facts (texts, "" when the box has
// not said it on this connection), text (the answer to the status question), started (whether the
// box has a start of ours, and has accepted no stop since), vars, stream, account and
// publish_scheme (rtmps, srt …).
type Settings struct {
	Preset   string       `yaml:"preset" shown:"yes" doc:"a known device (see: oncue presets); your keys are laid over its keys"`
	Addr     string       `yaml:"address" shown:"yes" doc:"host and port of the box, such as 10.0.0.40:9977"`
	Network  string       `yaml:"network" enum:"tcp,udp" doc:"how it is reached"`
	Username string       `yaml:"username" doc:"as {username}"`
	Password secret.Value `yaml:"password" doc:"as {password}"`

	Vars    map[string]any          `yaml:"vars" doc:"values for placeholders and rules, such as a channel number"`
	Secrets map[string]secret.Value `yaml:"secrets" doc:"more secret values for placeholders"`

	Messages   string `yaml:"messages" enum:"lines,blocks,bytes" doc:"what the box sends: lines of text; blocks of lines, each up to an empty line; or bytes up to end, which patterns see as hex such as 90 50 02 FF. With udp, each packet is a message"`
	End        string `yaml:"end" shown:"yes" doc:"for messages: bytes, the last byte of a message, in hex"`
	LineEnd    string `yaml:"line_end" enum:"lf,crlf" doc:"what ends a line that is sent"`
	MaxMessage int    `yaml:"max_message" min:"16" doc:"largest message that is believed, bytes"`
	Connection string `yaml:"connection" enum:"kept,idle,call" doc:"kept: always open, so that what the box says by itself is heard at once; idle: closed when it was not used for 2 s; call: a new one for each call"`

	Connect Steps  `yaml:"connect" doc:"what is exchanged on a new connection: a greeting, a login"`
	Start   Steps  `yaml:"start" doc:"what starts the stream: one exchange, or a list of them"`
	Stop    Steps  `yaml:"stop" doc:"what stops the stream: one exchange, or a list of them"`
	Status  Status `yaml:"status" doc:"the question for the state, and the rules that tell what the facts mean"`

	Facts map[string]string `yaml:"facts" doc:"what is known of the box: for each name a pattern over all that it says; its first group, or all of it, is the value"`
	Hide  []string          `yaml:"hide" doc:"patterns of secrets in what the box says; their first group, or all that they match, is never shown"`

	boxes.Manners

	Timeout time.Duration `yaml:"timeout" min:"100ms" doc:"for a connection, and for an answer"`
}

// Exchange is what is sent, and how the answer is judged. At most one of send and hex is set; with
// neither, something that the box says by itself is awaited. The patterns are tried in this order
// on each message that comes in; one that fits none is passed over. Without patterns, no answer is
// awaited.
type Exchange struct {
	Send string `yaml:"send" doc:"text; the line or block is ended by itself"`
	Hex  string `yaml:"hex" doc:"bytes, such as 81 01 04 00 02 FF"`

	Expect    string        `yaml:"expect" doc:"pattern: the box has done it; named groups are placeholders of what follows"`
	Already   string        `yaml:"already" doc:"pattern: it was so before, which is as good"`
	Busy      string        `yaml:"busy" doc:"pattern: the box is on for somebody else"`
	Permanent string        `yaml:"permanent" doc:"pattern: refused, and a repeat would be too"`
	Refuse    string        `yaml:"refuse" doc:"pattern: refused; its first group, or the whole message, says why"`
	Within    time.Duration `yaml:"within" doc:"for the answer; 0 = timeout"`
}

// Step is one exchange of a start, a stop or a new connection.
type Step struct {
	When  string        `yaml:"when" doc:"condition over vars, stream, account and publish_scheme: only then"`
	Delay time.Duration `yaml:"delay" doc:"wait before it"`
	Exchange
}

// Steps are the exchanges of a start, a stop or a new connection. In a file, one mapping stands for
// a list of one.
type Steps []Step

// Status asks for the state, and says what the facts mean. Without send and hex, only what the box
// says by itself counts.
type Status struct {
	Exchange
	Error string `yaml:"error" doc:"expression: what the box says went wrong"`
	boxes.States
}

// Defaults returns settings for a box of which nothing is known.
func Defaults() Settings {
	return Settings{
		Network:    "tcp",
		Messages:   "lines",
		End:        "FF",
		LineEnd:    "lf",
		MaxMessage: 64 << 10,
		Connection: "idle",
		Manners:    boxes.DefaultManners(),
		Timeout:    5 * time.Second,
		Status:     Status{States: boxes.States{StallAfter: 10 * time.Second}},
	}
}

// PresetYAML returns the preset of that name, in the language of Settings. Its error lists the
// names that exist.
func (s *Settings) PresetYAML(name string) ([]byte, error) { return presets.TCP.Get(name) }

// Validate reports everything that is wrong, each with the key path before a colon. Texts hold no
// secret.
func (s *Settings) Validate() []error {
	_, errs := compile(*s)
	return errs
}

// Notes names keys that are set and never sent.
func (s *Settings) Notes() []error {
	p, _ := compile(*s)
	whose := "nothing that is sent holds it"
	if s.Preset != "" {
		whose = "preset " + s.Preset + " does not send it"
	}
	set := map[string]bool{"username": s.Username != "", "password": s.Password.Set()}
	keys := map[string]string{"username": "username", "password": "password"}
	for name := range s.Secrets {
		set[name], keys[name] = true, "secrets."+name
	}
	var unused []error
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] && !p.used[name] {
			unused = append(unused, fmt.Errorf("%s: is not used: %s; remove the key", keys[name], whose))
		}
	}
	return unused
}

// Address tells the stream of one box apart from others, by what is sent to start it. Placeholders
// other than vars stay in it.
func (s *Settings) Address() string {
	p, _ := compile(*s)
	text := s.Network + " " + p.words.Outline(p.address)
	for _, x := range p.start {
		text += " " + p.words.Outline(x.send)
	}
	return text
}

// PublishOptional reports whether no step of a start sends a part of the publishing URL when there
// is none: such steps have a `when` that asks for publish_scheme.
func (s *Settings) PublishOptional() bool {
	p, errs := compile(*s)
	if len(errs) > 0 {
		return false
	}
	without := *s
	without.Start = nil
	for i, x := range p.start {
		skipped := false
		if x.when.Set() {
			holds, err := x.when.Holds(facts{Vars: s.Vars})
			skipped = err == nil && !holds
		}
		if !skipped {
			without.Start = append(without.Start, s.Start[i])
		}
	}
	p, _ = compile(without)
	return !boxes.NeedsPublish(p.used)
}

// NeedsPublish reports whether the publishing URL is sent to the box; otherwise the box has its
// own.
func (s *Settings) NeedsPublish() bool {
	p, _ := compile(*s)
	return boxes.NeedsPublish(p.used)
}
