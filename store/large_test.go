package store

import (
	"flag"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

var journalRows = flag.Int("rows", 200_000, "journal rows of BenchmarkLargeJournal")

// BenchmarkLargeJournal measures, on a journal of -rows hooks received within the last day: from
// Open to the first answer, an answer afterwards, and a page of the journal for one stream.
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

// growJournal fills a journal without the writer, which would take its time.
func growJournal(b *testing.B, dir string, rows int) {
	b.Helper()
	s := open(b, dir)
	now := time.Now().UnixMilli()
	const atOnce = 8192
	for from := 0; from < rows; from += atOnce {
		onWriter(b, s, func(c *commit.Conn) error {
			return c.Transaction(func() error {
				return c.Exec("INSERT INTO journal SELECT value, ?3 - (?4 - value) * 3, ?3 - (?4 - value) * 3, 'ABC',"+
					" 'ABC/cam-' || (value * 7919 % 1000), 'viewerConnection', 'ViewerAttempt', 'accepted', '', 200,"+
					" randomblob(32), randomblob(200) FROM (WITH RECURSIVE n(value) AS (SELECT ?1 + 1 UNION ALL"+
					" SELECT value + 1 FROM n WHERE value < ?2) SELECT value FROM n)",
					int64(from), int64(from+atOnce), now, int64(rows))
			})
		})
	}
	closeStore(b, s)
}
