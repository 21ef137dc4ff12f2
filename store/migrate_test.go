package store

import (
	"database/sql"
	"encoding/binary"
	"path/filepath"
	"testing"
	"time"
)

// version1 makes a database of the first schema and returns it, open, and its directory.
func version1(t *testing.T) (db *sql.DB, dir string) {
	t.Helper()
	dir = t.TempDir()
	db, err := sql.Open("sqlite3", filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	schema, err := migrations.ReadFile("migrations/0001_init.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(string(schema) + "PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	return db, dir
}

func mustExec(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// TestDuplicatesAcrossTheUpgrade: hooks from before are known, those in the journal by their row,
// those that retention has removed by the key that their run has kept.
func TestDuplicatesAcrossTheUpgrade(t *testing.T) {
	for _, where := range []string{"journal", "runs"} {
		db, dir := version1(t)
		now := time.Now()
		last := int64(len(repeats))
		var sums []byte
		for n, c := range repeats {
			r := hook(n)
			c.first(&r)
			if where == "journal" {
				args := []any{}
				for _, value := range appendRow(nil, row{int64(n + 1), &r}) {
					args = append(args, value)
				}
				mustExec(t, db, insertHooks(1), args...)
			}
			sums = append(sums, identityOf(&r).key()...)
		}
		if where != "journal" { // a long run; before it one of yesterday, after it the row that always stays
			const more = 9000
			for n := range more {
				r := hook(1000 + n)
				sums = append(sums, r.Sum[:8]...)
			}
			last += more
			old := binary.BigEndian.AppendUint64(nil, 7)
			mustExec(t, db, "INSERT INTO runs VALUES (0, 0, 0, ?, ?)", now.Add(-2*duplicateWindow).UnixMilli(), old)
			mustExec(t, db, "INSERT INTO runs VALUES (1, ?, 0, ?, ?)", last, now.UnixMilli(), sums)
			r := hook(-1)
			args := []any{}
			for _, value := range appendRow(nil, row{last + 1, &r}) {
				args = append(args, value)
			}
			mustExec(t, db, insertHooks(1), args...)
		}
		s := open(t, dir)
		if backups, err := s.backups(); err != nil || len(backups) != 1 {
			t.Errorf("%s: backups %v, error %v", where, backups, err)
		}
		if where != "journal" {
			if n := number(t, s, "SELECT count(*) FROM swept"); n != last {
				t.Errorf("%s: %d hooks are remembered, want %d", where, n, last)
			}
			if seq, duplicate, err := s.Append(t.Context(), hook(1000+8999)); err != nil || !duplicate || seq != last {
				t.Errorf("%s: the last: number %d, duplicate %v, error %v", where, seq, duplicate, err)
			}
		}
		for n, c := range repeats {
			r := hook(n)
			c.second(&r)
			if _, duplicate, err := s.Append(t.Context(), r); err != nil || duplicate != c.duplicate {
				t.Errorf("%s: %s: duplicate %v, error %v", where, c.what, duplicate, err)
			}
		}
	}
}
