package store

import (
	"runtime"
	"time"
)

const (
	// gatherTime is how long the writer lets the callers whom it has just answered come with their next hooks. Eight take about 0.1 ms when they come at
	// all, 64 on two cores a whole one; a sync takes longer, and each that they share is one less.
	gatherTime = time.Millisecond

	// gatherPause is for how many batches the writer does not wait after it has waited in vain, doubled each time in a row up to gatherPauseMost.
	gatherPause     = 4
	gatherPauseMost = 1024
)

// gathering lets one commit take the hooks of all callers who are at it. Without it they fall apart into two halves: one waits while the other is synced.
type gathering struct {
	expected int // hooks that come together if everybody comes back
	timer    *time.Timer
	pause    int // batches before the next try
	failures int // in a row
}

// answered is told how many hooks the last commit answered.
func (g *gathering) answered(hooks int, q *queue) { g.expected = hooks + q.hooksWaiting() }

// wait returns when all are back whom the last commit answered, when a change waits, or when it has been long enough.
func (g *gathering) wait(q *queue) {
	runtime.Gosched() // those who were just answered may be about to come at once
	if g.expected < 2 {
		return
	}
	if g.pause > 0 {
		g.pause--
		return
	}
	here := q.expect(g.expected)
	if here == nil {
		return
	}
	if g.timer == nil {
		g.timer = time.NewTimer(gatherTime)
	} else {
		g.timer.Reset(gatherTime)
	}
	select {
	case <-here:
		g.failures = 0
	case <-g.timer.C:
		q.expect(0)
		g.pause = min(gatherPause<<g.failures, gatherPauseMost)
		g.failures = min(g.failures+1, 8)
	}
}
