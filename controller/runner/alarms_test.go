package runner

import (
	"testing"
	"time"
)

// TestAlarmsAfterSleep: while the host was suspended timers stood still and the machine's time went
// on. Who looks rings what is due.
func TestAlarmsAfterSleep(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rung := 0
	a := newAlarms(func() time.Time { return now }, func(*stream) { rung++ })
	defer a.close()
	a.set(&stream{}, now.Add(time.Hour))
	a.ringLate()
	now = now.Add(2 * time.Hour)
	a.ringLate()
	a.ringLate()
	if rung != 1 {
		t.Errorf("rung %d times", rung)
	}
}
