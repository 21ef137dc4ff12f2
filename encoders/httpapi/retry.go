package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// worthRepeating reports whether the box may soon accept a request that failed now.
func (c *call) worthRepeating(ctx context.Context, res *http.Response, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errTooLarge),
			errors.Is(err, syscall.ECONNREFUSED), isCertificate(err), isSocket(err):
			return false
		}
		return true
	}
	wait, told := retryAfter(res)
	if told {
		c.box(res.Request.URL).LeaveAlone(wait)
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return false
	}
	end, bounded := ctx.Deadline()
	return !bounded || time.Until(end) > wait
}

func backoff(least, most time.Duration, attempt int, res *http.Response) time.Duration {
	if wait, told := retryAfter(res); told {
		return wait
	}
	return min(least<<attempt, most)
}

// maxRetryAfter bounds what a box may ask for.
const maxRetryAfter = 5 * time.Minute

// retryAfter is how long the box asks to be left alone; told is false when it does not ask.
func retryAfter(res *http.Response) (wait time.Duration, told bool) {
	if res == nil || res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	text := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return min(time.Duration(min(n, 1<<20))*time.Second, maxRetryAfter), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter), true
	}
	return 0, false
}

// silence means that there is no answer, or none that can be read: it is not known whether the box
// did what was asked.
type silence struct {
	text  string
	cause error
}

func (s *silence) Error() string { return s.text }

// Unwrap returns only the errors that callers check for: others may hold addresses with secrets.
func (s *silence) Unwrap() error {
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(s.cause, known) {
			return known
		}
	}
	return nil
}

func isCertificate(err error) bool {
	var c *tls.CertificateVerificationError
	return errors.As(err, &c) || errors.Is(err, errPin)
}

// reason says in words why there was no answer.
func (c *call) reason(err error) string {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	var cert *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &cert) && len(cert.UnverifiedCertificates) > 0:
		pin := sha256.Sum256(cert.UnverifiedCertificates[0].Raw)
		return fmt.Sprintf("the box's certificate is not trusted (%s); to trust it write tls: {pin: %x}", cert.Err, pin)
	case isSocket(err):
		return socketReason(err)
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "the answer is not HTTP"
	}
	return err.Error()
}
