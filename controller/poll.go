package controller

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrRefused is in the chain of a Platform's error when asking again is of no use: the API secret is wrong.
var ErrRefused = errors.New("the platform refuses the API secret")

// poller asks the platform about one account's streams, time and again.
type poller struct {
	c       *Controller
	account string

	mu       sync.Mutex
	spec     AccountSpec
	busy     bool
	lastHook time.Time
	lastPoll time.Time
	next     time.Time // not before
	failures int
	err      error
	webhook  *WebhookView
}

const (
	askLimit    = 10 * time.Second // one question
	pollLimit   = 60 * time.Second // all pages
	idleFactor  = 10               // an account with nothing on is asked this much more seldom
	maxIdlePoll = 10 * time.Minute
	maxBackoff  = 5 * time.Minute
)

func (c *Controller) poller(account string) *poller {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.polls[account]
}

func (p *poller) hooked(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.After(p.lastHook) {
		p.lastHook = at
	}
}

// tick is called every poll_interval.
func (p *poller) tick() {
	now := p.c.cfg.Clock.Now()
	active := p.c.active(p.account)
	p.mu.Lock()
	spec := p.spec
	idle := min(spec.PollInterval*idleFactor, max(maxIdlePoll, spec.PollInterval))
	due := !p.busy && !now.Before(p.next) && (len(active) > 0 || p.lastPoll.IsZero() || now.Sub(p.lastPoll) >= idle-spec.PollInterval/2)
	if due {
		p.busy = true
	}
	p.mu.Unlock()
	if !due || spec.Platform == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.c.ctx, pollLimit)
	live, err := spec.Platform.Live(ctx)
	cancel()
	p.done(now, err)
	if err == nil {
		p.c.polled(p.account, now, live, active)
	}
}

func (p *poller) done(asked time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy, p.err = false, err
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
		p.c.cfg.Log.Warn("the platform's API cannot be read; encoders are kept as they are", "account", p.account, "error", err)
	}
}

// active lists the streams of an account that the platform's word may matter to.
func (c *Controller) active(account string) map[string]*stream {
	found := map[string]*stream{}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, s := range c.streams {
		if s.account == account && s.matters() {
			found[s.name] = s
		}
	}
	return found
}

func (c *Controller) polled(account string, asked time.Time, live []LiveStream, active map[string]*stream) {
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
			s.post(Polled{Asked: asked, Live: true, Viewers: l.Viewers})
		}
	}
	for _, s := range active {
		s.post(Polled{Asked: asked})
	}
}

// ask asks the platform about one stream; Polled or AskFailed follows.
func (c *Controller) ask(s *stream) {
	asked := c.cfg.Clock.Now()
	p := c.poller(s.account)
	c.calls.Go(func() {
		live, err := LiveStream{}, errNoPlatform
		if p != nil && p.platform() != nil {
			ctx, cancel := context.WithTimeout(c.ctx, askLimit)
			defer cancel()
			live, err = p.platform().LiveStream(ctx, s.name)
		}
		if c.ctx.Err() != nil {
			return
		}
		if err != nil {
			s.post(AskFailed{Asked: asked, Refused: errors.Is(err, ErrRefused) || errors.Is(err, errNoPlatform), Text: err.Error()})
			return
		}
		s.post(Polled{Asked: asked, Live: live.Live, Viewers: live.Viewers})
	})
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

func (p *poller) platform() Platform {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.spec.Platform
}

// WebhookSeen takes note of how the platform shows the account's webhook.
func (c *Controller) WebhookSeen(account string, w *WebhookView) {
	if p := c.poller(account); p != nil {
		p.mu.Lock()
		p.webhook = w
		p.mu.Unlock()
	}
}

// Accounts is the platform's side, in the order of the accounts' ids.
func (c *Controller) Accounts() []AccountView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	views := make([]AccountView, 0, len(c.polls))
	for _, id := range sortedKeys(c.polls) {
		views = append(views, c.polls[id].view())
	}
	return views
}

func (p *poller) view() AccountView {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := AccountView{Account: p.account, LastHook: timeOrNil(p.lastHook), LastPoll: timeOrNil(p.lastPoll), Webhook: p.webhook}
	if p.err != nil {
		text := p.err.Error()
		v.PollError = &text
	}
	return v
}
