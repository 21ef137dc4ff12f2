package store

import (
	"database/sql/driver"
	"flag"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

var journalRows = flag.Int("rows", 200_000, "journal rows of BenchmarkLargeJournal")

// BenchmarkLargeJournal measures, on a journal of -rows hooks received within the last day: from Open to the first answer, an answer
// afterwards, and a page of the journal for one stream.
func BenchmarkLargeJournal(b *testing.B) {
	dir := b.TempDir()
	growJournal(b, dir, *journalRows)
	b.ResetTimer()
	var start, answer, page []float64
	n := 0
	for b.Loop() {
		at := time.Now()
		s, err := Open(b.Context(), Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		mustAppend(b, s, n, n+1)
		start = append(start, time.Since(at).Seconds()*1000)
		for range 50 {
			n++
			at = time.Now()
			mustAppend(b, s, n, n+1)
			answer = append(answer, time.Since(at).Seconds()*1000)
		}
		n++
		at = time.Now()
		if _, err := s.Records(b.Context(), controller.RecordFilter{Stream: "ABC/cam-3"}); err != nil {
			b.Fatal(err)
		}
		page = append(page, time.Since(at).Seconds()*1000)
		closeStore(b, s)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(start), "first-answer-ms")
	b.ReportMetric(median(answer), "answer-ms")
	b.ReportMetric(median(page), "page-ms")
}

// growJournal fills a journal, its runs and its terms without the writer, which would take its time.
func growJournal(b *testing.B, dir string, rows int) {
	b.Helper()
	s := open(b, dir)
	mustAppend(b, s, -1, 0)
	now := time.Now().UnixMilli()
	for from := 1; from < rows; from += runLength {
		onWriter(b, s, func(c *conn) error {
			return c.transaction(func() error {
				last := int64(from + runLength)
				err := c.exec("INSERT INTO journal SELECT value, ?3 - (?4 - value) * 3, 0, 'ABC', 'ABC/cam-' || (value % 1000), 'viewerConnection',"+
					" 'ViewerAttempt', 'accepted', '', 200, randomblob(32), randomblob(200) FROM (WITH RECURSIVE n(value) AS (SELECT ?1 + 1 UNION ALL SELECT value + 1 FROM n WHERE value < ?2) SELECT value FROM n)", int64(from), last, now, int64(rows))
				if err != nil {
					return err
				}
				sums := make([]byte, 0, runLength*8)
				err = c.query("SELECT sum FROM journal WHERE seq > ? AND seq <= ? ORDER BY seq", []driver.Value{int64(from), last}, 1, func(row []driver.Value) error {
					sums = append(sums, row[0].([]byte)[:8]...)
					return nil
				})
				if err != nil {
					return err
				}
				err = c.exec("INSERT INTO runs SELECT min(seq), max(seq), min(received), max(received), ?3 FROM journal WHERE seq > ?1 AND seq <= ?2", int64(from), last, sums)
				if err != nil {
					return err
				}
				err = c.exec("INSERT INTO terms SELECT 's/' || stream, seq FROM journal WHERE seq > ? AND seq <= ? ORDER BY 1, 2", int64(from), last)
				if err != nil {
					return err
				}
				return setMark(c, "digested", last)
			})
		})
	}
	closeStore(b, s)
}
