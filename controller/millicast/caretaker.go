package millicast

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// HookPath is where the hook endpoint is, below public_url.
const HookPath = "/hooks/millicast"

// HookURL joins public_url and HookPath.
func HookURL(publicURL string) string { return strings.TrimRight(publicURL, "/") + HookPath }

// WebhookDisabled is the kind of the notice that the platform has disabled the webhook.
const WebhookDisabled = "webhook_disabled"

// A Caretaker keeps one account's webhook in order: there is one with our URL, it sends the hooks
// that the controller needs, and it is enabled. It has no timer: its caller decides when to check.
// It never touches a webhook with another URL, and of several with our URL only the oldest.
type Caretaker struct {
	client     *Client
	url        string
	thumbnails bool
	notify     func(controller.Notice)
	log        *slog.Logger

	mu         sync.Mutex // held by Ensure and Rotate, requests included
	ours       bool       // the API secret has proved to be our account's
	duplicates []int      // already in the log
}

// CaretakerOptions: all but Thumbnails are needed.
type CaretakerOptions struct {
	Client     *Client
	URL        string // of the webhook, as HookURL gives it
	Thumbnails bool   // ask for pictures too
	Notify     func(controller.Notice)
	Log        *slog.Logger
}

// NewCaretaker makes no request.
func NewCaretaker(o CaretakerOptions) *Caretaker {
	return &Caretaker{
		client: o.Client, url: o.URL, thumbnails: o.Thumbnails, notify: o.Notify,
		log: o.Log.With("account", o.Client.Account()),
	}
}

// WebhookState is what Ensure found and did.
type WebhookState struct {
	Webhook    Webhook        // its state after the repair
	Secrets    []secret.Value // of every webhook with our URL, Webhook's first: all send, so all must verify
	Created    bool
	Repaired   []string  // flags that Ensure switched on
	Disabled   *Disabled // it was disabled, and Ensure has enabled it
	Duplicates []int     // ids of further webhooks with our URL, for a person to remove
}

// View is the part that status pages show.
func (s WebhookState) View() controller.WebhookView {
	v := controller.WebhookView{ID: s.Webhook.ID, URL: s.Webhook.URL}
	if s.Webhook.Disabled != nil {
		text := s.Webhook.Disabled.String()
		v.Disabled = &text
	}
	return v
}

// Ensure checks the account's webhooks and repairs ours. With an error, the state has what was
// found until then. ErrWrongAccount in the chain means that the API secret is another account's:
// nothing was touched.
func (c *Caretaker) Ensure(ctx context.Context) (WebhookState, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var state WebhookState
	found, err := c.find(ctx)
	if err != nil {
		return state, err
	}
	if len(found) == 0 {
		if found, err = c.create(ctx); err != nil {
			return state, err
		}
		state.Created = true
	}
	state.Webhook = found[0]
	err = c.repair(ctx, &state)
	c.gather(&state, found[1:])
	if err == nil {
		err = CheckSecret(state.Webhook.Secret)
	}
	if err != nil {
		return state, fmt.Errorf("webhook %d: %w", state.Webhook.ID, err)
	}
	return state, nil
}

// find returns the webhooks with our URL, oldest first, each as read by its id: the list may leave
// out secret or state.
func (c *Caretaker) find(ctx context.Context) ([]Webhook, error) {
	if !c.ours {
		if err := c.client.CheckAccount(ctx); err != nil {
			return nil, err
		}
		c.ours = true
	}
	all, err := c.client.ListWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	var found []Webhook
	for _, w := range all {
		if w.URL != c.url {
			continue
		}
		whole, err := c.client.Webhook(ctx, w.ID)
		if errors.Is(err, ErrNotFound) { // removed meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, whole)
	}
	slices.SortFunc(found, func(a, b Webhook) int { return cmp.Compare(a.ID, b.ID) })
	return found, nil
}

// create makes the webhook. When the platform's answer is lost, the webhook may exist all the same,
// so create lists the webhooks again instead of repeating the request.
func (c *Caretaker) create(ctx context.Context) ([]Webhook, error) {
	spec := WebhookSpec{URL: c.url, Feeds: true, Viewers: true, Thumbnails: c.thumbnails}
	made, createErr := c.client.CreateWebhook(ctx, spec)
	found, err := c.find(ctx)
	switch {
	case err != nil:
		return nil, errors.Join(createErr, err)
	case len(found) == 0 && createErr == nil:
		return nil, fmt.Errorf("platform: create a webhook: the answer has id %d, but the list does not", made.ID)
	case len(found) == 0:
		return nil, createErr
	}
	c.log.Info("the webhook was created", "webhook", found[0].ID, "url", c.url)
	return found, nil
}

// repair switches on what is off in one request and reads the webhook again.
func (c *Caretaker) repair(ctx context.Context, state *WebhookState) error {
	var change WebhookChange
	yes := true
	for _, f := range []struct {
		name       string
		wanted, is bool
		set        **bool
	}{
		{"isFeedHooks", true, state.Webhook.Feeds, &change.Feeds},
		{"isViewerConnectionHooks", true, state.Webhook.Viewers, &change.Viewers},
		{"isThumbnailHooks", c.thumbnails, state.Webhook.Thumbnails, &change.Thumbnails},
	} {
		if f.wanted && !f.is {
			*f.set = &yes
			state.Repaired = append(state.Repaired, f.name)
		}
	}
	was := state.Webhook.Disabled
	change.Enable = was != nil
	if len(state.Repaired) == 0 && was == nil {
		return nil
	}
	err := c.client.UpdateWebhook(ctx, state.Webhook.ID, change)
	var now Webhook
	if err == nil {
		now, err = c.client.Webhook(ctx, state.Webhook.ID)
	}
	if err == nil {
		state.Webhook = now
		err = c.stillWrong(now)
	}
	if was != nil {
		c.reportDisabled(state, was, err)
	}
	if err != nil {
		state.Repaired = nil
		return err
	}
	if len(state.Repaired) > 0 {
		c.log.Warn("the webhook was repaired", "webhook", now.ID, "switched_on", state.Repaired)
	}
	return nil
}

// stillWrong says what the repair did not change.
func (c *Caretaker) stillWrong(w Webhook) error {
	switch {
	case w.Disabled != nil:
		return fmt.Errorf("the platform keeps it disabled: %s", w.Disabled)
	case !w.Feeds || !w.Viewers || c.thumbnails && !w.Thumbnails:
		return errors.New("the platform did not keep the changed flags")
	}
	return nil
}

func (c *Caretaker) reportDisabled(state *WebhookState, was *Disabled, err error) {
	text := fmt.Sprintf("the platform had disabled the webhook %s: %s; it is enabled again", c.url, was)
	if err != nil {
		text = fmt.Sprintf("the platform has disabled the webhook %s: %s; enabling it failed: %v", c.url, was, err)
	} else {
		state.Disabled = was
	}
	c.log.Error(text, "webhook", state.Webhook.ID)
	c.notify(controller.Notice{Kind: WebhookDisabled, Account: c.client.Account(), At: time.Now(), Text: text})
}

// gather adds the secrets and the duplicates to state, and logs the duplicates when they have
// changed.
func (c *Caretaker) gather(state *WebhookState, others []Webhook) {
	if state.Webhook.Secret.Set() {
		state.Secrets = append(state.Secrets, state.Webhook.Secret)
	}
	for _, w := range others {
		state.Duplicates = append(state.Duplicates, w.ID)
		if CheckSecret(w.Secret) == nil {
			state.Secrets = append(state.Secrets, w.Secret)
		}
	}
	if len(state.Duplicates) > 0 && !slices.Equal(state.Duplicates, c.duplicates) {
		c.log.Warn("more than one webhook has our URL, so each hook comes more than once; remove all but one",
			"url", c.url, "kept", state.Webhook.ID, "others", state.Duplicates)
	}
	c.duplicates = state.Duplicates
}

// Rotate has the platform make a new secret for our webhook and returns the old and the new one.
// The platform signs with the new one at once, but hooks signed with the old one may still be under
// way: accept both for some minutes. When Rotate fails, either may be in force: keep the old one
// and call Ensure, which reads the current one.
func (c *Caretaker) Rotate(ctx context.Context) (before, after secret.Value, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, err := c.find(ctx)
	if err != nil {
		return before, after, err
	}
	if len(found) == 0 {
		return before, after, fmt.Errorf("rotate: no webhook has the URL %s", c.url)
	}
	id := found[0].ID
	before = found[0].Secret
	// The answer may be lost although the secret has changed: what the platform shows afterwards
	// counts.
	askErr := c.client.UpdateWebhook(ctx, id, WebhookChange{NewSecret: true})
	now, err := c.client.Webhook(ctx, id)
	if err != nil {
		return before, after, errors.Join(askErr, err)
	}
	after = now.Secret
	if err := CheckSecret(after); err != nil {
		return before, after, fmt.Errorf("rotate: webhook %d: %w", id, errors.Join(askErr, err))
	}
	if after.Equal(before.Reveal()) {
		if askErr == nil {
			askErr = fmt.Errorf("rotate: webhook %d: the platform shows the same secret as before", id)
		}
		return before, after, askErr
	}
	c.log.Info("the webhook has a new secret", "webhook", id)
	return before, after, nil
}
