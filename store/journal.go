package store

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// Append stores one hook that no stream's state depends on. A zero Sum is computed from Body; a record with
// neither is never a duplicate, and one without a body is a picture. seq of a duplicate is that of the hook
// that came first. When ctx ends while the hook waits, Append returns ctx's error, and the hook may be stored
// all the same: a sender that tries again gets a duplicate then.
func (s *Store) Append(ctx context.Context, r controller.Record) (seq int64, duplicate bool, err error) {
	receipts, err := s.Commit(ctx, controller.Commit{Records: []controller.Record{r}})
	if err != nil {
		return 0, false, err
	}
	return receipts[0].Seq, receipts[0].Duplicate, receipts[0].Err
}

// Commit stores hooks and what their stream has made of them; see [controller.Store]. Sums are computed as by
// Append. Seq in the transitions is the store's to give. Of a stream whose commits wait together, the last
// state is written, and the transitions of all.
func (s *Store) Commit(ctx context.Context, c controller.Commit) ([]controller.Receipt, error) {
	var state *change
	if c.Saved != nil {
		if c.Saved.ID == "" {
			return nil, refused(errors.New("save a stream: it has no id"))
		}
		state = &change{stream: c.Saved.ID, save: c.Saved, story: c.Transitions}
	}
	if len(c.Records) == 0 {
		if state == nil {
			return nil, nil
		}
		return nil, s.change(ctx, state)
	}
	hooks := make([]*hookRequest, len(c.Records))
	for i, r := range c.Records {
		if r.Sum == ([32]byte{}) && r.Body != nil {
			r.Sum = sha256.Sum256(r.Body)
		}
		hooks[i] = &hookRequest{record: r}
	}
	last := hooks[len(hooks)-1]
	last.with, last.before = state, hooks[:len(hooks)-1]
	b, err := s.queue.addHooks(hooks)
	if err != nil {
		return nil, refused(err)
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	receipts := make([]controller.Receipt, len(hooks))
	for i, h := range hooks {
		receipts[i] = controller.Receipt{Seq: h.seq, Duplicate: h.duplicate, Err: h.err}
	}
	return receipts, nil
}

const (
	journalColumns = "seq, received, sent, account, stream, type, event, verdict, note, size, sum"
	journalWidth   = 12 // with body
)

// inserts are statements for so many rows each, the largest first: a batch of 22 hooks takes four of them.
var inserts = []struct {
	rows  int
	query string
}{{16, insertHooks(16)}, {4, insertHooks(4)}, {1, insertHooks(1)}}

func insertHooks(rows int) string {
	one := "(" + strings.Repeat("?, ", journalWidth-1) + "?)"
	return "INSERT INTO journal (" + journalColumns + ", body) VALUES " + strings.Repeat(one+", ", rows-1) + one
}

// hookRows inserts journal rows, reusing its memory.
type hookRows struct {
	args []driver.Value
}

func (h *hookRows) insert(c *conn, hooks []*hookRequest) error {
	for _, insert := range inserts {
		for len(hooks) >= insert.rows {
			h.args = h.args[:0]
			for _, r := range hooks[:insert.rows] {
				h.args = appendRow(h.args, r)
			}
			if err := c.exec(insert.query, h.args...); err != nil {
				return err
			}
			hooks = hooks[insert.rows:]
		}
	}
	return nil
}

func appendRow(args []driver.Value, r *hookRequest) []driver.Value {
	var sum []byte
	if r.record.Sum != ([32]byte{}) {
		sum = r.record.Sum[:]
	}
	return append(args,
		r.seq, millis(r.record.Received), millis(r.record.Sent), r.record.Account, r.record.Stream, r.record.Type, r.record.Event,
		string(r.record.Verdict), r.record.Note, int64(r.record.Size), sum, r.record.Body)
}

// millis is how the database keeps a time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
