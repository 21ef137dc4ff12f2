package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
)

// This file keeps which configuration is in force, and what became of the last try to read it
// again.

// inForce is what a reload replaces. No value in it is changed after it was put in, so a copy may
// be read without the lock.
type inForce struct {
	plan     *plan
	accounts map[string]*account

	// The configuration's side of GET /status.
	file    string // whole path
	loaded  time.Time
	written time.Time // of the text in force
	summary string
	refused []string // what is wrong with the file that was read last; nil: it is in force
}

func (d *Daemon) inForce() inForce {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// change replaces parts of what is in force.
func (d *Daemon) change(replace func(*inForce)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	replace(&d.current)
}

// setLoaded notes that the configuration is in force from now on.
func (d *Daemon) setLoaded(cfg *configs.Config) {
	file, err := filepath.Abs(cfg.File)
	if err != nil {
		file = cfg.File
	}
	now := time.Now()
	summary := fmt.Sprintf("%s, %s; configuration of %s", term.Plural(len(cfg.Streams), "stream"),
		term.Plural(len(cfg.Encoders), "encoder"), now.Format(time.DateTime))
	d.change(func(f *inForce) {
		f.file, f.loaded, f.written, f.summary, f.refused = file, now, cfg.Modified, summary, nil
	})
}

// notifyStatus sets the line Status: of systemctl status.
func (d *Daemon) notifyStatus() {
	f := d.inForce()
	status := f.summary
	if f.refused != nil {
		status = notReloaded(f.refused)
	}
	d.notifySystemd("STATUS=" + status)
}

// configState is what the admin side shows.
func (d *Daemon) configState() (web.ConfigState, []string) {
	f := d.inForce()
	var problems []string
	if f.refused != nil {
		problems = []string{notReloaded(f.refused)}
	}
	problems = append(problems, d.tokens.problems(f.plan.auto)...)
	return web.ConfigState{
		File: f.file, Loaded: controller.Time{Time: f.loaded}, Modified: controller.Time{Time: f.written},
		Refused: f.refused,
	}, problems
}

// notReloaded reports a refused reload in one line.
func notReloaded(problems []string) string {
	more := ""
	if n := len(problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return "the configuration was not reloaded, and the one before stays in force: " + problems[0] + more
}

// reload reads the file again and returns what is wrong with it. A bad file changes nothing.
func (d *Daemon) reload(path string) (refused []string) {
	began := sinceBoot()
	d.notifySystemd("RELOADING=1")
	refused, err := d.reloadFrom(path)
	d.notifySystemd("READY=1")
	d.metrics.ObserveReload(time.Now(), err)
	if err != nil {
		d.log.Error("the configuration was not reloaded; the one before stays in force", "file", path, "error", err)
		if refused == nil {
			refused = []string{err.Error()}
		}
		d.change(func(f *inForce) { f.refused = refused })
	}
	d.notifyStatus()
	if err := saveVerdict(verdict{began, refused}); err != nil {
		d.log.Warn("the result of the reload was not handed to oncue reload", "error", err)
	}
	return refused
}

// reloadFrom returns the problems of a file that is refused because of them.
func (d *Daemon) reloadFrom(path string) (refused []string, err error) {
	before := d.inForce().plan
	cfg, warnings, missing, err := loadWhole(path)
	if err != nil {
		var problems configs.Problems
		if !errors.As(err, &problems) {
			return nil, err
		}
		for _, p := range problems {
			refused = append(refused, p.String())
		}
		if file := d.olderThan(path, missing); file != "" {
			refused = slices.Insert(refused, 0, fmt.Sprintf("the environment of the running daemon is older than %s: "+
				"restart it (systemctl restart oncue loses no hook and no encoder)", file))
		}
		for _, p := range refused {
			d.log.Error("configuration", "problem", p)
		}
		return refused, fmt.Errorf("%s has problems", path)
	}
	if bare(cfg) && !bare(before.Config) {
		return nil, fmt.Errorf("%s names no account, no encoder and no stream: it looks cut off", path)
	}
	for _, w := range warnings {
		d.log.Warn("configuration", "problem", w.String())
	}
	if file := EnvFile(path); d.changedSinceStart(file) {
		d.log.Warn("the daemon keeps the variables of its start until it is restarted",
			"file", file)
	}
	lines := configs.Diff(before.Config, cfg)
	if len(lines) == 0 {
		d.log.Info("the configuration was reloaded; nothing has changed", "file", path)
		d.setLoaded(cfg)
		return nil, nil
	}
	for _, l := range lines {
		d.log.Info("configuration changed", "change", l)
	}
	if fixed := fixedChanges(before.Config, cfg); len(fixed) > 0 {
		d.log.Warn("these keys take effect at the next start", "keys", fixed)
	}
	p, err := newPlan(cfg, before, d.tokens)
	if err != nil {
		return nil, err
	}
	if err := d.apply(p); err != nil {
		return nil, err
	}
	d.log.Info("the configuration was reloaded", "file", path)
	d.setLoaded(cfg)
	return nil, nil
}

// askReload is the admin side's Reload.
func (d *Daemon) askReload(ctx context.Context) ([]string, error) {
	answer := make(chan []string, 1)
	select {
	case d.reloads <- answer:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case refused := <-answer:
		return refused, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bare reports whether the configuration is empty. That is valid, but it is also what a reader
// finds while somebody writes the file.
func bare(c *configs.Config) bool {
	return len(c.Accounts) == 0 && len(c.Encoders) == 0 && len(c.Streams) == 0
}

// fixedChanges lists changed keys that take effect only at a restart.
func fixedChanges(old, new *configs.Config) []string {
	var keys []string
	if old.Listen != new.Listen || old.TLS.CertFile != new.TLS.CertFile || old.TLS.KeyFile != new.TLS.KeyFile {
		keys = append(keys, "listen, tls")
	}
	if a, b := old.Admin, new.Admin; a.Listen != b.Listen || a.Socket != b.Socket || !a.Token.Same(b.Token) {
		keys = append(keys, "admin")
	}
	if old.DataDir != new.DataDir {
		keys = append(keys, "data_dir")
	}
	return keys
}

// EnvFile is where the package's unit takes its variables from (EnvironmentFile=): beside the
// configuration.
func EnvFile(config string) string { return filepath.Join(filepath.Dir(config), "oncue.env") }

// olderThan names the file that sets variables which the daemon lacks, "" for none; a reload cannot
// bring them. Where the daemon may not read the file, as with the package, it is enough that the
// file was written after the start.
func (d *Daemon) olderThan(config string, missing []string) string {
	file := EnvFile(config)
	text, err := os.ReadFile(file)
	switch {
	case len(missing) == 0:
		return ""
	case err == nil && len(setBy(text, missing)) > 0, errors.Is(err, os.ErrPermission) && d.changedSinceStart(file):
		return file
	}
	return ""
}

func (d *Daemon) changedSinceStart(file string) bool { return ChangedAfter(file, d.started) }

// ChangedAfter reports whether a file was written after a time.
func ChangedAfter(file string, at time.Time) bool {
	info, err := os.Stat(file)
	return err == nil && info.ModTime().After(at)
}

// setBy lists those of the variables that a file of NAME=value lines sets.
func setBy(text []byte, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !regexp.MustCompile(`(?m)^[ \t]*` + regexp.QuoteMeta(name) + `=`).Match(text)
	})
}

// hintShell says how a shell gets the variables that the service has.
func hintShell(errs io.Writer, config string, missing []string) {
	file := EnvFile(config)
	text, err := os.ReadFile(file)
	if err == nil && len(setBy(text, missing)) > 0 {
		fmt.Fprintf(errs, "hint: the service has the variables of %s; a shell gets them by: set -a; . %s; set +a\n",
			file, file)
	}
}
