package millicast

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// pace applies a pause that the platform asks of one call to all calls of the account. After the
// pause the calls go out a few at a time, so that most of them learn of a new pause before they go.
type pace struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time     // no call goes out before
	pause time.Duration // the last one whose length the platform did not say
}

const (
	callsAtOnce = 4
	maxPause    = 10 * time.Minute // a longer Retry-After is cut to this

	firstPause = time.Second // after a 429 without Retry-After; doubled each time in a row
	mostPause  = 30 * time.Second
)

func newPace() *pace { return &pace{slots: make(chan struct{}, callsAtOnce)} }

// enter waits for one of the callsAtOnce slots; leave gives it back.
func (p *pace) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pace) leave() { <-p.slots }

// left is how long the pause still lasts.
func (p *pace) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.until))
}

// heed begins the pause that an answer asks for.
func (p *pace) heed(resp *http.Response) {
	wait := min(retryAfter(resp), maxPause)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case wait == 0 && resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "":
		p.pause = min(max(firstPause, 2*p.pause), mostPause)
		wait = p.pause
	case wait == 0:
		p.pause = 0
	}
	if until := time.Now().Add(wait); wait > 0 && until.After(p.until) {
		p.until = until
	}
}

// refusal is the answer to a call that must not go out now: the one that another call got.
func (p *pace) refusal(req *http.Request) *http.Response {
	body := []byte(`{"status":"error","message":"the platform has asked this account to wait"}`)
	seconds := strconv.Itoa(int(math.Ceil(p.left().Seconds())))
	return &http.Response{
		Status:     fmt.Sprint(http.StatusTooManyRequests, " ", http.StatusText(http.StatusTooManyRequests)),
		StatusCode: http.StatusTooManyRequests, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {ContentJSON}, "Retry-After": {seconds}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}
