package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
)

// Records returns hooks without their bodies, newest first; see [controller.Store].
func (s *Store) Records(ctx context.Context, f controller.RecordFilter) ([]controller.Record, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	if f.Before <= 0 {
		f.Before = 1<<63 - 1
	}
	db := s.reader()
	where, args := "seq < ?", []any{f.Before}
	if f.Stream != "" {
		where, args = where+" AND stream = ?", append(args, f.Stream)
	}
	if f.Type != "" {
		where, args = where+" AND (lower(type) = lower(?) OR lower(event) = lower(?))", append(args, f.Type, f.Type)
	}
	if f.Stream == "" && f.Type == "" {
		return s.records(ctx, db, "SELECT "+journalColumns+" FROM journal WHERE "+where+" ORDER BY seq DESC LIMIT ?", append(args, f.Limit)...)
	}
	// The terms cover the journal up to a mark; what came since is read through. A row that is covered meanwhile is still found by the first.
	var digested int64
	err := db.QueryRowContext(ctx, "SELECT coalesce((SELECT value FROM marks WHERE name = 'digested'), 0)").Scan(&digested)
	if err != nil {
		return nil, s.readError("read the journal", err)
	}
	found, err := s.records(ctx, db, "SELECT "+journalColumns+" FROM journal WHERE seq > ? AND "+where+" ORDER BY seq DESC LIMIT ?",
		append(append([]any{digested}, args...), f.Limit)...)
	if err != nil || len(found) == f.Limit {
		return found, err
	}
	term := "'s/' || ?"
	word := f.Stream
	if word == "" {
		term, word = "'t/' || lower(?)", f.Type
	}
	older, err := s.records(ctx, db, "SELECT "+journalColumns+" FROM journal WHERE seq IN"+
		" (SELECT t.seq FROM terms t WHERE t.term = "+term+" AND t.seq <= ? AND t.seq < ? ORDER BY t.seq DESC) AND "+where+" ORDER BY seq DESC LIMIT ?",
		append(append([]any{word, digested, f.Before}, args...), f.Limit-len(found))...)
	return append(found, older...), err
}

func (s *Store) records(ctx context.Context, db *sql.DB, query string, args ...any) ([]controller.Record, error) {
	found := []controller.Record{}
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.readError("read the journal", err)
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanRecord(rows)
		if err != nil {
			return nil, s.readError("read the journal", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, s.readError("read the journal", err)
	}
	return found, nil
}

func scanRecord(rows *sql.Rows, more ...any) (r controller.Record, err error) {
	var received, sent int64
	var sum []byte
	err = rows.Scan(append([]any{&r.Seq, &received, &sent, &r.Account, &r.Stream, &r.Type, &r.Event, &r.Verdict, &r.Note, &r.Size, &sum}, more...)...)
	r.Received, r.Sent = fromMillis(received), fromMillis(sent)
	copy(r.Sum[:], sum)
	return r, err
}

// replayPage is how many rows Replay reads at a time, so that no long read keeps the write-ahead log from being emptied.
const replayPage = 500

// Replay calls fn with the accepted hooks received at or after since (to the millisecond), bodies included, oldest first; see
// [controller.Store]. It stops at fn's first error and returns it.
func (s *Store) Replay(ctx context.Context, since time.Time, fn func(controller.Record) error) error {
	from := millis(since)
	after, err := s.before(ctx, from)
	if err != nil {
		return err
	}
	for {
		page, err := s.replayPage(ctx, after, from)
		if err != nil {
			return err
		}
		for _, r := range page {
			if err := fn(r); err != nil {
				return err
			}
			after = r.Seq
		}
		if len(page) < replayPage {
			return nil
		}
	}
}

// before returns a seq below that of every hook received at or after from.
func (s *Store) before(ctx context.Context, from int64) (seq int64, err error) {
	err = s.reader().QueryRowContext(ctx,
		"SELECT coalesce((SELECT min(first) - 1 FROM runs WHERE newest >= ?), (SELECT max(last) FROM runs), 0)", from).Scan(&seq)
	if err != nil {
		return 0, s.readError("find the hooks to replay", err)
	}
	return seq, nil
}

func (s *Store) replayPage(ctx context.Context, after, from int64) ([]controller.Record, error) {
	rows, err := s.reader().QueryContext(ctx, "SELECT "+journalColumns+", body FROM journal"+
		" WHERE seq > ? AND received >= ? AND verdict = ? ORDER BY seq LIMIT ?", after, from, string(controller.Accepted), replayPage)
	if err != nil {
		return nil, s.readError("replay hooks", err)
	}
	defer rows.Close()
	page := make([]controller.Record, 0, replayPage)
	for rows.Next() {
		var body []byte
		r, err := scanRecord(rows, &body)
		if err != nil {
			return nil, s.readError("replay hooks", err)
		}
		r.Body = body
		page = append(page, r)
	}
	if err := rows.Err(); err != nil {
		return nil, s.readError("replay hooks", err)
	}
	return page, nil
}

// readError words an error of a read, and has the file looked after when it is the file's.
func (s *Store) readError(step string, err error) error {
	if faultOf(err) == faultCorrupt {
		s.suspect(err)
	}
	return fmt.Errorf("%s: %w", step, err)
}
