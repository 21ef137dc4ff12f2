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

// Arrivals announces that a hook for a stream came in. [Receiver] is one; so is a client that
// watches the journal of a daemon elsewhere.
type Arrivals interface {
	Expect(account, name string) (arrived <-chan controller.Record, cancel func())
}

// RoundTrip asks the platform for a test hook, waits until it has come through everything between
// (DNS, TLS, proxies, signature, store), and returns how long that took. The hook names a stream
// that exists only for this purpose, and no Receiver acts on it. ctx bounds the wait.
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
		return 0, fmt.Errorf("round trip: the platform accepted the request, but its hook did not arrive within %s: %w",
			time.Since(start).Round(time.Second), context.Cause(ctx))
	}
}
