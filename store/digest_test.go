package store

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// wantTerms is what the terms must be, from the journal itself.
const wantTerms = "SELECT 's/' || stream AS term, seq FROM journal WHERE stream <> ''" +
	" UNION SELECT 't/' || lower(type), seq FROM journal WHERE type <> '' UNION SELECT 't/' || lower(event), seq FROM journal WHERE event <> ''"

// A flood's backlog is digested span by span, whatever is removed or lost between two pieces.
func TestDigestOfAFlood(t *testing.T) {
	const rows = 2*digestSpan + 3000
	s := open(t, t.TempDir())
	onWriter(t, s, func(c *conn) error {
		err := c.exec("INSERT INTO journal SELECT value, 0, 0, 'ABC', iif(value % 7 = 0, '', 'ABC/cam-' || (value * 31 % 1000)), 'viewerConnection',"+
			" iif(value % 3 = 0, 'ViewerAttempt', 'NoActiveViewers'), 'accepted', '', 2, NULL, NULL"+
			" FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?) SELECT value FROM n)", int64(rows))
		if err != nil {
			return err
		}
		w := digester(t, c, rows)
		pieces := 0
		for ; w.digest.covered < rows; pieces++ {
			switch pieces {
			case 20: // terms of the first span are being written: retention takes rows of it, and some that are gathered next
				if _, err := sweepJournal(c, 9000, 1, s.now()); err != nil {
					return err
				}
			case 40: // the writer's memory is lost while it gathers the second
				if w.digest.gathered <= w.digest.covered {
					t.Error("piece 40 is not within a span")
				}
				if err := w.loadDigest(); err != nil {
					return err
				}
			}
			if err := w.digestPiece(); err != nil {
				return err
			}
			if marked, err := c.number("SELECT value FROM marks WHERE name = 'digested'"); err != nil || marked != w.digest.covered {
				t.Fatalf("%d rows are covered, %d marked: %v", w.digest.covered, marked, err)
			}
		}
		t.Log(pieces, "pieces")
		if first, err := c.number("SELECT min(seq) FROM journal"); err != nil || first != 9001 {
			t.Error("retention left", first, err)
		}
		checkTerms(t, c)
		return nil
	})
}

// A hook may come at any time of a digest, with a term before or after those that are written.
func TestDigestWhileHooksCome(t *testing.T) {
	const rows = digestRows + 500
	s := open(t, t.TempDir())
	onWriter(t, s, func(c *conn) error {
		add := func(stream string, from, to int64) error {
			return c.exec("INSERT INTO journal SELECT value, 0, 0, 'ABC', ?3, 'viewerConnection', 'ViewerAttempt', 'accepted', '', 2, NULL, NULL"+
				" FROM (WITH RECURSIVE n(value) AS (SELECT ?1 UNION ALL SELECT value + 1 FROM n WHERE value < ?2) SELECT value FROM n)", from, to, stream)
		}
		if err := add("m", 1, rows); err != nil {
			return err
		}
		w := digester(t, c, rows)
		var covered []int64
		for w.digest.covered < w.seq {
			if err := w.digestPiece(); err != nil {
				return err
			}
			covered = append(covered, w.digest.covered)
			if w.seq < rows+6 {
				for _, stream := range []string{"a", "z"} {
					w.seq++
					if err := add(stream, w.seq, w.seq); err != nil {
						return err
					}
				}
			}
		}
		covered = slices.Compact(covered)
		if want := []int64{0, rows + 2, rows + 6}; !cmp.Equal(want, covered) {
			t.Errorf("%v rows were covered, one after the other, instead of %v", covered, want)
		}
		checkTerms(t, c)
		return nil
	})
}

// digester is a writer that only digests the first rows of the journal.
func digester(t *testing.T, c *conn, rows int64) *writer {
	t.Helper()
	w := &writer{conn: c, seq: rows}
	if err := w.loadDigest(); err != nil {
		t.Fatal(err)
	}
	return w
}

// checkTerms holds the terms to the journal.
func checkTerms(t *testing.T, c *conn) {
	t.Helper()
	for what, query := range map[string]string{
		"too few":  "SELECT count(*) FROM (" + wantTerms + " EXCEPT SELECT term, seq FROM terms)",
		"too many": "SELECT count(*) FROM (SELECT term, seq FROM terms EXCEPT SELECT * FROM (" + wantTerms + "))",
		"left":     "SELECT count(*) FROM fresh",
	} {
		if n, err := c.number(query); err != nil || n != 0 {
			t.Errorf("%s: %d %v", what, n, err)
		}
	}
}
