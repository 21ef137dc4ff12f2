package millicast

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// limiter is a platform that answers rate calls a second, and asks for a pause when more come.
type limiter struct {
	mu      sync.Mutex
	rate    int // 0: it refuses every call
	pause   string
	at      time.Time // start of the second that is counted
	calls   int       // in it
	refused int
	all     int
	open    int
	most    int // at once
}

func (l *limiter) RoundTrip(req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	l.all, l.open = l.all+1, l.open+1
	l.most = max(l.most, l.open)
	if now := time.Now(); now.Sub(l.at) >= time.Second {
		l.at, l.calls = now, 0
	}
	l.calls++
	status, header, body := http.StatusOK, http.Header{}, `{"status":"success","data":{"streamName":"x","live":false}}`
	if l.calls > l.rate {
		l.refused++
		status, body = http.StatusTooManyRequests, `{"status":"error","message":"slow down"}`
		if l.pause != "" {
			header.Set("Retry-After", l.pause)
		}
	}
	l.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	l.mu.Lock()
	l.open--
	l.mu.Unlock()
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)),
		Request: req}, nil
}

func (l *limiter) client(t *testing.T) *Client {
	c, err := NewClient(ClientOptions{Account: "A", URL: "https://api.invalid", Secret: secret.New(apiSecret),
		Log: slog.New(slog.DiscardHandler), Transport: l})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOneRefusalSpeaksForAllCalls: the calls of a hundred streams of an account go out together.
// All of them observe the pause that the platform asks of the first.
func TestOneRefusalSpeaksForAllCalls(t *testing.T) {
	for _, c := range []struct {
		pause   string
		refused int // at most
	}{
		{"10", callsAtOnce}, {"", 3 * callsAtOnce}, // 1, 2, 4 s
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &limiter{pause: c.pause}
			client := l.client(t)
			time.AfterFunc(5*time.Second, func() {
				l.mu.Lock()
				l.rate = 1000
				l.mu.Unlock()
			})
			var patient, hasty sync.WaitGroup
			for range 100 {
				patient.Go(func() {
					if _, err := client.LiveStream(t.Context(), "x"); err != nil {
						t.Errorf("pause %q: a call with time: %v", c.pause, err)
					}
				})
				hasty.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
					defer cancel()
					_, err := client.LiveStream(ctx, "x")
					if !errors.Is(err, ErrRateLimited) {
						t.Errorf("pause %q: a call without time: %v", c.pause, err)
					}
				})
			}
			hasty.Wait()
			patient.Wait()
			if l.refused > c.refused || l.most > callsAtOnce {
				t.Errorf("pause %q: the platform refused %d calls, want %d at most; %d came at once", c.pause,
					l.refused, c.refused, l.most)
			}
		})
	}
}

// TestAfterThePause: calls that have waited do not all go out at once.
func TestAfterThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limiter{pause: "1", rate: 20}
		client := l.client(t)
		var group sync.WaitGroup
		failed := 0
		var mu sync.Mutex
		for range 60 {
			group.Go(func() {
				if _, err := client.LiveStream(t.Context(), "x"); err != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if l.refused > 5*callsAtOnce || failed > 0 {
			t.Errorf("%d of %d calls were refused, %d failed", l.refused, l.all, failed)
		}
	})
}

// TestAPauseIsBelievedWithinReason: a pause that is too long is cut, and it ends.
func TestAPauseIsBelievedWithinReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &limiter{pause: "2147483647"}
		client := l.client(t)
		ask := func() error {
			_, err := client.LiveStream(t.Context(), "x")
			return err
		}
		if err := ask(); !errors.Is(err, ErrRateLimited) {
			t.Fatal(err)
		}
		l.rate = 10
		if err := ask(); !errors.Is(err, ErrRateLimited) || l.all != 1 {
			t.Errorf("during the pause: %v, %d calls went out", err, l.all)
		}
		time.Sleep(maxPause)
		if err := ask(); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}
