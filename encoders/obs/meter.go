package obs

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// meter turns OBS's running totals into rates, and tells whether they grow.
type meter struct {
	at       time.Time // of the last measure; zero: none yet
	last     look
	bitrate  float64   // bits per second, between the last two measures
	rated    bool      // bitrate is known
	advanced time.Time // when bytes or frames grew last
}

// measure takes a poll in. sending says that the output should be delivering.
func (m *meter) measure(l look, sending bool, now time.Time) {
	before, dt := m.last.stream, now.Sub(m.at).Seconds()
	grew := l.stream.Bytes != before.Bytes || l.stream.Frames != before.Frames
	switch {
	case !sending:
		m.rated = false
	case m.at.IsZero():
	case grew && l.stream.Bytes >= before.Bytes && dt >= 0.2:
		m.bitrate, m.rated = float64(l.stream.Bytes-before.Bytes)*8/dt, true
	case dt < 0.2 && grew: // too close to make a rate of
		m.advanced = now
		return
	case !grew:
		m.bitrate = 0
	}
	if sending && grew {
		m.advanced = now
	}
	m.last, m.at = l, now
}

// health is what was measured, for an output that is on.
func (m *meter) health() *encoders.Health {
	if m.at.IsZero() {
		return nil
	}
	l := m.last
	h := &encoders.Health{FPS: &l.stats.FPS, Frames: &l.stream.Frames, Dropped: &l.stream.Skipped, Bytes: &l.stream.Bytes, Congestion: &l.stream.Congestion}
	if m.rated {
		rate := m.bitrate
		h.BitrateBPS = &rate
	}
	return h
}
