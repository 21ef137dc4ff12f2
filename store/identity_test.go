package store

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

// A body that is delivered twice, and may have been taken for something else the first time.
var (
	acted    = func(r *controller.Record) {}
	stale    = func(r *controller.Record) { r.Verdict = controller.Stale }
	unmapped = func(r *controller.Record) { r.Verdict = controller.Ignored }
	broken   = func(r *controller.Record) { r.Verdict = controller.Quarantined }
	picture  = func(r *controller.Record) { r.Type, r.Body = "thumbnail", nil }
	noJPEG   = func(r *controller.Record) { picture(r); broken(r) }
)

type as func(*controller.Record)

var repeats = []struct {
	what          string
	first, second as
	duplicate     bool
}{
	{"the same hook again", acted, acted, true},
	{"a replay once its time is over", acted, stale, true},
	{"a hook that was stale when the clock was wrong", stale, acted, false},
	{"the same stale hook again", stale, stale, true},
	{"a hook of a stream that is mapped now", unmapped, acted, false},
	{"a stale one that was ignored before", unmapped, stale, true},
	{"a hook that is understood now", broken, acted, false},
	{"a body that was sent as a picture", noJPEG, acted, false},
	{"an unknown hook that was sent as a picture", noJPEG, unmapped, false},
	{"the same broken picture again", noJPEG, noJPEG, true},
	{"a hook as a picture", acted, noJPEG, false},
	{"the same picture again", picture, picture, true},
}

// TestWhatIsSetAsideShadowsNothing: nothing that was not acted on makes a duplicate of what would be,
// neither in one batch, nor later, nor after a restart.
func TestWhatIsSetAsideShadowsNothing(t *testing.T) {
	for _, opened := range []string{"once", "again"} {
		dir := t.TempDir()
		s := open(t, dir)
		for n, c := range repeats {
			r := hook(n)
			c.first(&r)
			if _, duplicate, err := s.Append(t.Context(), r); err != nil || duplicate {
				t.Fatalf("%s: first time: duplicate %v, error %v", c.what, duplicate, err)
			}
		}
		if opened == "again" {
			closeStore(t, s)
			s = open(t, dir)
		}
		for n, c := range repeats {
			r := hook(n)
			c.second(&r)
			if _, duplicate, err := s.Append(t.Context(), r); err != nil || duplicate != c.duplicate {
				t.Errorf("%s, opened %s: duplicate %v, error %v", c.what, opened, duplicate, err)
			}
			if _, duplicate, err := s.Append(t.Context(), r); err != nil || !duplicate {
				t.Errorf("%s, opened %s, a third time: duplicate %v, error %v", c.what, opened, duplicate, err)
			}
		}
		closeStore(t, s)
	}
	q := newWriter(nil, nil, time.Now, "")
	for n, c := range repeats { // one batch
		first, second := &hookRequest{record: hook(n)}, &hookRequest{record: hook(n)}
		c.first(&first.record)
		c.second(&second.record)
		for _, r := range []*hookRequest{first, second} {
			if err := q.number(r); err != nil {
				t.Fatal(err)
			}
		}
		if first.duplicate || second.duplicate != c.duplicate {
			t.Errorf("%s, in one batch: duplicate %v, %v", c.what, first.duplicate, second.duplicate)
		}
	}
}

// TestDuplicatesAcrossTheUpgrade: an older version has kept every row under the first bytes of its sum,
// whatever became of it.
func TestDuplicatesAcrossTheUpgrade(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var sums []byte
	for n, c := range repeats {
		r := hook(n)
		c.first(&r)
		if _, _, err := s.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, r.Sum[:8]...)
	}
	now := time.Now().UnixMilli()
	onWriter(t, s, func(c *conn) error {
		return c.exec("INSERT INTO runs (first, last, oldest, newest, sums) VALUES (1, ?, ?, ?, ?)", int64(len(repeats)), now, now, sums)
	})
	closeStore(t, s)
	s = open(t, dir)
	for n, c := range repeats {
		r := hook(n)
		c.second(&r)
		if _, duplicate, err := s.Append(t.Context(), r); err != nil || duplicate != c.duplicate {
			t.Errorf("%s: duplicate %v, error %v", c.what, duplicate, err)
		}
	}
	if first := binary.BigEndian.Uint64(sums); first != plainKey(hook(0).Sum) {
		t.Errorf("the key of a hook that was acted on is %x, and was %x", plainKey(hook(0).Sum), first)
	}
}
