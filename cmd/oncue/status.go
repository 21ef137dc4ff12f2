package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
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
	client.Flags(cmd)
	watch := cmd.Flags().BoolP("watch", "w", false,
		"keep watching: on a terminal redraw the table, elsewhere print a line for each change")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.MarkFlagsMutuallyExclusive("watch", "json")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		of, err := selectionOf(cmd.Context(), c, args)
		if err != nil {
			return err
		}
		s := term.NewScreen(cmd.OutOrStdout())
		switch {
		case *watch:
			return watchStatus(cmd.Context(), c, s, of, cmd.ErrOrStderr())
		case *asJSON && of.id == "":
			return c.Copy(cmd.Context(), of.path(), s.Out)
		case *asJSON:
			return c.Copy(cmd.Context(), client.StreamPath(of.id, ""), s.Out)
		}
		return showStatus(cmd.Context(), c, s, of)
	}
	return cmd
}

// selection is what a person wants to see: one stream, those that a pattern matches, or with
// neither all.
type selection struct{ id, pattern string }

// selectionOf reads the arguments. A stream whose name looks like a pattern is found by its id.
func selectionOf(ctx context.Context, c *client.Client, args []string) (of selection, err error) {
	if len(args) == 0 {
		return of, nil
	}
	if !strings.ContainsAny(args[0], "*?") {
		of.id, err = c.StreamID(ctx, args[0])
		return of, err
	}
	if v, err := c.Stream(ctx, args[0]); err == nil {
		return selection{id: string(v.ID)}, nil
	}
	of.pattern = args[0]
	var all term.Status
	if err := c.Get(ctx, of.path(), &all); err != nil {
		return of, err
	}
	if len(all.Streams) == 0 {
		return of, term.Hint(fmt.Errorf("no stream matches %q", term.Harmless(of.pattern)),
			"oncue status shows them all")
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
	return of.id == id || of.id == "" && (of.pattern == "" || web.Matcher(of.pattern)(controller.StreamID(id)))
}

// storySteps is how many steps of its history the status of one stream ends with.
const storySteps = 8

// showStatus prints the table, or everything about one stream.
func showStatus(ctx context.Context, c *client.Client, s term.Screen, of selection) error {
	if of.id == "" {
		var all term.Status
		if err := c.Get(ctx, of.path(), &all); err != nil {
			return err
		}
		s.StatusTable(all)
		return nil
	}
	v, err := c.Stream(ctx, of.id)
	if err != nil {
		return err
	}
	var all term.Status
	if err := c.Get(ctx, "/status?streams=none", &all); err != nil {
		return err
	}
	var steps []term.Step
	if err := c.Get(ctx, client.StreamPath(of.id, fmt.Sprintf("/history?fold=true&limit=%d", storySteps)),
		&steps); err != nil {
		return err
	}
	s.Problems(all)
	s.Stream(v, steps, all.Now.Time)
	s.Complaints(all)
	return nil
}
