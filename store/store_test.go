package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

func seqs(records []controller.Record) (all []int64) {
	for _, r := range records {
		all = append(all, r.Seq)
	}
	return all
}

func TestDuplicates(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 40 {
		if seq, duplicate, err := s.Append(t.Context(), hook(n)); err != nil || duplicate || seq != int64(n+1) {
			t.Fatal(seq, duplicate, err)
		}
	}
	for range 2 {
		if seq, duplicate, err := s.Append(t.Context(), hook(7)); err != nil || !duplicate || seq != 8 {
			t.Fatal(seq, duplicate, err)
		}
		closeStore(t, s)
		s = open(t, dir) // it is remembered by the file
	}
	late := hook(7)
	late.Received = late.Received.Add(duplicateWindow + time.Second)
	if seq, duplicate, err := s.Append(t.Context(), late); err != nil || duplicate || seq != 41 {
		t.Fatal("a day later it is stored again:", seq, duplicate, err)
	}
	for range 2 {
		if _, duplicate, err := s.Append(t.Context(), controller.Record{Received: time.Now()}); err != nil ||
			duplicate {
			t.Fatal("without a sum nothing is a duplicate:", duplicate, err)
		}
	}
	plain := controller.Record{Received: time.Now(), Body: []byte("x")}
	for _, want := range []bool{false, true} {
		if _, duplicate, err := s.Append(t.Context(), plain); err != nil || duplicate != want {
			t.Fatal("the sum is computed where it is missing:", duplicate, err)
		}
	}
}

// TestDuplicatesInOneBatch sends the same hook from many sides at once.
func TestDuplicatesInOneBatch(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	var mu sync.Mutex
	fresh := map[int64]int{}
	for n := range 400 {
		wg.Go(func() {
			seq, duplicate, err := s.Append(context.Background(), hook(n%20))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !duplicate {
				fresh[seq]++
			}
		})
	}
	wg.Wait()
	if len(fresh) != 20 || number(t, s, "SELECT count(*) FROM journal") != 20 {
		t.Fatal(fresh)
	}
}

// TestDuplicatesOfManyBatches stores more hooks than the store remembers, and then each again.
func TestDuplicatesOfManyBatches(t *testing.T) {
	const hooks, together = 3*recentHooks + 100, 64
	s := open(t, t.TempDir())
	for _, duplicate := range []bool{false, true} {
		for from := 0; from < hooks; from += together {
			var c controller.Commit
			for n := from; n < min(from+together, hooks); n++ {
				c.Records = append(c.Records, hook(n^1)) // every second is older than the one before
			}
			receipts, err := s.Commit(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range receipts {
				if got != (controller.Receipt{Seq: int64(from + i + 1), Duplicate: duplicate}) {
					t.Fatalf("hook %d: %+v", from+i, got)
				}
			}
		}
	}
}

// TestUndoneIsNotRemembered: what a failed commit has written is no duplicate, and its numbers are
// free.
func TestUndoneIsNotRemembered(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, 0, 3)
	batch := []*request{{Commit: controller.Commit{Records: []controller.Record{hook(3)}}}}
	onWriter(t, s, func(c *commit.Conn) error {
		undone := errors.New("undone")
		err := c.Transaction(func() error {
			if err := s.write(c, batch); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) {
			return err
		}
		s.wrote(err)
		return nil
	})
	if seq, duplicate, err := s.Append(t.Context(), hook(3)); seq != 4 || duplicate || err != nil {
		t.Error(seq, duplicate, err)
	}
	onWriter(t, s, func(c *commit.Conn) error {
		return c.Exec(`CREATE TRIGGER poison BEFORE INSERT ON history
			BEGIN SELECT raise(ABORT, 'poison'); END`)
	})
	saved := controller.Saved{ID: "ABC/cam", At: time.Now(), State: []byte("{}")}
	if _, _, err := commitOne(t.Context(), s, hook(4), saved, make([]controller.Transition, 1)); err == nil {
		t.Error("a history that cannot be written is no error")
	}
	if seq, duplicate, err := s.Append(t.Context(), hook(4)); seq != 5 || duplicate || err != nil {
		t.Error("after its history was refused:", seq, duplicate, err)
	}
}

func TestRecords(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, 0, 2000)
	other := hook(2000)
	other.Type, other.Event, other.Stream, other.Verdict = "thumbnail", "", "", controller.Ignored
	if _, _, err := s.Append(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter controller.RecordFilter
		want   []int64
	}{
		{controller.RecordFilter{Limit: 3}, []int64{2001, 2000, 1999}},
		{controller.RecordFilter{Limit: 3, Before: 10}, []int64{9, 8, 7}},
		{controller.RecordFilter{Stream: "ABC/cam-3", Limit: 3}, []int64{1994, 1984, 1974}},
		{controller.RecordFilter{Stream: "ABC/cam-3", Limit: 3, Before: 1984}, []int64{1974, 1964, 1954}},
		{controller.RecordFilter{Stream: "ABC/cam-3", Before: 4}, nil},
		{controller.RecordFilter{Stream: "abc/cam-3"}, nil},
		{controller.RecordFilter{Type: "THUMBNAIL"}, []int64{2001}},
		{controller.RecordFilter{Type: "viewerattempt", Limit: 2}, []int64{2000, 1999}},
		{controller.RecordFilter{Type: "ViewerConnection", Stream: "ABC/cam-9", Limit: 2}, []int64{2000, 1990}},
		{controller.RecordFilter{Type: "thumbnail", Stream: "ABC/cam-9"}, nil},
	} {
		got, err := s.Records(t.Context(), c.filter)
		if diff := cmp.Diff(c.want, seqs(got)); diff != "" || err != nil {
			t.Errorf("%+v: %v\n%s", c.filter, err, diff)
		}
	}
	if all, err := s.Records(t.Context(), controller.RecordFilter{}); err != nil || len(all) != 100 {
		t.Error(len(all), err)
	}
	got, err := s.Records(t.Context(), controller.RecordFilter{Limit: 1, Type: "thumbnail"})
	other.Seq, other.Body = 2001, nil
	other.Received, other.Sent = other.Received.UTC().Truncate(time.Millisecond),
		other.Sent.UTC().Truncate(time.Millisecond)
	if diff := cmp.Diff([]controller.Record{other}, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// TestRecordsOfAStream reads over many blocks of the index, some without a row of the stream.
func TestRecordsOfAStream(t *testing.T) {
	const rows = 300_000
	s := open(t, t.TempDir())
	onWriter(t, s, func(c *commit.Conn) error {
		return c.Exec("INSERT INTO journal SELECT value, 0, value, 'ABC', 'ABC/' || CASE"+
			" WHEN value < 10 OR value BETWEEN 40950 AND 40970 THEN 'rare'"+
			" WHEN value % 3 = 0 THEN 'busy' ELSE value % 100 END,"+
			" iif(value % 7 = 0, 'feeds', 'viewerConnection'), iif(value % 5 = 0, 'ViewerAttempt', 'NoActiveViewers'),"+
			" 'accepted', '', 2, NULL, NULL"+
			" FROM (WITH RECURSIVE n(value) AS (SELECT 7 UNION ALL SELECT value + 1 FROM n WHERE value < ?)"+
			" SELECT value FROM n)", int64(rows))
	})
	for _, f := range []controller.RecordFilter{
		{Stream: "ABC/rare"}, {Stream: "ABC/rare", Limit: 5}, {Stream: "ABC/rare", Before: 40960},
		{Stream: "ABC/rare", Before: 9},
		{Stream: "ABC/busy"}, {Stream: "ABC/busy", Limit: 5000}, {Stream: "ABC/busy", Before: 100_001, Limit: 1500},
		{Stream: "ABC/busy", Type: "viewerattempt"}, {Stream: "ABC/none"}, {Stream: "ABC/50", Before: 7},
		{Stream: "ABC/50", Before: 1 << 40},
		{Type: "viewerattempt", Limit: 7, Before: 500}, {Type: "nothing"}, {Type: "noactiveviewers", Before: 500},
		{Type: "viewerconnection"}, {Type: "feeds"}, {Type: "feeds", Limit: 9, Before: 300},
	} {
		got, err := s.Records(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		limit, before := f.Limit, f.Before
		if limit == 0 {
			limit = 100
		}
		if before == 0 {
			before = rows + 1
		}
		var want []int64
		all, err := s.reader().QueryContext(t.Context(),
			"SELECT seq FROM journal WHERE seq < ? AND (? = '' OR stream = ?)"+
				" AND (? = '' OR ? IN (lower(event), lower(type))) ORDER BY seq DESC LIMIT ?",
			before, f.Stream, f.Stream, f.Type, f.Type, limit)
		if err != nil {
			t.Fatal(err)
		}
		for all.Next() {
			var seq int64
			if err := all.Scan(&seq); err != nil {
				t.Fatal(err)
			}
			want = append(want, seq)
		}
		if err := all.Err(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, seqs(got)); diff != "" {
			t.Errorf("%+v:\n%s", f, diff)
		}
	}
}

// TestIndexesAreUsed: no look-up reads the journal through.
func TestIndexesAreUsed(t *testing.T) {
	s := open(t, t.TempDir())
	mustAppend(t, s, 0, 10)
	onWriter(t, s, func(c *commit.Conn) error {
		args := make([]driver.Value, 9)
		return c.Query("EXPLAIN QUERY PLAN "+findDuplicate, args, 4, func(row []driver.Value) error {
			if step, _ := row[3].(string); strings.Contains(step, "SCAN") {
				t.Error("a duplicate is looked for by:", step)
			}
			return nil
		})
	})
	for query, index := range map[string]string{
		"SELECT max(iif(body IS NULL, 0, sent)) FROM journal":                                      "journal_by_body",
		"SELECT seq FROM journal WHERE lower(type) = lower('x') AND " + noFlood + " ORDER BY seq":  "journal_by_type",
		"SELECT seq FROM journal WHERE lower(event) = lower('x') AND " + noFlood + " ORDER BY seq": "journal_by_event",
		"SELECT seq FROM journal WHERE (seq >> 7) = 3 AND stream = 'x'":                            "journal_by_stream",
	} {
		var a, b, c int
		var plan string
		err := s.reader().QueryRowContext(t.Context(), "EXPLAIN QUERY PLAN "+query).Scan(&a, &b, &c, &plan)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan, "SEARCH") || !strings.Contains(plan, index) {
			t.Errorf("%s: %s", query, plan)
		}
	}
}

func TestReplay(t *testing.T) {
	s := open(t, t.TempDir())
	start := time.Now()
	for n := range 1200 {
		r := hook(n)
		r.Received = start.Add(time.Duration(n) * time.Second)
		if n%3 == 0 {
			r.Verdict = controller.Stale
		}
		if _, _, err := s.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	next := int64(0)
	err := s.Replay(t.Context(), start.Add(100*time.Second), func(r controller.Record) error {
		if r.Seq <= next || r.Verdict != controller.Accepted || string(r.Body) != string(hook(int(r.Seq)-1).Body) {
			t.Errorf("row %d after %d: %+v", r.Seq, next, r)
		}
		if next == 0 && r.Seq != 101 {
			t.Errorf("the first is %d, want 101", r.Seq)
		}
		next = r.Seq
		return nil
	})
	if err != nil || next != 1200 {
		t.Fatal(next, err)
	}
	early := hook(1200)
	early.Received = start // the clock was set back
	if _, _, err := s.Append(t.Context(), early); err != nil {
		t.Fatal(err)
	}
	last := int64(0)
	err = s.Replay(t.Context(), start.Add(1199*time.Second), func(r controller.Record) error {
		last = r.Seq
		return nil
	})
	if err != nil || last != 1200 {
		t.Errorf("with an older hook behind it, the last is %d, want 1200: %v", last, err)
	}
	enough := errors.New("enough")
	stop := func(controller.Record) error { return enough }
	if err := s.Replay(t.Context(), time.Time{}, stop); !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

func TestStreams(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	at := time.Now().UTC().Round(0)
	story := func(reason string) []controller.Transition {
		return []controller.Transition{{Stream: "ABC/a/b", At: controller.Time{Time: at}, From: controller.PhaseIdle,
			To: controller.PhaseStarting, Reason: reason}}
	}
	for n := range 30 {
		if err := saveStream(t.Context(), s, controller.Saved{ID: "ABC/a/b", At: at, State: fmt.Append(nil, n)},
			story(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	if err := saveStream(t.Context(), s, controller.Saved{ID: "ABC/c"}, nil); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, dir)
	all, err := s.LoadStreams(t.Context())
	if diff := cmp.Diff([]controller.Saved{{ID: "ABC/a/b", At: at, State: []byte("29")},
		{ID: "ABC/c", State: []byte{}}}, all); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	page, err := s.History(t.Context(), "ABC/a/b", 2, 0)
	if err != nil || len(page) != 2 || page[0].Reason != "29" || page[1].Reason != "28" {
		t.Fatal(page, err)
	}
	page, err = s.History(t.Context(), "ABC/a/b", 2, page[1].Seq)
	if err != nil || len(page) != 2 || page[0].Reason != "27" {
		t.Fatal(page, err)
	}
	if err := s.ForgetStream(t.Context(), "ABC/a/b"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.LoadStreams(t.Context()); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if page, err := s.History(t.Context(), "ABC/a/b", 0, 0); err != nil || len(page) != 30 {
		t.Fatal(len(page), err)
	}
	if err := saveStream(t.Context(), s, controller.Saved{}, nil); !errors.Is(err, controller.ErrStore) {
		t.Fatal(err)
	}
}

// TestCommit: a hook and what its stream made of it are stored together; a duplicate brings
// nothing.
func TestCommit(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct {
		hook      int
		state     string
		duplicate bool
		want      string
	}{
		{0, "starting", false, "starting"},
		{0, "starting again", true, "starting"},
		{10, "live", false, "live"},
	} {
		r := hook(c.hook)
		story := []controller.Transition{{Stream: r.Stream, Reason: c.state}}
		seq, duplicate, err := commitOne(t.Context(), s, r, controller.Saved{ID: r.Stream, State: []byte(c.state)},
			story)
		if err != nil || duplicate != c.duplicate || number(t, s,
			"SELECT count(*) FROM journal WHERE seq = ? AND sum = ?", seq, r.Sum[:]) != 1 {
			t.Errorf("%s: number %d, duplicate %v, error %v", c.state, seq, duplicate, err)
		}
		all, err := s.LoadStreams(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != r.Stream || string(all[0].State) != c.want {
			t.Errorf("%s: the state is %s, error %v", c.state, all, err)
		}
	}
	if story, err := s.History(t.Context(), hook(0).Stream, 0, 0); err != nil || len(story) != 2 ||
		story[0].Reason != "live" || story[1].Reason != "starting" {
		t.Error(story, err)
	}
	_, _, err := commitOne(t.Context(), s, hook(20), controller.Saved{}, nil)
	if !errors.Is(err, controller.ErrStore) ||
		number(t, s, "SELECT count(*) FROM journal") != 2 {
		t.Error("a state without an id:", err)
	}
}

// TestSavesOfOneStreamTogether has the saves of a stream wait in one batch: the last state wins,
// and every story is kept.
func TestSavesOfOneStreamTogether(t *testing.T) {
	s := open(t, t.TempDir())
	release := holdWriter(s)
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			err := saveStream(context.Background(), s, controller.Saved{ID: "ABC/x", State: fmt.Append(nil, n)},
				[]controller.Transition{{Stream: "ABC/x", Reason: fmt.Sprint(n)}})
			if err != nil {
				t.Error(err)
			}
		})
		eventually(t, "queued", func() bool { return s.writer.Waiting() == n+1 })
	}
	close(release)
	wg.Wait()
	if all, err := s.LoadStreams(t.Context()); err != nil || len(all) != 1 || string(all[0].State) != "99" {
		t.Fatal(all, err)
	}
	story, err := s.History(t.Context(), "ABC/x", 1000, 0)
	if err != nil || len(story) != 100 || story[0].Reason != "99" || story[99].Reason != "0" {
		t.Fatal(len(story), err)
	}
}

func TestSettings(t *testing.T) {
	s := open(t, t.TempDir())
	for _, want := range []string{"", "a", "b", ""} {
		if want != "" {
			if err := s.SetSetting(t.Context(), "k", want); err != nil {
				t.Fatal(err)
			}
		} else if err := s.SetSetting(t.Context(), "k", ""); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Setting(t.Context(), "k"); err != nil || got != want {
			t.Fatal(got, want, err)
		}
	}
	if got, err := s.Setting(t.Context(), "missing"); err != nil || got != "" {
		t.Fatal(got, err)
	}
}

func TestClose(t *testing.T) {
	s := open(t, t.TempDir())
	closeStore(t, s)
	closeStore(t, s)
	if _, _, err := s.Append(t.Context(), hook(0)); !errors.Is(err, controller.ErrStore) {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); !errors.Is(err, controller.ErrStore) {
		t.Fatal("a closed store is not ready:", err)
	}
}

// TestSideBySide reads, writes, sweeps and backs up at the same time.
func TestSideBySide(t *testing.T) {
	s := open(t, t.TempDir())
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := range 200 {
				if _, _, err := s.Append(context.Background(), hook(worker*1000+n)); err != nil {
					t.Error(err)
				}
				id := fmt.Sprintf("ABC/cam-%d", n%10)
				if err := saveStream(context.Background(), s, controller.Saved{ID: controller.StreamID(id)},
					[]controller.Transition{{Stream: controller.StreamID(id)}}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				_, err := s.Records(context.Background(), controller.RecordFilter{Stream: "ABC/cam-1"})
				_, err2 := s.History(context.Background(), "ABC/cam-1", 10, 0)
				_, err3 := s.LoadStreams(context.Background())
				if err := errors.Join(err, err2, err3, s.Ready(context.Background())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			_, err := s.Sweep(context.Background(), Policy{Journal: time.Hour, MaxBytes: 100 << 20})
			if err := errors.Join(err, s.Backup(context.Background())); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n := number(t, s, "SELECT count(*) FROM journal"); n != 1600 {
		t.Errorf("%d hooks, want 1600", n)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	now := time.Now()
	for n := range 3000 {
		r := hook(n)
		r.Received = now.Add(time.Duration(n-3000) * time.Minute)
		if n == 100 {
			r.Received = now.AddDate(1, 0, 0) // the clock was wrong
		}
		if _, _, err := s.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if n%100 == 0 {
			at := controller.Time{Time: r.Received}
			if err := saveStream(t.Context(), s, controller.Saved{ID: "ABC/x"},
				[]controller.Transition{{Stream: "ABC/x", At: at}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	swept, err := s.Sweep(t.Context(), Policy{Journal: 1000*time.Minute + 30*time.Second, History: 1000*time.Minute +
		30*time.Second})
	if err != nil || swept.Hooks != 2000 || swept.Transitions != 20 {
		t.Fatal(swept, err)
	}
	if _, duplicate, err := s.Append(t.Context(), hook(1900)); err != nil || !duplicate {
		t.Error("a hook that was swept is still a duplicate for a day:", duplicate, err)
	}
	before := number(t, s, "SELECT page_count FROM pragma_page_count")
	if _, err = s.Sweep(t.Context(), Policy{MaxBytes: 1}); err != nil { // some of it may be swept by the store itself
		t.Fatal(err)
	}
	if hooks, history := number(t, s, "SELECT count(*) FROM journal"), number(t, s,
		"SELECT count(*) FROM history"); hooks != 1 || history != 1 {
		t.Errorf("%d hooks and %d transitions stayed, want the newest of each", hooks, history)
	}
	t.Logf("%d pages before, %d after", before, number(t, s, "SELECT page_count FROM pragma_page_count"))
	closeStore(t, s)
	s = open(t, dir)
	if seq, duplicate, err := s.Append(t.Context(), hook(5000)); err != nil || duplicate || seq != 3001 {
		t.Fatal("numbers never come twice:", seq, duplicate, err)
	}
}

// TestSizeIsKept: the bound holds while hooks come, without anybody calling Sweep.
func TestSizeIsKept(t *testing.T) {
	s := open(t, t.TempDir())
	const limit = 1 << 20
	s.Keep(Policy{MaxBytes: 4 * limit})
	n := 0
	grow := func(to int64) {
		for {
			mustAppend(t, s, n, n+100)
			n += 100
			if used, err := s.used(t.Context()); err != nil {
				t.Fatal(err)
			} else if used >= to {
				return
			}
		}
	}
	within := func(limit int64) {
		t.Helper()
		eventually(t, "swept", func() bool {
			used, err := s.used(t.Context())
			return err == nil && used < limit+limit/10
		})
	}
	grow(3 * limit)
	s.Keep(Policy{MaxBytes: limit}) // a reload
	within(limit)
	for range 2 {
		grow(limit + limit/4)
		within(limit)
	}
	if swept := number(t, s, "SELECT min(seq) - 1 FROM journal"); swept == 0 {
		t.Error("no hook went")
	}
	if seq, duplicate, err := s.Append(t.Context(), hook(n-1)); err != nil || !duplicate || seq != int64(n) {
		t.Errorf("the newest did not stay: number %d, duplicate %v, error %v", seq, duplicate, err)
	}
}

// TestSweepShrinksTheFile frees more pages than the file keeps to spare.
func TestSweepShrinksTheFile(t *testing.T) {
	s := open(t, t.TempDir())
	for n := range 400 {
		r := hook(n)
		r.Received = r.Received.Add(-time.Hour)
		r.Body = bytes.Repeat([]byte{byte(n)}, 16<<10)
		r.Sum = sha256.Sum256(fmt.Append(nil, n))
		if _, _, err := s.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	swept, err := s.Sweep(t.Context(), Policy{Journal: time.Minute})
	if err != nil || swept.Hooks < 399 || swept.Pages < 256 {
		t.Fatalf("swept %+v, %v", swept, err)
	}
	mustAppend(t, s, 1000, 1010)
}
