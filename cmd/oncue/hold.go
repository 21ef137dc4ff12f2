package main

import (
	"fmt"
	"net/http"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs/words"
	"github.com/oncue/oncue/controller"
)

func newOn() *cobra.Command {
	return newHold(controller.ModeOn, "Hold a stream on",
		"Hold a stream on, with or without viewers, until oncue auto, or for the time of --for.\n"+
			"The hold survives restarts.")
}

func newOff() *cobra.Command {
	return newHold(controller.ModeOff, "Hold a stream off",
		"Hold a stream off, even if viewers come, until oncue auto, or for the time of --for.\n"+
			"The hold survives restarts.")
}

func newAuto() *cobra.Command {
	return newHold(controller.ModeAuto, "Hand a stream back to the viewers",
		"End a hold: from now on viewers start and stop the stream again.")
}

func newHold(mode controller.Mode, short, long string) *cobra.Command {
	cmd := &cobra.Command{
		Use: string(mode) + " STREAM", Short: short, Long: long, Args: argsBetween(1, 1),
		ValidArgsFunction: completeStreams,
	}
	client.Flags(cmd)
	var lasts durationFlag
	if mode != controller.ModeAuto {
		cmd.Flags().Var(&lasts, "for",
			"for this `DURATION`, such as 30m, 2h or 1d; then it is automatic again (default: until oncue auto)")
	}
	why := cmd.Flags().String("why", "", "the `REASON`, for the history")
	by := cmd.Flags().String("by", whoAmI(), "`NAME` of the person who asks for it")
	asJSON := cmd.Flags().Bool("json", false, "print what the API returns")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		request := map[string]string{"mode": string(mode), "by": *by, "why": *why}
		if cmd.Flags().Changed("for") {
			if lasts <= 0 {
				return term.Usage(fmt.Errorf("--for %s: a hold must be longer than 0s",
					words.FormatDuration(time.Duration(lasts))))
			}
			request["for"] = time.Duration(lasts).String()
		}
		c, err := client.Find(cmd)
		if err != nil {
			return err
		}
		id, err := c.StreamID(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		path := client.StreamPath(id, "/mode")
		return change(cmd, c, http.MethodPut, path, request, *asJSON, func(v controller.StreamView) string {
			return fmt.Sprintf("is %s; it is %s", term.HeldWords(v, time.Now()), phaseWords(v))
		})
	}
	return cmd
}

// change asks for a change of a stream and prints what the API answers: as it is, or in words.
func change(
	cmd *cobra.Command, c *client.Client, method, path string, request any, asJSON bool,
	words func(controller.StreamView) string,
) error {
	if asJSON {
		var answer []byte
		if err := c.Call(cmd.Context(), method, path, request, &answer); err != nil {
			return err
		}
		_, err := cmd.OutOrStdout().Write(answer)
		return err
	}
	var v controller.StreamView
	if err := c.Call(cmd.Context(), method, path, request, &v); err != nil {
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", term.Harmless(string(v.ID)), words(v))
	return err
}

// phaseWords is the phase, and why, unless a hold says that already.
func phaseWords(v controller.StreamView) string {
	if v.Mode != controller.ModeAuto {
		return string(v.Phase)
	}
	return string(v.Phase) + ": " + term.Harmless(v.Reason)
}

// whoAmI names the person at the terminal, also behind sudo.
func whoAmI() string {
	for _, name := range []string{"SUDO_USER", "USER"} {
		if who := os.Getenv(name); who != "" {
			return who
		}
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}
