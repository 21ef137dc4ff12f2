package store

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

func saveStream(ctx context.Context, s *Store, saved controller.Saved, history []controller.Transition) error {
	_, err := s.Commit(ctx, controller.Commit{Saved: &saved, Transitions: history})
	return err
}

func commitOne(ctx context.Context, s *Store, r controller.Record, saved controller.Saved,
	history []controller.Transition) (seq int64, duplicate bool, err error) {
	receipts, err := s.Commit(ctx, controller.Commit{Records: []controller.Record{r}, Saved: &saved,
		Transitions: history})
	if err != nil {
		return 0, false, err
	}
	return receipts[0].Seq, receipts[0].Duplicate, receipts[0].Err
}

// TestCommitOfSeveral: each hook of a commit is stored by itself. Their state is stored only when
// all of them are.
func TestCommitOfSeveral(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	if _, _, err := s.Append(ctx, hook(1)); err != nil {
		t.Fatal(err)
	}
	onWriter(t, s, func(c *commit.Conn) error {
		return c.Exec(`CREATE TRIGGER poison BEFORE INSERT ON journal WHEN new.note = 'poison'
			BEGIN SELECT raise(ABORT, 'poison'); END`)
	})
	poison := hook(2)
	poison.Note = "poison"
	for _, c := range []struct {
		name  string
		hooks []controller.Record
		want  []controller.Receipt // of Err, only whether there is one
		state bool
	}{
		{"new", []controller.Record{hook(10), hook(20), hook(30)},
			[]controller.Receipt{{Seq: 2}, {Seq: 3}, {Seq: 4}}, true},
		{"a duplicate first", []controller.Record{hook(1), hook(40)},
			[]controller.Receipt{{Seq: 1, Duplicate: true}, {Seq: 5}}, false},
		{"a duplicate last", []controller.Record{hook(50), hook(1)},
			[]controller.Receipt{{Seq: 6}, {Seq: 1, Duplicate: true}}, false},
		{"twice the same", []controller.Record{hook(60), hook(60)},
			[]controller.Receipt{{Seq: 7}, {Seq: 7, Duplicate: true}}, false},
		{"one refused", []controller.Record{hook(70), poison, hook(80)},
			[]controller.Receipt{{Seq: 8}, {Err: controller.ErrStore}, {Seq: 9}}, false},
		{"new again", []controller.Record{hook(90), hook(100)}, []controller.Receipt{{Seq: 10}, {Seq: 11}}, true},
	} {
		id := "ABC/" + c.name
		got, err := s.Commit(ctx, controller.Commit{
			Records: c.hooks, Saved: &controller.Saved{ID: controller.StreamID(id)},
			Transitions: []controller.Transition{{Stream: controller.StreamID(id)}},
		})
		if err != nil || !slices.EqualFunc(got, c.want, func(a, b controller.Receipt) bool {
			return a.Seq == b.Seq && a.Duplicate == b.Duplicate && errors.Is(a.Err, b.Err)
		}) {
			t.Errorf("%s: %+v, error %v", c.name, got, err)
		}
		states := number(t, s, "SELECT count(*) FROM streams WHERE id = ?", id)
		if history := number(t, s, "SELECT count(*) FROM history WHERE stream = ?", id); states != history ||
			(states == 1) != c.state {
			t.Errorf("%s: %d states and %d transitions are stored", c.name, states, history)
		}
	}
	if n := number(t, s, "SELECT count(*) FROM journal"); n != 11 {
		t.Errorf("%d hooks are stored", n)
	}
	if got, err := s.Commit(ctx, controller.Commit{}); got != nil || err != nil {
		t.Errorf("an empty commit: %v %v", got, err)
	}
}
