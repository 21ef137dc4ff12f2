package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
)

func main() {
	if len(os.Args) == 2 { // a process that a driver begins; people do not
		switch os.Args[1] {
		case relay.Command:
			os.Exit(relay.Main())
		case handover.Command:
			os.Exit(handover.Main())
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := daemon.CloseMemory(); err != nil { // no kernel refuses it
		fmt.Fprintln(os.Stderr, "error: secrets in memory are not protected from other processes:", err)
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program. It returns the exit code: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !term.IsSaid(err) {
		to := term.Graded(errs, term.PriorityError)
		fmt.Fprintf(to, "error: %v\n", err)
		if h := term.HintFor(err); h != "" {
			fmt.Fprintf(to, "hint: %s\n", h)
		}
	}
	if term.IsUsage(err) {
		return 2
	}
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "oncue",
		Short: "Start encoders when viewers arrive, stop them when nobody watches",
		Long: "oncue starts encoders when viewers arrive and stops them when nobody watches.\n" +
			"It receives the webhooks of Millicast (Dolby OptiView Real-time) and drives FFmpeg, OBS and " +
			"encoders with HTTP APIs.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		// A mistyped command, whose flags the root command does not know.
		if !cmd.HasParent() && cmd.Flags().NArg() > 0 {
			return noArgs(cmd, cmd.Flags().Args())
		}
		return term.Hint(term.Usage(err), fmt.Sprintf("%s --help lists the flags", cmd.CommandPath()))
	})
	client.AdminFlag(root)
	root.AddCommand(commands()...)
	return root
}

// commands lists the subcommands, in the order of the manual.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newServe(), newReload(), newCheck(),
		newStatus(), newOn(), newOff(), newAuto(), newDemand(), newWakeLink(), newHistory(), newLogs(), newEvents(),
		newDashboard(),
		newDemo(),
		newHook(), newDoctor(), newWebhook(), newToken(), newUndo(), newTry(), newPresets(), newBundle(), newInit(),
		newVersion(), newCompletion(), newMan(),
	}
}

// noArgs and argsBetween are cobra's checks in our words.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		text := fmt.Errorf("unknown command %q", args[0])
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return term.Hint(term.Usage(text), fmt.Sprintf("did you mean %s %s?", cmd.CommandPath(), near[0]))
		}
		return term.Hint(term.Usage(text), cmd.CommandPath()+" --help lists them")
	}
	text := fmt.Errorf("%s takes no argument %q", cmd.CommandPath(), args[0])
	if cmd.Flags().Lookup("config") != nil {
		return term.Hint(term.Usage(text),
			fmt.Sprintf("for a configuration: %s --config %s", cmd.CommandPath(), term.Harmless(args[0])))
	}
	return term.Hint(term.Usage(text), "usage: "+cmd.UseLine())
}

func argsBetween(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return term.Hint(term.Usage(fmt.Errorf("%s: an argument is missing", cmd.CommandPath())),
				"usage: "+cmd.UseLine())
		case len(args) > most:
			return term.Hint(term.Usage(fmt.Errorf("%s takes no further argument %q", cmd.CommandPath(), args[most])),
				"usage: "+cmd.UseLine())
		}
		return nil
	}
}
