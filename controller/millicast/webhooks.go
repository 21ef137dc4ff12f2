package millicast

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// Webhook is one of the account's webhooks, as the platform shows it.
type Webhook struct {
	ID         int          `json:"id"`
	URL        string       `json:"url"`
	Secret     secret.Value `json:"secret"` // base64
	Feeds      bool         `json:"isFeedHooks"`
	Viewers    bool         `json:"isViewerConnectionHooks"`
	Thumbnails bool         `json:"isThumbnailHooks"`
	Transcoder bool         `json:"isTranscoderHooks"`
	Media      bool         `json:"isMediaHooks"`
	Recording  bool         `json:"isRecordingHooks"`
	Disabled   *Disabled    `json:"disabled"` // nil: it is enabled
	Filter     *string      `json:"filter"`   // a regular expression over stream names; nil: all streams
}

// Disabled says why the platform has disabled a webhook, and until when.
type Disabled struct {
	Until  time.Time // zero: not known
	Reason string
}

// UnmarshalJSON accepts until as a number or as text: its shape is not documented.
func (d *Disabled) UnmarshalJSON(b []byte) error {
	var raw struct {
		Until  any `json:"until"`
		Reason any `json:"reason"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		// Whatever it is, it is not null: the webhook is disabled.
		*d = Disabled{Reason: shorten(string(b))}
		return nil
	}
	d.Reason = shorten(words(raw.Reason))
	switch until := raw.Until.(type) {
	case float64:
		d.Until, _ = epoch(int64(until))
	case string:
		if at, err := time.Parse(time.RFC3339, until); err == nil {
			d.Until = at.UTC()
		} else if n, err := strconv.ParseInt(until, 10, 64); err == nil {
			d.Until, _ = epoch(n)
		}
	}
	return nil
}

// String describes it for people.
func (d *Disabled) String() string {
	text := d.Reason
	if text == "" {
		text = "no reason given"
	}
	if !d.Until.IsZero() {
		text += ", until " + d.Until.UTC().Format(time.RFC3339)
	}
	return text
}

// WebhookSpec describes a new webhook. Filter "" means all streams.
type WebhookSpec struct {
	URL        string `json:"url"`
	Feeds      bool   `json:"isFeedHooks"`
	Viewers    bool   `json:"isViewerConnectionHooks"`
	Thumbnails bool   `json:"isThumbnailHooks"`
	Transcoder bool   `json:"isTranscoderHooks"`
	Media      bool   `json:"isMediaHooks"`
	Filter     string `json:"filter,omitempty"`
}

// WebhookChange describes a change of a webhook. Members that are nil or false stay unchanged.
type WebhookChange struct {
	URL         *string
	Feeds       *bool
	Viewers     *bool
	Thumbnails  *bool
	Transcoder  *bool
	Media       *bool
	Filter      *string
	ClearFilter bool // takes precedence over Filter
	NewSecret   bool // the platform signs with a new secret at once, without an overlap
	Enable      bool // enable a disabled webhook
}

// body has only the changed members: the platform leaves an absent member unchanged and clears a
// filter that is null.
func (w WebhookChange) body() map[string]any {
	body := map[string]any{}
	if w.URL != nil {
		body["url"] = *w.URL
	}
	for key, flag := range map[string]*bool{
		"isFeedHooks": w.Feeds, "isViewerConnectionHooks": w.Viewers, "isThumbnailHooks": w.Thumbnails,
		"isTranscoderHooks": w.Transcoder, "isMediaHooks": w.Media,
	} {
		if flag != nil {
			body[key] = *flag
		}
	}
	if w.Filter != nil {
		body["filter"] = *w.Filter
	}
	if w.ClearFilter {
		body["filter"] = nil
	}
	if w.NewSecret {
		body["refreshSecret"] = true
	}
	if w.Enable {
		body["reEnable"] = true
	}
	return body
}

// ListWebhooks returns all webhooks of the account, in the platform's order.
func (c *Client) ListWebhooks(ctx context.Context) ([]Webhook, error) {
	// It is not documented whether startingId is part of its page, nor how large a page may be.
	// Neither matters to a reader that goes on until nothing new comes.
	var all []Webhook
	seen := map[int]bool{}
	query := url.Values{"itemCount": {"100"}, "isDescending": {"false"}}
	for range maxPages {
		var page []Webhook
		err := c.do(ctx, call{
			what: "list webhooks", method: http.MethodGet, path: "/api/webhooks/list", query: query,
		}, &page)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, w := range page {
			if !seen[w.ID] {
				seen[w.ID] = true
				all = append(all, w)
			}
		}
		if len(all) == before {
			return all, nil
		}
		query.Set("startingId", strconv.Itoa(all[len(all)-1].ID))
	}
	return nil, fmt.Errorf("platform: list webhooks: more than %d pages", maxPages)
}

// Webhook returns one webhook; ErrNotFound when there is none.
func (c *Client) Webhook(ctx context.Context, id int) (Webhook, error) {
	var w Webhook
	err := c.do(ctx, call{what: "read a webhook", method: http.MethodGet, path: webhookPath(id)}, &w)
	if err == nil && w.ID != id {
		err = fmt.Errorf("platform: read a webhook: asked for %d, got %d", id, w.ID)
	}
	return w, err
}

// CreateWebhook makes a webhook. It is never repeated, because the platform would make a second
// one: after an error, list the webhooks before you try again.
func (c *Client) CreateWebhook(ctx context.Context, spec WebhookSpec) (Webhook, error) {
	var w Webhook
	err := c.do(ctx, call{
		what: "create a webhook", method: http.MethodPost, path: "/api/webhooks", body: spec, once: true,
	}, &w)
	return w, err
}

// UpdateWebhook changes a webhook. A change that asks for a new secret is never repeated: after an
// error, read the webhook to see.
func (c *Client) UpdateWebhook(ctx context.Context, id int, change WebhookChange) error {
	return c.do(ctx, call{
		what: "change a webhook", method: http.MethodPut, path: webhookPath(id),
		body: change.body(), once: change.NewSecret,
	}, nil)
}

// DeleteWebhook removes a webhook. It is no error when the webhook does not exist.
func (c *Client) DeleteWebhook(ctx context.Context, id int) error {
	err := c.do(ctx, call{what: "delete a webhook", method: http.MethodDelete, path: webhookPath(id)}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// TestKinds are the kinds of hooks that TestHook can ask for.
var TestKinds = [...]string{"Thumbnail", "Transcoder", "Media", "Feeds", "ViewerConnection"}

// TestHook makes the platform send a test hook of one of the TestKinds to every webhook of the
// account that is for such hooks. It looks like a real one: use a stream name that no configuration
// maps.
func (c *Client) TestHook(ctx context.Context, kind, streamName string) error {
	body := map[string]string{}
	if streamName != "" {
		body["streamName"] = streamName
	}
	return c.do(ctx, call{
		what: "ask for a test hook", method: http.MethodPost, path: "/api/webhooks/test/" + segment(kind),
		body: body, once: true,
	}, nil)
}

func webhookPath(id int) string { return "/api/webhooks/" + strconv.Itoa(id) }
