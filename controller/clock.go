package controller

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Clock is the machine's time: it shows the wall clock's time and runs on one that nobody can set. When the wall clock is stepped, Stepped tells by how much, and the
// machine's times are moved along; a suspended host is no step.
type Clock struct {
	mu   sync.Mutex
	base time.Time            // wall clock at from
	from time.Duration        // elapsed at base
	up   func() time.Duration // since boot, suspension included
	wall func() time.Time
	boot string // this boot's id
}

// minStep is the least difference that counts as a step; slewing by NTP stays far below it between two looks.
const minStep = 2 * time.Second

// NewClock reads the host's clocks.
func NewClock() *Clock {
	return ClockOf(time.Now, sinceBoot)
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

// Stepped tells by how much the wall clock was stepped away from the machine's; 0 when it was not. Move then moves the machine's time along.
func (c *Clock) Stepped() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.wall().Round(0).Sub(c.base.Add(c.up() - c.from))
	if by.Abs() < minStep {
		return 0
	}
	return by
}

// Move moves the machine's time. Whoever calls it moves all times that were read off the clock, too.
func (c *Clock) Move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = c.base.Add(by)
}

// Anchor is the relation of wall clock and time since boot, to be stored; Since compares a stored one with now. A different boot: 0.
func (c *Clock) Anchor() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot + " " + strconv.FormatInt(c.base.Add(-c.from).UnixMilli(), 10)
}

// SteppedSince tells by how much the wall clock was stepped since the anchor was made, while nobody looked.
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

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // there since Linux 2.6.39
	return time.Duration(ts.Nano())
}
