package tcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// connecting is the step of what is exchanged on a new connection.
const connecting boxes.Step = "connect"

// call is one Start, Stop or Status under way. It is a [boxes.Talk].
type call struct {
	*boxes.Values
	e       *Encoder
	step    boxes.Step // or connecting
	address string     // of the box, once the call has had its turn
}

func (e *Encoder) call(job encoders.Job, step boxes.Step) *call {
	v := &boxes.Values{Words: e.plan.words, Job: job, Mask: boxes.NewMasker(e.plan.words, e.env.Secrets, job)}
	s := &e.plan.settings
	for _, steps := range []Steps{s.Connect, s.Start, s.Stop, {{Exchange: s.Status.Exchange}}} {
		for _, x := range steps {
			v.Mask.Learn(x.Send)
		}
	}
	e.remind(v.Mask)
	return &call{Values: v, e: e, step: step}
}

// Turn waits for the call's turn at the box. The caller must call leave.
func (c *call) Turn(ctx context.Context) (leave func(), err error) {
	if c.address, err = c.e.plan.address.Fill(c.Values, boxes.InHost, false); err != nil {
		return nil, encoders.Permanent(fmt.Errorf("address: %w", err))
	}
	d := c.e.devices.boxes.Box(c.e.plan.settings.Network + " " + strings.ToLower(c.address))
	if err := d.WaitTurn(ctx); err != nil {
		return nil, err
	}
	return d.Leave, nil
}

// Read asks for the state. A connection that was there before may have died unnoticed: the question
// is asked again on a new one.
func (c *call) Read(ctx context.Context) boxes.Reading {
	defer c.finish()
	old := c.e.current()
	text, l, err := c.exchange(ctx, c.e.plan.status)
	var mute *silence
	if errors.As(err, &mute) && l != nil && l == old && boxes.Ended(ctx) == nil {
		text, l, err = c.exchange(ctx, c.e.plan.status)
	}
	if err != nil {
		r := boxes.Silent(err, encoders.IsPermanent(err))
		r.Answered = !errors.As(err, &mute)
		return r
	}
	f := c.facts()
	f.Facts, f.Text = l.known(), text
	answer := "the box has said nothing of it"
	if text != "" {
		answer = c.excerpt(text)
	} else if len(f.Facts) > 0 {
		answer = boxes.Excerpt(c.Mask, fmt.Sprint(f.Facts))
	}
	return c.e.plan.states.Judge(f, c.Mask, answer, c.e.plan.error.Text(f))
}

// Send makes the exchanges of a start or stop, one after the other.
func (c *call) Send(ctx context.Context, step boxes.Step) error {
	defer c.finish()
	steps := c.e.plan.start
	if step == boxes.Stop {
		steps = c.e.plan.stop
	}
	for _, x := range steps {
		wanted, err := c.wants(x)
		if err != nil {
			return encoders.Permanent(err)
		}
		if !wanted {
			continue
		}
		if err := boxes.Sleep(ctx, x.delay); err != nil {
			return err
		}
		if _, _, err := c.exchange(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the connection, or leaves it to the next call.
func (c *call) finish() {
	switch c.e.plan.settings.Connection {
	case "call":
		c.e.drop(c.e.current())
	case "idle":
		c.e.rest()
	}
}

// facts is what rules see before the box has been asked.
func (c *call) facts() facts {
	s := c.e.Remembered()
	return facts{
		Started: s.Stream != "" && !s.Off, Vars: c.Rendered(),
		Stream: c.Job.Name, Account: c.Job.Account, Scheme: c.Scheme(),
	}
}

// wants reports whether an exchange is for this job.
func (c *call) wants(x *exchange) (bool, error) {
	if !x.when.Set() {
		return true, nil
	}
	wanted, err := x.when.Holds(c.facts())
	if err != nil {
		return false, fmt.Errorf("%s.when: %w", x.key, err)
	}
	return wanted, nil
}

// silence means that there is no answer, or none that could be read: it is not known whether the
// box did what was asked.
type silence struct {
	text  string
	cause error // nil, or the end of a context
}

func (s *silence) Error() string { return s.text }
func (s *silence) Unwrap() error { return s.cause }

// mute makes a silence. The connection of an answer that has not come is of no more use: the answer
// may still come, and would be taken for that of the next question.
func (c *call) mute(ctx context.Context, what string, l *link, err error) error {
	text := what + ": " + boxes.Clean(c.Mask, reason(err))
	if l != nil {
		if begun := c.excerpt(l.pending()); begun != "" {
			text += "; the box had begun to say: " + begun
		}
		c.e.drop(l)
	}
	c.trace(false, text)
	return &silence{text, boxes.Ended(ctx)}
}

// exchange sends what the exchange says, and waits for the answer to it. The link is that of the
// exchange, nil when there was none.
func (c *call) exchange(ctx context.Context, x *exchange) (text string, l *link, err error) {
	if l, err = c.connected(ctx); err != nil {
		return "", l, err
	}
	text, err = c.exchangeOn(ctx, l, x)
	return text, l, err
}

// connected returns the connection to the box, after what is exchanged on a new one.
func (c *call) connected(ctx context.Context) (*link, error) {
	l := c.e.take()
	if l != nil && l.address == c.address && !l.over() {
		return l, nil
	}
	c.e.drop(l)
	l, err := dial(ctx, c.e.plan, c.address)
	if err != nil {
		return nil, c.mute(ctx, "connect to "+boxes.Clean(c.Mask, c.address), nil, err)
	}
	// The greeting may come before the first exchange asks for it.
	l.ask(true)
	if err := c.e.use(l); err != nil {
		l.conn.Close()
		return nil, err
	}
	step := c.step
	c.step = connecting
	defer func() { c.step = step }()
	defer l.ask(false)
	c.trace(true, "connect to "+boxes.Clean(c.Mask, c.address))
	for _, x := range c.e.plan.connect {
		wanted, err := c.wants(x)
		if err != nil {
			err = encoders.Permanent(err)
		} else if wanted {
			if err = boxes.Sleep(ctx, x.delay); err == nil {
				_, err = c.exchangeOn(ctx, l, x)
			}
		}
		if err != nil {
			c.e.drop(l)
			return l, err
		}
	}
	return l, nil
}

func (c *call) exchangeOn(ctx context.Context, l *link, x *exchange) (text string, err error) {
	c.Captured = l.captured
	out, shown, answers, err := c.render(x)
	if err != nil {
		return "", encoders.Permanent(err)
	}
	what := cmp.Or(boxes.Excerpt(c.Mask, shown), "the greeting")
	ctx, cancel := context.WithTimeout(ctx, x.within)
	defer cancel()
	if out != nil {
		l.ask(true)
	}
	if c.step != connecting { // whose exchanges leave nothing out of what comes
		defer l.ask(false)
	}
	if out != nil {
		c.trace(true, shown)
		end, _ := ctx.Deadline()
		_ = l.conn.SetWriteDeadline(end)
		if _, err := l.conn.Write(out); err != nil {
			return "", c.mute(ctx, what, l, err)
		}
	}
	for len(answers) > 0 {
		message, err := l.next(ctx)
		if err != nil {
			return "", c.mute(ctx, what, l, err)
		}
		c.e.hide(message, c.Mask)
		c.trace(false, c.show(message))
		for i, re := range answers {
			m := re.FindStringSubmatch(message)
			if m == nil {
				continue
			}
			if a := x.answers[i]; a.means != done {
				said := c.excerpt(message)
				if a.means == refused {
					said = c.excerpt(m[min(1, len(m)-1)])
				}
				return "", refusal(a.means, fmt.Sprintf("%s: the box has refused: %s", what, said))
			}
			for j, name := range re.SubexpNames() {
				if name != "" {
					l.captured[name] = m[j]
					c.Mask.Know(m[j])
				}
			}
			return message, nil
		}
	}
	return "", nil
}

// refusal is the error of an answer that means no.
func refusal(means verdict, text string) error {
	r := &boxes.Refusal{Text: text}
	switch means {
	case busy:
		r.Cause = encoders.ErrBusy
	case permanent:
		return encoders.Permanent(r)
	}
	return r
}

// render fills an exchange: what is sent, nil for nothing, how that is shown to people, and the
// patterns of the answers.
func (c *call) render(x *exchange) (out []byte, shown string, answers []*regexp.Regexp, err error) {
	if x.send != nil {
		text, err := x.send.Fill(c.Values, boxes.InLine, false)
		if err != nil {
			return nil, "", nil, fmt.Errorf("%s: %w", x.key, err)
		}
		if shown, err = x.send.Fill(c.Values, boxes.InLine, true); err != nil {
			return nil, "", nil, fmt.Errorf("%s: %w", x.key, err)
		}
		shown = boxes.Clean(c.Mask, strings.TrimRight(shown, "\n"))
		if x.hex {
			if out, err = unhex(text); err != nil {
				return nil, "", nil, fmt.Errorf("%s.hex: %w", x.key, err)
			}
		} else {
			out = []byte(c.e.plan.ended(text))
		}
	}
	for _, a := range x.answers {
		re := a.fixed
		if re == nil {
			text, err := a.pattern.Fill(c.Values, boxes.InPattern, false)
			if err != nil {
				return nil, "", nil, fmt.Errorf("%s: %w", a.key, err)
			}
			if re, err = regexp.Compile(text); err != nil {
				return nil, "", nil, fmt.Errorf("%s: is no pattern once its placeholders are filled", a.key)
			}
		}
		answers = append(answers, re)
	}
	return out, shown, answers, nil
}

// ended is a text with the end of its line or block, and with the line ends that the box wants.
func (p *plan) ended(text string) string {
	text = strings.TrimRight(text, "\n") + "\n"
	if p.settings.Messages == "blocks" {
		text += "\n"
	}
	if p.settings.LineEnd == "crlf" {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}
