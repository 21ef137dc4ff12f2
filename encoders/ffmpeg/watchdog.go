package ffmpeg

import (
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// watchdog decides whether a process delivers. It is told what was seen and when; it looks at nothing itself.
type watchdog struct {
	stall    time.Duration // 0: never
	reports  bool          // the process is expected to report progress
	started  time.Time
	last     block
	blocks   int
	moves    int       // blocks that showed more delivered than the one before
	moved    time.Time // when the last of them came
	queue    int64     // bytes in its sockets that the other side has not taken
	stuck    time.Time // since when the queue has not gone down and is too long; zero: it is not
	ours     bool      // its output shows that it is an FFmpeg
	rate     float64   // bytes a second, of the last blocks
	rateFrom time.Time
	rateSize int64
}

const (
	// quietLive is how long a program that reports nothing has to stay alive to count as publishing.
	quietLive = 2 * time.Second
	// queueLimit is how much delivery may wait in the sockets before it is suspicious.
	queueLimit = 3 * time.Second
	// leastRate stands in for a rate not known yet, bytes per second.
	leastRate = 32_000
)

func newWatchdog(stall time.Duration, reports bool, started time.Time) watchdog {
	return watchdog{stall: stall, reports: reports, started: started, last: emptyBlock()}
}

// block takes a report of the process.
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

// sockets takes the length of the process's send queues.
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

// verdict is what is seen of a process that lives.
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
		return encoders.StateStalled, fmt.Sprintf("no progress for %v: its input sends nothing, or the server takes nothing", quiet.Round(time.Second))
	}
	if !w.stuck.IsZero() && now.Sub(w.stuck) >= w.stall {
		return encoders.StateStalled, fmt.Sprintf("the server takes nothing: %d kB wait to be sent", w.queue/1000)
	}
	return encoders.StatePublishing, ""
}
