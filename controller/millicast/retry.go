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

// newRetrying makes the HTTP client. It calls dated with every answer's header, and with the times
// of request and answer.
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
			// The API does not redirect. A captive portal does, and must not get the secret.
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

// paced sends each attempt at the account's pace and reports its answer to pace and dated.
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

// CloseIdleConnections lets http.Client reach the wrapped connection pool.
func (p paced) CloseIdleConnections() {
	if pool, ok := p.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		pool.CloseIdleConnections()
	}
}

// checkRetry repeats calls that got no answer, 429 or 5xx, but never a call marked by onceKey, and
// never when the platform asks for a pause that is longer than the caller has time: then the caller
// gets the answer, which names the pause.
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

// backoff is as long as the platform asks, else twice as long each time, plus or minus a quarter.
func backoff(first, most time.Duration, attempt int, resp *http.Response) time.Duration {
	if wait := retryAfter(resp); wait > 0 {
		return wait
	}
	wait := min(first<<attempt, most)
	return wait*3/4 + rand.N(wait/2+1)
}

// retryAfter reads the Retry-After of a 429 or 503, which is a number of seconds or a date; 0 when
// there is none.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
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

// quiet logs the retrying client's messages at debug level, with only those values that cannot
// contain a secret.
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
