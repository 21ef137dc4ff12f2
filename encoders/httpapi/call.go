package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// call is one Start, Stop or Status under way.
type call struct {
	*values
	e    *Encoder
	step boxes.Step // or login
	host string     // of the box, once the call has had its turn
}

func (e *Encoder) call(job encoders.Job, step boxes.Step) *call {
	v := &values{&boxes.Values{Words: e.plan.words, Job: job, Mask: newMasker(e.plan, e.env.Secrets, job)}, e.plan}
	e.session.mu.Lock()
	for _, captured := range e.session.captured {
		v.Mask.Know(captured)
	}
	for _, c := range e.session.cookies {
		if len(c.value) > 3 {
			v.Mask.Know(c.value)
		}
	}
	e.session.mu.Unlock()
	return &call{values: v, e: e, step: step}
}

// during changes the name of the step; the returned function restores it.
func (c *call) during(step boxes.Step) func() {
	before := c.step
	c.step = step
	return func() { c.step = before }
}

// Turn waits for the call's turn at the box. The caller must call leave.
func (c *call) Turn(ctx context.Context) (leave func(), err error) {
	base, err := c.plan.base(c.Values, false)
	if err != nil {
		return nil, encoders.Permanent(fmt.Errorf("url: %w", err))
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, encoders.Permanent(errors.New("url: is not an address once its placeholders are filled"))
	}
	d := c.box(u)
	if err := d.WaitTurn(ctx); err != nil {
		return nil, err
	}
	c.host = u.Host
	return d.Leave, nil
}

// box is where calls to this address take turns.
func (c *call) box(u *url.URL) *boxes.Device {
	return c.e.devices.boxes.Box(cmp.Or(c.plan.socket, strings.ToLower(u.Host)))
}

// send sends a request, after the login that it needs, and returns the answer, which may be a
// refusal. The caller has the turn at the box. once is set for a request that must not be sent
// twice without need: it is called before a repeat, and returns errDone when the box has done it
// already.
func (c *call) send(ctx context.Context, r *request, once func(context.Context) error) (*answer, error) {
	if c.plan.login == nil {
		return c.attempt(ctx, r, once, true)
	}
	s, maxAge := &c.e.session, c.plan.settings.Login.MaxAge
	fresh := false
	if !s.valid(c.host, maxAge) {
		s.forget()
		if !c.plan.settings.Login.Lazy {
			if err := c.logIn(ctx); err != nil {
				return nil, err
			}
			fresh = true
		}
	}
	a, err := c.attempt(ctx, r, once, true)
	if err != nil || fresh || !c.expired(a) {
		return a, err
	}
	if err := c.logIn(ctx); err != nil {
		return nil, err
	}
	if once != nil {
		if err := once(ctx); err != nil {
			return nil, err
		}
	}
	if a, err = c.attempt(ctx, r, once, true); err == nil && c.expired(a) {
		s.forget()
	}
	return a, err
}

func (c *call) expired(a *answer) bool {
	holds, err := c.plan.login.expired.Holds(a.facts(c.values))
	return err == nil && holds
}

// errDone says that a request need not be repeated: the box has done it.
var errDone = errors.New("the box has done it already")

// attempt sends one request, and again within the retries when the box could not accept it.
// withSession adds what the login gave.
func (c *call) attempt(
	ctx context.Context, r *request, once func(context.Context) error, withSession bool,
) (*answer, error) {
	var l *login
	if withSession && c.plan.login != nil {
		if c.Captured = c.e.session.values(); c.Captured != nil {
			l = c.plan.login
		}
	}
	out, err := r.render(c.values, l)
	if err != nil {
		return nil, encoders.Permanent(err)
	}
	req, err := c.newRequest(withCall(ctx, c), out, withSession)
	if err != nil {
		return nil, encoders.Permanent(fmt.Errorf("%s: %w", out.target, err))
	}
	if once != nil {
		// On a connection that was used before, the transport would repeat a GET by itself.
		c.e.wire.CloseIdleConnections()
	}
	began := time.Now()
	client := c.client(r, once)
	res, err := client.Do(req)
	if res != nil && res.Body != nil {
		defer res.Body.Close()
	}
	switch {
	case errors.Is(err, errDone):
		return nil, errDone
	case err != nil:
		return nil, &silence{text: fmt.Sprintf("%s: %s", out.target, boxes.Clean(c.Mask, c.reason(err))), cause: err}
	}
	text, err := readAnswer(res.Body)
	if err != nil {
		return nil, &silence{text: fmt.Sprintf("%s: %s", out.target, boxes.Clean(c.Mask, c.reason(err))), cause: err}
	}
	if withSession && c.plan.login != nil {
		c.e.session.keepCookies(res.Header, c.Mask)
	}
	return newAnswer(res.StatusCode, res.Header, text, time.Since(began)), nil
}

func (c *call) newRequest(ctx context.Context, out *rendered, withSession bool) (*retryablehttp.Request, error) {
	var body any
	if out.body != nil {
		body = out.body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, out.method, out.url.String(), body)
	if err != nil {
		return nil, errors.New("the address cannot be requested")
	}
	req.Header.Set("User-Agent", "oncue")
	if out.contentType != "" {
		req.Header.Set("Content-Type", out.contentType)
	}
	for _, h := range out.headers {
		if strings.EqualFold(h[0], "Host") {
			req.Host = h[1]
			continue
		}
		req.Header.Set(h[0], h[1])
	}
	if withSession && c.plan.login != nil {
		if cookies := c.e.session.cookieHeader(); cookies != "" {
			req.Header.Set("Cookie", cookies)
		}
	}
	return req, c.authorise(req.Request, out.body)
}

// authorise adds the headers of auth. Digest and login work elsewhere, and query is in the address
// already.
func (c *call) authorise(req *http.Request, body []byte) error {
	s := &c.plan.settings
	switch c.plan.auth {
	case "basic":
		req.SetBasicAuth(s.Username, s.Password.Reveal())
	case "bearer", "header":
		value, err := c.plan.authText.Fill(c.Values, boxes.InHeader, false)
		if err != nil {
			return err
		}
		if c.plan.auth == "bearer" {
			req.Header.Set("Authorization", "Bearer "+value)
		} else {
			req.Header.Set(s.AuthName, value)
		}
	case "aws-sigv4":
		region, err := c.plan.region.Fill(c.Values, boxes.InHost, false)
		if err != nil {
			return err
		}
		service, err := c.plan.service.Fill(c.Values, boxes.InHost, false)
		if err != nil {
			return err
		}
		signer := sigv4{s.Username, s.Password.Reveal(), s.AWS.SessionToken.Reveal(), region, service}
		signer.sign(req, req.URL.EscapedPath(), body, time.Now())
	}
	return nil
}

// client makes the client for one request, with its timeout and the rules for repeats.
func (c *call) client(r *request, once func(context.Context) error) *retryablehttp.Client {
	client := &retryablehttp.Client{
		HTTPClient:   &http.Client{Transport: c.e.transport, Timeout: r.timeout, CheckRedirect: sameHost},
		RetryWaitMin: 250 * time.Millisecond,
		RetryWaitMax: 5 * time.Second,
		RetryMax:     c.plan.settings.Retries,
		Backoff:      backoff,
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		CheckRetry: func(ctx context.Context, res *http.Response, err error) (bool, error) {
			return c.worthRepeating(ctx, res, err), nil
		},
	}
	if once != nil {
		client.PrepareRetry = func(req *http.Request) error { return once(req.Context()) }
	}
	return client
}
