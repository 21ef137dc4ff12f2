package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/runner"
	"github.com/oncue/oncue/controller/web"
)

// account is the platform's side of one account: the API, where there is a secret for it, and the care for the webhook, where it is asked for.
type account struct {
	cfg    configs.Account
	client *millicast.Client    // nil without an API secret
	care   *millicast.Caretaker // nil unless manage_webhook
	url    string               // of the webhook
}

func (a *account) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// openAccounts makes clients for new and changed accounts, and keeps the others.
func (d *Daemon) openAccounts(p *plan) (map[string]runner.AccountSpec, error) {
	specs := map[string]runner.AccountSpec{}
	next := map[string]*account{}
	url := ""
	if p.PublicURL != "" {
		url = millicast.HookURL(p.PublicURL)
	}
	for id, cfg := range p.Accounts {
		a := d.accounts[id]
		if a == nil || a.url != url || a.cfg.APIURL != cfg.APIURL || !a.cfg.APISecret.Same(cfg.APISecret) || a.cfg.ManageWebhook != cfg.ManageWebhook {
			var err error
			if a, err = d.openAccount(cfg, url); err != nil {
				return nil, err
			}
		}
		kept := *a // the upkeep may be reading the one before
		kept.cfg = *cfg
		a = &kept
		next[id] = a
		spec := runner.AccountSpec{PollInterval: cfg.PollInterval}
		if a.client != nil {
			spec.Platform = platform{a.client, new(atomic.Bool)}
		}
		specs[id] = spec
	}
	d.mu.Lock()
	before := d.accounts
	d.accounts = next
	d.mu.Unlock()
	for id, a := range before {
		if next[id] == nil || next[id].client != a.client {
			a.close()
		}
	}
	return specs, nil
}

func (d *Daemon) openAccount(cfg *configs.Account, url string) (*account, error) {
	a := &account{cfg: *cfg, url: url}
	if !cfg.APISecret.Set() {
		return a, nil
	}
	var err error
	if a.client, err = millicast.NewClient(millicast.ClientOptions{Account: cfg.ID, URL: cfg.APIURL, Secret: cfg.APISecret, Log: d.log}); err != nil {
		return nil, fmt.Errorf("account %s: %w", cfg.ID, err)
	}
	if cfg.ManageWebhook {
		a.care = millicast.NewCaretaker(millicast.CaretakerOptions{Client: a.client, URL: url, Thumbnails: true, Notify: d.notice, Log: d.log})
	}
	return a, nil
}

// platform says the client's refusal in the controller's words, and asks once whose secret it has: with another account's it would hear of other streams.
type platform struct {
	*millicast.Client
	own *atomic.Bool // the secret is known to be this account's
}

func (p platform) Live(ctx context.Context) ([]controller.LiveStream, error) {
	if err := p.checkOwner(ctx); err != nil {
		return nil, refused(err)
	}
	live, err := p.Client.Live(ctx)
	return live, refused(err)
}

func (p platform) LiveStream(ctx context.Context, name string) (controller.LiveStream, error) {
	if err := p.checkOwner(ctx); err != nil {
		return controller.LiveStream{}, refused(err)
	}
	live, err := p.Client.LiveStream(ctx, name)
	return live, refused(err)
}

// checkOwner lets doubt pass: only a clear answer refuses.
func (p platform) checkOwner(ctx context.Context) error {
	if p.own.Load() {
		return nil
	}
	err := p.Client.CheckAccount(ctx)
	if errors.Is(err, millicast.ErrWrongAccount) {
		return err
	}
	p.own.Store(err == nil)
	return nil
}

func refused(err error) error {
	if errors.Is(err, millicast.ErrUnauthorized) || errors.Is(err, millicast.ErrWrongAccount) {
		return fmt.Errorf("%w: %w", controller.ErrRefused, err)
	}
	return err
}

// Webhook secrets that came from the API are kept in the store, newest first: a hook that was signed before a rotation may still be on its way, and the file's
// secrets are not the only ones then.
const KeptSecrets = 3

func SecretsKey(account string) string { return "webhook-secrets/" + account }

func (d *Daemon) keptSecrets(ctx context.Context, account string) ([]secret.Value, error) {
	text, err := d.store.Setting(ctx, SecretsKey(account))
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

// keepSecrets puts secrets from the API before those that are kept, and brings them into force.
func (d *Daemon) keepSecrets(ctx context.Context, account string, fresh []secret.Value) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	kept, err := d.keptSecrets(ctx, account)
	if err != nil {
		return err
	}
	var list []string
	for _, s := range append(slices.Clone(fresh), kept...) {
		if s.Set() && !slices.Contains(list, s.Reveal()) && len(list) < max(KeptSecrets, len(fresh)) {
			list = append(list, s.Reveal())
		}
	}
	same := len(list) == len(kept)
	for i := range kept {
		same = same && kept[i].Reveal() == list[i]
	}
	if same {
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := d.store.SetSetting(ctx, SecretsKey(account), string(text)); err != nil {
		return err
	}
	return d.useSecrets(ctx)
}

// setSecrets is useSecrets for those who have kept none.
func (d *Daemon) setSecrets(ctx context.Context) error {
	d.keeping.Lock()
	defer d.keeping.Unlock()
	return d.useSecrets(ctx)
}

// useSecrets tells the inbox every secret that may sign: the file's and the kept ones. The caller holds keeping.
func (d *Daemon) useSecrets(ctx context.Context) error {
	d.mu.Lock()
	accounts := d.accounts // replaced by a reload, and never changed
	d.mu.Unlock()
	all := map[string][]secret.Value{}
	for id, a := range accounts {
		kept, err := d.keptSecrets(ctx, id)
		if err != nil {
			return err
		}
		list := slices.Clone(a.cfg.WebhookSecrets)
		for _, s := range kept {
			if !slices.ContainsFunc(list, func(t secret.Value) bool { return t.Same(s) }) {
				list = append(list, s)
			}
		}
		all[id] = list
	}
	return d.inbox.SetSecrets(ctx, all)
}

// rotate gives the account's webhook a new secret; hooks signed with the old one are still taken.
func (d *Daemon) rotate(ctx context.Context, id string) (web.Rotation, error) {
	d.mu.Lock()
	a := d.accounts[id]
	d.mu.Unlock()
	if a == nil || a.client == nil || a.url == "" {
		return web.Rotation{}, fmt.Errorf("%w: account %q has no api_secret here, or public_url is not set", controller.ErrInvalid, id)
	}
	care := a.care
	if care == nil {
		care = millicast.NewCaretaker(millicast.CaretakerOptions{Client: a.client, URL: a.url, Notify: d.notice, Log: d.log})
	}
	before, after, err := care.Rotate(ctx)
	if err != nil {
		return web.Rotation{}, err
	}
	if err := d.keepSecrets(ctx, id, []secret.Value{after, before}); err != nil {
		return web.Rotation{}, err
	}
	all, err := a.client.ListWebhooks(ctx)
	if err != nil {
		return web.Rotation{}, err
	}
	r := web.Rotation{Secret: after}
	for _, w := range all {
		if w.URL == a.url {
			r.Webhook = millicast.WebhookState{Webhook: w}.View()
			break
		}
	}
	return r, nil
}
