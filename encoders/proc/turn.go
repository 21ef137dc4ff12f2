package proc

import (
	"context"
	"fmt"
)

// TakeTurn waits until no other start or stop of the driver is in progress: turn holds one token,
// which the caller puts back. An encoder that is closed gives none.
func TakeTurn(ctx context.Context, driver string, turn, closed <-chan struct{}) error {
	select {
	case <-closed:
		return ErrClosed
	default:
	}
	select {
	case <-turn:
		return nil
	case <-closed:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%s: another start or stop is in progress: %w", driver, ctx.Err())
	}
}
