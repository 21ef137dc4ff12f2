package millicast

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/oncue/oncue/controller"
)

// Tester asks the platform for test hooks. [Client] is one.
type Tester interface {
	Account() string
	TestHook(ctx context.Context, kind, streamName string) error
}

// Arrivals tells when a hook for a stream came in. [Receiver] is one; so is whatever watches the journal of a daemon that runs elsewhere.
type Arrivals interface {
	Expect(account, name string) (arrived <-chan controller.Record, cancel func())
}

// RoundTrip asks the platform for a test hook and waits until it has come in through everything that lies between: DNS, TLS, proxies,
// signature, store. The hook names a stream that exists for this purpose only and that no Receiver acts on. It returns how long that took.
// ctx bounds the wait.
func RoundTrip(ctx context.Context, platform Tester, arrivals Arrivals) (time.Duration, error) {
	name := ReservedPrefix + strings.ToLower(rand.Text())
	arrived, cancel := arrivals.Expect(platform.Account(), name)
	defer cancel()
	start := time.Now()
	if err := platform.TestHook(ctx, "ViewerConnection", name); err != nil {
		return 0, fmt.Errorf("round trip: %w", err)
	}
	select {
	case <-arrived:
		return time.Since(start), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("round trip: the platform took the request, and its hook did not arrive within %s: %w", time.Since(start).Round(time.Second), context.Cause(ctx))
	}
}
