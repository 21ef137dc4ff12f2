package runner

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller/machine"
)

// Clock is the machine's time: it shows the wall clock's time and runs on one that nobody can set.
// When the wall clock is stepped, Stepped tells by how much, and the machine's times are moved
// along; a suspended host is no step.
type Clock struct {
	mu   sync.Mutex
	base time.Time            // wall clock at from
	from time.Duration        // elapsed at base
	up   func() time.Duration // since boot, suspension included
	wall func() time.Time
	boot string // this boot's id
}

// minStep is the least difference that counts as a step; slewing by NTP stays far below it between
// two checks.
const minStep = 2 * time.Second

// NewClock reads the host's clocks.
func NewClock() *Clock {
	return ClockOf(time.Now, newUptime().now)
}

// ClockOf makes a clock of any wall clock and any time that only goes on, for simulations.
func ClockOf(wall func() time.Time, up func() time.Duration) *Clock {
	return &Clock{base: wall().Round(0), from: up(), up: up, wall: wall, boot: bootID()}
}

// Now is the machine's time, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base.Add(c.up() - c.from).UTC()
}

// Stepped tells by how much the wall clock was stepped away from the machine's; 0 when it was not.
// Move then moves the machine's time along.
func (c *Clock) Stepped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.wall().Round(0).Sub(c.base.Add(c.up() - c.from))
	if by.Abs() < minStep {
		return 0
	}
	return by
}

// Move moves the machine's time. Whoever calls it moves all times that were read off the clock,
// too.
func (c *Clock) Move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = c.base.Add(by)
}

// Anchor is the relation of wall clock and time since boot, to be stored; SteppedSince compares a
// stored one with now.
func (c *Clock) Anchor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot + " " + strconv.FormatInt(c.base.Add(-c.from).UnixMilli(), 10)
}

// SteppedSince tells by how much the wall clock was stepped since the anchor was made, while no
// process checked it.
func (c *Clock) SteppedSince(anchor string) time.Duration {
	id, ms, ok := strings.Cut(anchor, " ")
	then, err := strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil || id == "" || id != c.boot {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	by := time.Duration(c.base.Add(-c.from).UnixMilli()-then) * time.Millisecond
	if by.Abs() < minStep {
		return 0
	}
	return by
}

// CheckClock moves the machine's times along when the wall clock was stepped, so that neither a
// deadline comes early or late nor a displayed time is wrong.
func (c *Controller) CheckClock() {
	if c.cfg.Clock.Stepped() == 0 {
		c.alarms.ringLate() // a timer is late by the time that a suspended host was asleep
		return
	}
	c.clockMu.Lock()
	by := c.cfg.Clock.Stepped()
	c.cfg.Clock.Move(by)
	c.moved += by
	streams := c.all()
	for _, s := range streams {
		s.state = s.state.Clone() // readers have the one before
		s.state.Shift(by)
		s.savedAt = s.savedAt.Add(by)
		s.mu.Lock()
		for i := range s.inbox {
			s.inbox[i].ev = machine.Shifted(s.inbox[i].ev, by)
		}
		s.mu.Unlock()
	}
	c.first.shift(by)
	c.alarms.shift(by)
	c.clockMu.Unlock()
	c.cfg.Log.Warn("the clock of this host was set", "by", by.Round(time.Millisecond))
	for _, s := range streams {
		s.post(machine.Timer{})
	}
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// uptime tells the time since boot, suspension included. Asking the kernel for it is a system call,
// so only what suspension adds to the monotonic clock is asked for, and not for every hook.
type uptime struct {
	start   time.Time
	asked   atomic.Int64 // of the monotonic clock since start, ns
	suspend atomic.Int64 // boot time less monotonic time since start, ns
}

// askEvery is how long a suspension may go unnoticed after its end.
const askEvery = 100 * time.Millisecond

func newUptime() *uptime {
	u := &uptime{start: time.Now()}
	u.suspend.Store(sinceBoot() - int64(time.Since(u.start)))
	return u
}

func (u *uptime) now() time.Duration {
	passed := int64(time.Since(u.start))
	if passed-u.asked.Load() >= int64(askEvery) {
		u.asked.Store(passed)
		by := sinceBoot() - int64(time.Since(u.start))
		if by-u.suspend.Load() > int64(time.Millisecond) { // less comes from reading one clock after the other
			u.suspend.Store(by)
		}
	}
	return time.Duration(passed + u.suspend.Load())
}

func sinceBoot() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // there since Linux 2.6.39
	return ts.Nano()
}
