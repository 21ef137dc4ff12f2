package machine

import (
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
)

// Waits are how long those waited who asked for the stream: of the latest episode that was begun
// for viewers, and of some before it.
type Waits struct {
	Asked   time.Time   `json:"asked,omitzero"`   // by the first of them
	Started time.Time   `json:"started,omitzero"` // the encoder; zero: not yet
	Live    time.Time   `json:"live,omitzero"`
	Viewer  time.Time   `json:"viewer,omitzero"` // the first one is in
	Past    [][3]Millis `json:"past,omitempty"`  // from Asked to each of the three, oldest first
}

// Millis is a duration in milliseconds, as it is short in JSON; less than 0: it has not ended.
type Millis int64

const pastWaits = 15

// took is from the wish to a moment; less than 0: that has not come.
func (w *Waits) took(until time.Time) time.Duration {
	if until.IsZero() || w.Asked.IsZero() {
		return -1
	}
	return max(until.Sub(w.Asked), 0)
}

// Last is how long the latest wait for start, live and first viewer took; less than 0: it goes on,
// or has ended without.
func (w *Waits) Last() [3]time.Duration {
	return [3]time.Duration{w.took(w.Started), w.took(w.Live), w.took(w.Viewer)}
}

// Typical is the median of each of the three, over the latest and those before that came to it; of
// is how many waits there were.
func (w *Waits) Typical() (typical [3]time.Duration, of int) {
	last := w.Last()
	for i := range typical {
		var all []time.Duration
		for _, p := range w.Past {
			all = append(all, time.Duration(p[i])*time.Millisecond)
		}
		all = slices.DeleteFunc(append(all, last[i]), func(d time.Duration) bool { return d < 0 })
		slices.Sort(all)
		if typical[i] = -1; len(all) > 0 {
			typical[i] = all[(len(all)-1)/2]
		}
	}
	return typical, len(w.Past) + 1
}

// wait begins to measure how long the stream takes that somebody has asked for.
func (m *machine) wait() {
	w := &m.Waits
	if !w.Asked.IsZero() {
		past := [3]Millis{-1, -1, -1}
		for i, d := range w.Last() {
			if d >= 0 {
				past[i] = Millis(d.Milliseconds())
			}
		}
		w.Past = append(w.Past, past)
		w.Past = w.Past[max(0, len(w.Past)-pastWaits):]
	}
	asked := m.now
	if m.attemptCounts() {
		asked = earlier(asked, m.Facts.Attempt.Seen)
	}
	for _, l := range m.Leases {
		asked = earlier(asked, l.Asked)
	}
	*w = Waits{Asked: later(asked, m.SpentAt), Past: w.Past} // before that, they had the stream
}

// waited takes note that what somebody has asked for has come so far.
func (m *machine) waited(until controller.WaitEnd) {
	if !m.ForViewers || m.Episode.IsZero() || m.Waits.Asked.IsZero() {
		return
	}
	at := map[controller.WaitEnd]*time.Time{
		controller.WaitStart: &m.Waits.Started, controller.WaitLive: &m.Waits.Live, controller.WaitViewer: &m.Waits.Viewer,
	}[until]
	if at.IsZero() {
		*at = m.now
		m.do(Waited{until, m.Waits.took(m.now)})
	}
}
