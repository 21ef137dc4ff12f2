package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
)

func newEvents() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show the platform's hooks as they were received",
		Long: "Show the journal of hooks, the latest last. " +
			"With --json print them as the API returns them, newest first; with --follow, one per line.",
		Args: noArgs,
	}
	client.Flags(cmd)
	stream := cmd.Flags().String("stream", "", "only those of this `STREAM`")
	kind := cmd.Flags().String("type", "", "only those of this `TYPE` or event, such as ViewerAttempt or feeds")
	limit := cmd.Flags().IntP("limit", "n", 50, "print at most `N` past hooks, up to 1000")
	follow := cmd.Flags().BoolP("follow", "f", false, "keep printing new ones")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	_ = cmd.RegisterFlagCompletionFunc("stream", completeStreams)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		query := url.Values{"limit": {fmt.Sprint(*limit)}}
		id := ""
		if *stream != "" {
			if id, err = c.StreamID(cmd.Context(), *stream); err != nil {
				return err
			}
			query.Set("stream", id)
		}
		if *kind != "" {
			query.Set("type", *kind)
		}
		path := "/api/v1/events?" + query.Encode()
		p := eventPrinter{Screen: term.NewScreen(cmd.OutOrStdout()), json: *asJSON}
		past := func() error {
			if *asJSON && !*follow {
				return c.Copy(cmd.Context(), path, cmd.OutOrStdout())
			}
			var records []json.RawMessage
			if err := c.Get(cmd.Context(), path, &records); err != nil {
				return err
			}
			slices.Reverse(records)
			return p.printAll(records, *follow)
		}
		if !*follow {
			return past()
		}
		return c.Follow(cmd.Context(), past, func(ch client.Change) error {
			r := ch.Hook
			if r == nil || id != "" && r.Stream != controller.StreamID(id) ||
				*kind != "" && !strings.EqualFold(r.Type, *kind) && !strings.EqualFold(r.Event, *kind) {
				return nil
			}
			return p.print(ch.Raw)
		})
	}
	return cmd
}

// eventPrinter writes hooks in the order of the journal, each once.
type eventPrinter struct {
	term.Screen
	json   bool
	last   int64
	widths []int // of eventColumns; nil before the head was written
}

var eventColumns = []term.Column{
	{Name: "TIME"},
	{Name: "EVENT", Fit: term.Ending, Least: 15},
	{Name: "STREAM", Fit: term.Middle, Least: 12},
	{Name: "VERDICT"},
	{Name: "NOTE", Fit: term.Folded, Least: 15},
}

// printAll writes past hooks. If more will follow, the columns are wide enough for usual ones.
func (p *eventPrinter) printAll(records []json.RawMessage, more bool) error {
	if !p.json && p.widths == nil {
		var rows [][]term.Cell
		for _, raw := range records {
			var r controller.Record
			if json.Unmarshal(raw, &r) == nil { // print says what is wrong with it
				rows = append(rows, eventRow(r))
			}
		}
		if len(rows) == 0 && !more {
			return nil
		}
		if more {
			usual := controller.Record{
				Stream: controller.StreamID(strings.Repeat("x", 24)), Event: "NoActiveViewers", Verdict: controller.Quarantined,
				Note: strings.Repeat("x", p.Width()),
			}
			rows = append(rows, eventRow(usual))
		}
		p.widths = p.Screen.Widths(eventColumns, rows)
		p.Heads(eventColumns, p.widths)
	}
	for _, raw := range records {
		if err := p.print(raw); err != nil {
			return err
		}
	}
	return nil
}

func (p *eventPrinter) print(raw []byte) error {
	var r controller.Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return fmt.Errorf("read a hook of the journal: %w", err)
	}
	if r.Seq <= p.last {
		return nil
	}
	p.last = r.Seq
	if p.json {
		_, err := io.WriteString(p.Out, string(raw)+"\n")
		return err
	}
	p.Row(eventColumns, p.widths, eventRow(r))
	return nil
}

func eventRow(r controller.Record) []term.Cell {
	return []term.Cell{
		{Text: r.Received.Local().Format(time.DateTime), Style: term.Faint},
		{Text: cmp.Or(r.Event, r.Type)},
		{Text: string(cmp.Or(r.Stream, controller.StreamID(r.Account)))},
		{Text: string(r.Verdict), Style: verdictStyle(r.Verdict)},
		{Text: r.Note},
	}
}

func verdictStyle(v controller.Verdict) term.Style {
	switch v {
	case controller.Accepted:
		return term.Green
	case controller.Stale, controller.Quarantined:
		return term.Red
	}
	return term.Faint
}
