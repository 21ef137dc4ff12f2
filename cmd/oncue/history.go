package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
)

func newHistory() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history STREAM",
		Short: "Show what a stream did, and why",
		Long: "Show the steps of a stream, the latest last. Attempts that fail in the same way share a line, which\n" +
			"says how many they were. With --json print every step as the API returns it, newest first.",
		Args:              argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	client.Flags(cmd)
	limit := cmd.Flags().IntP("limit", "n", 50, "print at most `N` steps, up to 1000")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		id, err := c.StreamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		path := client.StreamPath(id, fmt.Sprintf("/history?limit=%d", *limit))
		if *asJSON {
			return c.Copy(cmd.Context(), path, cmd.OutOrStdout())
		}
		var steps []term.Step
		if err := c.Get(cmd.Context(), path+"&fold=true", &steps); err != nil {
			return err
		}
		term.NewScreen(cmd.OutOrStdout()).HistoryTable(id, steps, time.Now())
		return nil
	}
	return cmd
}
