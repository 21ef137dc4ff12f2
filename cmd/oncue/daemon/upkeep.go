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
	careEvery     = 5 * time.Second // at most; each account is checked every poll_interval
	memoryEvery   = time.Minute
	sweepEvery    = time.Hour
	backupEvery   = 6 * time.Hour
	pruneEvery    = 24 * time.Hour
	keepThumbnail = 7 * 24 * time.Hour
	upkeepLimit   = 10 * time.Minute
)

// job is a piece of upkeep. It runs at once and then every so often, unless first says when it
// begins.
type job struct {
	every time.Duration
	first time.Duration // from now
	do    func(context.Context)
}

func (d *Daemon) beginUpkeep() error {
	jobs := []job{
		{careEvery, 0, d.careForWebhooks},
		{tokensEvery, 0, d.careForTokens},
		{memoryEvery, 4 * upkeepAfter, releaseMemory},
		{sweepEvery, sweepEvery, d.sweep},
		{backupEvery, backupEvery, d.backup},
		{pruneEvery, pruneEvery, d.prune},
	}
	if interval, err := systemd.SdWatchdogEnabled(false); err == nil && interval > 0 {
		jobs = append(jobs, job{interval / 2, 0, d.feedWatchdog})
	}
	var err error
	if d.upkeep, err = gocron.NewScheduler(); err != nil {
		return fmt.Errorf("make the scheduler: %w", err)
	}
	for _, j := range jobs {
		task := gocron.NewTask(func(ctx context.Context) { // which ends with the scheduler
			ctx, cancel := context.WithTimeout(ctx, upkeepLimit)
			defer cancel()
			j.do(ctx)
		})
		at := gocron.WithStartImmediately()
		if j.first > 0 {
			at = gocron.WithStartDateTime(time.Now().Add(j.first))
		}
		_, err := d.upkeep.NewJob(gocron.DurationJob(j.every), task,
			gocron.WithStartAt(at), gocron.WithSingletonMode(gocron.LimitModeReschedule))
		if err != nil {
			return fmt.Errorf("add a job of the upkeep: %w", err)
		}
	}
	d.upkeep.Start()
	return nil
}

// careForWebhooks makes and repairs the webhook of each account that has manage_webhook.
func (d *Daemon) careForWebhooks(ctx context.Context) {
	for id, a := range d.inForce().accounts {
		if a.care == nil || time.Since(d.webhookChecked[id]) < a.cfg.PollInterval {
			continue
		}
		d.webhookChecked[id] = time.Now()
		caring, cancel := context.WithTimeout(ctx, time.Minute)
		state, err := a.care.Ensure(caring)
		cancel()
		if err != nil {
			d.log.Error("the webhook could not be checked", "account", id, "error", err)
			continue
		}
		v := state.View()
		d.control.WebhookSeen(id, &v)
		if err := d.keepSecrets(ctx, id, state.Secrets); err != nil {
			d.log.Error("the webhook's secret could not be saved", "account", id, "error", err)
		}
	}
}

func (d *Daemon) sweep(ctx context.Context) {
	swept, err := d.store.Sweep(ctx, retention(d.inForce().plan))
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
	if _, err := d.thumbnails.Prune(time.Now().Add(-keepThumbnail)); err != nil {
		d.log.Error("old thumbnails could not be deleted", "error", err)
	}
}

// feedWatchdog tells systemd that the daemon is alive when the controller's locks are free and the
// store answers, even with an error: a full disk is no reason to be killed.
func (d *Daemon) feedWatchdog(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := d.control.Pulse(ctx); err != nil {
		d.log.Error("the controller does not answer; the watchdog of systemd is not notified", "error", err)
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
		d.log.Error("the store does not answer; the watchdog of systemd is not notified")
	}
}
