package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller/millicast"
)

func newWebhookCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make the webhook that tells oncue of viewers and feeds",
		Long: "Make the webhook that tells oncue of viewers, feeds and thumbnails, unless one has its URL already.\n" +
			"Put its secret, which --show-secret prints, into webhook_secrets of the configuration. With\n" +
			"manage_webhook: true the daemon does all this by itself.",
		Args: noArgs,
	}
	url := cmd.Flags().String("url", "", "`URL` (default: public_url + "+millicast.HookPath+")")
	filter := cmd.Flags().String("filter", "", "only for streams whose name matches this regular `EXPRESSION`")
	media := cmd.Flags().Bool("media", false, "send hooks of recordings and clips, too")
	transcoder := cmd.Flags().Bool("transcoder", false, "send hooks of transcoders, too")
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, _ []string) error {
		spec := millicast.WebhookSpec{
			URL: *url, Feeds: true, Viewers: true, Thumbnails: true, Media: *media, Transcoder: *transcoder, Filter: *filter,
		}
		if spec.URL == "" {
			var err error
			if spec.URL, err = d.ownURL(); err != nil {
				return err
			}
		}
		all, err := d.client.ListWebhooks(ctx)
		if err != nil {
			return err
		}
		if there := webhooksAt(all, spec.URL); len(there) > 0 {
			return term.Hint(fmt.Errorf("webhook %d has the URL %s already; a second one would send each hook twice",
				there[0].ID, spec.URL),
				"oncue webhook update repairs it, oncue webhook rotate gives it a new secret")
		}
		w, err := d.client.CreateWebhook(ctx, spec)
		if err != nil {
			return term.Hint(err,
				"the platform may have made it nevertheless: see oncue webhook list before you try again")
		}
		if whole, err := d.client.Webhook(ctx, w.ID); err == nil { // the answer to its creation may leave things out
			w = whole
		}
		if err := d.show("was created", w); err != nil {
			return err
		}
		if !d.secrets && !d.account.ManageWebhook {
			fmt.Fprintln(d.cmd.ErrOrStderr(),
				"hint: add its secret to webhook_secrets; oncue webhook list --show-secret shows it")
		}
		return nil
	})
}

func newWebhookUpdate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update [ID]",
		Short: "Change a webhook; without flags, make it send what oncue needs",
		Args:  argsBetween(0, 1),
	}
	flags := cmd.Flags()
	url := flags.String("url", "", "its new `URL`")
	filter := flags.String("filter", "", "only for streams whose name matches this regular `EXPRESSION`; empty for all")
	viewers := flags.Bool("viewers", true, "send viewer hooks")
	feeds := flags.Bool("feeds", true, "send feed hooks")
	thumbnails := flags.Bool("thumbnails", true, "send thumbnails")
	media := flags.Bool("media", false, "send media hooks")
	transcoder := flags.Bool("transcoder", false, "send transcoder hooks")
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, args []string) error {
		var change millicast.WebhookChange
		asked := false
		for _, f := range []struct {
			name  string
			value *bool
			to    **bool
		}{
			{"viewers", viewers, &change.Viewers}, {"feeds", feeds, &change.Feeds}, {
				"thumbnails", thumbnails, &change.Thumbnails,
			},
			{"media", media, &change.Media}, {"transcoder", transcoder, &change.Transcoder},
		} {
			if flags.Changed(f.name) {
				*f.to, asked = f.value, true
			}
		}
		if flags.Changed("url") {
			change.URL, asked = url, true
		}
		if flags.Changed("filter") {
			change.Filter, change.ClearFilter, asked = filter, *filter == "", true
		}
		if !asked {
			change.Viewers, change.Feeds, change.Thumbnails = viewers, feeds, thumbnails
		}
		return d.change(ctx, args, change, "was updated")
	})
}

// change changes a webhook and shows the result.
func (d *webhookCmd) change(ctx context.Context, args []string, change millicast.WebhookChange, done string) error {
	w, err := d.webhook(ctx, args)
	if err != nil {
		return err
	}
	if err := d.client.UpdateWebhook(ctx, w.ID, change); err != nil {
		return err
	}
	if w, err = d.client.Webhook(ctx, w.ID); err != nil {
		return err
	}
	return d.show(done, w)
}

func newWebhookEnable() *cobra.Command {
	cmd := &cobra.Command{
		Use: "enable [ID]", Short: "Enable a webhook that the platform has disabled", Args: argsBetween(0, 1),
	}
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, args []string) error {
		return d.change(ctx, args, millicast.WebhookChange{Enable: true}, "is enabled")
	})
}

func newWebhookDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete [ID]", Short: "Delete a webhook; the platform then sends no more hooks", Args: argsBetween(0, 1),
	}
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, args []string) error {
		w, err := d.webhook(ctx, args)
		if err != nil {
			return err
		}
		if err := d.client.DeleteWebhook(ctx, w.ID); err != nil {
			return err
		}
		return d.show("was deleted", w)
	})
}

func newWebhookTest() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [KIND]",
		Short: "Have the platform send a test hook, and see it arrive",
		Long: "Have the platform send a test hook to all webhooks of the account, and wait until the daemon has " +
			"received it.\n" +
			"It names a stream that exists for this purpose only, unless --stream says otherwise: such a hook " +
			"counts as real.\n\nkinds: " + strings.Join(millicast.TestKinds[:], ", "),
		Args:      argsBetween(0, 1),
		ValidArgs: millicast.TestKinds[:],
	}
	stream := cmd.Flags().String("stream", "", "`NAME` of the stream that the hook is for; nothing is waited for then")
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, args []string) error {
		kind := "ViewerConnection"
		if len(args) > 0 {
			i := slices.IndexFunc(millicast.TestKinds[:], func(k string) bool { return strings.EqualFold(k, args[0]) })
			if i < 0 {
				return term.Hint(term.Usage(fmt.Errorf("%q is not a kind of test hook", args[0])),
					"known are "+strings.Join(millicast.TestKinds[:], ", "))
			}
			kind = millicast.TestKinds[i]
		}
		if *stream != "" || kind != "ViewerConnection" {
			if *stream == "" {
				*stream = millicast.ReservedPrefix + strings.ToLower(rand.Text())
			}
			if err := d.client.TestHook(ctx, kind, *stream); err != nil {
				return err
			}
			fmt.Fprintf(d.cmd.OutOrStdout(),
				"the platform was asked for a %s hook of stream %s; oncue events shows it\n", kind,
				term.Harmless(*stream))
			return nil
		}
		return d.roundTrip(ctx)
	})
}

func (d *webhookCmd) roundTrip(ctx context.Context) error {
	daemon, err := client.Find(d.cmd)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, roundTripLimit)
	defer cancel()
	if err := daemon.Get(ctx, "/readyz", nil); err != nil {
		return err
	}
	took, err := millicast.RoundTrip(ctx, d.client, daemon.Arrivals(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		return term.Hint(err,
			"is the webhook there and on (oncue webhook list), and does the platform reach public_url?")
	}
	if err != nil {
		return err
	}
	if d.json {
		return writeJSON(d.cmd.OutOrStdout(), map[string]any{"arrived": true, "took_ms": took.Milliseconds()})
	}
	fmt.Fprintf(d.cmd.OutOrStdout(), "the test hook arrived after %d ms\n", took.Milliseconds())
	return nil
}
