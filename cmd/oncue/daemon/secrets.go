package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/web"
	"github.com/oncue/oncue/store"
)

// Webhook secrets that came from the API are kept in the store, newest first: a hook that was
// signed before a rotation may still be on its way, and the secrets of the file are not the only
// ones then.
const keptSecrets = 3

func secretsKey(account string) string { return "webhook-secrets/" + account }

// readKept returns the secrets that the store keeps of an account.
func readKept(ctx context.Context, st *store.Store, account string) ([]secret.Value, error) {
	text, err := st.Setting(ctx, secretsKey(account))
	if err != nil || text == "" {
		return nil, err
	}
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("read the kept webhook secrets of %s: %w", account, err)
	}
	secrets := make([]secret.Value, len(list))
	for i, s := range list {
		secrets[i] = secret.New(s)
	}
	return secrets, nil
}

// keep puts fresh secrets before those that the store keeps of an account, and reports whether that
// changed anything.
func keep(ctx context.Context, st *store.Store, account string, fresh []secret.Value) (changed bool, err error) {
	kept, err := readKept(ctx, st, account)
	if err != nil {
		return false, err
	}
	var list []string
	for _, s := range slices.Concat(fresh, kept) {
		if s.Set() && !slices.Contains(list, s.Reveal()) && len(list) < max(keptSecrets, len(fresh)) {
			list = append(list, s.Reveal())
		}
	}
	if slices.EqualFunc(list, kept, func(text string, s secret.Value) bool { return s.Equal(text) }) {
		return false, nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return false, err
	}
	return true, st.SetSetting(ctx, secretsKey(account), string(text))
}

// keepSecrets keeps secrets from the API and brings them into force.
func (d *Daemon) keepSecrets(ctx context.Context, account string, fresh []secret.Value) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	changed, err := keep(ctx, d.store, account, fresh)
	if err != nil || !changed {
		return err
	}
	return d.useSecrets(ctx)
}

// setSecrets brings the secrets of the file and the kept ones into force.
func (d *Daemon) setSecrets(ctx context.Context) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	return d.useSecrets(ctx)
}

// useSecrets tells the receiver every secret that may sign. The caller holds keeping.
func (d *Daemon) useSecrets(ctx context.Context) error {
	all := map[string][]secret.Value{}
	for id, a := range d.inForce().accounts {
		kept, err := readKept(ctx, d.store, id)
		if err != nil {
			return err
		}
		list := slices.Clone(a.cfg.WebhookSecrets)
		for _, s := range kept {
			if !slices.ContainsFunc(list, s.Same) {
				list = append(list, s)
			}
		}
		all[id] = list
	}
	return d.receiver.SetSecrets(ctx, all)
}

// rotate is the admin side's Rotate.
func (d *Daemon) rotate(ctx context.Context, id string) (web.Rotation, error) {
	a := d.inForce().accounts[id]
	if a == nil || a.client == nil || a.url == "" {
		return web.Rotation{}, fmt.Errorf("%w: account %q has no api_secret here, or public_url is not set",
			controller.ErrInvalid, id)
	}
	care := a.care
	if care == nil {
		care = d.newCaretaker(a)
	}
	return rotate(ctx, a.client, care, a.url, func(secrets []secret.Value) error {
		return d.keepSecrets(ctx, id, secrets)
	})
}

// rotate gives the webhook with the URL a new secret. It hands the new and the old one to keep:
// hooks that were signed with the old one are still accepted.
func rotate(
	ctx context.Context, client *millicast.Client, care *millicast.Caretaker, url string,
	keep func([]secret.Value) error,
) (web.Rotation, error) {
	before, after, err := care.Rotate(ctx)
	if err != nil {
		return web.Rotation{}, term.Hint(err, "oncue does not know whether the platform changed the secret; "+
			"with manage_webhook: true the daemon finds out when it starts")
	}
	if err := keep([]secret.Value{after, before}); err != nil {
		return web.Rotation{}, err
	}
	all, err := client.ListWebhooks(ctx)
	if err != nil {
		return web.Rotation{}, err
	}
	r := web.Rotation{Secret: after}
	if i := slices.IndexFunc(all, func(w millicast.Webhook) bool { return w.URL == url }); i >= 0 {
		r.Webhook = millicast.WebhookState{Webhook: all[i]}.View()
	}
	return r, nil
}

// RotateOffline gives the webhook with the URL a new secret and keeps it where the next daemon
// finds it: in the data directory, which no running one may hold.
func RotateOffline(
	ctx context.Context, cfg *configs.Config, account string, client *millicast.Client, url string,
) (r web.Rotation, err error) {
	care := millicast.NewCaretaker(millicast.CaretakerOptions{
		Client: client, URL: url, Thumbnails: true,
		Notify: func(controller.Notice) {}, Log: slog.New(slog.DiscardHandler),
	})
	err = offline(ctx, cfg, func(st *store.Store) error {
		r, err = rotate(ctx, client, care, url, func(secrets []secret.Value) error {
			_, err := keep(ctx, st, account, secrets)
			return err
		})
		return err
	})
	return r, err
}

// offline opens the data directory, which no running daemon may hold, for as long as do runs.
func offline(ctx context.Context, cfg *configs.Config, do func(*store.Store) error) error {
	if err := becomeOwner(cfg); err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: cfg.DataDir, Shared: BesideConfig(cfg), LockWait: time.Second})
	if _, ok := errors.AsType[*store.ForeignDirError](err); ok {
		return DataDirError(err)
	} else if err != nil {
		return term.Hint(err,
			"a daemon that does not answer may hold the data directory; --admin URL names its admin side")
	}
	return errors.Join(do(st), st.Close())
}
