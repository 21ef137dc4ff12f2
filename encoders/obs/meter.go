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

// minSpan is how far apart two polls must be to make a rate of them.
const minSpan = 200 * time.Millisecond

// measure takes a poll in. sending says that the output should be delivering.
func (m *meter) measure(l look, sending bool, now time.Time) {
	before, span := m.last.stream, now.Sub(m.at)
	if sending && (l.stream.Bytes != before.Bytes || l.stream.Frames != before.Frames) {
		m.advanced = now
	}
	if span < minSpan {
		return
	}
	m.rated = sending && !m.at.IsZero() && l.stream.Bytes >= before.Bytes
	if m.rated {
		m.bitrate = float64(l.stream.Bytes-before.Bytes) * 8 / span.Seconds()
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
