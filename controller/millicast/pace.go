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

// pace keeps all calls of an account to what the platform asks of one: while it wants a pause, none goes out.
// What wakes up after the pause goes a few at a time, so that the first that is refused speaks for the others.
type pace struct {
	slots chan struct{}

	mu    sync.Mutex
	until time.Time     // no call before
	pause time.Duration // the last one that nobody told the length of
}

const (
	callsAtOnce = 4
	maxPause    = 10 * time.Minute // a longer one is not believed

	firstPause = time.Second // after a 429 that does not tell, doubled each time in a row
	mostPause  = 30 * time.Second
)

func newPace() *pace { return &pace{slots: make(chan struct{}, callsAtOnce)} }

// enter waits for a place among the calls under way; leave gives it back.
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

// heed takes note of an answer.
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

// refusal is what a call gets that must not go out now: the answer that another call got.
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
