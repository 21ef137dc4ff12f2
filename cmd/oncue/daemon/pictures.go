package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
)

// This file asks the platform for a picture of each stream that goes live. Without that the first
// one comes after 30 s.

const (
	pictureTries = 3                      // the first may find the stream without a whole picture
	picturePause = 800 * time.Millisecond // before each; the last is asked for within 3 s
	pictureWorth = 5 * time.Second        // no request begins later: the regular picture is not far
	pictureLimit = 10 * time.Second       // of one request
	// The platform allows 6 requests a minute for a stream.
	pictureEvery  = time.Minute
	pictureAtOnce = 4 // requests
)

// pictures asks for thumbnails, which come as hooks. That one does not come is no failure: the next
// regular one is never far.
type pictures struct {
	ask   func(ctx context.Context, id controller.StreamID) error
	taken func(id controller.StreamID) time.Time // when the picture that is there was taken; zero: none
	log   *slog.Logger

	ctx   context.Context
	end   context.CancelFunc
	work  sync.WaitGroup
	turns chan struct{}

	mu    sync.Mutex
	asked map[controller.StreamID]time.Time // within pictureEvery
}

func newPictures(
	ask func(context.Context, controller.StreamID) error, taken func(controller.StreamID) time.Time, log *slog.Logger,
) *pictures {
	p := &pictures{
		ask: ask, taken: taken, log: log, turns: make(chan struct{}, pictureAtOnce),
		asked: map[controller.StreamID]time.Time{},
	}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// observe begins to ask when a transition takes a stream live. It does not wait.
func (p *pictures) observe(t controller.Transition) {
	if t.To != controller.PhaseLive || t.From == controller.PhaseLive || t.From == controller.PhaseLingering {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.asked, func(_ controller.StreamID, at time.Time) bool { return now.Sub(at) >= pictureEvery })
	if _, recent := p.asked[t.Stream]; recent || p.ctx.Err() != nil {
		return
	}
	p.asked[t.Stream] = now
	p.work.Go(func() { p.get(t.Stream, now) })
}

// get asks until a picture comes that is newer than since.
func (p *pictures) get(id controller.StreamID, since time.Time) {
	worth, cancel := context.WithTimeout(p.ctx, pictureWorth)
	defer cancel()
	for range pictureTries {
		select {
		case <-time.After(picturePause):
		case <-worth.Done():
			return
		}
		if p.taken(id).After(since) {
			return
		}
		select {
		case p.turns <- struct{}{}:
		case <-worth.Done():
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, pictureLimit)
		err := p.ask(ctx, id)
		cancel()
		<-p.turns
		if errors.Is(err, controller.ErrRefused) {
			return
		}
		if err != nil {
			p.log.Debug("the platform gave no picture of a stream", "stream", id, "error", err)
		}
	}
}

// close ends all asking.
func (p *pictures) close() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.work.Wait()
}

// askPicture asks the platform for a picture of a stream, where the account can be asked.
func (d *Daemon) askPicture(ctx context.Context, id controller.StreamID) error {
	account, name, _ := id.Split()
	a := d.inForce().accounts[account]
	if a == nil || a.client == nil {
		return controller.ErrRefused
	}
	return refused(a.client.RequestThumbnail(ctx, name))
}

// pictureTaken is when the last picture of a stream was taken.
func (d *Daemon) pictureTaken(id controller.StreamID) time.Time {
	_, at, _ := d.thumbnails.Thumbnail(id)
	return at
}
