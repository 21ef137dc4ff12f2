package controller

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/robfig/cron/v3"
)

// plan gives gocron what happens by the clock on the wall: the polls of each account, the windows of each stream, and the look at the clock itself.
func (c *Controller) plan() error {
	if c.cron == nil {
		return nil
	}
	for _, job := range c.cron.Jobs() {
		if err := c.cron.RemoveJob(job.ID()); err != nil {
			return fmt.Errorf("remove a job: %w", err)
		}
	}
	if _, err := c.cron.NewJob(gocron.DurationJob(time.Second), gocron.NewTask(c.CheckClock), gocron.WithSingletonMode(gocron.LimitModeReschedule)); err != nil {
		return fmt.Errorf("plan the look at the clock: %w", err)
	}
	if err := c.planPolls(); err != nil {
		return err
	}
	c.mu.RLock()
	streams := c.cfg.Streams
	c.mu.RUnlock()
	for i := range streams {
		if err := c.planWindows(&streams[i]); err != nil {
			return err
		}
		if slices.ContainsFunc(streams[i].Encoders, func(e EncoderSpec) bool { return e.ByHand && !c.shared(e.Device) }) {
			c.stream(streams[i].Account, streams[i].Name).post(Timer{}) // its boxes are watched from now on
		}
	}
	return nil
}

func (c *Controller) planPolls() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.polls {
		if _, kept := c.cfg.Accounts[id]; !kept {
			delete(c.polls, id)
		}
	}
	for id, spec := range c.cfg.Accounts {
		p := c.polls[id]
		if p == nil {
			p = &poller{c: c, account: id}
			c.polls[id] = p
		}
		p.mu.Lock()
		p.spec = spec
		p.mu.Unlock()
		if spec.Platform == nil {
			continue
		}
		_, err := c.cron.NewJob(gocron.DurationJob(max(spec.PollInterval, 100*time.Millisecond)), gocron.NewTask(p.tick),
			gocron.WithSingletonMode(gocron.LimitModeReschedule), gocron.WithStartAt(gocron.WithStartImmediately()))
		if err != nil {
			return fmt.Errorf("plan the poll of %s: %w", id, err)
		}
	}
	return nil
}

// planWindows opens the window that runs now, and has every edge of the schedule looked at when it comes.
func (c *Controller) planWindows(spec *StreamSpec) error {
	s := c.known(spec.ID())
	if len(spec.Schedule) == 0 {
		if s != nil && (c.booted.Load() || s.published().state.Window.Do != "") { // a start does not wake who has nothing to forget
			s.post(WindowSet{Do: ModeAuto})
		}
		return nil
	}
	apply := func() { c.applyWindow(spec) }
	for _, line := range spec.Schedule {
		_, err := c.cron.NewJob(gocron.CronJob(fmt.Sprintf("CRON_TZ=%s %s", zone(spec.Zone), line.Cron), false), gocron.NewTask(apply))
		if err != nil {
			return fmt.Errorf("schedule of %s: %q: %w", spec.ID(), line.Cron, err)
		}
	}
	apply()
	return nil
}

func zone(loc *time.Location) string {
	if loc == nil {
		return "Local"
	}
	return loc.String()
}

func (c *Controller) known(id string) *stream {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.streams[id]
}

func (c *Controller) applyWindow(spec *StreamSpec) {
	now := c.cfg.Clock.Now()
	do, until, err := windowAt(spec.Schedule, spec.Zone, now.Add(500*time.Millisecond)) // a timer may be a little early
	if err != nil {
		c.cfg.Log.Error("the schedule of a stream cannot be read", "stream", spec.ID(), "error", err)
		return
	}
	if do == ModeAuto && c.known(spec.ID()) == nil {
		return
	}
	s := c.stream(spec.Account, spec.Name)
	if s == nil {
		return
	}
	s.post(WindowSet{Do: do, Until: until})
	if do != ModeAuto {
		_, err = c.cron.NewJob(gocron.OneTimeJob(gocron.OneTimeJobStartDateTime(until.Add(time.Millisecond))), gocron.NewTask(func() { c.applyWindow(spec) }))
		if err != nil {
			c.cfg.Log.Error("the end of a window cannot be planned", "stream", spec.ID(), "error", err)
		}
	}
}

// windowAt tells which window of a schedule is open at t and until when: off is stronger than on, and windows of one kind that follow or overlap are one.
func windowAt(lines []ScheduleLine, loc *time.Location, t time.Time) (do Mode, until time.Time, err error) {
	if loc == nil {
		loc = time.Local
	}
	for _, kind := range []Mode{ModeOff, ModeOn} {
		end, err := openUntil(lines, kind, t.In(loc))
		if err != nil {
			return ModeAuto, time.Time{}, err
		}
		if end.IsZero() {
			continue
		}
		for range 1000 { // windows that follow each other
			more, _ := openUntil(lines, kind, end)
			if !more.After(end) {
				break
			}
			end = more
		}
		return kind, end.UTC(), nil
	}
	return ModeAuto, time.Time{}, nil
}

// openUntil is the latest end of the windows of a kind that are open at t; zero when none is.
func openUntil(lines []ScheduleLine, kind Mode, t time.Time) (time.Time, error) {
	var end time.Time
	for _, line := range lines {
		if line.Do != kind {
			continue
		}
		sched, err := cron.ParseStandard(line.Cron)
		if err != nil {
			return end, fmt.Errorf("%q: %w", line.Cron, err)
		}
		// The last begin at or before t whose window reaches t. Next is exclusive, hence the nanosecond.
		for at := sched.Next(t.Add(-line.For)); !at.IsZero() && !at.After(t); at = sched.Next(at) {
			if stop := at.Add(line.For); stop.After(t) && stop.After(end) {
				end = stop
			}
		}
	}
	return end, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
