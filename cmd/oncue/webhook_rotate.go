package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/store"
)

func newWebhookRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Give our webhook a new secret, without losing a hook",
		Long: "Give our webhook a new secret. The daemon accepts the old and the new one, and keeps the new one in its data directory, so no hook is lost and the configuration need not change.\n" +
			"Where no daemon runs, the secret is put there for the next one.",
		Args: noArgs,
	}
	return webhookSubcommand(cmd, func(ctx context.Context, d *webhookCmd, _ []string) error {
		if _, err := d.ownURL(); err != nil {
			return err
		}
		daemon, err := client.Find(cmd)
		if err != nil {
			return err
		}
		rotated, err := d.rotateByDaemon(ctx, daemon)
		if client.IsUnreachable(err) && !errors.Is(err, fs.ErrPermission) {
			rotated, err = d.rotateHere(ctx)
		}
		if err != nil {
			return err
		}
		if d.json {
			return writeJSON(cmd.OutOrStdout(), rotated)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "webhook %d has a new secret; hooks that were signed with the old one are still accepted\n", rotated.Webhook.ID)
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

func (d *webhookCmd) rotateByDaemon(ctx context.Context, daemon *client.Client) (out rotation, err error) {
	path := "/api/v1/accounts/" + url.PathEscape(d.account.ID) + "/webhook/rotate"
	if d.secrets {
		path += "?show_secret=true"
	}
	err = daemon.Call(ctx, http.MethodPost, path, nil, &out)
	return out, err
}

// rotateHere does what the daemon would, in the data directory that no daemon uses.
func (d *webhookCmd) rotateHere(ctx context.Context) (out rotation, err error) {
	if err := daemon.BecomeOwner(d.cfg); err != nil {
		return out, err
	}
	st, err := store.Open(ctx, store.Options{Dir: d.cfg.DataDir, Shared: daemon.BesideConfig(d.cfg), LockWait: time.Second})
	if foreign := (*store.ForeignDirError)(nil); errors.As(err, &foreign) {
		return out, daemon.DataDirError(err)
	} else if err != nil {
		return out, term.Hint(err, "a daemon that does not answer may hold the data directory; --admin URL names its admin side")
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	url, err := d.ownURL()
	if err != nil {
		return out, err
	}
	care := millicast.NewCaretaker(millicast.CaretakerOptions{
		Client: d.client, URL: url, Thumbnails: true, Notify: func(controller.Notice) {}, Log: slog.New(slog.DiscardHandler),
	})
	before, after, err := care.Rotate(ctx)
	if err != nil {
		return out, term.Hint(err, "oncue does not know whether the platform changed the secret; with manage_webhook: true the daemon finds out when it starts")
	}
	if err := keepRotated(ctx, st, d.account.ID, before, after); err != nil {
		return out, err
	}
	all, err := d.client.ListWebhooks(ctx)
	if err != nil {
		return out, err
	}
	if ours := webhooksAt(all, url); len(ours) > 0 {
		out.Webhook = millicast.WebhookState{Webhook: ours[0]}.View()
	}
	if d.secrets {
		out.Secret = after.Reveal()
	}
	return out, nil
}

// keepRotated puts the new secret and the old one before those that the store keeps already.
func keepRotated(ctx context.Context, st *store.Store, account string, before, after secret.Value) error {
	text, err := st.Setting(ctx, daemon.SecretsKey(account))
	if err != nil {
		return err
	}
	var kept []string
	if text != "" {
		if err := json.Unmarshal([]byte(text), &kept); err != nil {
			return fmt.Errorf("read the kept webhook secrets of %s: %w", account, err)
		}
	}
	list := []string{after.Reveal()}
	for _, s := range append([]string{before.Reveal()}, kept...) {
		if s != "" && s != after.Reveal() && len(list) < daemon.KeptSecrets && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return st.SetSetting(ctx, daemon.SecretsKey(account), string(data))
}
