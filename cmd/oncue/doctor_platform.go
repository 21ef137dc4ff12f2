package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/encoders"
)

const (
	clockOdd = 30 * time.Second
	clockBad = millicast.MaxSkew
)

// examineAccount tries the API secret, compares the clocks and looks at the webhook.
func (d *doctor) examineAccount(ctx context.Context, a *configs.Account) []encoders.Finding {
	if !a.APISecret.Set() {
		found := []encoders.Finding{odd("there is no api_secret: oncue cannot check the webhook, try the round trip, or recover lost hooks", "set accounts."+a.ID+".api_secret")}
		if byFeed(d.cfg, a.ID) {
			found = append(found, odd("confirm: feed needs feed hooks, and oncue cannot see whether the webhook sends them", "switch feed hooks on at the platform, beside viewer hooks; or set confirm: encoder"))
		}
		return found
	}
	api, err := platformOf(a)
	if err != nil {
		return []encoders.Finding{bad(err.Error(), "")}
	}
	defer api.Close()
	err = api.CheckAccount(ctx)
	var found []encoders.Finding
	if ahead, _, ok := api.ClockOffset(); ok {
		found = append(found, clockFinding(ahead))
	}
	switch {
	case errors.Is(err, millicast.ErrWrongAccount):
		return append(found, bad(err.Error(), "is the account id right? the platform shows it beside the API secret"))
	case errors.Is(err, millicast.ErrUnauthorized):
		return append(found, bad(err.Error(), "take the API secret anew from the platform's settings"))
	case err != nil:
		return append(found, bad(err.Error(), "is api_url right, and may this host reach it?"))
	}
	found = append(found, good("the API secret is this account's"))
	hooks, err := api.ListWebhooks(ctx)
	if err != nil {
		return append(found, bad(err.Error(), ""))
	}
	return append(found, d.examineWebhooks(a, hooks)...)
}

func clockFinding(ahead time.Duration) encoders.Finding {
	off := ahead.Abs().Round(time.Second)
	side := "behind"
	if ahead < 0 {
		side = "ahead of"
	}
	what := fmt.Sprintf("this clock is %s %s the platform's", off, side)
	switch {
	case off > clockBad:
		return bad(what+", so every hook counts as stale", "set the clock: timedatectl set-ntp true")
	case off > clockOdd:
		return odd(what, "set the clock: timedatectl set-ntp true")
	}
	return good("this clock agrees with the platform's, to about a second")
}

func (d *doctor) examineWebhooks(a *configs.Account, all []millicast.Webhook) []encoders.Finding {
	if d.cfg.PublicURL == "" {
		return []encoders.Finding{odd(fmt.Sprintf("the account has %s; which one is ours is not known without public_url", term.Plural(len(all), "webhook")), "set public_url")}
	}
	ours := webhooksAt(all, millicast.HookURL(d.cfg.PublicURL))
	if len(ours) == 0 {
		what := "no webhook of the account has the URL " + millicast.HookURL(d.cfg.PublicURL)
		if a.ManageWebhook {
			return []encoders.Finding{odd(what, "the daemon makes it at its start (manage_webhook: true)")}
		}
		return []encoders.Finding{bad(what, "oncue webhook create makes it")}
	}
	var found []encoders.Finding
	w := ours[0]
	if w.Disabled != nil {
		found = append(found, bad(fmt.Sprintf("the platform has disabled webhook %d: %s", w.ID, w.Disabled), "oncue webhook enable"))
	}
	if missing := missingFlags(w); len(missing) > 0 {
		found = append(found, bad(fmt.Sprintf("webhook %d does not send what is needed: %s is off", w.ID, strings.Join(missing, ", ")), "oncue webhook update"))
	}
	if w.Filter != nil && *w.Filter != "" {
		found = append(found, odd(fmt.Sprintf("webhook %d sends only for streams that match %q", w.ID, *w.Filter), "are all streams of the configuration among them?"))
	}
	if w.Secret.Set() && !a.ManageWebhook && !slices.ContainsFunc(a.WebhookSecrets, func(s secret.Value) bool { return s.Same(w.Secret) }) {
		found = append(found, odd(fmt.Sprintf("the secret of webhook %d is not among webhook_secrets", w.ID), "oncue webhook list --show-secret shows it; after oncue webhook rotate the daemon knows it all the same"))
	}
	if len(ours) > 1 {
		found = append(found, odd(fmt.Sprintf("%d webhooks have our URL, so each hook comes more than once", len(ours)), fmt.Sprintf("oncue webhook delete %d", ours[len(ours)-1].ID)))
	}
	if len(found) == 0 {
		found = append(found, good("webhook %d is there, on, and sends what is needed", w.ID))
	}
	return found
}

// webhooksAt are those with that URL, oldest first.
func webhooksAt(all []millicast.Webhook, url string) []millicast.Webhook {
	ours := slices.DeleteFunc(slices.Clone(all), func(w millicast.Webhook) bool { return w.URL != url })
	slices.SortFunc(ours, func(a, b millicast.Webhook) int { return a.ID - b.ID })
	return ours
}

// missingFlags are the kinds of hooks that the controller cannot do without, in the platform's words.
func missingFlags(w millicast.Webhook) []string {
	var off []string
	if !w.Viewers {
		off = append(off, "isViewerConnectionHooks")
	}
	if !w.Feeds {
		off = append(off, "isFeedHooks")
	}
	return off
}

// examineRoundTrip asks the platform for a test hook and sees it arrive at the daemon.
func (d *doctor) examineRoundTrip(ctx context.Context, a *configs.Account) []encoders.Finding {
	if d.noDaemon != nil {
		return []encoders.Finding{odd("not tried, for the daemon's address is not known", "")}
	}
	if err := d.daemon.Get(ctx, "/readyz", nil); err != nil {
		return []encoders.Finding{odd("not tried, for the daemon does not answer or is not ready", "start it, then run oncue doctor again")}
	}
	api, err := platformOf(a)
	if err != nil {
		return []encoders.Finding{bad(err.Error(), "")}
	}
	defer api.Close()
	took, err := millicast.RoundTrip(ctx, api, d.daemon.Arrivals(ctx))
	if err != nil {
		return []encoders.Finding{bad(err.Error(), "does the platform reach public_url, and is the webhook's secret configured? oncue events and the daemon's log show what came")}
	}
	return []encoders.Finding{good("a test hook of the platform arrived after %d ms", took.Milliseconds())}
}
