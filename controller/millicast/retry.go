package millicast

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const attempts = 3

// onceKey marks the context of a call that must not be repeated.
type onceKey struct{}

// newRetrying makes the HTTP client; dated is told of every answer's header, and when its request went out and it came.
func newRetrying(o ClientOptions, dated func(h http.Header, sent, came time.Time)) *retryablehttp.Client {
	transport := o.Transport
	if transport == nil {
		transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	timeout, wait := o.Timeout, o.RetryWait
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	if wait <= 0 {
		wait = 500 * time.Millisecond
	}
	pace := newPace()
	return &retryablehttp.Client{
		HTTPClient: &http.Client{
			Transport: paced{transport, pace, dated},
			Timeout:   timeout,
			// The API does not redirect. What does is a captive portal, and the secret is not for it.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		Logger:       quiet{o.Log.With("account", o.Account)},
		RetryMax:     attempts - 1,
		RetryWaitMin: wait,
		RetryWaitMax: 8 * wait,
		CheckRetry: func(ctx context.Context, resp *http.Response, err error) (bool, error) {
			again, err := checkRetry(ctx, resp, err)
			deadline, ok := ctx.Deadline()
			return again && (!ok || time.Until(deadline) > pace.left()), err
		},
		Backoff: func(first, most time.Duration, attempt int, resp *http.Response) time.Duration {
			return max(backoff(first, most, attempt, resp), pace.left())
		},
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
	}
}

// paced sends each attempt when its turn has come, and tells of its answer.
type paced struct {
	http.RoundTripper
	pace  *pace
	dated func(h http.Header, sent, came time.Time)
}

func (p paced) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := p.pace.enter(req.Context()); err != nil {
		return nil, err
	}
	defer p.pace.leave()
	if p.pace.left() > 0 {
		return p.pace.refusal(req), nil
	}
	sent := time.Now()
	resp, err := p.RoundTripper.RoundTrip(req)
	if err == nil {
		p.pace.heed(resp)
		p.dated(resp.Header, sent, time.Now())
	}
	return resp, err
}

// CloseIdleConnections lets http.Client reach the pool through the wrapping.
func (p paced) CloseIdleConnections() {
	if pool, ok := p.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

// checkRetry repeats what was lost on the way, 429 and 5xx, but never a call that is marked, and never when the pause that the platform asks for
// is longer than the caller has time: then the caller gets the answer, and with it the pause.
func checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	if ctx.Value(onceKey{}) != nil {
		return false, nil
	}
	if err != nil {
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
		return !untrusted, nil
	}
	busy := resp.StatusCode == http.StatusTooManyRequests
	broken := resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
	if !busy && !broken {
		return false, nil
	}
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > retryAfter(resp), nil
}

// backoff waits as long as the platform asks, else twice as long each time, give or take a quarter.
func backoff(first, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if wait := retryAfter(resp); wait > 0 {
		return wait
	}
	wait := min(first<<attempt, most)
	return wait*3/4 + rand.N(wait/2+1)
}

// retryAfter reads the Retry-After of a 429 or 503, which is in seconds or a date; 0 when there is none.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil || resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// quiet logs what the retrying client does at debug level, and drops every value but the few that are known to hold no secret.
type quiet struct{ log *slog.Logger }

func (q quiet) Error(msg string, kv ...any) { q.write(msg, kv) }
func (q quiet) Warn(msg string, kv ...any)  { q.write(msg, kv) }
func (q quiet) Info(msg string, kv ...any)  { q.write(msg, kv) }
func (q quiet) Debug(msg string, kv ...any) { q.write(msg, kv) }

func (q quiet) write(msg string, kv []any) {
	if !q.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	var safe []any
	for i := 0; i+1 < len(kv); i += 2 {
		switch kv[i] {
		case "method", "timeout", "remaining", "status":
			safe = append(safe, kv[i], kv[i+1])
		case "error":
			if err, ok := kv[i+1].(error); ok {
				safe = append(safe, kv[i], plainly(err))
			}
		}
	}
	q.log.Debug("platform api: "+msg, safe...)
}
