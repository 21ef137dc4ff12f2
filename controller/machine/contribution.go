package machine

import (
	"slices"
	"time"
)

// Contribution tells the feeds of one encoder from those of others: the platform's hooks carry
// source and priority. Of two feeds with the same source, viewers are shown the one with the higher
// priority; of two that also have the same priority, the newer one replaces the older.
type Contribution struct {
	Source   string   `json:"source,omitempty"`
	More     []string `json:"more,omitempty"`     // sources of its further feeds: the same picture in other qualities
	Priority *int     `json:"priority,omitempty"` // of all of them; nil: lower than any
}

// Same reports whether the platform would let one replace the other, or a part of it.
func (c *Contribution) Same(other *Contribution) bool {
	if (c.Priority == nil) != (other.Priority == nil) {
		return false
	}
	return c.meets(other) && (c.Priority == nil || *c.Priority == *other.Priority)
}

// has reports whether a source is one of the contribution's.
func (c *Contribution) has(source string) bool {
	return c.Source == source || slices.Contains(c.More, source)
}

// meets reports whether two contributions have a source in common.
func (c *Contribution) meets(other *Contribution) bool {
	return c.has(other.Source) || slices.ContainsFunc(other.More, c.has)
}

// equal reports whether two are the same, or both not known.
func (c *Contribution) equal(other *Contribution) bool {
	return c == nil && other == nil || c != nil && other != nil && c.Same(other)
}

// fits reports whether a feed can be the contribution's. One without a priority of its own fits
// any: the platform may have given it one by its token.
func (c *Contribution) fits(f *FeedFact) bool {
	return c.has(f.SourceID) && (c.Priority == nil || f.Priority == nil || *c.Priority == *f.Priority)
}

// contribution is what the encoder publishes, or would publish next; nil: it is not known.
func (s *State) contribution(p *Policy, e *Encoder) *Contribution {
	if e.MayRun() && e.Publishes != nil {
		return e.Publishes
	}
	if spec := p.Encoder(e.Name); spec != nil {
		return spec.Publishes
	}
	return nil
}

// ours reports whether a feed can be that of one of our encoders.
func (s *State) ours(p *Policy, f *FeedFact) bool {
	return f.Of != "" || slices.ContainsFunc(s.Encoders, func(e Encoder) bool {
		c := s.contribution(p, &e)
		return c == nil || c.fits(f)
	})
}

// owner is the one encoder whose feed this can be; nil when it is nobody's, or when several fit
// alike. Of those that fit exactly, one that runs comes before those that would only start so.
func (s *State) owner(p *Policy, f *FeedFact) *Encoder {
	if !f.Over.IsZero() {
		return nil
	}
	if f.Of != "" {
		return s.Encoder(f.Of)
	}
	if s.ofCover(p, f) {
		return &s.Cover
	}
	var fits, exact, running []*Encoder
	for i := range s.Encoders {
		e := &s.Encoders[i]
		c := s.contribution(p, e)
		if c != nil && !c.fits(f) {
			continue
		}
		fits = append(fits, e)
		if c == nil || !c.Same(&Contribution{Source: f.SourceID, Priority: f.Priority}) {
			continue
		}
		exact = append(exact, e)
		if e.MayRun() {
			running = append(running, e)
		}
	}
	for _, list := range [][]*Encoder{fits, exact, running} {
		if len(list) == 1 {
			return list[0]
		}
	}
	return nil
}

// attribute keeps whose feeds are whose, before a reload gives their places to others. Where the
// configuration itself gives encoders the same place, nobody can tell.
func (m *machine) attribute() {
	for i := range m.Facts.Feeds {
		f := &m.Facts.Feeds[i]
		if f.Of == "" && m.ofCover(m.p, f) {
			f.Of = m.Cover.Name
		}
		if f.Of != "" || m.p.placeShared() {
			continue
		}
		had, past := m.havePublished(&Contribution{Source: f.SourceID, Priority: f.Priority}), m.unheard(f)
		begun := len(had) == 1 && had[0].MayRun() && had[0].Begun
		switch o := m.owner(m.p, f); {
		case past >= 0 && !begun:
			f.Of, f.Over = m.Unheard[past].Encoder, later(m.Unheard[past].GoneAt, f.Seen)
			m.Unheard = slices.Delete(m.Unheard, past, past+1)
		case len(had) == 1:
			f.Of, f.Unsure = had[0].Name, past >= 0
		case len(had) == 0 && o != nil && o.On() && f.Open() && !m.leftover(m.p, f):
			f.Of = o.Name // its priority may be that of its token
		}
	}
}

// unheard is the place of a run that was over just before the feed was heard of, and that may have
// been its; -1: there is none.
func (s *State) unheard(f *FeedFact) int {
	return slices.IndexFunc(s.Unheard, func(r PastRun) bool {
		return f.Seen.Sub(r.GoneAt) < hookDelay && r.Published.Same(&Contribution{Source: f.SourceID, Priority: f.Priority})
	})
}

// noteUnheard keeps the encoder's run, which is over, if its feed was not heard of.
func (m *machine) noteUnheard(e *Encoder) {
	heard := func(f FeedFact) bool { return f.Of == e.Name && !f.Seen.Before(e.StartedAt) }
	if e.Publishes != nil && e.On() && e.Begun && !slices.ContainsFunc(m.Facts.Feeds, heard) {
		m.Unheard = append(m.Unheard, PastRun{e.Name, *e.Publishes, m.now})
	}
}

// placeShared reports whether two encoders are given the same contribution, or one that is not
// known.
func (p *Policy) placeShared() bool {
	for i, e := range p.Encoders {
		for _, o := range p.Encoders[:i] {
			if e.Publishes == nil || o.Publishes == nil || e.Publishes.Same(o.Publishes) {
				return true
			}
		}
	}
	return false
}

// havePublished lists the encoders whose last run was exactly this contribution.
func (s *State) havePublished(c *Contribution) (list []*Encoder) {
	for i := range s.Encoders {
		if e := &s.Encoders[i]; e.Publishes != nil && e.Publishes.Same(c) {
			list = append(list, e)
		}
	}
	return list
}

// Owner is the name of the one encoder whose feed this is; "" when it is somebody else's, or
// several fit.
func (s *State) Owner(p *Policy, f *FeedFact) string {
	if e := s.owner(p, f); e != nil && s.contribution(p, e) != nil && !s.leftover(p, f) {
		return e.Name
	}
	return ""
}

// has reports whether the feed is the encoder's, or may be.
func (s *State) has(p *Policy, e *Encoder, f *FeedFact) bool {
	if o := s.owner(p, f); o != nil || f.Of != "" {
		return o != nil && o.Name == e.Name
	}
	return s.ours(p, f)
}

// distinct reports whether the platform's feeds tell the encoder from all others of the stream.
func (s *State) distinct(p *Policy, e *Encoder) bool {
	c := s.contribution(p, e)
	if c == nil || len(s.Encoders) < 2 {
		return false
	}
	for i := range s.Encoders {
		o := &s.Encoders[i]
		if o.Name == e.Name {
			continue
		}
		if e.MayRun() && !o.MayRun() && s.givenAway(p, o, e) {
			continue // it waits for the end of this run
		}
		other := s.contribution(p, o)
		if other == nil && c.Priority == nil || other != nil && c.Same(other) {
			return false
		}
	}
	return true
}

// beside reports whether two encoders may publish at once without one replacing the other.
func (s *State) beside(p *Policy, a, b *Encoder) bool {
	x, y := s.contribution(p, a), s.contribution(p, b)
	return x != nil && y != nil && !x.Same(y)
}

// givenAway reports whether the encoder's next run would replace the feed of another's run: a
// reload has given it a contribution that is in use. Two that the configuration gives the same are
// not meant.
func (s *State) givenAway(p *Policy, e, running *Encoder) bool {
	spec, now := p.Encoder(e.Name), p.Encoder(running.Name)
	if spec == nil || spec.Publishes == nil || running.Publishes == nil || !running.Publishes.Same(spec.Publishes) {
		return false
	}
	return now == nil || !spec.Publishes.equal(now.Publishes)
}

// goneAt is when the encoder whose feed this can be was last known to be gone; zero: never.
func (s *State) goneAt(p *Policy, f *FeedFact) time.Time {
	if !f.Over.IsZero() {
		return f.Over
	}
	if e := s.owner(p, f); e == &s.Cover {
		return e.GoneAt
	} else if e != nil {
		return later(e.GoneAt, s.GoneAt)
	}
	if s.ours(p, f) {
		return s.GoneAt
	}
	return time.Time{}
}

// leftover reports whether a feed that is still open belongs to a run that is over.
func (s *State) leftover(p *Policy, f *FeedFact) bool {
	at := s.goneAt(p, f)
	return !at.IsZero() && !f.Seen.After(at)
}

// feedOf is an open feed of the encoder's own, or nil.
func (s *State) feedOf(p *Policy, e *Encoder) *FeedFact {
	for i := range s.Facts.Feeds {
		f := &s.Facts.Feeds[i]
		if o := s.owner(p, f); f.Open() && o != nil && o.Name == e.Name && !s.leftover(p, f) {
			return f
		}
	}
	return nil
}

// othersShown reports whether another encoder is live or has an open feed of its own, so that a
// viewer or the platform's API, who see the stream, say nothing of this one.
func (s *State) othersShown(p *Policy, e *Encoder) bool {
	for i := range s.Encoders {
		if o := &s.Encoders[i]; o.Name != e.Name && (s.shows(p, o) || s.feedOf(p, o) != nil) {
			return true
		}
	}
	return false
}

// anyShown reports whether anything says that viewers have a picture. After the end of a feed the
// platform's API is waited for.
func (m *machine) anyShown() bool {
	poll, end := &m.Facts.Poll, m.Facts.lastEnd()
	if m.p.CanAsk && !poll.Asked.After(end) && m.now.Sub(end) < askTimeout {
		return true
	}
	return m.Facts.AnyOpen() || poll.Live && poll.Asked.After(end) ||
		slices.ContainsFunc(m.Encoders, func(e Encoder) bool { return m.shows(m.p, &e) })
}

// noteOnAir keeps who is on the air, and tells when the platform changes over from one encoder to
// another.
func (m *machine) noteOnAir() {
	for i := range m.Encoders {
		e := &m.Encoders[i]
		before := e.OnAir
		e.OnAir = m.onAir(m.p, e)
		others := slices.ContainsFunc(m.Encoders, func(o Encoder) bool { return o.Name != e.Name && m.shows(m.p, &o) })
		if e.OnAir && !before && m.distinct(m.p, e) && (others || e.OnSince.Before(m.now)) {
			m.tell(m.Phase, e.Name, "is on the air now")
		}
	}
	m.Cover.OnAir = m.onAir(m.p, &m.Cover)
}

// onAir reports whether viewers are shown what the encoder publishes: it is live, and of all of
// ours with a source of its own that are, none has a higher priority.
func (s *State) onAir(p *Policy, e *Encoder) bool {
	if !s.shows(p, e) {
		return false
	}
	mine := s.contribution(p, e)
	return !slices.ContainsFunc(s.Encoders, func(o Encoder) bool {
		other := s.contribution(p, &o)
		return s.shows(p, &o) && mine != nil && other != nil && other.meets(mine) && above(other.Priority, mine.Priority)
	})
}

// shows reports whether the encoder is live, and the platform has not lost all of its feeds.
func (s *State) shows(p *Policy, e *Encoder) bool {
	return e.Step == StepOn && (e.FeedLost.IsZero() || s.feedOf(p, e) != nil)
}

// above reports whether a priority is higher than another; none is lower than any.
func above(a, b *int) bool {
	if a == nil || b == nil {
		return a != nil && b == nil
	}
	return *a > *b
}
