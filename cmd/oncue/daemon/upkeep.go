package daemon

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/go-co-op/gocron/v2"

	"github.com/oncue/oncue/store"
)

// This file is what the daemon does by the clock beside its streams.

const (
	careEvery   = 5 * time.Second // at most; each account is looked at every poll_interval
	tidyEvery   = time.Minute
	sweepEvery  = time.Hour
	backupEvery = 6 * time.Hour
	pruneEvery  = 24 * time.Hour
	keepPicture = 7 * 24 * time.Hour
	upkeepLimit = 10 * time.Minute
)

func (d *Daemon) beginUpkeep() error {
	var err error
	if d.upkeep, err = gocron.NewScheduler(); err != nil {
		return fmt.Errorf("make the scheduler: %w", err)
	}
	at := gocron.WithStartAt(gocron.WithStartImmediately())
	jobs := []struct {
		every time.Duration
		do    func(context.Context)
		opts  []gocron.JobOption
	}{
		{careEvery, d.careForWebhooks, []gocron.JobOption{at}},
		{tidyEvery, giveBackMemory, []gocron.JobOption{gocron.WithStartAt(gocron.WithStartDateTime(time.Now().Add(4 * settle)))}},
		{sweepEvery, d.sweep, nil},
		{backupEvery, d.backup, nil},
		{pruneEvery, d.prune, nil},
	}
	if interval, err := systemd.SdWatchdogEnabled(false); err == nil && interval > 0 {
		jobs = append(jobs, struct {
			every time.Duration
			do    func(context.Context)
			opts  []gocron.JobOption
		}{interval / 2, d.feedWatchdog, []gocron.JobOption{at}})
	}
	for _, j := range jobs {
		task := gocron.NewTask(func() {
			ctx, cancel := context.WithTimeout(context.Background(), upkeepLimit)
			defer cancel()
			j.do(ctx)
		})
		if _, err := d.upkeep.NewJob(gocron.DurationJob(j.every), task, append(j.opts, gocron.WithSingletonMode(gocron.LimitModeReschedule))...); err != nil {
			return fmt.Errorf("plan the upkeep: %w", err)
		}
	}
	d.upkeep.Start()
	return nil
}

// careForWebhooks looks after the webhook of each account that asks for it, and looks at that of the others, where there is an API secret.
func (d *Daemon) careForWebhooks(ctx context.Context) {
	d.mu.Lock()
	accounts := d.accounts
	d.mu.Unlock()
	for id, a := range accounts {
		if a.care == nil || time.Since(d.cared[id]) < a.cfg.PollInterval {
			continue
		}
		d.cared[id] = time.Now()
		caring, cancel := context.WithTimeout(ctx, time.Minute)
		state, err := a.care.Ensure(caring)
		cancel()
		if err != nil {
			d.log.Error("the webhook could not be looked after", "account", id, "error", err)
			continue
		}
		v := state.View()
		d.control.WebhookSeen(id, &v)
		if err := d.keepSecrets(ctx, id, state.Secrets); err != nil {
			d.log.Error("the webhook's secret could not be kept", "account", id, "error", err)
		}
	}
}

func (d *Daemon) sweep(ctx context.Context) {
	d.mu.Lock()
	policy := retention(d.plan)
	d.mu.Unlock()
	swept, err := d.store.Sweep(ctx, policy)
	if err != nil {
		d.log.Error("old records could not be deleted", "error", err)
		return
	}
	d.log.Debug("old records were deleted", "deleted", swept)
}

func retention(p *plan) store.Policy {
	r := p.Retention
	return store.Policy{Journal: r.Events, History: r.History, MaxBytes: int64(r.MaxSize)}
}

func (d *Daemon) backup(ctx context.Context) {
	if err := d.store.Backup(ctx); err != nil {
		d.log.Error("the database could not be backed up", "error", err)
	}
}

func (d *Daemon) prune(context.Context) {
	if _, err := d.thumbs.Prune(time.Now().Add(-keepPicture)); err != nil {
		d.log.Error("old pictures could not be removed", "error", err)
	}
}

// feedWatchdog tells systemd that the daemon is alive, after a proof of it: the machine's locks can be had, and the store answers, be it with a complaint.
// A full disk is no reason to be killed.
func (d *Daemon) feedWatchdog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := d.control.Pulse(ctx); err != nil {
		d.log.Error("the machine does not answer; systemd is not told that it is alive", "error", err)
		return
	}
	answered := make(chan struct{})
	go func() {
		_ = d.store.Ready(ctx)
		close(answered)
	}()
	select {
	case <-answered:
		d.notifySystemd("WATCHDOG=1")
	case <-ctx.Done():
		d.log.Error("the store does not answer; systemd is not told that the daemon is alive")
	}
}
