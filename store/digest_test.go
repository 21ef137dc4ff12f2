package store

import (
	"testing"
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
		w := &writer{conn: c, seq: rows}
		if err := w.loadDigest(); err != nil {
			return err
		}
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
		for what, query := range map[string]string{
			"too few":  "SELECT count(*) FROM (" + wantTerms + " EXCEPT SELECT term, seq FROM terms)",
			"too many": "SELECT count(*) FROM (SELECT term, seq FROM terms EXCEPT SELECT * FROM (" + wantTerms + "))",
			"left":     "SELECT count(*) FROM fresh",
			"removed":  "SELECT 9000 - min(seq) + 1 FROM journal",
		} {
			if n, err := c.number(query); err != nil || n != 0 {
				t.Errorf("%s: %d %v", what, n, err)
			}
		}
		return nil
	})
}
