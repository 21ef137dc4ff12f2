package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/encoders"
)

func newStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [STREAM]",
		Short: "Show what is on, why, and what happens next",
		Long: "Show all streams in a table, those in trouble first, or everything about one.\n" +
			"STREAM is a stream id such as ABC123/lobby, or the name alone when only one account has it.\n" +
			"A name with * (any characters) or ? (one) shows the table of the streams that it matches.",
		Args:              argsBetween(0, 1),
		ValidArgsFunction: completeStreams,
	}
	daemonFlags(cmd)
	watch := cmd.Flags().BoolP("watch", "w", false, "keep watching: on a terminal redraw the table, elsewhere print a line for each change")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.MarkFlagsMutuallyExclusive("watch", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := findDaemon(cmd)
		if err != nil {
			return err
		}
		of, err := c.selection(cmd.Context(), args)
		if err != nil {
			return err
		}
		s := newScreen(cmd.OutOrStdout())
		switch {
		case *watch:
			return c.watchStatus(cmd.Context(), s, of, cmd.ErrOrStderr())
		case *asJSON && of.id == "":
			return c.copyAnswer(cmd.Context(), of.path(), s.out)
		case *asJSON:
			return c.copyAnswer(cmd.Context(), streamPath(of.id, ""), s.out)
		}
		return c.showStatus(cmd.Context(), s, of)
	}
	return cmd
}

// selection is what a person wants to see: one stream, those that a pattern matches, or with neither all.
type selection struct{ id, pattern string }

// selection reads the arguments. A stream whose name looks like a pattern is found by its id.
func (c *client) selection(ctx context.Context, args []string) (of selection, err error) {
	if len(args) == 0 {
		return of, nil
	}
	if !strings.ContainsAny(args[0], "*?") {
		of.id, err = c.streamID(ctx, args[0])
		return of, err
	}
	if v, err := c.stream(ctx, args[0]); err == nil {
		return selection{id: v.ID}, nil
	}
	of.pattern = args[0]
	var all atAGlance
	if err := c.get(ctx, of.path(), &all); err != nil {
		return of, err
	}
	if len(all.Streams) == 0 {
		return of, hint(fmt.Errorf("no stream matches %q", harmless(of.pattern)), "oncue status shows them all")
	}
	return of, nil
}

func (of selection) path() string {
	if of.pattern == "" {
		return "/status"
	}
	return "/status?match=" + url.QueryEscape(of.pattern)
}

// has reports whether the stream is one of those to be shown.
func (of selection) has(id string) bool {
	return of.id == id || of.id == "" && (of.pattern == "" || web.Matcher(of.pattern)(id))
}

// statusTable is the table of all streams: those in trouble first, those that are idle last. On a page of a certain height it leaves out what does not fit, and says
// how many of each kind that is.
func (s screen) statusTable(all atAGlance) {
	page := s.tall > 0
	var below bytes.Buffer
	foot := s
	foot.out = &below
	foot.complaints(all)
	foot.savings(all)
	if page {
		s.printf("%s\n", s.paint(bold, tally(all.Streams)))
	}
	s.problems(all)
	switch {
	case len(all.Streams) == 0:
		s.printf("no stream is configured; those of a pattern appear when a viewer comes\n")
	case page:
		s.streamsOnPage(all, bytes.Count(below.Bytes(), newline))
	default:
		s.table(statusColumns, s.streamRows(ranked(all.Streams), all.Now.Time))
		if len(all.Streams) > s.height() {
			s.printf("%s\n", tally(all.Streams))
		}
	}
	s.printf("%s", below.String())
}

var newline = []byte("\n")

const whyColumn = 3

// troubleLines is how many lines the reason of a stream in trouble may take where there is room.
const troubleLines = 6

var statusColumns = []column{
	{name: "STREAM", fit: middle, least: 14}, {name: "PHASE"}, {name: "WANTED"}, {name: "WHY", fit: ending, least: 20}, {name: "SINCE"}, {name: "NEXT"},
}

// streamsOnPage writes as many rows as fit. Reasons of trouble are written out where there is room, and take two lines where a few of them would be cut.
func (s screen) streamsOnPage(all atAGlance, below int) {
	streams := ranked(all.Streams)
	room := max(2, s.tall-below-2-s.problemLines(all)) // less the summary and the heads
	spare := max(0, room-len(streams))
	if troubled := inTroubleOf(streams); spare < troubled {
		busy := len(streams) - idle(streams)
		spare = max(spare, min(troubled, room-1-busy)) // rows that are idle make way
		if 4*troubled <= room {
			spare = troubled
		}
	}
	shown := len(streams)
	if shown > room-spare {
		shown = max(1, room-spare-1)
	}
	rows := s.streamRows(streams[:shown], all.Now.Time)
	columns := slices.Clone(statusColumns)
	columns[whyColumn].fit = folded
	widths := s.widths(columns, rows)
	s.heads(columns, widths)
	for i, r := range rows {
		lines := 1
		if inTrouble(streams[i]) {
			lines = min(troubleLines, len(wrap(harmless(r[whyColumn].text), widths[whyColumn])), 1+spare)
			if shown < len(streams) {
				lines = min(lines, 2)
			}
		}
		spare -= lines - 1
		columns[whyColumn].most = lines
		s.row(columns, widths, r)
	}
	if rest := streams[shown:]; len(rest) > 0 {
		s.printf("… and %s\n", tally(rest))
	}
}

func (s screen) streamRows(streams []controller.StreamView, now time.Time) [][]cell {
	rows := make([][]cell, 0, len(streams))
	for _, v := range streams {
		style, why := phaseStyle(v.Phase), cell{text: whyWords(v, now)}
		if v.Trouble != nil {
			why.style = red
		}
		rows = append(rows, []cell{{text: v.ID}, {string(v.Phase), style}, {text: wantedWord(v)}, why, {text: sinceWord(v, now)}, {text: nextWord(v, now)}})
	}
	return rows
}

// ranked are the streams in the order in which they matter: in trouble, at work, idle.
func ranked(streams []controller.StreamView) []controller.StreamView {
	rank := func(v controller.StreamView) int {
		switch {
		case inTrouble(v):
			return 0
		case v.Phase == controller.PhaseIdle:
			return 2
		}
		return 1
	}
	streams = slices.Clone(streams)
	slices.SortStableFunc(streams, func(a, b controller.StreamView) int { return cmp.Compare(rank(a), rank(b)) })
	return streams
}

func inTrouble(v controller.StreamView) bool {
	return v.Trouble != nil || v.Phase == controller.PhaseBackoff || v.Phase == controller.PhaseFailed
}

func inTroubleOf(streams []controller.StreamView) (n int) {
	for _, v := range streams {
		if inTrouble(v) {
			n++
		}
	}
	return n
}

func idle(streams []controller.StreamView) (n int) {
	for _, v := range streams {
		if v.Phase == controller.PhaseIdle && !inTrouble(v) {
			n++
		}
	}
	return n
}

// tally counts streams: "500 streams: 7 in trouble, 21 live, 479 idle".
func tally(streams []controller.StreamView) string {
	counts := map[controller.Phase]int{}
	for _, v := range streams {
		counts[v.Phase]++
	}
	var parts []string
	if troubled := inTroubleOf(streams); troubled > 0 {
		parts = append(parts, fmt.Sprintf("%d in trouble", troubled))
	}
	last := len(controller.Phases)
	for i := range last { // idle, which is the first of them, comes last
		if p := controller.Phases[(i+1)%last]; counts[p] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[p], p))
		}
	}
	return strings.TrimSuffix(plural(len(streams), "stream")+": "+strings.Join(parts, ", "), ": ")
}

// whyWords is the reason; what fails comes first, for a table may cut the end.
func whyWords(v controller.StreamView, now time.Time) string {
	t := v.Trouble
	if t == nil {
		return v.Reason
	}
	words := troubleWords(t, now)
	// The reason of backoff and failed ends in the same failure.
	reason := v.Reason
	for _, verb := range []string{" failed: ", " is given up: "} {
		if before, _, found := strings.Cut(reason, "; "+t.Encoder+verb); found {
			reason = before
			break
		}
	}
	if v.Phase == controller.PhaseFailed {
		words += "; given up"
	}
	return words + "; " + reason
}

// troubleWords says what fails: "failed: connection refused (cam, 5 times, last 03:38:01)".
func troubleWords(t *controller.Trouble, now time.Time) string {
	times := ""
	if t.Count > 1 {
		times = fmt.Sprintf("%d times, last ", t.Count)
	}
	return fmt.Sprintf("failed: %s (%s, %s%s)", t.Text, t.Encoder, times, clock(t.Last.Time, now))
}

// savings says what all streams together have saved.
func (s screen) savings(all atAGlance) {
	v := all.Savings
	whole := v.RunS + v.AvoidedS
	if v.Since == nil || whole <= 0 {
		return
	}
	s.paragraph("", faint, fmt.Sprintf("since %s: encoders ran %s; %s avoided (%.0f %% of always on)",
		clock(v.Since.Time, all.Now.Time), span(seconds(v.RunS)), span(seconds(v.AvoidedS)), 100*v.AvoidedS/whole))
}

// problems are the lines above everything: what the person must know before the rest is believed.
func (s screen) problems(all atAGlance) {
	for _, p := range all.Problems {
		s.paragraph("! ", red, p)
	}
}

func (s screen) problemLines(all atAGlance) int {
	var text bytes.Buffer
	s.out = &text
	s.problems(all)
	return bytes.Count(text.Bytes(), newline)
}

// complaints are the lines below the table: what is wrong beside the streams.
func (s screen) complaints(all atAGlance) {
	for _, why := range all.NotReady {
		s.paragraph("! ", red, "not ready: "+why)
	}
	for _, a := range all.Platform {
		if a.PollError != nil {
			s.paragraph("! ", yellow, a.Account+": cannot ask the platform: "+text(a.PollError))
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

// nextWord is what happens by itself next, and when: "stop 43s".
func nextWord(v controller.StreamView, now time.Time) string {
	if v.Deadline == nil {
		return "-"
	}
	does := nextStep(v)
	word := map[string]string{
		"": "in", "return to auto": "auto", "end of the scheduled window": "end", "begin of a scheduled window": "begin", "go on without the platform": "go on",
		"count the old feed as closed": "feed over", "retry the stop": "retry", "raise an alarm": "alarm", waitForPlatform: "give up", waitForEncoder: "give up",
	}[does]
	return cutEnd(cmp.Or(word, does), 9) + " " + span(v.Deadline.Sub(now))
}

const (
	waitForPlatform = "give up waiting for the platform to show it live"
	waitForEncoder  = "give up waiting for the encoder"
)

// nextStep is what happens by itself next. While a start is under way the machine's "retry" is the end of the patience with it.
func nextStep(v controller.StreamView) string {
	does := text(v.DeadlineDoes)
	if v.Phase == controller.PhaseStarting && does == "retry" {
		if slices.ContainsFunc(v.Encoders, func(e controller.EncoderView) bool { return e.State == encoders.StatePublishing }) {
			return waitForPlatform
		}
		return waitForEncoder
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
