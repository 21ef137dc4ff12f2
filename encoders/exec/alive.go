package exec

import (
	"fmt"
	"time"

	"github.com/oncue/oncue/encoders"
)

// alive decides whether a program delivers. It works only on what it is told, with times.
type alive struct {
	stall    time.Duration // 0: never
	serves   bool          // it publishes; others are of use as soon as they are ready
	waits    bool          // ready says when it is of use
	measured bool          // bytes are seen
	started  time.Time

	total    int64
	counted  int64     // total when it last moved
	moved    time.Time // when enough more was delivered
	rate     float64   // bytes per second
	rateFrom time.Time
	rateSize int64
}

const (
	// lively is more than an RTMP session says before its first picture, bytes.
	lively = 10_000
	// movement is the least that counts as delivery, bytes: keep-alives and control messages of an
	// input stay below it, and every stream exceeds it within a second.
	movement = 1_000
	// quiet is how long a program must run to count as publishing when its bytes are not seen.
	quiet = 2 * time.Second
)

func newAlive(s Settings, st state) alive {
	return alive{stall: s.StallTimeout, serves: st.Serves, waits: s.Ready != Ready{}, measured: st.Measured,
		started: st.Started}
}

// sent adds an observation of how much was delivered since the start.
func (a *alive) sent(now time.Time, total int64) {
	if a.moved.IsZero() || total-a.counted >= movement {
		a.counted, a.moved = total, now
	}
	if a.rateFrom.IsZero() {
		a.rateFrom, a.rateSize = now, total
	} else if d := now.Sub(a.rateFrom); d >= 2*time.Second {
		a.rate = float64(total-a.rateSize) / d.Seconds()
		a.rateFrom, a.rateSize = now, total
	}
	a.total = total
}

// publishing reports whether enough was delivered, or does not show.
func (a *alive) publishing() bool { return !a.measured || a.total >= lively }

// verdict returns the state of a program that runs, and why it is stalled.
func (a *alive) verdict(now time.Time, ready bool) (state encoders.State, why string) {
	switch {
	case !ready, !a.publishing():
		return encoders.StateStarting, ""
	case !a.measured && a.serves && !a.waits && now.Sub(a.started) < quiet:
		return encoders.StateStarting, ""
	case a.measured && a.stall > 0 && now.Sub(a.moved) >= a.stall:
		return encoders.StateStalled, fmt.Sprintf("it has delivered nothing for %v: its input sends nothing, or the "+
			"server accepts nothing", now.Sub(a.moved).Round(time.Second))
	}
	return encoders.StatePublishing, ""
}

// health is what was measured; nil when nothing was.
func (a *alive) health() *encoders.Health {
	if !a.measured || a.total == 0 {
		return nil
	}
	total, bits := a.total, a.rate*8
	h := &encoders.Health{Bytes: &total}
	if bits > 0 {
		h.BitrateBPS = &bits
	}
	return h
}
