package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller/millicast"
)

func newUndo() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Remove everything at the platform that oncue made",
		Long: "Remove everything at the platform that oncue made: the publishing tokens labelled " + millicast.OwnLabel +
			"… of the account,\nand the webhooks with public_url + " + millicast.HookPath + ". " +
			"Who publishes with such a token is cut off.\n" +
			"It lists them and asks first, but for --yes. A running daemon would make them again, so it must be stopped.",
		Args: noArgs,
	}
	yes := cmd.Flags().BoolP("yes", "y", false, "do not ask")
	return apiSubcommand(cmd, "", func(*webhookCmd, []string) (string, error) { return "", nil },
		func(ctx context.Context, d *webhookCmd, _ []string) error { return d.undo(ctx, *yes) })
}

func (d *webhookCmd) undo(ctx context.Context, yes bool) error {
	if d.makesThings() && d.daemonAnswers(ctx) {
		return term.Hint(errors.New("the running daemon would make it again"),
			"stop it (systemctl stop oncue), or take manage_webhook: true and token: auto out of the configuration "+
				"and reload it")
	}
	if err := d.client.CheckAccount(ctx); err != nil {
		return err
	}
	tokens, err := d.client.ListTokens(ctx)
	if err != nil {
		return err
	}
	var hooks []millicast.Webhook
	if own, err := d.ownURL(); err == nil {
		all, err := d.client.ListWebhooks(ctx)
		if err != nil {
			return err
		}
		hooks = webhooksAt(all, own)
	}
	type thing struct {
		name   string
		remove func() error
	}
	var things []thing
	for _, t := range tokens {
		if t.IsOwn() {
			things = append(things, thing{fmt.Sprintf("publishing token %d (%s)", t.ID, t.Label),
				func() error { return d.client.DeleteToken(ctx, t.ID) }})
		}
	}
	for _, w := range hooks {
		things = append(things, thing{fmt.Sprintf("webhook %d (%s)", w.ID, w.URL),
			func() error { return d.client.DeleteWebhook(ctx, w.ID) }})
	}
	out := d.cmd.OutOrStdout()
	if len(things) == 0 {
		fmt.Fprintf(out, "account %s has nothing that oncue made\n", d.account.ID)
		return nil
	}
	if !yes {
		for _, t := range things {
			fmt.Fprintf(out, "%s\n", term.Harmless(t.name))
		}
		fmt.Fprintf(d.cmd.ErrOrStderr(), "remove all of this from account %s? [y/N] ", d.account.ID)
		answer, _ := bufio.NewReader(d.cmd.InOrStdin()).ReadString('\n')
		if f, ok := d.cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(f) { // nobody has pressed Enter
			fmt.Fprintln(d.cmd.ErrOrStderr())
		}
		if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
			return term.Hint(errors.New("nothing was removed"), "answer y, or give --yes")
		}
	}
	for _, t := range things {
		if err := t.remove(); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Fprintf(out, "%s was removed\n", term.Harmless(t.name))
	}
	return nil
}

// makesThings reports whether the daemon makes anything at the platform for the account.
func (d *webhookCmd) makesThings() bool {
	if d.account.ManageWebhook {
		return true
	}
	for _, s := range d.cfg.Streams {
		if s.Account == d.account.ID && s.AutoToken() {
			return true
		}
	}
	return false
}
