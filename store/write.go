package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// request is one write that a caller waits for: a commit, or anything else.
type request struct {
	controller.Commit
	receipts []controller.Receipt // one for each record

	do func(*commit.Conn) error // instead of a commit
}

// Append stores one hook that no stream's state depends on. A zero Sum is computed from Body; a
// record with neither is never a duplicate, and one without a body is a picture. seq of a duplicate
// is that of the hook that came first. When ctx ends while the hook waits, Append returns ctx's
// error, and the hook may be stored all the same: a sender that tries again gets a duplicate then.
func (s *Store) Append(ctx context.Context, r controller.Record) (seq int64, duplicate bool, err error) {
	receipts, err := s.Commit(ctx, controller.Commit{Records: []controller.Record{r}})
	if err != nil {
		return 0, false, err
	}
	return receipts[0].Seq, receipts[0].Duplicate, receipts[0].Err
}

// Commit stores hooks and what their stream has made of them; see [controller.Store]. Sums are
// computed as by Append. Seq in the transitions is the store's to give. Of a stream whose commits
// wait together, the last state is written, and the transitions of all.
func (s *Store) Commit(ctx context.Context, c controller.Commit) ([]controller.Receipt, error) {
	if c.Saved == nil && len(c.Records) == 0 {
		return nil, nil
	}
	if c.Saved != nil && c.Saved.ID == "" {
		return nil, refused(errors.New("save a stream: it has no id"))
	}
	c.Records = slices.Clone(c.Records)
	for i := range c.Records {
		if r := &c.Records[i]; r.Sum == ([32]byte{}) && r.Body != nil {
			r.Sum = sha256.Sum256(r.Body)
		}
	}
	r := &request{Commit: c}
	if err := s.do(ctx, r); err != nil {
		return nil, err
	}
	return r.receipts, nil
}

// do has the writer carry out r. Hooks are urgent, for their senders wait.
func (s *Store) do(ctx context.Context, r *request) error {
	err := s.writer.Do(ctx, r, len(r.Records) > 0)
	if err == nil || err == ctx.Err() { //nolint:errorlint // as it comes from ctx, and not from the cause of another
		return err
	}
	return refused(err)
}

// refused is the one form of the store's errors: controller.ErrStore and the cause.
func refused(err error) error { return fmt.Errorf("%w: %w", controller.ErrStore, err) }

// write writes a batch, in as few statements as possible. Of a stream with several states the last
// one wins, and the transitions of all are kept.
func (s *Store) write(c *commit.Conn, batch []*request) error {
	hooks := insertion{conn: c}
	if len(s.recent.hooks) < recentHooks {
		hooks.recent = s.recent
	}
	s.recent, s.written = recent{}, recent{}
	states := map[controller.StreamID]*controller.Saved{}
	var transitions []controller.Transition
	for _, r := range batch {
		if err := hooks.add(r, len(batch) == 1); err != nil {
			return err
		}
	}
	if err := hooks.insert(); err != nil {
		return err
	}
	for _, r := range batch {
		switch {
		case r.do != nil:
			if err := r.do(c); err != nil {
				return err
			}
		case r.Saved != nil && r.stored():
			states[r.Saved.ID] = r.Saved
			transitions = append(transitions, r.Transitions...)
		}
	}
	for _, saved := range states {
		if err := saveState(c, saved); err != nil {
			return err
		}
	}
	if err := insertTransitions(c, transitions); err != nil {
		return err
	}
	s.written = hooks.recent
	return nil
}

// wrote is told how each batch went.
func (s *Store) wrote(err error) {
	s.recent = recent{}
	if err == nil {
		s.recent = s.written
	}
	s.health.wrote(err)
}

// stored reports whether every record of r is new in the journal.
func (r *request) stored() bool {
	for _, got := range r.receipts {
		if got.Duplicate || got.Err != nil {
			return false
		}
	}
	return true
}
