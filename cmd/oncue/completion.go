package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
)

// completionLimit bounds how long a key press waits for the daemon.
const completionLimit = 300 * time.Millisecond

func newCompletion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script of a shell",
		Long: "Print the completion script of a shell. It also completes stream names while the daemon answers.\n\n" +
			"  bash:  oncue completion bash > /etc/bash_completion.d/oncue\n" +
			"  zsh:   oncue completion zsh > \"${fpath[1]}/_oncue\"\n" +
			"  fish:  oncue completion fish > ~/.config/fish/completions/oncue.fish",
		Args:      argsBetween(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		root, out := cmd.Root(), cmd.OutOrStdout()
		switch args[0] {
		case "bash":
			return root.GenBashCompletionV2(out, true)
		case "zsh":
			return root.GenZshCompletion(out)
		case "fish":
			return root.GenFishCompletion(out, true)
		case "powershell":
			return root.GenPowerShellCompletionWithDesc(out)
		}
		return term.Hint(term.Usage(fmt.Errorf("oncue has no completion for the shell %q", args[0])),
			"it has one for bash, zsh, fish and powershell")
	}
	return cmd
}

// completeStreams offers the ids and the names of the daemon's streams.
func completeStreams(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const nothing = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, nothing
	}
	c, err := client.Find(cmd)
	if err != nil {
		return nil, nothing
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionLimit)
	defer cancel()
	var all term.Status
	if err := c.Get(ctx, "/status", &all); err != nil {
		return nil, nothing
	}
	var words []string
	for _, h := range all.Helpers {
		words = append(words, string(controller.HelperID(h.Name))+"\t"+string(h.State))
	}
	for _, s := range all.Streams {
		if term.Harmless(string(s.ID)) != string(s.ID) {
			continue
		}
		about := "\t" + string(s.Phase)
		words = append(words, string(s.ID)+about)
		if len(all.Platform) < 2 {
			words = append(words, s.Name+about)
		}
	}
	return words, nothing
}
