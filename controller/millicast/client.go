package millicast

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// maxAnswer bounds an answer of the API, in bytes. A page of 100 streams has about 60 kB.
const maxAnswer = 8 << 20

// ClientOptions configure a Client. Account, URL, Secret and Log are required.
type ClientOptions struct {
	Account string
	URL     string       // base, such as https://api.millicast.com
	Secret  secret.Value // the account's API secret
	Log     *slog.Logger

	Timeout   time.Duration     // of one attempt; 0: 10 s
	Patience  time.Duration     // of a call with all its attempts and pauses, if ctx does not end before; 0: 30 s
	RetryWait time.Duration     // before the second attempt, then doubled; 0: 500 ms
	Transport http.RoundTripper // nil: a connection pool of its own
}

// Client calls the platform's REST API for one account. All its methods may be called concurrently.
// Calls that are safe to repeat are tried three times; calls that make something new are never
// repeated. Errors of the platform are *APIError; test them with ErrNotFound, ErrUnauthorized and
// ErrRateLimited.
type Client struct {
	account  string
	base     string
	secret   secret.Value
	http     *retryablehttp.Client
	patience time.Duration
	clock    atomic.Pointer[clockOffset]
	fromOne  atomic.Bool // it is known that pages of live streams count from 1
}

var _ controller.Platform = (*Client)(nil)

// NewClient returns an error for a URL that is not plain http or https, or that contains a
// password.
func NewClient(o ClientOptions) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, errors.New("api_url: it is not a URL")
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("api_url: it must be https://host, without user, query or fragment")
	}
	c := &Client{
		account:  o.Account,
		base:     strings.TrimRight(u.String(), "/"),
		secret:   o.Secret,
		patience: o.Patience,
	}
	c.http = newRetrying(o, c.noteClock)
	if c.patience <= 0 {
		c.patience = 30 * time.Second
	}
	return c, nil
}

// Account is the account of the ClientOptions.
func (c *Client) Account() string { return c.account }

// String keeps fmt from printing the fields.
func (c *Client) String() string { return "platform API of account " + c.account }

// GoString keeps %#v from printing the fields.
func (c *Client) GoString() string { return c.String() }

// Close closes the idle connections.
func (c *Client) Close() { c.http.HTTPClient.CloseIdleConnections() }

// call is one request to the API.
type call struct {
	what   string // for people: "list webhooks"
	method string
	path   string // below the base, escaped
	query  url.Values
	body   any  // marshalled as JSON; nil: none
	once   bool // must not be repeated
}

// do makes the call and decodes the answer's data into out, which may be nil.
func (c *Client) do(ctx context.Context, l call, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	if l.once {
		ctx = context.WithValue(ctx, onceKey{}, true)
	}
	req, err := c.request(ctx, l)
	if err != nil {
		return fmt.Errorf("platform: %s: %w", l.what, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("platform: %s: %w", l.what, plainly(err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("platform: %s: read the answer: %w", l.what, plainly(err))
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("platform: %s: the answer is larger than %d MiB", l.what, maxAnswer>>20)
	}
	return c.decode(l.what, resp, body, out)
}

func (c *Client) request(ctx context.Context, l call) (*retryablehttp.Request, error) {
	var body []byte
	if l.body != nil {
		var err error
		if body, err = json.Marshal(l.body); err != nil {
			return nil, err
		}
	}
	target := c.base + l.path
	if len(l.query) > 0 {
		target += "?" + l.query.Encode()
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, l.method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.secret.Reveal())
	req.Header.Set("Accept", "application/json")
	if l.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// plainly removes the URL from a transport error: the error names the call already.
func plainly(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", err)
	}
	return err
}

// decode reads the API's envelope: {"status":"success","data":…}, {"status":"fail","data":any
// shape} or {"status":"error","message":…}.
func (c *Client) decode(what string, resp *http.Response, body []byte, out any) error {
	var envelope struct {
		Status  string          `json:"status"`
		Data    json.RawMessage `json:"data"`
		Message any             `json:"message"`
	}
	jsonErr := json.Unmarshal(body, &envelope)
	if jsonErr == nil && envelope.Status == "success" && resp.StatusCode/100 == 2 {
		if out == nil {
			return nil
		}
		if len(envelope.Data) == 0 {
			return fmt.Errorf("platform: %s: the answer has no data", what)
		}
		if err := json.Unmarshal(envelope.Data, out); err != nil {
			return fmt.Errorf("platform: %s: the answer's data is not as expected: %s", what, Misfit(err))
		}
		return nil
	}
	e := &APIError{What: what, Status: resp.StatusCode, RetryAfter: retryAfter(resp)}
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		e.Message = "an empty answer"
	case jsonErr != nil:
		e.Message = fmt.Sprintf("not JSON but %q", shorten(contentType(resp)))
	case envelope.Status == "fail":
		var data any
		if json.Unmarshal(envelope.Data, &data) == nil {
			e.Message = words(data)
		}
	default:
		e.Message = cmp.Or(words(envelope.Message), "JSON that is not an answer of this API")
	}
	e.understood = envelope.Status == "fail" || envelope.Status == "error"
	e.Message = shorten(secret.NewMasker(c.secret).Mask(e.Message))
	return e
}

func contentType(resp *http.Response) string {
	return cmp.Or(resp.Header.Get("Content-Type"), "something without a content type")
}

// clockOffset is how far the platform's clock is ahead of this one.
type clockOffset struct {
	ahead time.Duration
	at    time.Time
}

// noteClock compares the clocks by an answer's Date, which has whole seconds: on average it is half
// a second behind.
func (c *Client) noteClock(h http.Header, sent, came time.Time) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return
	}
	middle := sent.Add(came.Sub(sent) / 2)
	c.clock.Store(&clockOffset{date.Add(500 * time.Millisecond).Sub(middle), came})
}

// ClockOffset returns how far the platform's clock was ahead of this host's at the last answer, to
// about a second. ok is false before the first answer that had a date.
func (c *Client) ClockOffset() (ahead time.Duration, at time.Time, ok bool) {
	o := c.clock.Load()
	if o == nil {
		return 0, time.Time{}, false
	}
	return o.ahead, o.at, true
}
