package store

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// TestRecent writes random batches, of which some fail, and compares what counts as repeated with
// plain bookkeeping: of new bodies and old ones, by times that go on, stand still and jump.
func TestRecent(t *testing.T) {
	type stored struct {
		seq      int64
		received time.Time
	}
	for seed := range uint64(6) {
		s := open(t, t.TempDir())
		random := rand.New(rand.NewPCG(seed, 0))
		now := time.Now().Truncate(time.Millisecond)
		kept := map[[32]byte]stored{}
		var bodies []controller.Record
		last := int64(0)
		for range 250 {
			steps := []time.Duration{0, 0, time.Millisecond, time.Second, 25 * time.Hour}
			now = now.Add(steps[random.IntN(100)%5*random.IntN(2)])
			batch := make([]*request, 1+random.IntN(80))
			for i := range batch {
				r := hook(len(bodies))
				r.Sent = now.Add(-time.Duration(random.IntN(3)) * time.Millisecond)
				if len(bodies) > 0 && random.IntN(3) == 0 {
					r = bodies[max(0, len(bodies)-1-random.IntN(1<<random.IntN(15)))]
				} else {
					bodies = append(bodies, r)
				}
				r.Received = now
				batch[i] = &request{Commit: controller.Commit{Records: []controller.Record{r}}}
			}
			fails := random.IntN(8) == 0
			var err error
			onWriter(t, s, func(c *commit.Conn) error {
				err = c.Transaction(func() error {
					if err := s.write(c, batch); err != nil {
						t.Fatal(err)
					}
					if fails {
						return errors.New("the disk is gone")
					}
					return nil
				})
				s.wrote(err)
				return nil
			})
			if fails {
				continue
			}
			for _, r := range batch {
				record, got := r.Records[0], r.receipts[0]
				before, ok := kept[record.Sum]
				repeats := ok && record.Received.Sub(before.received) < duplicateWindow
				if got.Duplicate != repeats || repeats && got.Seq != before.seq {
					t.Fatalf("seed %d: %+v of a hook received %v, before %+v", seed, got, record.Received, before)
				}
				if !repeats {
					if last++; got.Seq != last {
						t.Fatalf("seed %d: a hook has number %d, want %d", seed, got.Seq, last)
					}
					kept[record.Sum] = stored{got.Seq, record.Received}
				}
			}
		}
		if len(kept) < recentMost/2 {
			t.Errorf("only %d hooks", len(kept))
		}
		closeStore(t, s)
	}
}
