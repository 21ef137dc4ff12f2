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

// inForce is the configuration's side of GET /status, under service.mu.
type inForce struct {
	file    string // whole path
	loaded  time.Time
	written time.Time // of the text in force
	words   string    // what it holds
	refused []string  // what is wrong with the file that was read last; nil: it is in force
}

func (d *Daemon) setInForce(cfg *configs.Config) {
	file, err := filepath.Abs(cfg.File)
	if err != nil {
		file = cfg.File
	}
	now := time.Now()
	words := fmt.Sprintf("%s, %s; configuration of %s",
		term.Plural(len(cfg.Streams), "stream"), term.Plural(len(cfg.Encoders), "encoder"), now.Format(time.DateTime))
	d.mu.Lock()
	d.inForce = inForce{file: file, loaded: now, written: cfg.Modified, words: words}
	d.mu.Unlock()
}

// tellStatus is for the line Status: of systemctl status.
func (d *Daemon) tellStatus() {
	d.mu.Lock()
	words := d.inForce.words
	if d.inForce.refused != nil {
		words = notReloaded(d.inForce.refused)
	}
	d.mu.Unlock()
	d.notifySystemd("STATUS=" + words)
}

// configState is what the admin side shows.
func (d *Daemon) configState() (web.ConfigState, []string) {
	d.mu.Lock()
	f := d.inForce
	d.mu.Unlock()
	var problems []string
	if f.refused != nil {
		problems = []string{notReloaded(f.refused)}
	}
	return web.ConfigState{
		File: f.file, Loaded: controller.Time{Time: f.loaded}, Modified: controller.Time{Time: f.written},
		Refused: f.refused,
	}, problems
}

// notReloaded tells of a refused reload in one line.
func notReloaded(problems []string) string {
	more := ""
	if n := len(problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return "the configuration was not reloaded, and the one before stays in force: " + problems[0] + more
}

// reload takes the file anew and returns what is wrong with it. A bad one changes nothing.
func (d *Daemon) reload(path string) (refused []string) {
	begun := sinceBoot()
	d.notifySystemd("RELOADING=1")
	refused, err := d.reloadFrom(path)
	d.notifySystemd("READY=1")
	d.metrics.ObserveReload(time.Now(), err)
	if err != nil {
		d.log.Error("the configuration was not reloaded; the one before stays in force", "file", path, "error", err)
		if refused == nil {
			refused = []string{err.Error()}
		}
		d.mu.Lock()
		d.inForce.refused = refused
		d.mu.Unlock()
	}
	d.tellStatus()
	if err := saveVerdict(verdict{begun, refused}); err != nil {
		d.log.Warn("what became of the reload cannot be handed to oncue reload", "error", err)
	}
	return refused
}

// reloadFrom returns the problems of a file that is refused for those.
func (d *Daemon) reloadFrom(path string) (refused []string, err error) {
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
	if bare(cfg) && !bare(d.plan.Config) {
		return nil, fmt.Errorf("%s names no account, no encoder and no stream: it looks cut off", path)
	}
	for _, w := range warnings {
		d.log.Warn("configuration", "problem", w.String())
	}
	if file := EnvFile(path); d.changedSinceStart(file) {
		d.log.Warn("the daemon has the variables of its start; a restart brings those that the file sets now",
			"file", file)
	}
	lines := configs.Diff(d.plan.Config, cfg)
	if len(lines) == 0 {
		d.log.Info("the configuration was reloaded; nothing has changed", "file", path)
		d.setInForce(cfg)
		return nil, nil
	}
	for _, l := range lines {
		d.log.Info("configuration changed", "change", l)
	}
	if fixed := fixedChanges(d.plan.Config, cfg); len(fixed) > 0 {
		d.log.Warn("these keys take effect at the next start", "keys", fixed)
	}
	p, err := newPlan(cfg, d.plan)
	if err != nil {
		return nil, err
	}
	if err := d.apply(p); err != nil {
		return nil, err
	}
	d.log.Info("the configuration was reloaded", "file", path)
	d.setInForce(cfg)
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

// bare reports whether nothing can run by the configuration. An empty file is valid, but it is also
// what a reader finds while somebody writes it.
func bare(c *configs.Config) bool {
	return len(c.Accounts) == 0 && len(c.Encoders) == 0 && len(c.Streams) == 0
}

// fixedChanges lists changed keys that only a restart can bring into force.
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

// olderThan names the file that has variables which the daemon lacks; a reload cannot bring them.
// Where the daemon may not read the file, as with the package, that it was written after the start
// tells enough.
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

func (d *Daemon) changedSinceStart(file string) bool { return ChangedAfter(file, d.begun) }

func ChangedAfter(file string, at time.Time) bool {
	info, err := os.Stat(file)
	return err == nil && info.ModTime().After(at)
}

// setBy lists which of the variables a file of NAME=value lines sets.
func setBy(text []byte, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return !regexp.MustCompile(`(?m)^[ \t]*` + regexp.QuoteMeta(name) + `=`).Match(text)
	})
}

// tellShell says how a shell gets the variables that the service has.
func tellShell(errs io.Writer, config string, missing []string) {
	file := EnvFile(config)
	text, err := os.ReadFile(file)
	if err == nil && len(setBy(text, missing)) > 0 {
		fmt.Fprintf(errs, "hint: the service has the variables of %s; a shell gets them by: set -a; . %s; set +a\n",
			file, file)
	}
}
