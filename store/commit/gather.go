package commit

import (
	"runtime"
	"time"
)

const (
	// gatherTime is how long the writer waits for the callers whom it has just answered. Eight take
	// about 0.1 ms to come back if they come at all, 64 on two cores a whole millisecond; a sync
	// takes longer, and each that they share is one less.
	gatherTime = time.Millisecond

	// gatherPause is how many batches to skip after an unsuccessful wait; it doubles with each in a
	// row, up to gatherPauseMost.
	gatherPause     = 4
	gatherPauseMost = 1024
)

// gathering waits briefly so that callers who were just answered can join the next commit.
// Otherwise they split into two groups that alternate: one waits while the other is synced.
type gathering struct {
	expected int // urgent requests that come together if everybody comes back
	timer    *time.Timer
	pause    int // batches before the next try
	failures int // in a row
}

// expecter is the queue, as far as gathering needs it.
type expecter interface {
	expect(urgent int) <-chan struct{}
}

// wait returns when all are back whom the last commit answered, when another request waits, or
// when it has been long enough.
func (g *gathering) wait(q expecter) {
	runtime.Gosched() // those who were just answered may be about to come at once
	if g.expected < 2 {
		return
	}
	if g.pause > 0 {
		g.pause--
		return
	}
	complete := q.expect(g.expected)
	if complete == nil {
		return
	}
	if g.timer == nil {
		g.timer = time.NewTimer(gatherTime)
	} else {
		g.timer.Reset(gatherTime)
	}
	select {
	case <-complete:
		g.failures = 0
	case <-g.timer.C:
		q.expect(0)
		g.pause = min(gatherPause<<g.failures, gatherPauseMost)
		g.failures = min(g.failures+1, 8)
	}
}
