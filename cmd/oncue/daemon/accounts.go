package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/runner"
)

// account is the platform's side of one account: its API, where there is a secret for it, and the
// care for its webhook, where the configuration asks for that.
type account struct {
	cfg    configs.Account
	client *millicast.Client    // nil without an API secret
	care   *millicast.Caretaker // nil unless manage_webhook
	url    string               // of the webhook; "" without public_url
}

func (a *account) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// serves reports whether what was opened is good for the configuration as well.
func (a *account) serves(cfg *configs.Account, url string) bool {
	return a != nil && a.url == url && a.cfg.APIURL == cfg.APIURL && a.cfg.APISecret.Same(cfg.APISecret) &&
		a.cfg.ManageWebhook == cfg.ManageWebhook
}

// openAccounts makes clients for new and changed accounts, and takes the others over.
func (d *Daemon) openAccounts(p *plan) (map[string]*account, error) {
	before, next := d.inForce().accounts, map[string]*account{}
	url := ""
	if p.PublicURL != "" {
		url = millicast.HookURL(p.PublicURL)
	}
	for id, cfg := range p.Accounts {
		if a := before[id]; a.serves(cfg, url) {
			kept := *a // a copy, because the upkeep may be reading the old one
			kept.cfg = *cfg
			next[id] = &kept
			continue
		}
		a, err := d.openAccount(cfg, url)
		if err != nil {
			return nil, err
		}
		next[id] = a
	}
	return next, nil
}

func (d *Daemon) openAccount(cfg *configs.Account, url string) (*account, error) {
	a := &account{cfg: *cfg, url: url}
	if !cfg.APISecret.Set() {
		return a, nil
	}
	var err error
	a.client, err = millicast.NewClient(millicast.ClientOptions{
		Account: cfg.ID, URL: cfg.APIURL, Secret: cfg.APISecret, Log: d.log,
	})
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", cfg.ID, err)
	}
	if cfg.ManageWebhook {
		a.care = d.newCaretaker(a)
	}
	return a, nil
}

func (d *Daemon) newCaretaker(a *account) *millicast.Caretaker {
	return millicast.NewCaretaker(millicast.CaretakerOptions{
		Client: a.client, URL: a.url, Thumbnails: true, Notify: d.notice, Log: d.log,
	})
}

// accountSpecs are the accounts in the controller's words.
func accountSpecs(accounts map[string]*account) map[string]runner.AccountSpec {
	specs := make(map[string]runner.AccountSpec, len(accounts))
	for id, a := range accounts {
		spec := runner.AccountSpec{PollInterval: a.cfg.PollInterval}
		if a.client != nil {
			spec.Platform = platform{a.client, new(atomic.Bool)}
		}
		specs[id] = spec
	}
	return specs
}

// platform is the client in the controller's words. It asks once whose secret it has: with that of
// another account it would hear of other streams.
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

// checkOwner refuses only on a clear answer; an API that is out of reach may be the right one.
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

// ExplainPlatform adds the likely fix to the platform's refusals.
func ExplainPlatform(err error, account string) error {
	answer, answered := errors.AsType[*millicast.APIError](err)
	switch {
	case answered && answer.Status == http.StatusForbidden:
		return term.Hint(err, "may the API secret of account "+account+" do that? else copy it again from the "+
			"platform's settings")
	case errors.Is(err, millicast.ErrUnauthorized):
		return term.Hint(err, "copy the API secret of account "+account+" again from the platform's settings")
	case errors.Is(err, millicast.ErrNotFound):
		return term.Hint(err, "oncue webhook list and oncue token list show those that exist")
	}
	return err
}

func refused(err error) error {
	if errors.Is(err, millicast.ErrUnauthorized) || errors.Is(err, millicast.ErrWrongAccount) {
		return fmt.Errorf("%w: %w", controller.ErrRefused, err)
	}
	return err
}
