// Package notify tells people and machines what happened: by the services that shoutrrr knows (Slack, Telegram, mail …) and by plain https webhooks, signed by
// the Standard Webhooks scheme. Start at [Notifier.Send]; it never blocks, and nothing that happens here reaches the control of encoders.
package notify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Receiver is one place that is told. Its fields are those of the configuration.
type Receiver struct {
	URL    secret.Value // of the shoutrrr kind, or https
	On     []string     // kinds of notices; empty: all
	Secret secret.Value // signs plain webhooks
}

// Notifier hands notices to receivers, each through a queue of its own. Its methods may be called concurrently.
type Notifier struct {
	log   *slog.Logger
	now   func() time.Time
	retry func(try int) time.Duration

	mu     sync.Mutex
	outs   []*outlet
	said   map[string]time.Time // what was told lately, to tell it once
	closed bool
	work   sync.WaitGroup
}

const (
	queueLength = 64
	// The same thing about the same stream is told once in this time, unless it was over in between.
	quiet = 10 * time.Minute
	// A notice is tried this often, 1, 4, 16 and 64 s after the try before, and given up then.
	tries     = 5
	sendLimit = 15 * time.Second // for one try
)

// New makes a notifier that tells nobody yet.
func New(log *slog.Logger) *Notifier {
	return &Notifier{log: log, now: time.Now, said: map[string]time.Time{},
		retry: func(try int) time.Duration { return time.Second << (2 * (try - 1)) }}
}

// sender delivers one notice, or says why it could not. Errors hold no part of the receiver's URL beyond its scheme.
type sender interface {
	send(ctx context.Context, n controller.Notice, id string) error
}

type outlet struct {
	Receiver
	sender
	name  string // scheme, for the log
	queue chan note
	end   context.CancelFunc
}

type note struct {
	controller.Notice
	id string
}

// Set replaces the receivers. Those that stay the same keep what they have queued. An unusable URL is an error, and nothing changes then.
// After Close it does nothing.
func (n *Notifier) Set(list []Receiver) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	var next []*outlet
	for i, r := range list {
		if at := slices.IndexFunc(n.outs, func(o *outlet) bool { return o.URL.Same(r.URL) && o.Secret.Same(r.Secret) && slices.Equal(o.On, r.On) }); at >= 0 && !slices.Contains(next, n.outs[at]) {
			next = append(next, n.outs[at])
			continue
		}
		s, err := senderFor(r)
		if err != nil {
			return fmt.Errorf("notify[%d].url: %w", i, err)
		}
		scheme, _, _ := strings.Cut(r.URL.Reveal(), ":")
		next = append(next, &outlet{Receiver: r, sender: s, name: scheme, queue: make(chan note, queueLength)})
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

// Send queues a notice for every receiver that wants it. It never blocks: a receiver whose queue is full misses it, and the log says so.
func (n *Notifier) Send(notice controller.Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || len(n.outs) == 0 || n.repeated(notice) {
		return
	}
	item := note{notice, newID()}
	for _, o := range n.outs {
		if len(o.On) > 0 && !slices.Contains(o.On, notice.Kind) {
			continue
		}
		select {
		case o.queue <- item:
		default:
			n.log.Error("a receiver of notices is too slow; it misses one", "receiver", o.name, "notice", notice.Kind)
		}
	}
}

// repeated reports whether the same was told within the quiet time. What ends a trouble opens the way for the next word of it.
func (n *Notifier) repeated(notice controller.Notice) bool {
	key := func(kind string) string { return kind + " " + notice.Account + " " + notice.Stream }
	now := n.now()
	for k, at := range n.said {
		if now.Sub(at) >= quiet {
			delete(n.said, k)
		}
	}
	if _, told := n.said[key(notice.Kind)]; told {
		return true
	}
	n.said[key(notice.Kind)] = now
	if notice.Kind == "recovered" {
		delete(n.said, key("failed"))
		delete(n.said, key("stop_unconfirmed"))
	} else {
		delete(n.said, key("recovered"))
	}
	return false
}

func (n *Notifier) serve(ctx context.Context, o *outlet) {
	for ctx.Err() == nil { // who is gone gets nothing of what is still queued
		select {
		case <-ctx.Done():
		case item := <-o.queue:
			n.deliver(ctx, o, item)
		}
	}
}

func (n *Notifier) deliver(ctx context.Context, o *outlet, item note) {
	for try := 1; ; try++ {
		sending, cancel := context.WithTimeout(ctx, sendLimit)
		err := o.send(sending, item.Notice, item.id)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		n.log.Warn("a notice was not delivered", "receiver", o.name, "notice", item.Kind, "try", try, "error", err)
		if try == tries {
			n.log.Error("a notice is given up", "receiver", o.name, "notice", item.Kind, "stream", item.Stream)
			return
		}
		wait := time.NewTimer(n.retry(try))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// Close ends the deliveries at once.
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
	_, _ = rand.Read(b[:]) // it never fails
	return "msg_" + hex.EncodeToString(b[:])
}
