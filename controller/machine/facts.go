package machine

import (
	"cmp"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
)

// Facts are what the platform told. Merging is commutative and idempotent: hooks in any order, any
// number of times, make the same facts.
type Facts struct {
	Attempt   Mark       `json:"attempt,omitzero"`
	First     Mark       `json:"first,omitzero"`
	NoViewers Mark       `json:"no_viewers,omitzero"`
	Feeds     []FeedFact `json:"feeds,omitempty"` // by id; ended ones stay a while: a late "started" must not reopen them
	Poll      PollFact   `json:"poll,omitzero"`
}

// Mark is the latest hook of one kind.
type Mark struct {
	At   controller.PlatformTime `json:"at"`   // orders hooks
	Seen time.Time               `json:"seen"` // by this host's clock; time-outs count from it
}

// merge keeps the later one; of the same one, the first arrival.
func (m Mark) merge(at controller.PlatformTime, seen time.Time) Mark {
	if at.After(m.At) || at.Equal(m.At) && seen.Before(m.Seen) {
		return Mark{at, seen}
	}
	return m
}

// FeedFact is one feed as it was told.
type FeedFact struct {
	controller.Feed
	Told    controller.PlatformTime `json:"told,omitzero"`     // when the platform sent word of its start
	Seen    time.Time               `json:"seen"`              // when it was first heard of
	EndSeen time.Time               `json:"end_seen,omitzero"` // when its end was heard of
	Closed  bool                    `json:"closed,omitempty"`  // EndSeen is our guess, not the platform's word
	Again   time.Time               `json:"again,omitzero"`    // when the journal told of it once more
	Of      string                  `json:"of,omitempty"`      // the encoder that publishes it; "": not known, or nobody's
	Over    time.Time               `json:"over,omitzero"`     // since when that run of that encoder is known to be over
	Unsure  bool                    `json:"unsure,omitempty"`  // it may be of a run before the one of that encoder
}

// Open reports whether the feed counts as up.
func (f *FeedFact) Open() bool { return f.EndSeen.IsZero() }

// beganBy is the latest time by this host's clock at which the feed can have begun.
func (f *FeedFact) beganBy() time.Time {
	if f.EndSeen.IsZero() || f.Ended.IsZero() || f.Started.IsZero() {
		return f.Seen
	}
	return earlier(f.Seen, f.EndSeen.Add(f.Started.Time().Sub(f.Ended.Time())))
}

// close takes a feed for gone without a word of the platform's; reopen takes that back.
func (f *FeedFact) close(now time.Time) { f.EndSeen, f.Closed = now, true }

func (f *FeedFact) reopen(now time.Time) { f.Seen, f.EndSeen, f.Closed = now, time.Time{}, false }

// PollFact is the latest answer of the platform's API, and since when it has been saying so.
type PollFact struct {
	Asked        time.Time `json:"asked,omitzero"`
	Live         bool      `json:"live,omitempty"`
	Viewers      int       `json:"viewers,omitempty"`
	ZeroSince    time.Time `json:"zero_since,omitzero"`    // live, with nobody watching; kept while it is off
	OfflineSince time.Time `json:"offline_since,omitzero"` // not live
	LiveSince    time.Time `json:"live_since,omitzero"`
	Heard        time.Time `json:"heard,omitzero"`   // its latest answer of a live stream
	Watched      time.Time `json:"watched,omitzero"` // its latest answer that somebody watches
}

// Hooks older or newer than ten minutes are not acted on, so an ended feed may be forgotten after
// more than twice that.
const (
	feedMemory = 25 * time.Minute
	feedLimit  = 64
)

func (f *Facts) hook(h controller.Hook) {
	if h.Again && f.holds(h) {
		return
	}
	switch h.Kind {
	case controller.HookAttempt:
		f.Attempt = f.Attempt.merge(h.At, h.Received)
	case controller.HookFirstViewer:
		f.First = f.First.merge(h.At, h.Received)
	case controller.HookNoViewers:
		f.NoViewers = f.NoViewers.merge(h.At, h.Received)
	case controller.HookFeedStarted, controller.HookFeedEnded:
		f.feed(h)
	}
}

// holds reports whether a hook that is taken again is known: it changes nothing then. Its time of
// arrival is by a clock that may have been set since, and what was learned of it has been moved
// along.
func (f *Facts) holds(h controller.Hook) bool {
	switch h.Kind {
	case controller.HookAttempt:
		return !h.At.After(f.Attempt.At)
	case controller.HookFirstViewer:
		return !h.At.After(f.First.At)
	case controller.HookNoViewers:
		return !h.At.After(f.NoViewers.At)
	}
	i, found := f.find(h.Feed.ID)
	if !found {
		return false
	}
	if h.Kind == controller.HookFeedEnded {
		return !f.Feeds[i].Open() && !f.Feeds[i].Closed
	}
	return !f.Feeds[i].Told.IsZero()
}

// AnyOpen reports whether a feed counts as up.
func (f *Facts) AnyOpen() bool {
	return slices.ContainsFunc(f.Feeds, func(g FeedFact) bool { return g.Open() })
}

func (f *Facts) find(feed string) (at int, found bool) {
	return slices.BinarySearchFunc(f.Feeds, feed, func(g FeedFact, id string) int { return cmp.Compare(g.ID, id) })
}

func (f *Facts) feed(h controller.Hook) {
	i, found := f.find(h.Feed.ID)
	if !found {
		f.Feeds = slices.Insert(f.Feeds, i, FeedFact{Feed: controller.Feed{ID: h.Feed.ID}, Seen: h.Received})
	}
	g := &f.Feeds[i]
	g.Seen = earlier(g.Seen, h.Received)
	if h.Feed.SourceID != "" {
		g.SourceID = h.Feed.SourceID
	}
	if h.Feed.Priority != nil {
		g.Priority = h.Feed.Priority
	}
	if h.Kind == controller.HookFeedStarted {
		g.Started, g.Told = earlier(g.Started, cmp.Or(h.Feed.Started, h.At)), earlier(g.Told, h.At)
		if g.Closed && h.Received.After(g.EndSeen) { // told again: it was taken for gone too early
			g.reopen(h.Received)
		}
		return
	}
	if g.Closed {
		g.EndSeen, g.Closed = time.Time{}, false
	}
	g.EndSeen = earlier(g.EndSeen, h.Received)
	g.Ended = earlier(g.Ended, cmp.Or(h.Feed.Ended, h.At))
}

// forget drops feeds that ended long ago, and the oldest ended ones when there are too many.
func (f *Facts) forget(now time.Time) {
	gone := func(g FeedFact) bool {
		return !g.Open() && now.Sub(later(later(g.Seen, g.EndSeen), g.Again)) > feedMemory
	}
	f.Feeds = slices.DeleteFunc(f.Feeds, gone)
	for len(f.Feeds) > feedLimit {
		oldest := -1
		for i := range f.Feeds {
			if !f.Feeds[i].Open() && (oldest < 0 || f.Feeds[i].Seen.Before(f.Feeds[oldest].Seen)) {
				oldest = i
			}
		}
		if oldest < 0 {
			oldest = 0
		}
		f.Feeds = slices.Delete(f.Feeds, oldest, oldest+1)
	}
}

// polled takes an answer over. For as long as uncounted after the stream has gone live, by the API
// or by ours (back; later than the answer: not yet), nobody watching says nothing. A feed whose
// run is over stays closed: what is live is another one.
func (f *Facts) polled(p Polled, back time.Time, uncounted time.Duration, over func(*FeedFact) bool) {
	if !p.Asked.After(f.Poll.Asked) {
		return
	}
	before, next := f.Poll, PollFact{Asked: p.Asked, Live: p.Live, Viewers: p.Viewers}
	since := func(is bool, was time.Time) time.Time {
		if is && was.IsZero() {
			return p.Asked
		} else if is {
			return was
		}
		return time.Time{}
	}
	next.OfflineSince = since(!p.Live, before.OfflineSince)
	next.LiveSince = since(p.Live, before.LiveSince)
	next.ZeroSince, next.Heard, next.Watched = before.ZeroSince, before.Heard, before.Watched
	switch {
	case p.Live && p.Viewers > 0:
		next.ZeroSince, next.Heard, next.Watched = time.Time{}, p.Asked, p.Asked
	case p.Live && p.Asked.Sub(later(next.LiveSince, back)) >= uncounted:
		next.ZeroSince, next.Heard = since(true, before.ZeroSince), p.Asked
	}
	f.Poll = next
	for i := range f.Feeds {
		g := &f.Feeds[i]
		switch { // the API lags behind: it takes two answers in a row
		case g.Open() && !p.Live && !before.Live && g.Seen.Before(before.Asked):
			g.close(p.Asked)
		case g.Closed && p.Live && before.Live && g.EndSeen.Before(before.Asked) && !over(g):
			g.reopen(p.Asked)
		}
	}
}

// uncounted is how long after a stream has gone live, or has come back, a count of zero says
// nothing: viewers who saw no picture may not be in again yet, or not be counted.
func (p *Policy) uncounted() time.Duration { return min(hookDelay, p.patience()) }

// backSince is when the stream went live, by us or by the API, or the newest of its feeds was heard
// of: the one before may have broken off.
func (s *State) backSince() time.Time {
	back := later(s.LiveSince, s.Facts.Poll.LiveSince)
	if s.Cover.Step == StepOn {
		back = later(back, s.Cover.OnSince)
	}
	for i := range s.Facts.Feeds {
		if f := &s.Facts.Feeds[i]; f.Open() {
			back = later(back, f.Seen)
		}
	}
	return back
}

// left notes of the feeds of encoders that leave the stream that they are over.
func (f *Facts) left(before, after []Encoder) {
	for _, e := range before {
		if slices.ContainsFunc(after, func(o Encoder) bool { return o.Name == e.Name && o.Instance == e.Instance }) {
			continue
		}
		for i := range f.Feeds {
			if g := &f.Feeds[i]; g.Of == e.Name && g.Over.IsZero() {
				g.Over = later(e.GoneAt, g.Seen)
			}
		}
	}
}

// lastEnd is when a feed was last heard to end.
func (f *Facts) lastEnd() time.Time {
	var last time.Time
	for i := range f.Feeds {
		last = later(last, f.Feeds[i].EndSeen)
	}
	return last
}

// openFeed returns an open feed that is no leftover and not the cover's, or nil.
func (s *State) openFeed(p *Policy) *FeedFact {
	for i := range s.Facts.Feeds {
		if f := &s.Facts.Feeds[i]; f.Open() && !s.leftover(p, f) && !s.ofCover(p, f) {
			return f
		}
	}
	return nil
}

// audience reports whether anyone is watching, by the most recent evidence; when nobody is, empty
// is since when (zero: nothing ever said so). The evidence is the later of FirstViewerConnection
// and NoActiveViewers, and the API's count of viewers where it was heard after both. What is older
// than this episode, by more than a hook may be late, says nothing. A count of zero empties the
// stream only after patience: the API lags behind, and a viewer who has just got in is not counted
// yet.
func (s *State) audience(p *Policy) (present bool, empty time.Time) {
	f := &s.Facts
	counts := func(seen time.Time, early time.Duration) bool { // it belongs to this episode, or caused it
		return !seen.Before(s.SpentAt) && (s.Episode.IsZero() || !seen.Before(s.Episode.Add(-early)))
	}
	firstCounts := f.someoneIn() && counts(f.First.Seen, p.AttemptHold)
	latest := f.First.Seen
	if f.NoViewers.At.After(f.First.At) {
		latest, empty = f.NoViewers.Seen, f.NoViewers.Seen
	}
	present = firstCounts
	// The answer that a stream is off says nothing about its viewers: whoever was in sees no picture
	// and does not try again.
	if poll := f.Poll; poll.Heard.After(latest) && poll.Heard.After(s.SpentAt) &&
		(poll.Heard.Equal(poll.Asked) || counts(poll.Heard, hookDelay)) {
		present = poll.ZeroSince.IsZero()
		switch {
		case present:
			empty = time.Time{}
		case firstCounts:
			empty = later(poll.ZeroSince, f.First.Seen).Add(p.patience())
		case (s.Joined || s.Cover.Name != "" && poll.Watched.After(s.Episode)) &&
			(empty.IsZero() || poll.Watched.After(empty)):
			empty = poll.ZeroSince.Add(p.patience())
		}
	}
	return present, empty
}

// patience is how long the API must say that nobody watches until that counts as NoActiveViewers
// does, which the platform sends after 60 s. It is shorter where idle_timeout is.
func (p *Policy) patience() time.Duration { return min(time.Minute, p.IdleTimeout) }

// moment is a time, by this host's clock or by the platform's.
type moment[T any] interface {
	IsZero() bool
	Before(T) bool
	After(T) bool
}

// later returns the later of two times.
func later[T moment[T]](a, b T) T {
	if b.After(a) {
		return b
	}
	return a
}

// earlier returns the earlier of two times; a zero one is none.
func earlier[T moment[T]](a, b T) T {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
