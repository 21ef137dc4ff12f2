package main

import (
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/controller"
)

func newDemand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demand STREAM",
		Short: "Ask for a stream for a while, as a viewer does who waits",
		Long: "Ask for a stream for the time of --for, as a viewer does who waits: it starts, and stays up until then.\n" +
			"The same --by asks again before the time is over; each name counts for itself. --end asks no longer.\n" +
			"It is no hold: a hold, the schedule, cooldown and the limits go before it.",
		Args:              argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	client.Flags(cmd)
	lasts := durationFlag(time.Minute)
	cmd.Flags().Var(&lasts, "for", "for this `DURATION`, from 1s to 24h")
	by := cmd.Flags().String("by", whoAmI(), "`NAME` of who asks")
	end := cmd.Flags().Bool("end", false, "end what this name has asked for")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.MarkFlagsMutuallyExclusive("for", "end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		id, err := c.StreamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		words := func(v controller.StreamView) string { return "is " + phaseWords(v) }
		path := client.StreamPath(id, "/demand")
		if *end {
			return change(cmd, c, http.MethodDelete, path+"?by="+url.QueryEscape(*by), nil, *asJSON, words)
		}
		request := map[string]string{"for": time.Duration(lasts).String(), "by": *by}
		return change(cmd, c, http.MethodPut, path, request, *asJSON, words)
	}
	return cmd
}
