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

// queueKey names a queue: one webhook's hooks about one stream.
type queueKey struct {
	webhook int
	stream  string
}

// queue keeps the hooks of one stream in order unless a fault disturbs it.
type queue struct {
	last chan struct{}   // closed when the last one in the queue is done
	held []chan struct{} // of reordered ones, which are sent after the next one
	size int             // deliveries that refer to the queue
}

// sending is one copy of a notice on its way to one webhook.
type sending struct {
	Delivery
	notice  notice
	url     string
	secret  secret.Value
	timeout time.Duration

	queue *queue
	key   queueKey
	turn  <-chan struct{} // wait for it, for turnSpan at most; nil: do not wait
	done  chan struct{}   // closed when the next one may go
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
			h.work.Go(func() { h.report(d) })
			continue
		case h.roll(h.faults.Drop):
			d.Fate = FateDropped
			h.counts.Dropped++
			h.work.Go(func() { h.report(d) })
			continue
		}
		copies := 1
		if h.roll(h.faults.Duplicate) {
			copies, h.counts.Duplicated = 2, h.counts.Duplicated+1
		}
		for range copies {
			c := h.schedule(w, n, d)
			h.work.Go(func() { h.run(c) })
		}
	}
}

// report passes a fate to the callback of the settings. It is called without mu: the callback may
// call the simulator.
func (h *hooks) report(d Delivery) {
	if h.set.OnDelivery != nil {
		h.set.OnDelivery(d)
	}
	h.notify()
}

func (h *hooks) roll(probability float64) bool {
	return probability > 0 && h.random.Float64() < probability
}

// schedule rolls the faults of one copy and puts it in its queue. Called with mu held.
func (h *hooks) schedule(w *webhook, n notice, d Delivery) *sending {
	c := &sending{
		Delivery: d, notice: n, url: w.URL, secret: w.Secret, timeout: h.faults.Timeout,
		key: queueKey{w.ID, n.stream}, done: make(chan struct{}),
	}
	if c.timeout <= 0 {
		c.timeout = deliveryTimeout
	}
	if c.queue = h.queues[c.key]; c.queue == nil {
		c.queue = &queue{}
		h.queues[c.key] = c.queue
	}
	c.queue.size++
	switch {
	case h.roll(h.faults.Reorder):
		h.counts.Reordered++
		c.held = make(chan struct{})
		c.queue.held = append(c.queue.held, c.held)
		c.delay = scaled(reorderSpan, h.set.Scale)
	case h.faults.DelayMax > 0:
		span := max(h.faults.DelayMax-h.faults.DelayMin, 0)
		c.delay = scaled(h.faults.DelayMin+time.Duration(h.random.Float64()*float64(span)), h.set.Scale)
	default:
		c.turn, c.queue.last = c.queue.last, c.done
	}
	return c
}

// run waits as scheduled, delivers, and releases the next one.
func (h *hooks) run(c *sending) {
	wait := c.delay
	if c.turn != nil {
		wait = turnSpan
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-c.turn:
		case <-c.held:
		case <-timer.C:
		case <-h.ctx.Done():
		}
	}
	h.deliver(c)
	h.count(c)
	h.report(c.Delivery)
	h.release(c)
}

// deliver makes the one attempt.
func (h *hooks) deliver(c *sending) {
	d := &c.Delivery
	ctx, cancel := context.WithTimeout(h.ctx, c.timeout)
	defer cancel()
	d.Began = time.Now()
	defer func() { d.Took = time.Since(d.Began) }()
	req, err := millicast.NewRequest(ctx, c.url, c.secret, c.notice.contentType, c.notice.body)
	if err != nil {
		d.Fate, d.Err = FateFailed, err
		return
	}
	for name, values := range c.notice.header {
		req.Header[name] = values
	}
	resp, err := h.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		resp.Body.Close()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		d.Fate, d.Err = FateTimedOut, fmt.Errorf("no answer within %v", c.timeout)
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
func (h *hooks) count(c *sending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch c.Fate {
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
		if w.ID == c.Webhook {
			h.countTimeout(w, c.Fate)
		}
	}
}

// release lets the next one in the queue go, and the reordered ones that waited for this one.
func (h *hooks) release(c *sending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(c.done)
	if c.held == nil {
		for _, held := range c.queue.held {
			close(held)
		}
		c.queue.held = nil
	}
	if c.queue.size--; c.queue.size == 0 {
		delete(h.queues, c.key)
	}
}

// countTimeout counts time-outs in a row and disables the webhook after too many.
func (h *hooks) countTimeout(w *webhook, fate Fate) {
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
