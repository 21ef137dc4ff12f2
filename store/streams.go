package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// ForgetStream removes the state of a stream.
func (s *Store) ForgetStream(ctx context.Context, id controller.StreamID) error {
	return s.do(ctx, &request{do: func(c *commit.Conn) error {
		if err := c.Exec("DELETE FROM streams WHERE id = ?", string(id)); err != nil {
			return fmt.Errorf("forget a stream: %w", err)
		}
		return nil
	}})
}

// SetSetting keeps a small value by name. The database is readable by its owner alone (0600), so a
// value may be a secret.
func (s *Store) SetSetting(ctx context.Context, key, value string) error {
	return s.do(ctx, &request{do: func(c *commit.Conn) error {
		err := c.Exec("INSERT INTO settings (key, value) VALUES (?, ?)"+
			" ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
		if err != nil {
			return fmt.Errorf("keep a setting: %w", err)
		}
		return nil
	}})
}

// Setting returns what SetSetting kept, "" when it never did.
func (s *Store) Setting(ctx context.Context, key string) (value string, err error) {
	err = s.reader().QueryRowContext(ctx, "SELECT value FROM settings WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", s.readError("read a setting", err)
	}
	return value, nil
}

// LoadStreams returns every stream saved and not forgotten, by id.
func (s *Store) LoadStreams(ctx context.Context) ([]controller.Saved, error) {
	rows, err := s.reader().QueryContext(ctx, "SELECT id, at, state FROM streams ORDER BY id")
	if err != nil {
		return nil, s.readError("load streams", err)
	}
	defer rows.Close()
	all := []controller.Saved{}
	for rows.Next() {
		var one controller.Saved
		var at int64
		if err := rows.Scan(&one.ID, &at, &one.State); err != nil {
			return nil, s.readError("load streams", err)
		}
		if at != 0 {
			one.At = time.Unix(0, at).UTC()
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, s.readError("load streams", err)
	}
	return all, nil
}

// History returns a stream's transitions, newest first; see [controller.Store]. A limit of 0 or
// less means 100.
func (s *Store) History(
	ctx context.Context, id controller.StreamID, limit int, before int64,
) ([]controller.Transition, error) {
	if limit <= 0 {
		limit = 100
	}
	if before <= 0 {
		before = 1<<63 - 1
	}
	rows, err := s.reader().QueryContext(ctx,
		"SELECT seq, stream, at, from_phase, to_phase, event, reason, encoder, deadline FROM history"+
			" WHERE stream = ? AND seq < ? ORDER BY seq DESC LIMIT ?", id, before, limit)
	if err != nil {
		return nil, s.readError("read the history", err)
	}
	defer rows.Close()
	transitions := []controller.Transition{}
	for rows.Next() {
		var t controller.Transition
		var at, deadline int64
		err := rows.Scan(&t.Seq, &t.Stream, &at, &t.From, &t.To, &t.Event, &t.Reason, &t.Encoder, &deadline)
		if err != nil {
			return nil, s.readError("read the history", err)
		}
		t.At.Time = fromMillis(at)
		if deadline != 0 {
			t.Deadline = &controller.Time{Time: fromMillis(deadline)}
		}
		transitions = append(transitions, t)
	}
	if err := rows.Err(); err != nil {
		return nil, s.readError("read the history", err)
	}
	return transitions, nil
}

func saveState(c *commit.Conn, s *controller.Saved) error {
	var at int64
	if !s.At.IsZero() {
		at = s.At.UnixNano()
	}
	state := s.State
	if state == nil {
		state = []byte{}
	}
	err := c.Exec("INSERT INTO streams (id, at, state) VALUES (?, ?, ?)"+
		" ON CONFLICT (id) DO UPDATE SET at = excluded.at, state = excluded.state",
		string(s.ID), at, state)
	if err != nil {
		return fmt.Errorf("save a stream: %w", err)
	}
	return nil
}

// insertTransitions adds to the history. SQLite numbers the rows on from the last.
func insertTransitions(c *commit.Conn, transitions []controller.Transition) error {
	for i := range transitions {
		t := &transitions[i]
		var deadline int64
		if t.Deadline != nil {
			deadline = millis(t.Deadline.Time)
		}
		err := c.Exec("INSERT INTO history (stream, at, from_phase, to_phase, event, reason, encoder, deadline)"+
			" VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			string(t.Stream), millis(t.At.Time), string(t.From), string(t.To), t.Event, t.Reason, t.Encoder, deadline)
		if err != nil {
			return fmt.Errorf("add to the history: %w", err)
		}
	}
	return nil
}
