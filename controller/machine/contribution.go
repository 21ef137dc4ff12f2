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
	return slices.ContainsFunc(s.Encoders, func(e Encoder) bool {
		c := s.contribution(p, &e)
		return c == nil || c.fits(f)
	})
}

// owner is the one encoder whose feed this can be; nil when it is nobody's, or when several fit
// alike.
func (s *State) owner(p *Policy, f *FeedFact) *Encoder {
	var fits, exact *Encoder
	several, twice := false, false
	for i := range s.Encoders {
		e := &s.Encoders[i]
		c := s.contribution(p, e)
		if c != nil && !c.fits(f) {
			continue
		}
		several = several || fits != nil
		fits = e
		if c != nil && c.Same(&Contribution{Source: f.SourceID, Priority: f.Priority}) {
			twice = twice || exact != nil
			exact = e
		}
	}
	switch {
	case !several:
		return fits
	case !twice:
		return exact
	}
	return nil
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
	if o := s.owner(p, f); o != nil {
		return o.Name == e.Name
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

// goneAt is when the encoder whose feed this can be was last known to be gone; zero: never.
func (s *State) goneAt(p *Policy, f *FeedFact) time.Time {
	if e := s.owner(p, f); e != nil {
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

// othersShown reports whether another encoder has an open feed of its own, so that a viewer or the
// platform's API, who see the stream, say nothing of this one.
func (s *State) othersShown(p *Policy, e *Encoder) bool {
	for i := range s.Encoders {
		if o := &s.Encoders[i]; o.Name != e.Name && s.feedOf(p, o) != nil {
			return true
		}
	}
	return false
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
