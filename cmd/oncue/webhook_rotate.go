package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/web"
)

func newWebhookRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give our webhook a new secret, without losing a hook",
		Long: "Give our webhook a new secret. The daemon accepts the old and the new one, and keeps the new one " +
			"in its data directory, so no hook is lost and the configuration need not change.\n" +
			"Where no daemon runs, the secret is put there for the next one.",
		Args: noArgs,
	}
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, _ []string) error {
		ours, err := d.ownURL()
		if err != nil {
			return err
		}
		running, err := client.Find(cmd)
		if err != nil {
			return err
		}
		rotated, err := d.rotateByDaemon(ctx, running)
		if client.IsUnreachable(err) && !errors.Is(err, fs.ErrPermission) {
			var r web.Rotation
			r, err = daemon.RotateOffline(ctx, d.cfg, d.account.ID, d.client, ours)
			rotated = rotation{Webhook: r.Webhook}
			if d.secrets {
				rotated.Secret = r.Secret.Reveal()
			}
		}
		if err != nil {
			return err
		}
		if d.json {
			return writeJSON(cmd.OutOrStdout(), rotated)
		}
		fmt.Fprintf(cmd.OutOrStdout(),
			"webhook %d has a new secret; hooks that were signed with the old one are still accepted\n",
			rotated.Webhook.ID)
		if d.secrets {
			fmt.Fprintf(cmd.OutOrStdout(), "secret: %s\n", rotated.Secret)
		}
		return nil
	})
}

// rotation is the answer of POST /api/v1/accounts/{id}/webhook/rotate.
type rotation struct {
	Webhook controller.WebhookView `json:"webhook"`
	Secret  string                 `json:"secret,omitempty"` // with show_secret only
}

func (d *webhookCmd) rotateByDaemon(ctx context.Context, running *client.Client) (out rotation, err error) {
	path := "/api/v1/accounts/" + url.PathEscape(d.account.ID) + "/webhook/rotate"
	if d.secrets {
		path += "?show_secret=true"
	}
	err = running.Call(ctx, http.MethodPost, path, nil, &out)
	return out, err
}
