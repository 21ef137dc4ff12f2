// Package notify sends notices to people and programs: by the services that shoutrrr supports
// (Slack, Telegram, mail …) and by plain https webhooks, signed by the Standard Webhooks scheme.
// Start at [Notifier.Send]; it never blocks, and no failure here affects the control of encoders.
package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Recipient is one place that notices are sent to. Its fields are those of the configuration.
type Recipient struct {
	URL    secret.Value // a shoutrrr URL, or https
	On     []string     // kinds of notices; empty: all
	Secret secret.Value // signs plain webhooks
}

// Notifier sends notices to recipients, each through a queue of its own. Its methods may be called
// concurrently. Nothing blocks while mu is held.
type Notifier struct {
	log   *slog.Logger
	now   func() time.Time
	pause func(attempt int) time.Duration

	mu     sync.Mutex
	outs   []*outlet
	sent   map[string]time.Time // when a notice was last sent, by kind, account and stream
	closed bool
	work   sync.WaitGroup
}

const (
	queueLength = 64
	// A notice is not repeated for the same stream within this time, unless the trouble ended in
	// between.
	quiet = 10 * time.Minute
	// A notice is given up after so many attempts, which are 1, 4, 16 and 64 s apart.
	attempts  = 5
	sendLimit = 15 * time.Second // for one attempt
)

// New makes a notifier without recipients.
func New(log *slog.Logger) *Notifier {
	return &Notifier{
		log: log, now: time.Now, sent: map[string]time.Time{},
		pause: func(attempt int) time.Duration { return time.Second << (2 * (attempt - 1)) },
	}
}

// sender delivers one notice. Its errors contain no part of the recipient's URL but its scheme.
type sender interface {
	send(ctx context.Context, n controller.Notice, id string) error
}

type outlet struct {
	Recipient
	sender
	name  string // scheme, for the log
	queue chan queued
	end   context.CancelFunc
}

func (o *outlet) sendsTo(r Recipient) bool {
	return o.URL.Same(r.URL) && o.Secret.Same(r.Secret) && slices.Equal(o.On, r.On)
}

type queued struct {
	controller.Notice
	id string
}

// Set replaces the recipients. Those that stay the same keep their queues. When a URL is not
// usable, Set returns an error and changes nothing. After Close it does nothing.
func (n *Notifier) Set(list []Recipient) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	var next []*outlet
	for i, r := range list {
		at := slices.IndexFunc(n.outs, func(o *outlet) bool { return o.sendsTo(r) && !slices.Contains(next, o) })
		if at >= 0 {
			next = append(next, n.outs[at])
			continue
		}
		s, err := senderFor(r)
		if err != nil {
			return fmt.Errorf("notify[%d].url: %w", i, err)
		}
		scheme, _, _ := strings.Cut(r.URL.Reveal(), ":")
		next = append(next, &outlet{Recipient: r, sender: s, name: scheme, queue: make(chan queued, queueLength)})
	}
	for _, o := range n.outs {
		if !slices.Contains(next, o) && o.end != nil {
			o.end()
		}
	}
	for _, o := range next {
		if o.end == nil {
			ctx, cancel := context.WithCancel(context.Background())
			o.end = cancel
			n.work.Go(func() { n.serve(ctx, o) })
		}
	}
	n.outs = next
	return nil
}

// Send queues a notice for every recipient that wants its kind. It never blocks: a recipient whose
// queue is full misses the notice, and the log says so.
func (n *Notifier) Send(notice controller.Notice) {
	for _, name := range n.enqueue(notice) {
		n.log.Error("a recipient of notices is too slow; it misses one", "recipient", name, "notice", notice.Kind)
	}
}

// enqueue returns the names of recipients whose queues are full.
func (n *Notifier) enqueue(notice controller.Notice) (full []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || len(n.outs) == 0 || n.repeats(notice) {
		return nil
	}
	item := queued{notice, newID()}
	for _, o := range n.outs {
		if len(o.On) > 0 && !slices.Contains(o.On, notice.Kind) {
			continue
		}
		select {
		case o.queue <- item:
		default:
			full = append(full, o.name)
		}
	}
	return full
}

// repeats reports whether the same notice was sent within the quiet time. The end of a trouble
// allows the next notice of the same trouble. The caller has mu.
func (n *Notifier) repeats(notice controller.Notice) bool {
	key := func(kind string) string { return kind + " " + notice.Account + " " + string(notice.Stream) }
	now := n.now()
	maps.DeleteFunc(n.sent, func(_ string, at time.Time) bool { return now.Sub(at) >= quiet })
	if _, sent := n.sent[key(notice.Kind)]; sent {
		return true
	}
	n.sent[key(notice.Kind)] = now
	if notice.Kind == "recovered" {
		delete(n.sent, key("failed"))
		delete(n.sent, key("stop_unconfirmed"))
	} else {
		delete(n.sent, key("recovered"))
	}
	return false
}

func (n *Notifier) serve(ctx context.Context, o *outlet) {
	for ctx.Err() == nil { // a removed recipient gets nothing that is still queued
		select {
		case <-ctx.Done():
		case item := <-o.queue:
			n.deliver(ctx, o, item)
		}
	}
}

func (n *Notifier) deliver(ctx context.Context, o *outlet, item queued) {
	for attempt := 1; ; attempt++ {
		sending, cancel := context.WithTimeout(ctx, sendLimit)
		err := o.send(sending, item.Notice, item.id)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Warn("a notice was not delivered",
			"recipient", o.name, "notice", item.Kind, "attempt", attempt, "error", err)
		if attempt == attempts {
			n.log.Error("a notice is given up", "recipient", o.name, "notice", item.Kind, "stream", item.Stream)
			return
		}
		wait := time.NewTimer(n.pause(attempt))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// Close ends all deliveries at once and waits until they have ended.
func (n *Notifier) Close() {
	n.mu.Lock()
	n.closed = true
	for _, o := range n.outs {
		o.end()
	}
	n.mu.Unlock()
	n.work.Wait()
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "msg_" + hex.EncodeToString(b[:])
}
