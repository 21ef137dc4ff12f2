package store

import (
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// A body that is delivered twice, and may have been taken for something else the first time.
var (
	acted    = func(r *controller.Record) {}
	stale    = func(r *controller.Record) { r.Verdict = controller.Stale }
	unmapped = func(r *controller.Record) { r.Verdict = controller.Ignored }
	broken   = func(r *controller.Record) { r.Verdict = controller.Quarantined }
	picture  = func(r *controller.Record) { r.Type, r.Body = "thumbnail", nil }
	noJPEG   = func(r *controller.Record) { picture(r); broken(r) }
	later    = func(r *controller.Record) { picture(r); r.Sent = r.Sent.Add(time.Minute) }
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
	{"the same picture under another time, which nobody has signed", picture, later, true},
}

// TestWhatIsSetAsideShadowsNothing: nothing that was not acted on makes a duplicate of what would
// be, neither in one batch, nor later, nor after a restart.
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
	s := open(t, t.TempDir())
	for n, c := range repeats { // one batch
		first, second := hook(n), hook(n)
		c.first(&first)
		c.second(&second)
		batch := []*request{{Commit: controller.Commit{Records: []controller.Record{first}}},
			{Commit: controller.Commit{Records: []controller.Record{second}}}}
		onWriter(t, s, func(c *commit.Conn) error {
			return c.Transaction(func() error { return s.write(c, batch) })
		})
		if batch[0].receipts[0].Duplicate || batch[1].receipts[0].Duplicate != c.duplicate {
			t.Errorf("%s, in one batch: %v, %v", c.what, batch[0].receipts, batch[1].receipts)
		}
	}
}
