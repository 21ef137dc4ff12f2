package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
)

// logEvery is how often --follow asks for more.
const logEvery = time.Second

func newLogs() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "logs STREAM",
		Short:             "Show what a stream's encoder wrote",
		Args:              argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	client.Flags(cmd)
	encoder := cmd.Flags().String("encoder", "",
		"the `NAME` of the encoder, when the stream has several (default: the first)")
	lines := cmd.Flags().IntP("lines", "n", 200, "print the last `N` lines, up to 10000")
	follow := cmd.Flags().BoolP("follow", "f", false, "keep printing what it writes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		id, err := c.StreamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		window := *lines
		if *follow {
			window = max(window, logWindow)
		}
		l := logTail{
			c: c, out: cmd.OutOrStdout(),
			path: client.StreamPath(id, fmt.Sprintf("/log?encoder=%s&lines=%d", url.QueryEscape(*encoder), window)),
		}
		if err := l.print(cmd.Context(), *lines); err != nil {
			return err
		}
		if l.seen == nil {
			if err := tellNoLog(cmd.Context(), c, cmd.ErrOrStderr(), id, *encoder); err != nil {
				return err
			}
		}
		if !*follow {
			return nil
		}
		tick := time.NewTicker(logEvery)
		defer tick.Stop()
		for {
			select {
			case <-cmd.Context().Done():
				return nil
			case <-tick.C:
			}
			if err := l.print(cmd.Context(), window); err != nil && cmd.Context().Err() == nil {
				return err
			}
		}
	}
	return cmd
}

// logless says why encoders of a driver have no log here, and what shows more.
var logless = map[string]string{
	"http": "a device with an HTTP API writes no log here; oncue try %[1]s status --verbose shows requests and " +
		"answers",
	"obs":  "OBS writes no log here: see its own, Help > Log Files; oncue try %[1]s status --verbose asks it",
	"fake": "a fake encoder writes no log",
}

// tellNoLog says why an encoder's log is empty: the named one's, or the first of the stream.
func tellNoLog(ctx context.Context, c *client.Client, to io.Writer, stream, encoder string) error {
	var st struct {
		Encoders []struct{ Name, Driver string }
	}
	if err := c.Get(ctx, client.StreamPath(stream, ""), &st); err != nil {
		return err
	}
	for _, e := range st.Encoders {
		if encoder != "" && e.Name != encoder {
			continue
		}
		why := logless[e.Driver]
		if why == "" {
			why = "it has written nothing yet"
		} else if strings.Contains(why, "%") {
			name, _, _ := strings.Cut(e.Name, "@") // of an instance, the encoder that it is one of
			why = fmt.Sprintf(why, name)
		}
		fmt.Fprintf(to, "encoder %s has no log: %s\n", term.Harmless(e.Name), why)
		return nil
	}
	return nil
}

// logWindow is how many lines are read to find the new ones.
const logWindow = 1000

// logTail prints the new lines of a log that is read again and again.
type logTail struct {
	c    *client.Client
	out  io.Writer
	path string
	seen []string // what was read last
}

// print writes the new lines, at most so many.
func (l *logTail) print(ctx context.Context, lines int) error {
	var answer []byte
	if err := l.c.Get(ctx, l.path, &answer); err != nil {
		return err
	}
	if len(answer) == 0 {
		return nil
	}
	now := strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n")
	fresh := now[overlap(l.seen, now):]
	for _, line := range fresh[max(0, len(fresh)-lines):] {
		fmt.Fprintln(l.out, term.Harmless(line))
	}
	l.seen = now
	return nil
}

// overlap is how many lines of now are the end of before.
func overlap(before, now []string) int {
	for n := min(len(before), len(now)); n > 0; n-- {
		if slices.Equal(before[len(before)-n:], now[:n]) {
			return n
		}
	}
	return 0
}
