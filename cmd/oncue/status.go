package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/controller"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [STREAM]",
		Short: "Show what is on, why, and what happens next",
		Long: "Show all streams in a table, or the whole story of one.\n" +
			"STREAM is a stream id such as ABC123/lobby, or the name alone when only one account has it.",
		Args:              argsBetween(0, 1),
		ValidArgsFunction: completeStreams,
	}
	daemonFlags(cmd)
	watch := cmd.Flags().BoolP("watch", "w", false, "go on: redraw at each change on a terminal, else print the changes")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.MarkFlagsMutuallyExclusive("watch", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := findDaemon(cmd)
		if err != nil {
			return err
		}
		id := ""
		if len(args) > 0 {
			if id, err = c.streamID(cmd.Context(), args[0]); err != nil {
				return err
			}
		}
		s := newScreen(cmd.OutOrStdout())
		switch {
		case *watch:
			return c.watchStatus(cmd.Context(), s, id, cmd.ErrOrStderr())
		case *asJSON && id == "":
			return c.copyAnswer(cmd.Context(), "/status", s.out)
		case *asJSON:
			return c.copyAnswer(cmd.Context(), streamPath(id, ""), s.out)
		}
		return c.showStatus(cmd.Context(), s, id)
	}
	return cmd
}

// statusTable is the table of all streams, those that are idle last: there may be thousands of them.
func (s screen) statusTable(all atAGlance) {
	s.problems(all)
	now := all.Now.Time
	rows := make([][]cell, 0, len(all.Streams))
	streams := slices.Clone(all.Streams)
	slices.SortStableFunc(streams, func(a, b controller.StreamView) int { return cmp.Compare(idleRank(a), idleRank(b)) })
	for _, v := range streams {
		rows = append(rows, []cell{
			{text: v.ID}, {string(v.Phase), phaseStyle(v.Phase)}, {text: wantedWord(v)}, {text: v.Reason},
			{text: sinceWord(v, now)}, {text: nextWord(v, now)},
		})
	}
	if len(rows) == 0 {
		s.printf("no stream is configured\n")
	} else {
		s.table([]column{
			{name: "STREAM", fit: middle, least: 14}, {name: "PHASE"}, {name: "WANTED"}, {name: "WHY", fit: ending, least: 20}, {name: "SINCE"}, {name: "NEXT"},
		}, rows)
	}
	s.complaints(all)
}

// problems are the lines above everything: what the person must know before the rest is believed.
func (s screen) problems(all atAGlance) {
	for _, p := range all.Problems {
		s.paragraph("! ", red, p)
	}
}

func idleRank(v controller.StreamView) int {
	if v.Phase == controller.PhaseIdle {
		return 1
	}
	return 0
}

// complaints are the lines below the table: what is wrong beside the streams.
func (s screen) complaints(all atAGlance) {
	for _, why := range all.NotReady {
		s.paragraph("! ", red, "not ready: "+why)
	}
	for _, a := range all.Platform {
		if a.PollError != nil {
			s.paragraph("! ", yellow, a.Account+": the platform cannot be asked: "+text(a.PollError))
		}
		if a.Webhook != nil && a.Webhook.Disabled != nil {
			s.paragraph("! ", red, a.Account+": the platform has disabled the webhook: "+text(a.Webhook.Disabled))
		}
	}
}

func phaseStyle(p controller.Phase) style {
	switch p {
	case controller.PhaseLive:
		return green
	case controller.PhaseStarting, controller.PhaseStopping, controller.PhaseLingering, controller.PhaseWaiting:
		return cyan
	case controller.PhaseBackoff:
		return yellow
	case controller.PhaseFailed:
		return red
	}
	return faint
}

func wantedWord(v controller.StreamView) string {
	if v.Wanted {
		return "yes"
	}
	return "no"
}

// nextWord is what the machine does by itself next, and when: "stop 43s".
func nextWord(v controller.StreamView, now time.Time) string {
	if v.Deadline == nil {
		return "-"
	}
	return cutEnd(shortDoes(text(v.DeadlineDoes)), 9) + " " + span(v.Deadline.Sub(now))
}

// shortDoes says the longer of the machine's next steps in a word.
func shortDoes(does string) string {
	switch does {
	case "":
		return "in"
	case "return to auto":
		return "auto"
	case "end of the scheduled window":
		return "end"
	case "go on without the platform":
		return "go on"
	case "close the feed":
		return "close"
	case "retry the stop":
		return "retry"
	case "raise an alarm":
		return "alarm"
	}
	return does
}

// sinceWord is how long a stream has been in its phase.
func sinceWord(v controller.StreamView, now time.Time) string {
	if v.Since.IsZero() {
		return "-"
	}
	return span(now.Sub(v.Since.Time))
}

// heldWords says who holds a stream, and until when.
func heldWords(v controller.StreamView, now time.Time) string {
	if v.Mode == controller.ModeAuto {
		return "automatic"
	}
	words := "held " + string(v.Mode)
	if by := text(v.ModeBy); by != "" {
		words += " by " + by
	}
	if v.ModeUntil != nil {
		words += fmt.Sprintf(" until %s (%s)", clock(v.ModeUntil.Time, now), span(v.ModeUntil.Sub(now)))
	}
	if why := text(v.ModeWhy); why != "" {
		words += ": " + why
	}
	return words
}
