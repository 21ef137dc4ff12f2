package boxes

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
	boxes map[string]*Device
}

// Device is one box, by host and port.
type Device struct {
	turn  chan struct{} // holds one token while a call has the turn
	mu    sync.Mutex
	after time.Time // the box asked to be left alone until then
}

// Box is the box at host, a host and port in lower case.
func (d *Devices) Box(host string) *Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.boxes == nil {
		d.boxes = map[string]*Device{}
	}
	b, ok := d.boxes[host]
	if !ok {
		b = &Device{turn: make(chan struct{}, 1)}
		d.boxes[host] = b
	}
	return b
}

// WaitTurn waits for the caller's turn and for the time that the box asked for. The caller must
// call Leave.
func (d *Device) WaitTurn(ctx context.Context) error {
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
		d.Leave()
		return fmt.Errorf("the box asked to be left alone for another %s", wait.Round(time.Second))
	}
	if err := Sleep(ctx, wait); err != nil {
		d.Leave()
		return err
	}
	return nil
}

// Leave ends the caller's turn.
func (d *Device) Leave() { <-d.turn }

// LeaveAlone gives nobody a turn for a while: the box has asked for that.
func (d *Device) LeaveAlone(wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = time.Now().Add(wait)
}

// Sleep waits for d, or for the end of ctx.
func Sleep(ctx context.Context, d time.Duration) error {
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
