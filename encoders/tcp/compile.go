package tcp

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders/boxes"
)

// plan is the compiled settings.
type plan struct {
	settings Settings
	words    *boxes.Words
	used     map[string]bool // names of placeholders
	address  boxes.Template
	connect  []*exchange
	start    []*exchange
	stop     []*exchange
	status   *exchange
	states   boxes.StateRules
	error    boxes.Rule
	facts    map[string]*regexp.Regexp
	hide     []*regexp.Regexp
	end      byte
}

// exchange is a compiled Step.
type exchange struct {
	key    string // in the settings, for errors
	when   boxes.Rule
	delay  time.Duration
	within time.Duration
	send   boxes.Template // nil: nothing is sent
	hex    bool           // send is hex

	answers []answer // in the order in which they are tried; none: no answer is awaited
}

// answer is a pattern for what the box says, and what that means.
type answer struct {
	key     string
	means   verdict
	pattern boxes.Template
	fixed   *regexp.Regexp // when the pattern has no placeholders
}

// verdict is what an answer means.
type verdict int

const (
	done verdict = iota // or was so before
	busy
	permanent
	refused
)

// facts is what conditions and rules see.
type facts struct {
	Facts   map[string]string `expr:"facts"`
	Text    string            `expr:"text"`
	Started bool              `expr:"started"`
	Vars    map[string]any    `expr:"vars"`
	Stream  string            `expr:"stream"`
	Account string            `expr:"account"`
	Scheme  string            `expr:"publish_scheme"`
}

var language = &boxes.Language{Facts: facts{}}

type compiler struct {
	*boxes.Compiler
	plan *plan
}

// compile makes a plan, and says everything that is wrong with the settings. The plan is never nil;
// with errors it must not be run.
func compile(s Settings) (*plan, []error) {
	words := boxes.Words{Username: s.Username, Password: s.Password, Vars: s.Vars, Secrets: s.Secrets}
	c := &compiler{boxes.NewCompiler(words, captured(s)...), &plan{settings: s}}
	p := c.plan
	p.words, p.used = c.Words, c.Used
	c.address()
	p.connect = c.steps("connect", s.Connect)
	p.start, p.stop = c.steps("start", s.Start), c.steps("stop", s.Stop)
	for _, key := range []struct {
		name  string
		steps []*exchange
	}{{"start", p.start}, {"stop", p.stop}} {
		if len(key.steps) == 0 {
			c.Fail(key.name, `must be an exchange such as {send: %s, expect: "^OK"}, or a list of them`, key.name)
		}
	}
	p.status = c.exchange("status", s.Status.Exchange)
	p.states = c.States(language, s.Status.States, `facts.state == "on"`)
	p.error = c.Expression(language, "status.error", s.Status.Error)
	if p.status.send == nil {
		switch {
		case s.Connection == "idle":
			c.Fail("status.send", "must be set, unless connection is kept or call: what a box said when it was connected "+
				"to may be old")
		case len(p.status.answers) > 0:
			c.Fail("status.expect", "is for the answer to send or hex; what is said without a question is a fact")
		}
	}
	p.facts = map[string]*regexp.Regexp{}
	for _, name := range slices.Sorted(maps.Keys(s.Facts)) {
		p.facts[name] = c.pattern("facts."+name, s.Facts[name])
	}
	for i, text := range s.Hide {
		p.hide = append(p.hide, c.pattern(fmt.Sprintf("hide[%d]", i), text))
	}
	c.numbers()
	return p, c.Errs
}

// captured are the named groups of what is expected.
func captured(s Settings) []string {
	var names []string
	for _, x := range slices.Concat(s.Connect, s.Start, s.Stop) {
		if re, err := regexp.Compile(x.Expect); err == nil {
			names = append(names, slices.DeleteFunc(re.SubexpNames(), func(n string) bool { return n == "" })...)
		}
	}
	return names
}

func (c *compiler) address() {
	s := &c.plan.settings
	c.plan.address = c.Template("address", s.Addr)
	host, port, err := net.SplitHostPort(boxes.Placeholder.ReplaceAllString(s.Addr, "1"))
	n, notNumber := strconv.Atoi(port)
	if s.Addr == "" || err != nil || host == "" || notNumber != nil || n < 1 || n > 65535 {
		c.Fail("address", "must be the host and port of the box, such as 10.0.0.40:9977")
	}
	if s.Network != "tcp" && s.Network != "udp" {
		c.Fail("network", "is %q; allowed: tcp, udp", s.Network)
	}
}

func (c *compiler) steps(key string, steps Steps) []*exchange {
	out := make([]*exchange, len(steps))
	for i, s := range steps {
		at := key
		if len(steps) > 1 {
			at = fmt.Sprintf("%s[%d]", key, i)
		}
		out[i] = c.exchange(at, s.Exchange)
		out[i].when = c.Condition(language, at+".when", s.When)
		out[i].delay = s.Delay
		if s.Send == "" && s.Hex == "" && len(out[i].answers) == 0 {
			c.Fail(at, "must say what to send or what to expect")
		}
	}
	return out
}

func (c *compiler) exchange(key string, s Exchange) *exchange {
	x := &exchange{key: key, within: cmp.Or(s.Within, c.plan.settings.Timeout)}
	switch {
	case s.Send != "" && s.Hex != "":
		c.Fail(key, "has send and hex; an exchange sends one of them")
	case s.Send != "":
		x.send = c.Template(key+".send", s.Send)
	case s.Hex != "":
		x.send, x.hex = c.Template(key+".hex", s.Hex), true
		if !boxes.Placeholder.MatchString(s.Hex) {
			if _, err := unhex(s.Hex); err != nil {
				c.Fail(key+".hex", "%s", err)
			}
		}
	}
	for _, a := range []struct {
		name  string
		means verdict
		text  string
	}{
		{"expect", done, s.Expect}, {"already", done, s.Already}, {"busy", busy, s.Busy},
		{"permanent", permanent, s.Permanent}, {"refuse", refused, s.Refuse},
	} {
		if a.text == "" {
			continue
		}
		made := answer{key: key + "." + a.name, means: a.means, pattern: literalNumbers(c.Template(key+"."+a.name, a.text))}
		sample := c.pattern(made.key, boxes.Placeholder.ReplaceAllStringFunc(a.text, func(p string) string {
			if p[1] <= '9' {
				return p
			}
			return "x"
		}))
		if !slices.ContainsFunc(made.pattern, func(p boxes.Piece) bool { return p.Name != "" }) {
			made.fixed = sample
		}
		x.answers = append(x.answers, made)
	}
	if s.Expect == "" && len(x.answers) > 0 {
		c.Fail(key+".expect", "must be set, too: else nothing says that it has been done")
	}
	return x
}

// literalNumbers makes text of placeholders such as {2}: in a pattern they say how often.
func literalNumbers(t boxes.Template) boxes.Template {
	for i, p := range t {
		if p.Name != "" && p.Name[0] <= '9' {
			t[i] = boxes.Piece{Text: p.Text}
		}
	}
	return t
}

func (c *compiler) pattern(key, text string) *regexp.Regexp {
	re, err := regexp.Compile(text)
	if err != nil {
		c.Fail(key, "%s", err)
		return regexp.MustCompile(`[^\s\S]`)
	}
	return re
}

func (c *compiler) numbers() {
	s := &c.plan.settings
	if !slices.Contains([]string{"lines", "blocks", "bytes"}, s.Messages) {
		c.Fail("messages", "is %q; allowed: lines, blocks, bytes", s.Messages)
	}
	if s.LineEnd != "lf" && s.LineEnd != "crlf" {
		c.Fail("line_end", "is %q; allowed: lf, crlf", s.LineEnd)
	}
	if !slices.Contains([]string{"kept", "idle", "call"}, s.Connection) {
		c.Fail("connection", "is %q; allowed: kept, idle, call", s.Connection)
	}
	if end, err := unhex(s.End); err != nil || len(end) != 1 {
		c.Fail("end", "must be one byte in hex, such as FF")
	} else {
		c.plan.end = end[0]
	}
	if s.MaxMessage < 16 {
		c.Fail("max_message", "must be 16 or more")
	}
	if s.Timeout <= 0 {
		c.Fail("timeout", "must be more than 0")
	}
	c.Manners(s.Manners)
}

// unhex reads bytes such as 81 01 FF.
func unhex(text string) ([]byte, error) {
	b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, fmt.Errorf("must be bytes in hex, such as 81 01 04 00 02 FF")
	}
	return b, nil
}
