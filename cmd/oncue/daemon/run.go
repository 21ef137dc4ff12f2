package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
)

// Serve runs the daemon on a configuration file until ctx ends. It reloads the file at SIGHUP and,
// with watch, when it has changed.
func Serve(ctx context.Context, path string, watch bool, version string, errs io.Writer) error {
	// First of all, because a signal that nobody waits for ends the process. SIGHUP while the
	// daemon starts is a reload after the start.
	hup, pipe := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	signal.Notify(pipe, syscall.SIGPIPE) // else a log whose reader is gone would end the process
	defer signal.Stop(pipe)
	warnings := term.Graded(errs, term.PriorityWarn)
	cfg, err := Load(path, term.Graded(errs, term.PriorityError), func(p configs.Problem) { fmt.Fprintln(warnings, p) })
	if err != nil {
		return err
	}
	d, err := Start(ctx, cfg, Options{Log: errs, Version: version, reloads: make(chan chan []string)})
	if err != nil {
		return err
	}
	var changed <-chan time.Time
	if watch {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		changed = tick.C
	}
	seen := stampOf(path)
	for {
		select {
		case <-ctx.Done():
			return d.Stop()
		case err := <-d.broken:
			return errors.Join(err, d.Stop())
		case <-hup:
			seen = stampOf(path)
			d.reload(path)
		case asked := <-d.reloads:
			seen = stampOf(path)
			asked <- d.reload(path)
		case <-changed:
			// A file that was written within the last second may be half written.
			if now := stampOf(path); now != seen && time.Since(now.changed) > time.Second {
				seen = now
				d.reload(path)
			}
		}
	}
}

// stamp distinguishes versions of a file.
type stamp struct {
	changed time.Time
	size    int64
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}
