package runner

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
)

// poller asks the platform about one account's streams, time and again.
type poller struct {
	c       *Controller
	account string

	mu       sync.Mutex
	spec     AccountSpec
	busy     bool // asks about streams one by one
	listing  bool // asks for all live streams of the account
	lastHook time.Time
	lastPoll time.Time
	lastList time.Time     // when the last listing began
	listTook time.Duration // and how long it took
	listed   int           // live streams in it
	next     time.Time     // not before
	failures int
	err      error
	webhook  *controller.WebhookView

	waiting []*stream // whose questions are not answered yet
	asking  bool      // answer runs
}

const (
	askLimit    = 10 * time.Second // one question about one stream
	askAtOnce   = 4                // such questions
	askFailures = 3                // of such questions, before the others are not asked
	askGather   = 100 * time.Millisecond
	perPage     = 100 // live streams on a page of a listing
	listPause   = 20  // where streams are asked about one by one: pause between listings, in times of their length
	idleFactor  = 10  // an account with nothing on is listed this many times less often
	maxIdlePoll = 10 * time.Minute
	maxBackoff  = 5 * time.Minute
)

func (c *Controller) poller(account string) *poller {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.polls[account]
}

func (p *poller) noteHook(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.After(p.lastHook) {
		p.lastHook = at
	}
}

// tick is called every poll_interval. Where fewer streams matter than a listing of all live ones
// has pages, they are asked about one by one; then all are listed only as often as on an account
// with nothing on.
func (p *poller) tick() {
	now := p.c.cfg.Clock.Now()
	active := p.c.active(p.account)
	p.mu.Lock()
	defer p.mu.Unlock()
	spec := p.spec
	if spec.Platform == nil || now.Before(p.next) {
		return
	}
	few := len(active) < p.pages()
	idle := min(spec.PollInterval*idleFactor, max(maxIdlePoll, spec.PollInterval)) - spec.PollInterval/2
	due := !few || p.lastList.IsZero() || now.Sub(p.lastList) >= max(idle, listPause*p.listTook)
	if due && !p.listing {
		p.listing = true
		p.c.calls.Go(func() { p.finish(&p.listing, now, p.list(spec.Platform, active)) })
	}
	if few && len(active) > 0 && !p.busy {
		p.busy = true
		p.c.calls.Go(func() { p.finish(&p.busy, now, p.askEach(spec.Platform, slices.Collect(maps.Values(active)))) })
	}
}

// pages is how many requests a listing takes, judged by the last one. The caller holds mu.
func (p *poller) pages() int { return 1 + p.listed/perPage }

// finish notes how a poll went, and clears the flag that it was running under.
func (p *poller) finish(running *bool, asked time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*running, p.err = false, err
	if f := p.c.cfg.Observe.Polled; f != nil {
		f(p.account, err)
	}
	if err == nil {
		p.lastPoll, p.failures, p.next = asked, 0, time.Time{}
		return
	}
	if p.c.ctx.Err() != nil {
		return
	}
	p.failures++
	wait := min(p.spec.PollInterval<<min(p.failures-1, 10), max(maxBackoff, p.spec.PollInterval))
	p.next = p.c.cfg.Clock.Now().Add(wait)
	if p.failures == 1 {
		p.c.cfg.Log.Warn("the platform's API cannot be read; encoders are kept as they are",
			"account", p.account, "error", err)
	}
}

// active lists the streams of an account for which it may matter what the platform says.
func (c *Controller) active(account string) map[string]*stream {
	found := map[string]*stream{} // by name
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.streams {
		if s.account == account && s.matters() {
			found[s.name] = s
		}
	}
	return found
}

// list asks the platform for all live streams and posts the answer to those of ours.
func (p *poller) list(platform controller.Platform, active map[string]*stream) error {
	asked := p.c.cfg.Clock.Now()
	live, err := platform.Live(p.c.ctx)
	p.mu.Lock()
	if err == nil {
		p.listed = len(live)
	}
	if p.listed > 0 || err == nil { // else the next tick lists again: no stream can be asked about by itself
		p.lastList, p.listTook = asked, p.c.cfg.Clock.Now().Sub(asked)
	}
	pages := p.pages()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	gone := p.c.postListing(p.account, asked, live, active)
	if len(gone) <= pages {
		return p.askEach(platform, gone)
	}
	for _, s := range gone {
		s.post(machine.Polled{Asked: asked})
	}
	return nil
}

// postListing posts a listing to the streams that it is about. It leaves out those that were live
// and are not in it, and returns them: streams that end move others from one page to another while
// the pages are read.
func (c *Controller) postListing(
	account string, asked time.Time, live []controller.LiveStream, active map[string]*stream,
) (gone []*stream) {
	for _, l := range live {
		if !l.Live {
			continue
		}
		s := active[l.Name]
		delete(active, l.Name)
		if s == nil {
			s = c.stream(account, l.Name)
		}
		if s != nil {
			s.post(machine.Polled{Asked: asked, Live: true, Viewers: l.Viewers})
		}
	}
	for _, s := range active {
		if s.wasLive() {
			gone = append(gone, s)
		} else {
			s.post(machine.Polled{Asked: asked})
		}
	}
	return gone
}

// askEach asks about streams one by one and posts each answer as it comes. After askFailures
// failures it leaves out the rest.
func (p *poller) askEach(platform controller.Platform, streams []*stream) error {
	var (
		group    sync.WaitGroup
		slots    = make(chan struct{}, askAtOnce)
		errs     = make([]error, len(streams))
		failures atomic.Int32
	)
	for i, s := range streams {
		slots <- struct{}{}
		if failures.Load() >= askFailures || p.c.ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			if errs[i] = p.askOne(platform, s); errs[i] != nil {
				failures.Add(1)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return p.c.ctx.Err()
}

func (p *poller) askOne(platform controller.Platform, s *stream) error {
	asked := p.c.cfg.Clock.Now()
	ctx, cancel := context.WithTimeout(p.c.ctx, askLimit)
	defer cancel()
	live, err := platform.LiveStream(ctx, s.name)
	if err == nil {
		s.post(machine.Polled{Asked: asked, Live: live.Live, Viewers: live.Viewers})
	}
	return err
}

// ask asks the platform about one stream; Polled or AskFailed follows. Streams that ask within
// askGather are asked about together, so that a hundred that stop at once cause no storm.
func (c *Controller) ask(s *stream) {
	p := c.poller(s.account)
	if p == nil || p.platform() == nil {
		c.calls.Go(func() { c.askFailed(s, errNoPlatform) })
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, s)
	if !p.asking {
		p.asking = true
		c.calls.Go(p.answer)
	}
}

// errNoPlatform is the answer for an account without an API secret.
var errNoPlatform = errors.New("no API secret is configured for the account")

// answer asks for the streams in waiting until there is none.
func (p *poller) answer() {
	for {
		select {
		case <-time.After(askGather): // several may stop at once
		case <-p.c.ctx.Done():
		}
		p.mu.Lock()
		waiting, platform, pages := p.waiting, p.spec.Platform, p.pages()
		p.waiting = nil
		p.asking = len(waiting) > 0
		p.mu.Unlock()
		if len(waiting) == 0 {
			return
		}
		err := errNoPlatform
		switch {
		case platform == nil:
		case len(waiting) == 1 || len(waiting) < pages:
			err = p.askEach(platform, waiting)
		default:
			active := p.c.active(p.account)
			for _, s := range waiting {
				active[s.name] = s
			}
			err = p.list(platform, active)
		}
		for _, s := range waiting {
			if err != nil { // a stream that was answered all the same ignores it
				p.c.askFailed(s, err)
			}
		}
	}
}

func (c *Controller) askFailed(s *stream, err error) {
	if c.ctx.Err() == nil {
		refused := errors.Is(err, controller.ErrRefused) || errors.Is(err, errNoPlatform)
		s.post(machine.AskFailed{Asked: c.cfg.Clock.Now(), Refused: refused, Text: err.Error()})
	}
}

func (c *Controller) disconnect(s *stream) {
	p := c.poller(s.account)
	if p == nil || p.platform() == nil {
		return
	}
	c.calls.Go(func() {
		ctx, cancel := context.WithTimeout(c.ctx, askLimit)
		defer cancel()
		if err := p.platform().Disconnect(ctx, s.name); err != nil && c.ctx.Err() == nil {
			c.cfg.Log.Error("the platform does not disconnect the feed of a stopped encoder", "stream", s.id, "error", err)
		}
	})
}

func (p *poller) platform() controller.Platform {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec.Platform
}

// WebhookSeen notes how the platform shows the account's webhook.
func (c *Controller) WebhookSeen(account string, w *controller.WebhookView) {
	if p := c.poller(account); p != nil {
		p.mu.Lock()
		p.webhook = w
		p.mu.Unlock()
	}
}

// Accounts tells how hooks and polls of each account go, ordered by account id.
func (c *Controller) Accounts() []controller.AccountView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	views := make([]controller.AccountView, 0, len(c.polls))
	for _, id := range slices.Sorted(maps.Keys(c.polls)) {
		views = append(views, c.polls[id].view())
	}
	return views
}

func (p *poller) view() controller.AccountView {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := controller.AccountView{
		Account: p.account, LastHook: timeOrNil(p.lastHook), LastPoll: timeOrNil(p.lastPoll), Webhook: p.webhook,
	}
	if p.err != nil {
		text := p.err.Error()
		v.PollError = &text
	}
	return v
}
