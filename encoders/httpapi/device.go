package httpapi

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Devices makes all encoders of one process take turns at each box, so that a box gets one request
// at a time. The zero value is ready. A process needs one Devices.
type Devices struct {
	mu    sync.Mutex
	boxes map[string]*device
}

// device is one box, by host and port.
type device struct {
	turn  chan struct{} // holds one token while a call has the turn
	mu    sync.Mutex
	after time.Time // the box asked to be left alone until then
}

func (d *Devices) box(host string) *device {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes == nil {
		d.boxes = map[string]*device{}
	}
	b, ok := d.boxes[host]
	if !ok {
		b = &device{turn: make(chan struct{}, 1)}
		d.boxes[host] = b
	}
	return b
}

// waitTurn waits for the caller's turn and for the time that the box asked for. The caller must
// call leave.
func (d *device) waitTurn(ctx context.Context) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the box is busy with another request: %w", ctx.Err())
	}
	d.mu.Lock()
	wait := time.Until(d.after)
	d.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	if end, ok := ctx.Deadline(); ok && time.Until(end) < wait {
		d.leave()
		return fmt.Errorf("the box asked to be left alone for another %s", wait.Round(time.Second))
	}
	if err := sleep(ctx, wait); err != nil {
		d.leave()
		return err
	}
	return nil
}

func (d *device) leave() { <-d.turn }

func (d *device) leaveAlone(wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = time.Now().Add(wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
