package store

import (
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// insertion gathers the rows that a batch adds to the journal.
type insertion struct {
	conn *commit.Conn
	rows []row
	recent
}

// recent is what is remembered of the journal from one batch to the next, so that most hooks need
// not be looked for: the rows to insert included, and none of a batch that was not committed.
type recent struct {
	last  int64 // seq of the last row; 0: nothing is remembered
	since int64 // all hooks that were sent later are in hooks
	hooks map[identity]rememberedHook
}

type rememberedHook struct{ seq, received int64 }

// recentHooks is how many hooks are remembered, a few more at most. Then it begins anew.
const recentHooks = 2048

type row struct {
	seq int64
	*controller.Record
}

// add gives each record of r its place in the journal, or finds the row that it repeats. A request
// that is alone may be so because one of its records cannot be written: the others still are.
func (in *insertion) add(r *request, alone bool) (err error) {
	r.receipts = make([]controller.Receipt, len(r.Records))
	for i := range r.Records {
		record, got := &r.Records[i], &r.receipts[i]
		if !alone || len(r.Records) == 1 {
			*got, err = in.place(record)
		} else if err = in.conn.Savepoint(func() error {
			if *got, err = in.place(record); err != nil {
				return err
			}
			return in.insert()
		}); err != nil && scopeOf(err) == commit.OneRequest {
			*in = insertion{conn: in.conn} // recent has what was undone
			*got, err = controller.Receipt{Err: refused(err)}, nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (in *insertion) place(r *controller.Record) (_ controller.Receipt, err error) {
	if in.last == 0 {
		in.hooks = map[identity]rememberedHook{}
		err = in.conn.Query(newestHook, nil, 2, func(row []driver.Value) error {
			in.last, _ = row[0].(int64)
			in.since, _ = row[1].(int64)
			return nil
		})
		if err != nil {
			return controller.Receipt{}, fmt.Errorf("number a hook: %w", err)
		}
	}
	if r.Sum != ([32]byte{}) {
		id := identityOf(r)
		received := millis(r.Received)
		for _, before := range id.earlier() {
			if h, ok := in.hooks[before]; ok && inWindow(h.received, received) {
				return controller.Receipt{Seq: h.seq, Duplicate: true}, nil
			}
		}
		if id.sentAt(r) <= in.since {
			if seq, err := repeated(in.conn, r); err != nil || seq != 0 {
				return controller.Receipt{Seq: seq, Duplicate: seq != 0}, err
			}
		}
		in.hooks[id] = rememberedHook{in.last + 1, received}
	}
	in.last++
	in.rows = append(in.rows, row{in.last, r})
	return controller.Receipt{Seq: in.last}, nil
}

const (
	journalColumns = "seq, received, sent, account, stream, type, event, verdict, note, size, sum"
	journalWidth   = 12 // with body
)

// inserts are statements for so many rows each, the largest first: a batch of 22 hooks takes three
// of them. Each statement opens the journal and its indexes, which costs as much as a row.
var inserts = []struct {
	rows  int
	query string
}{
	{32, insertHooks(32)}, {16, insertHooks(16)}, {8, insertHooks(8)}, {4, insertHooks(4)}, {2, insertHooks(2)},
	{1, insertHooks(1)},
}

func insertHooks(rows int) string {
	one := "(" + strings.Repeat("?, ", journalWidth-1) + "?)"
	// The caller undoes all of a failed batch, so SQLite need not be able to undo one statement.
	return "INSERT OR FAIL INTO journal (" + journalColumns + ", body) VALUES " + strings.Repeat(one+", ", rows-1) + one
}

// insert writes the rows.
func (in *insertion) insert() error {
	args := make([]driver.Value, 0, inserts[0].rows*journalWidth)
	for _, insert := range inserts {
		for ; len(in.rows) >= insert.rows; in.rows = in.rows[insert.rows:] {
			args = args[:0]
			for _, r := range in.rows[:insert.rows] {
				args = appendRow(args, r)
			}
			if err := in.conn.Exec(insert.query, args...); err != nil {
				return fmt.Errorf("store hooks: %w", err)
			}
		}
	}
	in.rows = nil
	return nil
}

func appendRow(args []driver.Value, r row) []driver.Value {
	var sum []byte
	if r.Sum != ([32]byte{}) {
		sum = r.Sum[:]
	}
	return append(args, r.seq, millis(r.Received), millis(r.Sent), r.Account, string(r.Stream), r.Type, r.Event,
		string(r.Verdict), r.Note, int64(r.Size), sum, r.Body)
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
