package machine

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/robfig/cron/v3"
)

// ScheduleLine is one line of a schedule: a window that opens at each time of Cron and lasts For.
type ScheduleLine struct {
	Cron string // five fields, or @daily and the like
	For  time.Duration
	Do   controller.Mode // ModeOn or ModeOff
}

// Schedule tells which window is open at any time. It is a function of its lines and the time
// alone, so nobody has to remember what it said: a clock that is set, a restart and a reload cannot
// make it wrong. A nil Schedule has no windows.
type Schedule struct {
	on, off []window
	zone    *time.Location
	last    atomic.Pointer[answer] // hooks ask far more often than windows open
}

// window is a line that is read.
type window struct {
	begins cron.Schedule
	lasts  time.Duration
}

// answer is what At said for all times from begin until Window.Until.
type answer struct {
	Window
	begin time.Time
}

// NewSchedule reads the lines of a schedule; no lines make nil. Their times are those of the zone,
// nil meaning this host's.
func NewSchedule(lines []ScheduleLine, zone *time.Location) (*Schedule, error) {
	if len(lines) == 0 {
		return nil, nil
	}
	if zone == nil {
		zone = time.Local
	}
	s := &Schedule{zone: zone}
	for _, line := range lines {
		begins, err := cron.ParseStandard(line.Cron)
		if err != nil {
			return nil, fmt.Errorf("schedule %q: %w", line.Cron, err)
		}
		w := window{begins, line.For}
		if line.Do == controller.ModeOff {
			s.off = append(s.off, w)
		} else {
			s.on = append(s.on, w)
		}
	}
	return s, nil
}

// At is the window that is open at t, "off" before "on", or none. Until is when to ask again: the
// window may be open still, or there may be another.
func (s *Schedule) At(t time.Time) Window {
	if s == nil {
		return Window{}
	}
	if a := s.last.Load(); a != nil && !t.Before(a.begin) && (a.Until.IsZero() || t.Before(a.Until)) {
		return a.Window
	}
	w := s.at(t.In(s.zone))
	s.last.Store(&answer{w, t})
	return w
}

func (s *Schedule) at(t time.Time) Window {
	if end := openUntil(s.off, t); !end.IsZero() {
		return Window{controller.ModeOff, end.UTC()}
	}
	next := nextBegin(s.off, t)
	if end := openUntil(s.on, t); !end.IsZero() {
		if !next.IsZero() && next.Before(end) { // an off window opens before this one is over
			end = next
		}
		return Window{controller.ModeOn, end.UTC()}
	}
	if on := nextBegin(s.on, t); !on.IsZero() && (next.IsZero() || on.Before(next)) {
		next = on
	}
	if next.IsZero() {
		return Window{}
	}
	return Window{Until: next.UTC()}
}

// hopsMost bounds how many windows in a row are looked at as one. Beyond it the end is only the
// time to ask again.
const hopsMost = 100

// openUntil is the end of the windows that are open at t, with those that follow without a gap;
// zero when none is.
func openUntil(windows []window, t time.Time) (end time.Time) {
	for range hopsMost {
		from := end
		if end.IsZero() {
			from = t
		}
		before := end
		for _, w := range windows {
			if begin := w.latest(from); !begin.IsZero() && begin.Add(w.lasts).After(from) && begin.Add(w.lasts).After(end) {
				end = begin.Add(w.lasts)
			}
		}
		if end.Equal(before) {
			break
		}
	}
	return end
}

// latest is the last begin at or before t whose window may still be open at t; zero when there is
// none. A cron line can only be asked forward, so it is asked from further and further back.
func (w window) latest(t time.Time) (begin time.Time) {
	for back := time.Minute; ; back *= 2 {
		from := t.Add(-min(back, w.lasts))
		for at := w.begins.Next(from.Add(-time.Nanosecond)); !at.IsZero() && !at.After(t); at = w.begins.Next(at) {
			begin = at
		}
		if !begin.IsZero() || back >= w.lasts {
			return begin
		}
	}
}

func nextBegin(windows []window, t time.Time) (next time.Time) {
	for _, w := range windows {
		next = earlier(next, w.begins.Next(t))
	}
	return next
}
