package obs

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// meter turns OBS's running totals into rates, and tells whether they grow.
type meter struct {
	at       time.Time // of the last measure; zero: none yet
	last     reading
	bitrate  float64   // bits per second, between the last two measures
	rated    bool      // bitrate is known
	advanced time.Time // when bytes or frames grew last
}

// minSpan is how far apart two polls must be to make a rate of them.
const minSpan = 200 * time.Millisecond

// measure follows one poll. sending says that the output should be delivering.
func (m *meter) measure(r reading, sending bool, now time.Time) {
	before, span := m.last.stream, now.Sub(m.at)
	if sending && (r.stream.Bytes != before.Bytes || r.stream.Frames != before.Frames) {
		m.advanced = now
	}
	if span < minSpan {
		return
	}
	m.rated = sending && !m.at.IsZero() && r.stream.Bytes >= before.Bytes
	if m.rated {
		m.bitrate = float64(r.stream.Bytes-before.Bytes) * 8 / span.Seconds()
	}
	m.last, m.at = r, now
}

// health is what was measured, for an output that is on.
func (m *meter) health() *encoders.Health {
	if m.at.IsZero() {
		return nil
	}
	r := m.last
	h := &encoders.Health{
		FPS: &r.stats.FPS, Frames: &r.stream.Frames, Dropped: &r.stream.Skipped, Bytes: &r.stream.Bytes,
		Congestion: &r.stream.Congestion,
	}
	if m.rated {
		rate := m.bitrate
		h.BitrateBPS = &rate
	}
	return h
}
