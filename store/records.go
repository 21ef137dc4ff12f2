package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// blockBits says how many rows are a block of the index journal_by_stream: 128.
const blockBits = 7

// The indexes by type and event leave out what floods are of, for its senders would wait for them.
const (
	floodType  = "viewerConnection"
	floodEvent = string(controller.HookAttempt)
	noFlood    = "(type <> '" + floodType + "' OR event <> '" + floodEvent + "')"
)

// Records returns hooks without their bodies, newest first; see [controller.Store].
func (s *Store) Records(ctx context.Context, f controller.RecordFilter) ([]controller.Record, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	if f.Before <= 0 {
		f.Before = 1<<63 - 1
	}
	switch {
	case f.Stream != "":
		return s.recordsOfStream(ctx, f)
	case strings.EqualFold(f.Type, floodType) || strings.EqualFold(f.Type, floodEvent):
		return s.records(ctx, "SELECT "+journalColumns+" FROM journal WHERE seq < ?2"+
			" AND (lower(type) = lower(?1) OR lower(event) = lower(?1)) ORDER BY seq DESC LIMIT ?3",
			f.Type, f.Before, f.Limit)
	case f.Type != "":
		const newest = " AND " + noFlood + " AND seq < ?2 ORDER BY seq DESC LIMIT ?3)"
		return s.records(ctx, "SELECT "+journalColumns+" FROM journal WHERE seq IN ("+
			"SELECT seq FROM (SELECT seq FROM journal WHERE lower(type) = lower(?1)"+newest+
			" UNION SELECT seq FROM (SELECT seq FROM journal WHERE lower(event) = lower(?1)"+newest+
			") ORDER BY seq DESC LIMIT ?3", f.Type, f.Before, f.Limit)
	}
	return s.records(ctx, "SELECT "+journalColumns+" FROM journal WHERE seq < ? ORDER BY seq DESC LIMIT ?",
		f.Before, f.Limit)
}

// recordsOfStream reads the index block by block, from the newest: one, then more and more at a
// time, until it has enough.
func (s *Store) recordsOfStream(ctx context.Context, f controller.RecordFilter) ([]controller.Record, error) {
	const query = "WITH RECURSIVE block(n) AS (VALUES (?1) UNION ALL SELECT n + 1 FROM block WHERE n < ?2) " +
		"SELECT " + journalColumns + " FROM journal WHERE seq IN (" +
		"SELECT j.seq FROM block CROSS JOIN journal j INDEXED BY journal_by_stream" +
		" WHERE (j.seq >> 7) = block.n AND j.stream = ?3 AND j.seq < ?4" +
		" AND (?5 = '' OR lower(j.type) = lower(?5) OR lower(j.event) = lower(?5))" +
		" ORDER BY j.seq DESC LIMIT ?6) ORDER BY seq DESC"
	var first, last int64
	err := s.reader().QueryRowContext(ctx, "SELECT coalesce((SELECT min(seq) FROM journal), 0) >> ?1,"+
		" min(coalesce((SELECT max(seq) FROM journal), 0), ?2 - 1) >> ?1", blockBits, f.Before).Scan(&first, &last)
	if err != nil {
		return nil, s.readError("read the journal", err)
	}
	found := []controller.Record{}
	for n := int64(1); last >= first && len(found) < f.Limit; n *= 4 {
		more, err := s.records(ctx, query, max(first, last-n+1), last, f.Stream, f.Before, f.Type, f.Limit-len(found))
		if err != nil {
			return nil, err
		}
		found, last = append(found, more...), last-n
	}
	return found, nil
}

func (s *Store) records(ctx context.Context, query string, args ...any) ([]controller.Record, error) {
	found := []controller.Record{}
	rows, err := s.reader().QueryContext(ctx, query, args...)
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
	columns := []any{&r.Seq, &received, &sent, &r.Account, &r.Stream, &r.Type, &r.Event,
		&r.Verdict, &r.Note, &r.Size, &sum}
	err = rows.Scan(append(columns, more...)...)
	r.Received, r.Sent = fromMillis(received), fromMillis(sent)
	copy(r.Sum[:], sum)
	return r, err
}

// replayPage is how many rows Replay reads at a time, so that no long read keeps the write-ahead
// log from being emptied.
const replayPage = 500

// Replay calls fn with the accepted hooks received at or after since (to the millisecond), bodies
// included, oldest first; see [controller.Store]. It stops at fn's first error and returns it.
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

// olderRows is how many hooks in a row must be older for all before them to count as older, too. It
// is so many because a clock that is set back makes the newest look older than those before.
const olderRows = 4096

// before returns a seq below that of every hook received at or after from. It searches from the
// newest on, for few are asked for, and an index would cost every hook a page.
func (s *Store) before(ctx context.Context, from int64) (seq int64, err error) {
	row := s.reader().QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM journal")
	if err := row.Scan(&seq); err != nil {
		return 0, s.readError("find the hooks to replay", err)
	}
	for last := seq; last > 0; last -= olderRows {
		var first sql.NullInt64
		row := s.reader().QueryRowContext(ctx, "SELECT min(+seq) FROM journal"+
			" WHERE seq > ? AND seq <= ? AND received >= ?", last-olderRows, last, from)
		if err := row.Scan(&first); err != nil {
			return 0, s.readError("find the hooks to replay", err)
		}
		if !first.Valid {
			break
		}
		seq = first.Int64 - 1
	}
	return seq, nil
}

func (s *Store) replayPage(ctx context.Context, after, from int64) ([]controller.Record, error) {
	rows, err := s.reader().QueryContext(ctx, "SELECT "+journalColumns+", body FROM journal"+
		" WHERE seq > ? AND received >= ? AND verdict = ? ORDER BY seq LIMIT ?",
		after, from, string(controller.Accepted), replayPage)
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

// readError says which read failed, and has a corrupt file replaced.
func (s *Store) readError(step string, err error) error {
	if faultOf(err) == faultCorrupt {
		s.suspect(err)
	}
	return fmt.Errorf("%s: %w", step, err)
}
