package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the controller",
		Long: "Run the controller until SIGTERM or Ctrl-C. Encoders are left running then (on_exit: leave) and adopted at the next start.\n" +
			"SIGHUP and oncue reload make it read the configuration again; " +
			"with --watch, so does a change of the file. If the file has a mistake, nothing changes.",
		Args: noArgs,
	}
	path := client.ConfigFlag(cmd)
	watch := cmd.Flags().Bool("watch", false, "reload when the configuration file changes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return serve(cmd.Context(), *path, *watch, cmd.ErrOrStderr())
	}
	return cmd
}

// loadConfig reads the configuration. Problems are printed as the contract has them, one a line; warnings go to warn.
func loadConfig(path string, errs io.Writer, warn func(configs.Problem)) (*configs.Config, error) {
	cfg, warnings, missing, err := loadWhole(path)
	for _, w := range warnings {
		warn(w)
	}
	var problems configs.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			fmt.Fprintln(errs, p)
		}
		noun := "problems"
		if len(problems) == 1 {
			noun = "problem"
		}
		fmt.Fprintf(errs, "error: %s has %d %s; nothing was started\n", path, len(problems), noun)
		tellShell(errs, path, missing)
		return nil, term.Said(err)
	case errors.Is(err, os.ErrNotExist):
		return nil, term.Hint(err, "oncue init writes a configuration; --config FILE names another one")
	case errors.Is(err, os.ErrPermission):
		return nil, term.Hint(err, term.MayRead)
	case err != nil:
		return nil, err
	}
	return cfg, nil
}

func serve(ctx context.Context, path string, watch bool, errs io.Writer) error {
	// First of all, for a signal that nobody waits for ends the process. One that comes while the
	// daemon starts is a reload after the start.
	hup, pipe := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	signal.Notify(pipe, syscall.SIGPIPE) // a log that nobody reads any more would end the process
	defer signal.Stop(pipe)
	warnings := term.Graded(errs, term.PriorityWarn)
	cfg, err := loadConfig(path, term.Graded(errs, term.PriorityError), func(p configs.Problem) { fmt.Fprintln(warnings, p) })
	if err != nil {
		return err
	}
	d, err := startDaemon(ctx, cfg, errs, func(o *serviceOptions) { o.reloads = make(chan chan []string) })
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
			return d.stop()
		case err := <-d.broken:
			return errors.Join(err, d.stop())
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

// stamp tells versions of a file apart.
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

func levelOf(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return l
}
