package term

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/encoders"
)

// Status is the answer of GET /status.
type Status struct {
	Version  string                   `json:"version"`
	Started  controller.Time          `json:"started"`
	Now      controller.Time          `json:"now"` // by the daemon's clock
	Ready    bool                     `json:"ready"`
	NotReady []string                 `json:"not_ready"`
	Platform []controller.AccountView `json:"platform"`
	Problems []string                 `json:"problems"`
	Config   *web.ConfigState         `json:"config"`
	Streams  []controller.StreamView  `json:"streams"`
	Helpers  []controller.HelperView  `json:"helpers"`
	Savings  struct {
		Since    *controller.Time `json:"since"`
		RunS     float64          `json:"run_s"`
		AvoidedS float64          `json:"avoided_s"`
	} `json:"savings"`
}

// StatusTable writes the table of all streams: those in trouble first, those that are idle last. On
// a page of limited height it leaves out what does not fit, and says how many streams of each phase
// those are.
func (s Screen) StatusTable(all Status) {
	page := s.Tall > 0
	var below bytes.Buffer
	foot := s
	foot.Out = &below
	foot.helpers(all)
	foot.Complaints(all)
	foot.savings(all)
	if page {
		s.Printf("%s\n", s.Paint(Bold, tally(all.Streams)))
	}
	s.Problems(all)
	switch {
	case len(all.Streams) == 0:
		s.Printf("no stream is configured; those of a pattern appear when a viewer comes\n")
	case page:
		s.streamsOnPage(all, bytes.Count(below.Bytes(), newline))
	default:
		s.Table(statusColumns, s.streamRows(ranked(all.Streams), all.Now.Time))
		if len(all.Streams) > s.Height() {
			s.Printf("%s\n", tally(all.Streams))
		}
	}
	s.Printf("%s", below.String())
}

var newline = []byte("\n")

const whyColumn = 3

// troubleLines is how many lines the reason of a stream in trouble may take where there is room.
const troubleLines = 6

var statusColumns = []Column{
	{Name: "STREAM", Fit: Middle, Least: 14},
	{Name: "PHASE"},
	{Name: "WANTED"},
	{Name: "WHY", Fit: Ending, Least: 20},
	{Name: "SINCE"},
	{Name: "NEXT"},
}

// streamsOnPage writes as many rows as fit. The reasons of streams in trouble are written out if
// there is room, and else take two lines if only a few would be cut.
func (s Screen) streamsOnPage(all Status, below int) {
	streams := ranked(all.Streams)
	room := max(2, s.Tall-below-2-s.problemLines(all)) // less the summary and the heads
	spare := max(0, room-len(streams))
	if troubled := inTroubleOf(streams); spare < troubled {
		busy := len(streams) - idle(streams)
		spare = max(spare, min(troubled, room-1-busy)) // idle rows make room
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
	columns[whyColumn].Fit = Folded
	widths := s.Widths(columns, rows)
	s.Heads(columns, widths)
	for i, r := range rows {
		lines := 1
		if inTrouble(streams[i]) {
			lines = min(troubleLines, len(wrap(Harmless(r[whyColumn].Text), widths[whyColumn])), 1+spare)
			if shown < len(streams) {
				lines = min(lines, 2)
			}
		}
		spare -= lines - 1
		columns[whyColumn].most = lines
		s.Row(columns, widths, r)
	}
	if rest := streams[shown:]; len(rest) > 0 {
		s.Printf("… and %s\n", tally(rest))
	}
}

func (s Screen) streamRows(streams []controller.StreamView, now time.Time) [][]Cell {
	rows := make([][]Cell, 0, len(streams))
	for _, v := range streams {
		style, why := phaseStyle(v.Phase), Cell{Text: whyWords(v, now)}
		if v.Trouble != nil {
			why.Style = Red
		}
		rows = append(rows, []Cell{
			{Text: string(v.ID)}, {string(v.Phase), style}, {Text: wantedWord(v)}, why,
			{Text: sinceWord(v, now)}, {Text: nextWord(v, now)},
		})
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
	return strings.TrimSuffix(Plural(len(streams), "stream")+": "+strings.Join(parts, ", "), ": ")
}

// whyWords is the reason; what fails comes first, because a table may cut the end.
func whyWords(v controller.StreamView, now time.Time) string {
	t := v.Trouble
	if t == nil {
		return v.Reason
	}
	words := troubleWords(t, now)
	if on := standIn(v); on != "" {
		words = fmt.Sprintf("%s failed, %s is on the air: %s (%s)", t.Encoder, on, t.Text, timesWords(t, now))
	}
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
	return fmt.Sprintf("failed: %s (%s, %s)", t.Text, t.Encoder, timesWords(t, now))
}

func timesWords(t *controller.Trouble, now time.Time) string {
	if t.Count > 1 {
		return fmt.Sprintf("%d times, last %s", t.Count, Clock(t.Last.Time, now))
	}
	return Clock(t.Last.Time, now)
}

// standIn is the encoder that viewers see while another one fails; "" when there is none.
func standIn(v controller.StreamView) string {
	for _, e := range v.Encoders {
		if e.OnAir && e.Name != v.Trouble.Encoder {
			return e.Name
		}
	}
	return ""
}

var helperColumns = []Column{
	{Name: "HELPER", Fit: Middle, Least: 14},
	{Name: "STATE"},
	{Name: "WANTED"},
	{Name: "WHY", Fit: Ending, Least: 20},
	{Name: "SINCE"},
}

// helpers writes the table of helpers below that of streams.
func (s Screen) helpers(all Status) {
	if len(all.Helpers) == 0 {
		return
	}
	var rows [][]Cell
	for _, h := range all.Helpers {
		style := map[controller.HelperState]Style{controller.HelperOn: Green, controller.HelperFailed: Red}[h.State]
		why, wanted, since := Cell{Text: h.Reason}, "no", "-"
		if h.Error != nil {
			why = Cell{Text: "failed: " + *h.Error + "; " + h.Reason, Style: Red}
		}
		if h.Wanted {
			wanted = "yes"
		}
		if h.Since != nil {
			since = Span(all.Now.Sub(h.Since.Time))
		}
		rows = append(rows, []Cell{{Text: h.Name}, {string(h.State), style}, {Text: wanted}, why, {Text: since}})
	}
	s.Printf("\n")
	s.Table(helperColumns, rows)
}

// savings says what all streams together have saved.
func (s Screen) savings(all Status) {
	v := all.Savings
	whole := v.RunS + v.AvoidedS
	if v.Since == nil || whole <= 0 {
		return
	}
	s.Paragraph("", Faint, fmt.Sprintf("since %s: encoders ran %s; %s avoided (%.0f %% of always on)",
		Clock(v.Since.Time, all.Now.Time), Span(seconds(v.RunS)), Span(seconds(v.AvoidedS)), 100*v.AvoidedS/whole))
}

// Problems are the lines above everything: what the person must know before the rest is believed.
func (s Screen) Problems(all Status) {
	for _, p := range all.Problems {
		s.Paragraph("! ", Red, p)
	}
}

func (s Screen) problemLines(all Status) int {
	var text bytes.Buffer
	s.Out = &text
	s.Problems(all)
	return bytes.Count(text.Bytes(), newline)
}

// Complaints writes the lines below the table: what is wrong beside the streams.
func (s Screen) Complaints(all Status) {
	for _, why := range all.NotReady {
		s.Paragraph("! ", Red, "not ready: "+why)
	}
	for _, a := range all.Platform {
		if a.PollError != nil {
			s.Paragraph("! ", Yellow, a.Account+": cannot ask the platform: "+text(a.PollError))
		}
		if a.Webhook != nil && a.Webhook.Disabled != nil {
			s.Paragraph("! ", Red, a.Account+": the platform has disabled the webhook: "+text(a.Webhook.Disabled))
		}
	}
}

func phaseStyle(p controller.Phase) Style {
	switch p {
	case controller.PhaseLive:
		return Green
	case controller.PhaseStarting, controller.PhaseStopping, controller.PhaseLingering, controller.PhaseWaiting:
		return Cyan
	case controller.PhaseBackoff:
		return Yellow
	case controller.PhaseFailed:
		return Red
	}
	return Faint
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
		"":                             "in",
		"return to auto":               "auto",
		"end of the scheduled window":  "end",
		"begin of a scheduled window":  "begin",
		"end of somebody's demand":     "end",
		"go on without the platform":   "go on",
		"count the old feed as closed": "feed over",
		"retry the stop":               "retry",
		"raise an alarm":               "alarm",
		waitForPlatform:                "give up",
		waitForEncoder:                 "give up",
	}[does]
	return cutEnd(cmp.Or(word, does), 9) + " " + Span(v.Deadline.Sub(now))
}

const (
	waitForPlatform = "give up waiting for the platform to show it live"
	waitForEncoder  = "give up waiting for the encoder"
)

// nextStep is what happens by itself next. During a start, the controller's "retry" means that it
// gives this start up.
func nextStep(v controller.StreamView) string {
	does := text(v.DeadlineDoes)
	if v.Phase == controller.PhaseStarting && does == "retry" {
		publishes := func(e controller.EncoderView) bool { return e.State == encoders.StatePublishing }
		if slices.ContainsFunc(v.Encoders, publishes) {
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
	return Span(now.Sub(v.Since.Time))
}

// HeldWords says who holds a stream, and until when.
func HeldWords(v controller.StreamView, now time.Time) string {
	if v.Mode == controller.ModeAuto {
		return "automatic"
	}
	words := "held " + string(v.Mode)
	if by := text(v.ModeBy); by != "" {
		words += " by " + by
	}
	if v.ModeUntil != nil {
		words += fmt.Sprintf(" until %s (%s)", Clock(v.ModeUntil.Time, now), Span(v.ModeUntil.Sub(now)))
	}
	if why := text(v.ModeWhy); why != "" {
		words += ": " + why
	}
	return words
}
