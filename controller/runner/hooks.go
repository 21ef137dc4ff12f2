package runner

import (
	"context"
	"time"

	"github.com/oncue/oncue/controller"
)

// Knows reports whether the configuration has a stream for the name.
func (c *Controller) Knows(account, name string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	id := controller.JoinID(account, name)
	return c.streams[id] != nil || c.specOf(account, name) != nil
}

// Take stores a hook and acts on it, unless it is a duplicate; r is the hook as the journal keeps
// it, and the result is the store's. Hooks may come in any order. An error has changed nothing, but
// when ctx has ended the hook may still be stored and acted on.
func (c *Controller) Take(ctx context.Context, r controller.Record, h controller.Hook) (
	seq int64, duplicate bool, err error,
) {
	answer := make(chan controller.Receipt, 1)
	var receipt controller.Receipt
	if c.hand(h.Account, h.Name, item{ev: h, record: &r, answer: answer}) {
		select {
		case receipt = <-answer:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	} else {
		receipts, err := c.cfg.Store.Commit(ctx, controller.Commit{Records: []controller.Record{r}})
		if err != nil {
			return 0, false, err
		}
		receipt = receipts[0]
	}
	if receipt.Err == nil && !receipt.Duplicate {
		c.noteHook(h)
	}
	return receipt.Seq, receipt.Duplicate, receipt.Err
}

// Deliver hands a hook that is stored to its stream. It never blocks. A hook for a stream that the
// configuration does not have is dropped.
func (c *Controller) Deliver(h controller.Hook) {
	c.hand(h.Account, h.Name, item{ev: h})
	c.noteHook(h)
}

// hand has the stream of that name decide what is posted. It returns false when nobody will: the
// configuration has no such stream, or the controller stops.
func (c *Controller) hand(account, name string, it item) bool {
	for !c.closing.Load() {
		s := c.stream(account, name)
		if s == nil {
			return false
		}
		if s.postItem(it) {
			return true
		} // it was forgotten just now: the next one has the name
	}
	return false
}

// noteHook records that the account's hooks arrive.
func (c *Controller) noteHook(h controller.Hook) {
	if p := c.poller(h.Account); p != nil {
		p.noteHook(notAfter(h, c.cfg.Clock.Now()).Received)
	}
}

// notAfter is the hook as received now, if its time is in the future: a clock was set back
// meanwhile.
func notAfter(h controller.Hook, now time.Time) controller.Hook {
	if h.Received.After(now) {
		h.Received = now
	}
	return h
}
