package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller/millicast"
)

func newWebhook() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhook",
		Short: "List, create, change and test the account's webhooks",
		Long: "List, create, change and test the account's webhooks through the platform's API.\n" +
			"Commands that take an ID use the webhook with public_url + /hooks/millicast when no ID is given. " +
			"Secrets are shown only with --show-secret.",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newWebhookList(), newWebhookCreate(), newWebhookUpdate(), newWebhookRotate(), newWebhookEnable(),
		newWebhookDelete(), newWebhookTest())
	return cmd
}

// webhookCmd is what the subcommands of webhook and token share: an account, its API, and how to
// print results.
type webhookCmd struct {
	cmd     *cobra.Command
	cfg     *configs.Config
	account *configs.Account
	client  *millicast.Client
	stream  *configs.Stream // of token's: which one; nil: all
	json    bool
	secrets bool
}

// webhookSubcommand makes a subcommand that works on one account.
func webhookSubcommand(
	cmd *cobra.Command, do func(ctx context.Context, d *webhookCmd, args []string) error,
) *cobra.Command {
	return apiSubcommand(cmd, "show webhook secrets instead of a mask",
		func(*webhookCmd, []string) (string, error) { return "", nil }, do)
}

// apiSubcommand makes a subcommand that asks the API of the account that --account names, or which
// the arguments do. Without words for --show-secret it has neither that flag nor --json.
func apiSubcommand(
	cmd *cobra.Command, showSecret string, named func(d *webhookCmd, args []string) (account string, err error),
	do func(ctx context.Context, d *webhookCmd, args []string) error,
) *cobra.Command {
	client.Flags(cmd)
	account := cmd.Flags().String("account", "", "account `ID` (default: the only one with an api_secret)")
	asJSON, secrets := new(bool), new(bool)
	if showSecret != "" {
		asJSON = cmd.Flags().Bool("json", false, "print the platform's answer as JSON")
		secrets = cmd.Flags().Bool("show-secret", false, showSecret)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := readConfig(cmd.Flag("config").Value.String(), cmd.ErrOrStderr(), nil)
		if err != nil {
			return err
		}
		d := &webhookCmd{cmd: cmd, cfg: cfg, json: *asJSON, secrets: *secrets}
		id, err := named(d, args)
		if err != nil {
			return err
		}
		if d.account, err = apiAccount(cfg, cmp.Or(id, *account)); err != nil {
			return err
		}
		if d.client, err = platformOf(d.account); err != nil {
			return err
		}
		defer d.client.Close()
		return d.explain(do(cmd.Context(), d, args))
	}
	return cmd
}

// apiAccount is the named account, or the only one whose API can be used.
func apiAccount(cfg *configs.Config, id string) (*configs.Account, error) {
	able := slices.DeleteFunc(slices.Sorted(maps.Keys(cfg.Accounts)),
		func(id string) bool { return !cfg.Accounts[id].APISecret.Set() })
	switch a := cfg.Accounts[id]; {
	case id != "" && a == nil:
		return nil, fmt.Errorf("%s has no account %q", cfg.File, id)
	case id != "" && !a.APISecret.Set():
		return nil, term.Hint(fmt.Errorf("account %s has no api_secret", id),
			"copy one from the platform's settings and set accounts."+id+".api_secret")
	case id != "":
		return a, nil
	case len(able) == 0:
		return nil, term.Hint(fmt.Errorf("no account in %s has an api_secret", cfg.File),
			"copy one from the platform's settings and set accounts.ID.api_secret")
	case len(able) > 1:
		return nil, term.Hint(term.Usage(errors.New("several accounts have an api_secret")),
			"--account says which: "+strings.Join(able, ", "))
	}
	return cfg.Accounts[able[0]], nil
}

// explain adds the likely fix to the platform's refusals.
func (d *webhookCmd) explain(err error) error { return daemon.ExplainPlatform(err, d.account.ID) }

// ownURL is the URL of our webhook.
func (d *webhookCmd) ownURL() (string, error) {
	if d.cfg.PublicURL == "" {
		err := fmt.Errorf("%s has no public_url, so oncue cannot tell which webhook is its own", d.cfg.File)
		return "", term.Hint(err, "set public_url, or give the ID or the --url of the webhook")
	}
	return millicast.HookURL(d.cfg.PublicURL), nil
}

// webhook is the one that args name by its id, or ours.
func (d *webhookCmd) webhook(ctx context.Context, args []string) (millicast.Webhook, error) {
	if len(args) > 0 {
		id, err := strconv.Atoi(args[0])
		if err != nil {
			return millicast.Webhook{}, term.Usage(fmt.Errorf("%q is not the id of a webhook, which is a number",
				args[0]))
		}
		return d.client.Webhook(ctx, id)
	}
	url, err := d.ownURL()
	if err != nil {
		return millicast.Webhook{}, err
	}
	all, err := d.client.ListWebhooks(ctx)
	if err != nil {
		return millicast.Webhook{}, err
	}
	switch ours := webhooksAt(all, url); len(ours) {
	case 0:
		return millicast.Webhook{}, term.Hint(fmt.Errorf("no webhook of account %s has the URL %s", d.account.ID, url),
			"oncue webhook create makes it")
	case 1:
		return d.client.Webhook(ctx, ours[0].ID)
	default:
		ids := make([]string, len(ours))
		for i, w := range ours {
			ids[i] = strconv.Itoa(w.ID)
		}
		return millicast.Webhook{}, term.Hint(term.Usage(fmt.Errorf("%d webhooks have the URL %s", len(ours), url)),
			"say which one: "+strings.Join(ids, ", "))
	}
}

// webhookJSON is a webhook as --json shows it. Its secret is a mask, or the secret itself.
type webhookJSON struct {
	millicast.Webhook
	Secret   string  `json:"secret"`
	Disabled *string `json:"disabled"`
}

func (d *webhookCmd) jsonOf(w millicast.Webhook) webhookJSON {
	out := webhookJSON{Webhook: w, Secret: d.secretOf(w)}
	if w.Disabled != nil {
		words := w.Disabled.String()
		out.Disabled = &words
	}
	return out
}

func (d *webhookCmd) secretOf(w millicast.Webhook) string {
	if d.secrets {
		return w.Secret.Reveal()
	}
	return w.Secret.String()
}

// show prints one webhook after what was done with it.
func (d *webhookCmd) show(done string, w millicast.Webhook) error {
	out := d.cmd.OutOrStdout()
	if d.json {
		return writeJSON(out, d.jsonOf(w))
	}
	fmt.Fprintf(out, "webhook %d %s: %s\n", w.ID, done, term.Harmless(w.URL))
	if d.secrets {
		fmt.Fprintf(out, "secret: %s\n", w.Secret.Reveal())
	}
	return nil
}

func writeJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

func newWebhookList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the account's webhooks", Args: noArgs}
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, _ []string) error {
		all, err := d.client.ListWebhooks(ctx)
		if err != nil {
			return err
		}
		if d.json {
			list := make([]webhookJSON, len(all))
			for i, w := range all {
				list[i] = d.jsonOf(w)
			}
			return writeJSON(d.cmd.OutOrStdout(), list)
		}
		s := term.NewScreen(d.cmd.OutOrStdout())
		if len(all) == 0 {
			s.Printf("account %s has no webhook\n", d.account.ID)
			return nil
		}
		columns := []term.Column{
			{Name: "ID"}, {Name: "OURS"}, {Name: "STATE", Fit: term.Ending, Least: 12},
			{Name: "SENDS", Fit: term.Ending, Least: 14}, {Name: "URL", Fit: term.Middle, Least: 24},
		}
		if d.secrets {
			columns = append(columns, term.Column{Name: "SECRET"})
		}
		own, _ := d.ownURL()
		rows := make([][]term.Cell, len(all))
		for i, w := range all {
			rows[i] = d.row(w, own)
		}
		s.Table(columns, rows)
		return nil
	})
}

func (d *webhookCmd) row(w millicast.Webhook, own string) []term.Cell {
	ours, state := "no", term.Cell{Text: "on", Style: term.Green}
	if w.URL == own {
		ours = "yes"
	}
	if w.Disabled != nil {
		state = term.Cell{Text: "disabled: " + w.Disabled.String(), Style: term.Red}
	}
	row := []term.Cell{{Text: strconv.Itoa(w.ID)}, {Text: ours}, state, {Text: sends(w)}, {Text: w.URL}}
	if d.secrets {
		row = append(row, term.Cell{Text: d.secretOf(w)})
	}
	return row
}

// sends lists the kinds of hooks that a webhook sends.
func sends(w millicast.Webhook) string {
	var kinds []string
	for _, k := range []struct {
		on   bool
		name string
	}{
		{w.Viewers, "viewers"}, {w.Feeds, "feeds"}, {w.Thumbnails, "thumbnails"}, {w.Transcoder, "transcoder"},
		{w.Media, "media"}, {w.Recording, "recording"},
	} {
		if k.on {
			kinds = append(kinds, k.name)
		}
	}
	if len(kinds) == 0 {
		return "nothing"
	}
	return strings.Join(kinds, ", ")
}
