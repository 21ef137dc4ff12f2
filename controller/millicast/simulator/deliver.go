package simulator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

// Delivery is one hook to one webhook, and what became of it.
type Delivery struct {
	Webhook int    // id
	Type    string // "viewerConnection", "feeds", "thumbnail", …
	Event   string // "ViewerAttempt", "started", …; "" for a thumbnail
	Stream  string // name
	Body    []byte // as sent; not to be changed
	Fate    Fate
	Status  int // of the answer; 0 without one
	Err     error
	Began   time.Time // when the request began; zero when there was none
	Took    time.Duration
}

// Fate is what became of a delivery.
type Fate string

const (
	FateAnswered Fate = "answered" // with a 2xx
	FateRefused  Fate = "refused"  // with another status
	FateTimedOut Fate = "timed out"
	FateFailed   Fate = "failed"   // no answer for another reason
	FateDropped  Fate = "dropped"  // by [HookFaults]
	FateDisabled Fate = "disabled" // the webhook was
)

// notice is a hook on its way to all webhooks that want it.
type notice struct {
	about       subject
	typ, event  string
	stream      string
	contentType string
	body        []byte
	header      http.Header // besides content type and signature
}

// lineKey tells the queues apart: one webhook's hooks about one stream.
type lineKey struct {
	webhook int
	stream  string
}

// line keeps the hooks of one stream in order while no fault is to disturb them.
type line struct {
	last chan struct{}   // closed when the last one in line is done
	held []chan struct{} // reordered ones, let go behind the next one
	size int             // deliveries that refer to the line
}

// journey is one copy of a notice on its way to one webhook.
type journey struct {
	Delivery
	notice  notice
	url     string
	secret  secret.Value
	timeout time.Duration

	line  *line
	key   lineKey
	turn  <-chan struct{} // wait for it, for turnSpan at most; nil: do not wait
	done  chan struct{}   // closed when others may go
	delay time.Duration   // real time
	held  chan struct{}   // reordered: wait for it, for delay at most
}

// send delivers a notice to every webhook that wants it. It does not wait for them.
func (h *hooks) send(n notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	for _, w := range h.list {
		if !w.wants(n.about, n.stream, h.whole) {
			continue
		}
		d := Delivery{Webhook: w.ID, Type: n.typ, Event: n.event, Stream: n.stream, Body: n.body}
		switch {
		case w.disabled(time.Now()):
			d.Fate = FateDisabled
			h.counts.Disabled++
			h.work.Go(func() { h.tell(d) })
			continue
		case h.roll(h.faults.Drop):
			d.Fate = FateDropped
			h.counts.Dropped++
			h.work.Go(func() { h.tell(d) })
			continue
		}
		copies := 1
		if h.roll(h.faults.Duplicate) {
			copies, h.counts.Duplicated = 2, h.counts.Duplicated+1
		}
		for range copies {
			j := h.plan(w, n, d)
			h.work.Go(func() { h.travel(j) })
		}
	}
}

// tell hands a fate to the settings' callback. It is called without mu: the callback may call the simulator.
func (h *hooks) tell(d Delivery) {
	if h.set.OnDelivery != nil {
		h.set.OnDelivery(d)
	}
	h.notify()
}

func (h *hooks) roll(probability float64) bool {
	return probability > 0 && h.random.Float64() < probability
}

// plan rolls the faults of one copy and puts it in line. Called with mu held.
func (h *hooks) plan(w *webhook, n notice, d Delivery) *journey {
	j := &journey{
		Delivery: d, notice: n, url: w.URL, secret: w.Secret, timeout: h.faults.Timeout,
		key: lineKey{w.ID, n.stream}, done: make(chan struct{}),
	}
	if j.timeout <= 0 {
		j.timeout = deliveryTimeout
	}
	if j.line = h.lines[j.key]; j.line == nil {
		j.line = &line{}
		h.lines[j.key] = j.line
	}
	j.line.size++
	switch {
	case h.roll(h.faults.Reorder):
		h.counts.Reordered++
		j.held = make(chan struct{})
		j.line.held = append(j.line.held, j.held)
		j.delay = scaled(reorderSpan, h.set.Scale)
	case h.faults.DelayMax > 0:
		span := max(h.faults.DelayMax-h.faults.DelayMin, 0)
		j.delay = scaled(h.faults.DelayMin+time.Duration(h.random.Float64()*float64(span)), h.set.Scale)
	default:
		j.turn, j.line.last = j.line.last, j.done
	}
	return j
}

// travel waits as planned, delivers, and lets the next one go.
func (h *hooks) travel(j *journey) {
	wait := j.delay
	if j.turn != nil {
		wait = turnSpan
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-j.turn:
		case <-j.held:
		case <-timer.C:
		case <-h.ctx.Done():
		}
	}
	h.deliver(j)
	h.count(j)
	h.tell(j.Delivery)
	h.moveUp(j)
}

// deliver makes the one attempt.
func (h *hooks) deliver(j *journey) {
	d := &j.Delivery
	ctx, cancel := context.WithTimeout(h.ctx, j.timeout)
	defer cancel()
	d.Began = time.Now()
	defer func() { d.Took = time.Since(d.Began) }()
	req, err := millicast.NewRequest(ctx, j.url, j.secret, j.notice.contentType, j.notice.body)
	if err != nil {
		d.Fate, d.Err = FateFailed, err
		return
	}
	for name, values := range j.notice.header {
		req.Header[name] = values
	}
	resp, err := h.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		d.Fate, d.Err = FateTimedOut, fmt.Errorf("no answer within %v", j.timeout)
	case err != nil:
		var withURL *url.Error // its text repeats method and address
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		d.Fate, d.Err = FateFailed, fmt.Errorf("deliver %s %s: %w", d.Type, d.Event, err)
	default:
		d.Status, d.Fate = resp.StatusCode, FateRefused
		if resp.StatusCode/100 == 2 {
			d.Fate = FateAnswered
		}
	}
}

// count adds a delivery to the counts, and to its webhook's time-outs.
func (h *hooks) count(j *journey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch j.Fate {
	case FateAnswered:
		h.counts.Answered++
	case FateRefused:
		h.counts.Refused++
	case FateTimedOut:
		h.counts.TimedOut++
	default:
		h.counts.Failed++
	}
	for _, w := range h.list {
		if w.ID == j.Webhook {
			h.judge(w, j.Fate)
		}
	}
}

// moveUp lets the next in line go, and those who were held back behind this one.
func (h *hooks) moveUp(j *journey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(j.done)
	if j.held == nil {
		for _, held := range j.line.held {
			close(held)
		}
		j.line.held = nil
	}
	if j.line.size--; j.line.size == 0 {
		delete(h.lines, j.key)
	}
}

// judge counts time-outs in a row.
func (h *hooks) judge(w *webhook, fate Fate) {
	switch fate {
	case FateTimedOut:
		w.timeouts++
	case FateAnswered, FateRefused:
		w.timeouts = 0
	}
	if h.faults.DisableAfter == 0 || w.timeouts < h.faults.DisableAfter || !w.DisabledUntil.IsZero() {
		return
	}
	span := h.faults.DisableFor
	if span <= 0 {
		span = disableFor
	}
	w.DisabledUntil = time.Now().Add(scaled(span, h.set.Scale))
	w.DisabledReason = fmt.Sprintf("%d deliveries in a row timed out", w.timeouts)
}
