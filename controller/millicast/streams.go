package millicast

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/oncue/oncue/controller"
)

const (
	streamsPerPage = 100  // the most that the platform gives
	maxPages       = 1000 // of any listing: beyond it something is wrong
)

// summary is one stream in the platform's monitoring.
type summary struct {
	StreamID    string `json:"streamId"`
	StreamName  string `json:"streamName"`
	Live        *bool  `json:"live"`
	ViewerCount *int   `json:"viewerCount"`
}

// Live returns every stream of the account that is live now, in no order.
//
// Pages shift while they are read, and whether they count from 0 or 1 is not documented. So a listing in which the numbers do not fit is read
// again. If none fits, a stream counts when it was in any of them.
func (c *Client) Live(ctx context.Context) ([]controller.LiveStream, error) {
	inAny := map[string]controller.LiveStream{}
	for _, first := range [...]int{1, 0, 1} {
		found, whole, err := c.readPages(ctx, first)
		if first == 0 && declined(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if whole {
			return onlyLive(found), nil
		}
		maps.Copy(inAny, found)
	}
	return onlyLive(inAny), nil
}

func onlyLive(found map[string]controller.LiveStream) []controller.LiveStream {
	live := make([]controller.LiveStream, 0, len(found))
	for _, s := range found {
		if s.Live {
			live = append(live, s)
		}
	}
	return live
}

// readPages reads all pages from first on. whole is false when streams may be missing: fewer came than the platform counted, or the count
// changed meanwhile.
func (c *Client) readPages(ctx context.Context, first int) (found map[string]controller.LiveStream, whole bool, err error) {
	found = map[string]controller.LiveStream{}
	total := -1
	steady := true
	for page := first; page < first+maxPages; page++ {
		var answer streamPage
		err := c.do(ctx, call{
			what: "list live streams", method: http.MethodGet, path: "/api/monitoring/summary",
			query: url.Values{"page": {strconv.Itoa(page)}, "itemsOnPage": {strconv.Itoa(streamsPerPage)}, "isActive": {"true"}},
		}, &answer)
		if page > first && declined(err) { // beyond the last page
			return found, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if answer.Data == nil && answer.Pagination == nil {
			return nil, false, errors.New("platform: list live streams: the answer has no list")
		}
		for _, s := range answer.Data {
			stream, err := c.stream(s)
			if err != nil {
				return nil, false, fmt.Errorf("platform: list live streams: %w", err)
			}
			found[stream.Name] = stream
		}
		if p := answer.Pagination; p != nil {
			steady = steady && (total < 0 || total == p.TotalItems)
			total = p.TotalItems
		}
		if answer.last(page - first) {
			return found, steady && len(found) >= total, nil
		}
	}
	return nil, false, fmt.Errorf("platform: list live streams: more than %d pages", maxPages)
}

type streamPage struct {
	Data       []summary `json:"data"`
	Pagination *struct {
		TotalItems int `json:"totalItems"`
		TotalPages int `json:"totalPages"`
	} `json:"pagination"`
}

// last reports whether no page comes after this one, the nth from 0.
func (p streamPage) last(nth int) bool {
	if p.Pagination == nil || p.Pagination.TotalPages == 0 { // not told
		return len(p.Data) < streamsPerPage
	}
	return len(p.Data) == 0 || nth+1 >= p.Pagination.TotalPages
}

// declined reports whether the platform understood the request and would not have it.
func declined(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && e.understood && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotFound)
}

// stream reads a summary. One that does not say what is asked is an error, for "not live" and "no viewers" switch encoders off. A stream of another
// account means that the secret is another account's.
func (c *Client) stream(s summary) (controller.LiveStream, error) {
	account, tail, ok := controller.SplitID(s.StreamID)
	if ok && account != c.account {
		return controller.LiveStream{}, fmt.Errorf("%w: %q", ErrWrongAccount, shorten(account))
	}
	name := s.StreamName
	if name == "" {
		name = tail
	}
	switch {
	case name == "":
		return controller.LiveStream{}, errors.New("a stream has no name")
	case s.Live == nil:
		return controller.LiveStream{}, fmt.Errorf("the answer does not say whether %q is live", shorten(name))
	case !*s.Live:
		return controller.LiveStream{Name: name}, nil
	case s.ViewerCount == nil:
		return controller.LiveStream{}, fmt.Errorf("the answer does not say who watches %q", shorten(name))
	}
	return controller.LiveStream{Name: name, Live: true, Viewers: max(0, *s.ViewerCount)}, nil
}

// LiveStream returns one stream by its name. One that the platform does not know is not live, and was not within the last hour.
func (c *Client) LiveStream(ctx context.Context, name string) (controller.LiveStream, error) {
	var s summary
	err := c.do(ctx, call{what: "look at a stream", method: http.MethodGet, path: "/api/monitoring/summary/" + segment(name)}, &s)
	if errors.Is(err, ErrNotFound) {
		return controller.LiveStream{Name: name}, nil
	}
	if err != nil {
		return controller.LiveStream{}, err
	}
	stream, err := c.stream(s)
	if err != nil {
		return stream, fmt.Errorf("platform: look at a stream: %w", err)
	}
	if stream.Name != name {
		return controller.LiveStream{}, fmt.Errorf("platform: look at a stream: asked for %q, got %q", name, shorten(stream.Name))
	}
	return stream, nil
}

// Disconnect closes the stream's feeds. One that the platform does not know has none.
func (c *Client) Disconnect(ctx context.Context, name string) error {
	err := c.do(ctx, call{
		what: "disconnect a stream", method: http.MethodPost, path: "/api/stream/stop",
		body: map[string]string{"streamId": c.account + "/" + name},
	}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// RequestThumbnail asks for a picture of the stream now; it comes as a hook. The platform takes 6 such requests a minute for a stream.
func (c *Client) RequestThumbnail(ctx context.Context, name string) error {
	return c.do(ctx, call{
		what: "ask for a thumbnail", method: http.MethodPost, path: "/api/thumbnails",
		body: map[string]string{"streamName": name}, once: true,
	}, nil)
}

// AccountID returns the account that the API secret belongs to.
func (c *Client) AccountID(ctx context.Context) (string, error) {
	var info struct {
		AccountID string `json:"accountId"`
	}
	err := c.do(ctx, call{what: "ask whose secret this is", method: http.MethodGet, path: "/api/v3/account/info"}, &info)
	if err == nil && info.AccountID == "" {
		err = errors.New("platform: ask whose secret this is: the answer names no account")
	}
	return info.AccountID, err
}

// CheckAccount returns ErrWrongAccount in its chain when the API secret belongs to another account than the configured one.
func (c *Client) CheckAccount(ctx context.Context) error {
	id, err := c.AccountID(ctx)
	if err == nil && id != c.account {
		err = fmt.Errorf("%w: it belongs to %q, and is configured for %q", ErrWrongAccount, shorten(id), c.account)
	}
	return err
}

// segment escapes a name as one segment of a path; names of dots alone would be taken for a way up.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
