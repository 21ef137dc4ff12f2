package millicast

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

const (
	streamsPerPage = 100  // the most that the platform gives
	maxPages       = 1000 // of any listing; more means that something is wrong
	fewPages       = 5    // of a listing that may be read twice

	// A listing may take listLimit, and pageLimit longer for each page.
	listLimit = time.Minute
	pageLimit = time.Second
)

// summary is one stream in the platform's monitoring.
type summary struct {
	StreamID    string `json:"streamId"`
	StreamName  string `json:"streamName"`
	Live        *bool  `json:"live"`
	ViewerCount *int   `json:"viewerCount"`
}

// Live returns the streams of the account that are live now, in no order. Streams that start or end
// while the pages are read move others from one page to the next: one may be missing, or have
// ended. A short listing whose numbers do not add up is read once more.
func (c *Client) Live(ctx context.Context) ([]controller.LiveStream, error) {
	l := listing{c: c, found: map[string]controller.LiveStream{}}
	for range 2 {
		if err := l.read(ctx); err != nil {
			return nil, err
		}
		if l.whole() || l.pages > fewPages {
			break
		}
	}
	return onlyLive(l.found), nil
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

// listing gathers the pages of all live streams.
type listing struct {
	c      *Client
	found  map[string]controller.LiveStream
	total  int  // streams, as the platform last counted them
	steady bool // the total was the same on all pages
	pages  int  // read so far
}

// whole reports whether no stream can be missing.
func (l *listing) whole() bool { return l.steady && len(l.found) >= l.total }

// read reads all pages. It is not documented whether they count from 0 or from 1: when streams are
// missing, it also asks for page 0.
func (l *listing) read(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limit := time.AfterFunc(listLimit, func() { cancel(context.DeadlineExceeded) })
	defer limit.Stop()
	l.total, l.steady, l.pages = -1, true, 0
	for page := 1; ; page++ {
		answer, err := l.page(ctx, page)
		switch {
		case page > 1 && declined(err): // the page before was the last
			l.steady = false
		case err != nil && context.Cause(ctx) == context.DeadlineExceeded:
			return fmt.Errorf("platform: list live streams: no more than %d pages came in time: %w",
				l.pages, context.DeadlineExceeded)
		case err != nil:
			return err
		case page == 1:
			limit.Reset(listLimit + time.Duration(answer.pages())*pageLimit)
		}
		if err != nil || answer.last(page-1) {
			break
		}
		if page == maxPages {
			return fmt.Errorf("platform: list live streams: more than %d pages", maxPages)
		}
	}
	if l.whole() || l.c.fromOne.Load() {
		return nil
	}
	before := len(l.found)
	_, err := l.page(ctx, 0)
	if declined(err) || err == nil && len(l.found) == before {
		l.c.fromOne.Store(true)
		return nil
	}
	return err
}

func (l *listing) page(ctx context.Context, number int) (answer streamPage, err error) {
	err = l.c.do(ctx, call{
		what: "list live streams", method: http.MethodGet, path: "/api/monitoring/summary",
		query: url.Values{
			"page": {strconv.Itoa(number)}, "itemsOnPage": {strconv.Itoa(streamsPerPage)}, "isActive": {"true"},
		},
	}, &answer)
	if err != nil {
		return answer, err
	}
	if answer.Data == nil && answer.Pagination == nil {
		return answer, errors.New("platform: list live streams: the answer has no list")
	}
	l.pages++
	for _, s := range answer.Data {
		stream, err := l.c.stream(s)
		if err != nil {
			return answer, fmt.Errorf("platform: list live streams: %w", err)
		}
		l.found[stream.Name] = stream
	}
	if p := answer.Pagination; p != nil {
		l.steady = l.steady && (l.total < 0 || l.total == p.TotalItems)
		l.total = p.TotalItems
	}
	return answer, nil
}

type streamPage struct {
	Data       []summary `json:"data"`
	Pagination *struct {
		TotalItems int `json:"totalItems"`
		TotalPages int `json:"totalPages"`
	} `json:"pagination"`
}

func (p streamPage) pages() int {
	if p.Pagination == nil {
		return 0
	}
	return min(p.Pagination.TotalPages, maxPages)
}

// last reports whether no page comes after this one, the nth from 0.
func (p streamPage) last(nth int) bool {
	if p.Pagination == nil || p.Pagination.TotalPages == 0 { // the answer does not say
		return len(p.Data) < streamsPerPage
	}
	return len(p.Data) == 0 || nth+1 >= p.Pagination.TotalPages
}

// declined reports whether the platform understood the request and refused it.
func declined(err error) bool {
	e, ok := errors.AsType[*APIError](err)
	return ok && e.understood && (e.Status == http.StatusBadRequest || e.Status == http.StatusNotFound)
}

// stream reads a summary. A missing answer is an error and not "not live" or "no viewers", which
// would switch encoders off. A stream of another account means that the secret is another
// account's.
func (c *Client) stream(s summary) (controller.LiveStream, error) {
	account, tail, ok := controller.StreamID(s.StreamID).Split()
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
		return controller.LiveStream{}, fmt.Errorf("the answer does not say how many watch %q", shorten(name))
	}
	return controller.LiveStream{Name: name, Live: true, Viewers: max(0, *s.ViewerCount)}, nil
}

// LiveStream returns one stream by its name. One that the platform does not know is not live, and
// was not live within the last hour.
func (c *Client) LiveStream(ctx context.Context, name string) (controller.LiveStream, error) {
	var s summary
	err := c.do(ctx, call{
		what: "read a stream", method: http.MethodGet, path: "/api/monitoring/summary/" + segment(name),
	}, &s)
	if errors.Is(err, ErrNotFound) {
		return controller.LiveStream{Name: name}, nil
	}
	if err != nil {
		return controller.LiveStream{}, err
	}
	stream, err := c.stream(s)
	if err != nil {
		return stream, fmt.Errorf("platform: read a stream: %w", err)
	}
	if stream.Name != name {
		return controller.LiveStream{}, fmt.Errorf("platform: read a stream: asked for %q, got %q",
			name, shorten(stream.Name))
	}
	return stream, nil
}

// Disconnect closes the stream's feeds. A stream that the platform does not know has none.
func (c *Client) Disconnect(ctx context.Context, name string) error {
	err := c.do(ctx, call{
		what: "disconnect a stream", method: http.MethodPost, path: "/api/stream/stop",
		body: map[string]string{"streamId": string(controller.JoinID(c.account, name))},
	}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// RequestThumbnail asks for a picture of the stream now; it comes as a hook. The platform allows 6
// such requests a minute for a stream.
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
	err := c.do(ctx, call{what: "read the account", method: http.MethodGet, path: "/api/v3/account/info"}, &info)
	if err == nil && info.AccountID == "" {
		err = errors.New("platform: read the account: the answer names no account")
	}
	return info.AccountID, err
}

// CheckAccount returns ErrWrongAccount in its chain when the API secret belongs to another account
// than the configured one.
func (c *Client) CheckAccount(ctx context.Context) error {
	id, err := c.AccountID(ctx)
	if err == nil && id != c.account {
		err = fmt.Errorf("%w: it belongs to %q, and is configured for %q", ErrWrongAccount, shorten(id), c.account)
	}
	return err
}

// segment escapes a name as one segment of a path; a name of dots alone would mean the parent
// folder.
func segment(name string) string {
	if name == "." || name == ".." {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}
