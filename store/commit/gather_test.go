package commit

import (
	"testing"
	"testing/synctest"
	"time"
)

// gathered has callers leave so many hooks one after the other, and tells how long the writer let
// them.
func gathered(t *testing.T, g *gathering, q *queue[int], comes func()) time.Duration {
	t.Helper()
	if _, _, err := q.add(new(int), true); err != nil {
		t.Fatal(err)
	}
	go comes()
	began := time.Now()
	g.wait(q)
	took := time.Since(began)
	synctest.Wait()
	q.take()
	return took
}

func TestGatherUntilAllAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[int]()
		g := gathering{expected: 3}
		come := func() {
			for range 2 {
				time.Sleep(gatherTime / 10)
				_, _, _ = q.add(new(int), true)
			}
		}
		for range 3 {
			if took := gathered(t, &g, q, come); took != gatherTime/5 {
				t.Errorf("the last of three came after %s, the writer went on after %s", gatherTime/5, took)
			}
		}
	})
}

func TestGatherEndsForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[int]()
		g := gathering{expected: 3}
		took := gathered(t, &g, q, func() {
			time.Sleep(gatherTime / 10)
			_, _, _ = q.add(new(int), false)
		})
		if took != gatherTime/10 {
			t.Errorf("a change that came after %s waited until %s", gatherTime/10, took)
		}
		if g.failures != 0 {
			t.Error("that counts as having waited in vain")
		}
	})
}

func TestGatherInVainIsRare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[int]()
		g := gathering{expected: 3}
		var waits []int // how many batches came before each wait
		for batch := range 2000 {
			switch took := gathered(t, &g, q, func() {}); took {
			case 0:
			case gatherTime:
				waits = append(waits, batch)
			default:
				t.Fatalf("waited %s", took)
			}
		}
		for i, want := 0, []int{0, 5, 14, 31, 64, 129, 258, 515, 1028}; i < len(want); i++ {
			if i >= len(waits) || waits[i] != want[i] {
				t.Fatalf("waited in vain at batches %d, want %d", waits, want)
			}
		}
	})
}

func TestGatherLeavesOneCallerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue[int]()
		g := gathering{}
		g.expected = 1
		if took := gathered(t, &g, q, func() {}); took != 0 {
			t.Errorf("a hook that comes alone waits %s", took)
		}
	})
}
