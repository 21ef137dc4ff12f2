package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
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
	daemonFlags(cmd)
	encoder := cmd.Flags().String("encoder", "", "the `NAME` of the encoder, when the stream has several (default: the first)")
	lines := cmd.Flags().IntP("lines", "n", 200, "the last `many` lines, up to 10000")
	follow := cmd.Flags().BoolP("follow", "f", false, "go on with what it writes")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := findDaemon(cmd)
		if err != nil {
			return err
		}
		id, err := c.streamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		window := *lines
		if *follow {
			window = max(window, logWindow)
		}
		l := logTail{c: c, out: cmd.OutOrStdout(), path: streamPath(id, fmt.Sprintf("/log?encoder=%s&lines=%d", url.QueryEscape(*encoder), window))}
		if err := l.print(cmd.Context(), *lines); err != nil || !*follow {
			return err
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

// logWindow is how many lines are read to find what is new, lines.
const logWindow = 1000

// logTail prints a log that is read again and again, always as many lines of it, so that what is new shows.
type logTail struct {
	c    *client
	out  io.Writer
	path string
	seen []string // what was read last
}

// print writes what is new, at most so many lines.
func (l *logTail) print(ctx context.Context, lines int) error {
	var answer []byte
	if err := l.c.get(ctx, l.path, &answer); err != nil {
		return err
	}
	if len(answer) == 0 {
		return nil
	}
	now := strings.Split(strings.TrimSuffix(string(answer), "\n"), "\n")
	fresh := now[overlap(l.seen, now):]
	for _, line := range fresh[max(0, len(fresh)-lines):] {
		fmt.Fprintln(l.out, harmless(line))
	}
	l.seen = now
	return nil
}

// overlap is how many lines at the beginning of now are the end of before.
func overlap(before, now []string) int {
	for start := max(0, len(before)-len(now)); start < len(before); start++ {
		n := len(before) - start
		same := true
		for i := 0; i < n && same; i++ {
			same = before[start+i] == now[i]
		}
		if same {
			return n
		}
	}
	return 0
}
