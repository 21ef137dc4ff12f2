package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast"
)

const (
	clockOdd = 30 * time.Second
	clockBad = millicast.MaxSkew
)

// examineAccount tries the API secret, compares the clocks and checks the webhook.
func (d *doctor) examineAccount(ctx context.Context, a *configs.Account) findings {
	if !a.APISecret.Set() {
		found := odd("there is no api_secret: oncue cannot check the webhook, try the round trip "+
			"or recover lost hooks", "set accounts."+a.ID+".api_secret")
		if byFeed(d.cfg, a.ID) {
			found.add(odd("confirm: feed needs feed hooks, and oncue cannot see whether the webhook sends them",
				"switch feed hooks on at the platform, beside viewer hooks; or set confirm: encoder"))
		}
		return found
	}
	api, err := platformOf(a)
	if err != nil {
		return bad(err.Error(), "")
	}
	defer api.Close()
	err = api.CheckAccount(ctx)
	var found findings
	if ahead, _, ok := api.ClockOffset(); ok {
		found.add(clockFindings(ahead))
	}
	switch {
	case errors.Is(err, millicast.ErrWrongAccount):
		found.add(bad(err.Error(), "is the account id right? the platform shows it beside the API secret"))
		return found
	case errors.Is(err, millicast.ErrUnauthorized):
		return append(found, bad(err.Error(), "copy the API secret again from the platform's settings")...)
	case err != nil:
		return append(found, bad(err.Error(), "is api_url right, and may this host reach it?")...)
	}
	found.add(good("the API secret is this account's"))
	hooks, err := api.ListWebhooks(ctx)
	if err != nil {
		return append(found, bad(err.Error(), "")...)
	}
	return append(found, d.examineWebhooks(a, hooks)...)
}

func clockFindings(ahead time.Duration) findings {
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

func (d *doctor) examineWebhooks(a *configs.Account, all []millicast.Webhook) findings {
	if d.cfg.PublicURL == "" {
		hooks := term.Plural(len(all), "webhook")
		return odd(fmt.Sprintf("the account has %s; without public_url oncue cannot tell its own", hooks),
			"set public_url")
	}
	ours := webhooksAt(all, millicast.HookURL(d.cfg.PublicURL))
	if len(ours) == 0 {
		what := "no webhook of the account has the URL " + millicast.HookURL(d.cfg.PublicURL)
		if a.ManageWebhook {
			return odd(what, "the daemon makes it at its start (manage_webhook: true)")
		}
		return bad(what, "oncue webhook create makes it")
	}
	var found findings
	w := ours[0]
	if w.Disabled != nil {
		what := fmt.Sprintf("the platform has disabled webhook %d: %s", w.ID, w.Disabled)
		found.add(bad(what, "oncue webhook enable"))
	}
	if missing := missingFlags(w); len(missing) > 0 {
		what := fmt.Sprintf("webhook %d does not send what is needed: %s is off", w.ID, strings.Join(missing, ", "))
		found.add(bad(what, "oncue webhook update"))
	}
	if w.Filter != nil && *w.Filter != "" {
		found.add(d.examineFilter(a, w.ID, *w.Filter))
	}
	if w.Secret.Set() && !a.ManageWebhook &&
		!slices.ContainsFunc(a.WebhookSecrets, func(s secret.Value) bool { return s.Same(w.Secret) }) {
		found.add(odd(fmt.Sprintf("the secret of webhook %d is not among webhook_secrets", w.ID),
			"oncue webhook list --show-secret shows it; oncue webhook rotate makes one that the daemon knows"))
	}
	if len(ours) > 1 {
		found.add(odd(fmt.Sprintf("%d webhooks have our URL, so each hook comes more than once", len(ours)),
			fmt.Sprintf("oncue webhook delete %d", ours[len(ours)-1].ID)))
	}
	if len(found) == 0 {
		found.add(good("webhook %d is there, on, and sends what is needed", w.ID))
	}
	return found
}

// examineFilter says which streams of the account get no hook because of a webhook's filter. Of a
// pattern it tries an example.
func (d *doctor) examineFilter(a *configs.Account, id int, filter string) findings {
	matches, err := regexp.Compile(filter)
	if err != nil { // the platform's expressions are of another dialect
		return odd(fmt.Sprintf("webhook %d sends only for streams that match %q", id, filter),
			"are all streams of the configuration among them?")
	}
	var missed []string
	for _, s := range d.cfg.Streams {
		if s.Account == a.ID && len(s.Encoders) > 0 && !matches.MatchString(exampleJob(s, s.Encoders[0]).Name) {
			missed = append(missed, s.Name)
		}
	}
	if len(missed) > 0 {
		return bad(fmt.Sprintf("webhook %d sends only for streams that match %q, so nothing starts for %s", id, filter,
			strings.Join(missed, ", ")), "oncue webhook update --filter '' ends that")
	}
	return odd(fmt.Sprintf("webhook %d sends only for streams that match %q", id, filter),
		"those of the configuration do; further ones must, too")
}

// webhooksAt are those with that URL, oldest first.
func webhooksAt(all []millicast.Webhook, url string) []millicast.Webhook {
	ours := slices.DeleteFunc(slices.Clone(all), func(w millicast.Webhook) bool { return w.URL != url })
	slices.SortFunc(ours, func(a, b millicast.Webhook) int { return a.ID - b.ID })
	return ours
}

// missingFlags are the kinds of hooks that the controller needs and that are off, in the platform's
// words.
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
func (d *doctor) examineRoundTrip(ctx context.Context, a *configs.Account) findings {
	if d.noDaemon != nil {
		return odd("not tried, because the daemon's address is not known", "")
	}
	if err := d.daemon.Get(ctx, "/readyz", nil); err != nil {
		return odd("not tried, because the daemon does not answer or is not ready",
			"start it, then run oncue doctor again")
	}
	api, err := platformOf(a)
	if err != nil {
		return bad(err.Error(), "")
	}
	defer api.Close()
	took, err := millicast.RoundTrip(ctx, api, d.daemon.Arrivals(ctx))
	if err != nil {
		return bad(err.Error(),
			"does the platform reach public_url, and is the webhook's secret configured? oncue events and the "+
				"daemon's log show what came")
	}
	return good("a test hook of the platform arrived after %d ms", took.Milliseconds())
}
