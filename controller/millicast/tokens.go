package millicast

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

const (
	tokensPath    = "/api/publish_token"
	tokensPerPage = 100 // the most that the platform gives
)

// PublishToken is one of the account's publishing tokens, as the platform shows it.
type PublishToken struct {
	ID      int          `json:"id"`
	Label   string       `json:"label"`
	Value   secret.Value `json:"token"` // hexadecimal; it lets anybody publish
	Added   time.Time    `json:"addedOn"`
	Expires time.Time    `json:"expiresOn"` // zero: never. Feeds that are open then go on
	Active  bool         `json:"isActive"`
	Streams []TokenName  `json:"streams"`

	Thumbnails  bool `json:"enableThumbnails"` // a picture each 30 s
	Record      bool `json:"record"`
	Clip        bool `json:"clip"`
	Multisource bool `json:"multisource"` // feeds may have a sourceId
	Priority    *int `json:"priority"`    // of feeds whose URL tells none; nil: none

	AllowedOrigins []string `json:"allowedOrigins"`     // domains of browsers; empty: all
	AllowedIPs     []string `json:"allowedIpAddresses"` // IPv4 addresses and networks; empty: all
	BindIPs        *int     `json:"bindIpsOnUsage"`     // the first so many addresses only; nil or 0: all

	OriginCluster string     `json:"originCluster"` // "": the account's
	Restream      []Restream `json:"restream"`
}

// TokenName says which streams a token may publish: one name, or those that a regular expression
// matches.
type TokenName struct {
	Name    string `json:"streamName"`
	IsRegex bool   `json:"isRegex"`
}

// Restream is another platform to which the token's streams are sent on. Its address and key are
// secrets and are not read.
type Restream struct {
	Label   string `json:"label"`
	Enabled *bool  `json:"enabled"` // nil: it is
}

// On reports whether the token's streams are sent there.
func (r Restream) On() bool { return r.Enabled == nil || *r.Enabled }

// TokenSpec is what a new token is to be. Label and Streams are needed. The token never expires
// when Expires is 0; the platform counts in whole seconds.
type TokenSpec struct {
	Label       string
	Streams     []TokenName
	Expires     time.Duration
	Thumbnails  bool
	Multisource bool
	Priority    *int
}

func (s TokenSpec) body() map[string]any {
	body := map[string]any{
		"label": s.Label, "streams": s.Streams, "enableThumbnails": s.Thumbnails, "multisource": s.Multisource,
	}
	if s.Expires > 0 {
		body["expires"] = int((s.Expires + time.Second - 1) / time.Second)
	}
	if s.Priority != nil {
		body["priority"] = *s.Priority
	}
	return body
}

// TokenChange is what to change of a token. What is nil, false or empty stays as it is.
type TokenChange struct {
	Label         *string
	Active        *bool
	Thumbnails    *bool
	Multisource   *bool
	Priority      *int
	ClearPriority bool // beats Priority
	AddStreams    []TokenName
	RemoveStreams []string
	ClearIPs      bool // end what AllowedIPs and BindIPs restrict
	NewValue      bool // the old value is invalid at once, without an overlap
}

// body has the changed members and no others: the platform takes an absent member as unchanged.
func (c TokenChange) body() map[string]any {
	body := map[string]any{}
	if c.Label != nil {
		body["label"] = *c.Label
	}
	for key, flag := range map[string]*bool{
		"isActive": c.Active, "enableThumbnails": c.Thumbnails, "multisource": c.Multisource,
	} {
		if flag != nil {
			body[key] = *flag
		}
	}
	if c.Priority != nil {
		body["priority"] = *c.Priority
	}
	if c.ClearPriority {
		body["priority"] = nil
	}
	if len(c.AddStreams) > 0 {
		body["addTokenStreams"] = c.AddStreams
	}
	if len(c.RemoveStreams) > 0 {
		body["removeTokenStreams"] = c.RemoveStreams
	}
	if c.ClearIPs {
		body["allowedIpAddresses"], body["bindIpsOnUsage"] = []string{}, 0
	}
	if c.NewValue {
		body["refreshToken"] = true
	}
	return body
}

// ListTokens returns all publishing tokens of the account, oldest first. Tokens that come and go
// while the pages are read may be missing.
func (c *Client) ListTokens(ctx context.Context) ([]PublishToken, error) {
	return c.tokenPages(ctx, "list the publishing tokens", tokensPath+"/list", url.Values{})
}

// TokensByLabel returns the publishing tokens with exactly this label, oldest first. The platform
// leaves out those that are for any stream name.
func (c *Client) TokensByLabel(ctx context.Context, label string) ([]PublishToken, error) {
	query := url.Values{"name": {label}, "filterBy": {"TokenName"}}
	list, err := c.tokenPages(ctx, "look for a publishing token", tokensPath+"/list_by_name", query)
	// The platform also finds labels that only have the text in them.
	return slices.DeleteFunc(list, func(t PublishToken) bool { return t.Label != label }), err
}

func (c *Client) tokenPages(ctx context.Context, what, path string, query url.Values) ([]PublishToken, error) {
	query.Set("sortBy", "AddedOn")
	query.Set("itemsOnPage", strconv.Itoa(tokensPerPage))
	var all []PublishToken
	seen := map[int]bool{}
	for page := 1; page <= maxPages; page++ {
		query.Set("page", strconv.Itoa(page))
		var list []PublishToken
		l := call{what: what, method: http.MethodGet, path: path, query: query}
		if err := c.tokenCall(ctx, l, &list); err != nil {
			return nil, err
		}
		before := len(all)
		for _, t := range list {
			if !seen[t.ID] {
				seen[t.ID] = true
				all = append(all, t)
			}
		}
		if len(all) == before { // only an empty page is documented to be the end
			return all, nil
		}
	}
	return nil, fmt.Errorf("platform: %s: more than %d pages", what, maxPages)
}

// Token returns one publishing token; ErrNotFound when there is none.
func (c *Client) Token(ctx context.Context, id int) (PublishToken, error) {
	return c.oneToken(ctx, call{what: "read a publishing token", method: http.MethodGet, path: tokenPath(id)}, id)
}

// CreateToken makes a publishing token. It is never repeated, because the platform would make a
// second one: after an error, look for the label before you try again.
func (c *Client) CreateToken(ctx context.Context, spec TokenSpec) (PublishToken, error) {
	return c.oneToken(ctx, call{
		what: "create a publishing token", method: http.MethodPost, path: tokensPath, body: spec.body(), once: true,
	}, 0)
}

// UpdateToken changes a publishing token and returns it as it is then; ErrNotFound when there is
// none. A change that asks for a new value is never repeated: after an error, read the token to
// see.
func (c *Client) UpdateToken(ctx context.Context, id int, change TokenChange) (PublishToken, error) {
	return c.oneToken(ctx, call{
		what: "change a publishing token", method: http.MethodPut, path: "/api/v2/publish_token/" + strconv.Itoa(id),
		body: change.body(), once: change.NewValue,
	}, id)
}

// DisableTokens makes publishing tokens useless until they are activated again. Whether feeds that
// are open go on is not documented. Ids that are gone are no error.
func (c *Client) DisableTokens(ctx context.Context, ids ...int) error {
	var answer struct {
		Failed []struct {
			ID    int    `json:"tokenId"`
			Words string `json:"errorMessage"`
		} `json:"failedTokens"`
	}
	const what = "disable publishing tokens"
	err := c.tokenCall(ctx, call{
		what: what, method: http.MethodPatch, path: tokensPath + "/disable", body: map[string]any{"tokenIds": ids},
	}, &answer)
	if err != nil {
		return err
	}
	for _, f := range answer.Failed {
		if !saysNotFound(f.Words) {
			err = errors.Join(err, fmt.Errorf("platform: %s: %d: %s", what, f.ID, withoutTokens(shorten(f.Words))))
		}
	}
	return err
}

// DeleteToken removes a publishing token, and the platform disconnects its publishers. One that is
// gone already is no error.
func (c *Client) DeleteToken(ctx context.Context, id int) error {
	l := call{what: "delete a publishing token", method: http.MethodDelete, path: tokenPath(id)}
	err := c.tokenCall(ctx, l, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// ActiveTokens returns the ids of the tokens that any stream is published with now.
func (c *Client) ActiveTokens(ctx context.Context) ([]int, error) {
	var answer struct {
		IDs []int `json:"tokenIds"`
	}
	err := c.tokenCall(ctx, call{
		what: "ask which publishing tokens are in use", method: http.MethodGet, path: tokensPath + "/active/all",
	}, &answer)
	return answer.IDs, err
}

// oneToken makes a call that is answered with a token: the one of this id, any if id is 0.
func (c *Client) oneToken(ctx context.Context, l call, id int) (PublishToken, error) {
	var t PublishToken
	if err := c.tokenCall(ctx, l, &t); err != nil {
		return PublishToken{}, err
	}
	switch {
	case t.ID == 0 || !t.Value.Set():
		return PublishToken{}, fmt.Errorf("platform: %s: the answer has no token", l.what)
	case id != 0 && t.ID != id:
		return PublishToken{}, fmt.Errorf("platform: %s: asked for %d, got %d", l.what, id, t.ID)
	}
	return t, nil
}

// tokenCall makes a call about tokens. Whatever the platform says of its failure, no token is in
// it.
func (c *Client) tokenCall(ctx context.Context, l call, out any) error {
	err := c.do(ctx, l, out)
	if e, ok := errors.AsType[*APIError](err); ok {
		e.Message = withoutTokens(e.Message)
	}
	return err
}

// tokenLike is what has the look of a publishing token: 32 hexadecimal digits or more.
var tokenLike = regexp.MustCompile(`[0-9A-Fa-f]{32,}`)

func withoutTokens(text string) string { return tokenLike.ReplaceAllString(text, secret.Mask) }

func tokenPath(id int) string { return tokensPath + "/" + strconv.Itoa(id) }
