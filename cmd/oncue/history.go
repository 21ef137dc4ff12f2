package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/controller"
)

func newHistory() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history STREAM",
		Short: "Show what a stream did, and why",
		Long: "Show the steps of a stream, the latest last. Tries that end in the same failure are one line with their number.\n" +
			"With --json every step is printed as the API returns it, newest first.",
		Args:              argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	daemonFlags(cmd)
	limit := cmd.Flags().IntP("limit", "n", 50, "print at most `N` steps, up to 1000")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := findDaemon(cmd)
		if err != nil {
			return err
		}
		id, err := c.streamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		path := streamPath(id, fmt.Sprintf("/history?limit=%d", *limit))
		if *asJSON {
			return c.copyAnswer(cmd.Context(), path, cmd.OutOrStdout())
		}
		var steps []step
		if err := c.get(cmd.Context(), path+"&fold=true", &steps); err != nil {
			return err
		}
		newScreen(cmd.OutOrStdout()).historyTable(id, steps, time.Now())
		return nil
	}
	return cmd
}

// step is a line of a folded history.
type step struct {
	controller.Transition
	Count int              `json:"count"`
	First *controller.Time `json:"first"`
}

// why is the reason: "failed 5 times since 03:37:12: connection refused".
func (t step) why(now time.Time) string {
	cause, ok := strings.CutPrefix(t.Reason, "failed: ")
	if !ok || t.Count < 2 || t.First == nil {
		return t.Reason
	}
	return fmt.Sprintf("failed %d times since %s: %s", t.Count, clock(t.First.Time, now), cause)
}

func (s screen) historyTable(id string, steps []step, now time.Time) {
	if len(steps) == 0 {
		s.printf("%s has no history yet\n", harmless(id))
		return
	}
	slices.Reverse(steps)
	rows := make([][]cell, len(steps))
	for i, step := range steps {
		why := step.why(now)
		if step.Encoder != "" {
			why += " (" + step.Encoder + ")"
		}
		rows[i] = []cell{{step.At.Local().Format(timeLayout(steps[0].At.Time, now)), faint}, {string(step.To), phaseStyle(step.To)}, {text: step.Event}, {text: why}}
	}
	s.table([]column{{name: "TIME"}, {name: "PHASE"}, {name: "EVENT", fit: ending, least: 12}, {name: "WHY", fit: folded, least: 24}}, rows)
}

// timeLayout leaves the day out when everything since oldest was today.
func timeLayout(oldest, now time.Time) string {
	if oldest.Local().Format(time.DateOnly) == now.Local().Format(time.DateOnly) {
		return "15:04:05.000"
	}
	return "2006-01-02 15:04:05"
}
