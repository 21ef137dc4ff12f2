package runner

import (
	"fmt"
	"slices"
	"time"

	"github.com/go-co-op/gocron/v2"
	"github.com/oncue/oncue/controller/machine"
)

// addJobs gives gocron what happens again and again: the polls of each account, and the check of
// the clock. It wakes the streams that may have something to do without a hook.
func (c *Controller) addJobs() error {
	if c.cron == nil {
		return nil
	}
	for _, job := range c.cron.Jobs() {
		if err := c.cron.RemoveJob(job.ID()); err != nil {
			return fmt.Errorf("remove a job: %w", err)
		}
	}
	_, err := c.cron.NewJob(gocron.DurationJob(time.Second), gocron.NewTask(c.CheckClock),
		gocron.WithSingletonMode(gocron.LimitModeReschedule))
	if err != nil {
		return fmt.Errorf("add the check of the clock: %w", err)
	}
	if err := c.addPolls(); err != nil {
		return err
	}
	c.mu.RLock()
	streams := c.cfg.Streams
	c.mu.RUnlock()
	for i := range streams {
		p := &streams[i].Policy
		watched := func(e *machine.EncoderSpec) bool { return e.Watched }
		if p.Schedule != nil || slices.ContainsFunc(slices.Collect(p.All()), watched) {
			// A window may be open, and boxes are watched from now on.
			c.stream(streams[i].Account, streams[i].Name).post(machine.Timer{})
		}
	}
	return nil
}

func (c *Controller) addPolls() error {
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
			return fmt.Errorf("add the poll of %s: %w", id, err)
		}
	}
	return nil
}
