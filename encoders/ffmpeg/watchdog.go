package ffmpeg

import (
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// watchdog decides whether a process delivers. It works only on what it is told, with times.
type watchdog struct {
	stall    time.Duration // 0: never
	reports  bool          // the process was asked to report progress
	started  time.Time
	last     block
	blocks   int
	moves    int       // blocks that showed more delivered than the last one
	moved    time.Time // when the last such block came
	queue    int64     // bytes in its sockets that the other side has not accepted
	stuck    time.Time // since when the queue is too long and has not become shorter; zero: it is not
	ours     bool      // its output shows that it is FFmpeg
	rate     float64   // bytes per second, in the last blocks
	rateFrom time.Time
	rateSize int64
}

const (
	// quietLive is how long a program that reports no progress must run to count as publishing.
	quietLive = 2 * time.Second
	// queueLimit is how much may wait in the sockets, as time at the current rate, before it is
	// suspicious.
	queueLimit = 3 * time.Second
	// leastRate is used while the rate is unknown or lower, bytes per second.
	leastRate = 32_000
)

func newWatchdog(stall time.Duration, reports bool, started time.Time) watchdog {
	return watchdog{stall: stall, reports: reports, started: started, last: emptyBlock()}
}

// block adds a report of the process.
func (w *watchdog) block(now time.Time, b block) {
	if w.blocks > 0 && b.further(w.last) {
		w.moves++
		w.moved = now
	} else if w.moved.IsZero() {
		w.moved = now
	}
	w.blocks++
	w.last = b
	if b.size < 0 {
		return
	}
	if w.rateFrom.IsZero() {
		w.rateFrom, w.rateSize = now, b.size
	} else if d := now.Sub(w.rateFrom); d >= 2*time.Second {
		w.rate = float64(b.size-w.rateSize) / d.Seconds()
		w.rateFrom, w.rateSize = now, b.size
	}
}

// sockets adds an observation of the process's longest send queue, in bytes.
func (w *watchdog) sockets(now time.Time, queue int64) {
	limit := int64(max(w.rate, leastRate) * queueLimit.Seconds())
	switch {
	case queue < limit, queue < w.queue:
		w.stuck = time.Time{}
	case w.stuck.IsZero():
		w.stuck = now
	}
	w.queue = queue
}

// verdict returns the state of a living process, and why it is stalled.
func (w *watchdog) verdict(now time.Time) (state encoders.State, why string) {
	if w.blocks == 0 {
		if w.reports && w.ours || now.Sub(w.started) < quietLive {
			return encoders.StateStarting, ""
		}
		return encoders.StatePublishing, ""
	}
	if w.moves == 0 {
		return encoders.StateStarting, ""
	}
	if w.stall == 0 {
		return encoders.StatePublishing, ""
	}
	if quiet := now.Sub(w.moved); quiet >= w.stall {
		return encoders.StateStalled, fmt.Sprintf("no progress for %v: its input sends nothing, "+
			"or the server accepts nothing", quiet.Round(time.Second))
	}
	if !w.stuck.IsZero() && now.Sub(w.stuck) >= w.stall {
		return encoders.StateStalled, fmt.Sprintf("the server accepts nothing: %d kB wait to be sent", w.queue/1000)
	}
	return encoders.StatePublishing, ""
}
