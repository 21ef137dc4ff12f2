package httpapi

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Devices knows the boxes that encoders of this process talk to, so that each is asked one thing at a time, whoever asks. The zero value
// is ready. One Devices serves a whole process.
type Devices struct {
	mu    sync.Mutex
	boxes map[string]*device
}

// device is one box, by host and port.
type device struct {
	turn  chan struct{} // holds one token while somebody talks to the box
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

// take waits for our turn and for the time that the box asked for. The turn must be given back with leave.
func (d *device) take(ctx context.Context) error {
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
