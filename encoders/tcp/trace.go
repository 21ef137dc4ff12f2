package tcp

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/boxes"
)

// A TraceLine is one message as it went to the box or came from it, or what went wrong. It holds no
// secret.
type TraceLine struct {
	At   time.Time
	Step string // start, stop, status, connect, or unasked for what the box says by itself
	Sent bool
	Text string
}

// Trace calls show with each message from now on; nil ends that. show is called from several
// goroutines, one at a time, and must not call the encoder.
func (e *Encoder) Trace(show func(TraceLine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.show = show
}

const unasked = "unasked"

// trace shows a message of the call, which is fit to be shown. The question for the state is asked
// all day: its lines are not kept.
func (c *call) trace(sent bool, text string) {
	c.e.note(TraceLine{At: time.Now(), Step: string(c.step), Sent: sent, Text: text}, c.step != boxes.Read)
}

const (
	maxLogged = 500  // lines
	maxLine   = 4096 // of a logged message, bytes
)

// note shows a line, and may keep it for [Encoder.Log].
func (e *Encoder) note(l TraceLine, keep bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.show != nil {
		e.show(l)
	}
	if !keep {
		return
	}
	arrow := "<"
	if l.Sent {
		arrow = ">"
	}
	text := l.Text
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	e.log = append(e.log, l.At.UTC().Format("2006-01-02 15:04:05.000 ")+arrow+" "+l.Step+": "+text)
	if len(e.log) > maxLogged {
		e.log = slices.Delete(e.log, 0, len(e.log)-maxLogged)
	}
}

// Log returns the last messages to and from the box, since the driver was opened.
func (e *Encoder) Log(_ context.Context, n int) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.log[max(0, len(e.log)-n):]), nil
}

// maxHidden is how many secrets of the box are remembered.
const maxHidden = 100

// hide learns the secrets in what the box says.
func (e *Encoder) hide(message string, mask *secret.Masker) {
	for _, re := range e.plan.hide {
		for _, m := range re.FindAllStringSubmatch(message, -1) {
			value := m[min(1, len(m)-1)]
			mask.Know(value)
			e.mu.Lock()
			if !slices.Contains(e.hidden, value) {
				if e.hidden = append(e.hidden, value); len(e.hidden) > maxHidden {
					e.hidden = slices.Delete(e.hidden, 0, 1)
				}
			}
			e.mu.Unlock()
		}
	}
}

// remind tells the masker of a new call what the box has told before.
func (e *Encoder) remind(mask *secret.Masker) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mask = mask
	for _, value := range e.hidden {
		mask.Know(value)
	}
}

// cover masks what the hide patterns find, be it ever so short.
func (p *plan) cover(message string) string {
	for _, re := range p.hide {
		var b strings.Builder
		at := 0
		for _, m := range re.FindAllStringSubmatchIndex(message, -1) {
			from, to := m[0], m[1]
			if len(m) > 2 && m[2] >= 0 {
				from, to = m[2], m[3]
			}
			b.WriteString(message[at:from] + boxes.Mask)
			at = to
		}
		message = b.String() + message[at:]
	}
	return message
}

// show makes a message of the box fit to print.
func (c *call) show(message string) string { return boxes.Clean(c.Mask, c.e.plan.cover(message)) }

// excerpt is show for errors.
func (c *call) excerpt(message string) string {
	return boxes.Excerpt(c.Mask, c.e.plan.cover(message))
}
