package simulator

import (
	"crypto/sha256"
	"maps"
	"slices"
	"time"
)

// Truth is the real state of a stream, whatever hooks got lost and whatever the API says.
type Truth struct {
	Live  bool
	Since time.Time // when it went live; zero while it is not

	Feeds []Feed // open ones
	Past  []Feed // ended ones, oldest first, at most 32

	Watching   int // viewers who see a picture
	Inactive   int // viewers who saw one until the stream went off
	Attempting int // viewers who never got in

	// FirstVideo is the first picture of the feeds that are open, this host's clock, exact; zero
	// before it.
	FirstVideo time.Time
	// Connections counts the publishers that are connected, frozen ones and ones whose feed has
	// ended included.
	Connections int
}

// Wanted reports whether anybody watches or would like to.
func (t Truth) Wanted() bool { return t.Watching+t.Inactive+t.Attempting > 0 }

// Truth returns the real state of a stream. A stream that nobody has named is not live.
func (s *Simulator) Truth(name string) Truth {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[name]
	if st == nil {
		return Truth{}
	}
	t := Truth{
		Live: st.live(), Since: st.since, Past: slices.Clone(st.past),
		Watching: st.count(Watching), Inactive: st.count(Inactive), Attempting: st.count(Attempting),
		Connections: len(connected([]*stream{st})),
	}
	for _, f := range st.feeds {
		seen := f.snapshot()
		t.Feeds = append(t.Feeds, seen)
		if !seen.FirstVideo.IsZero() && (t.FirstVideo.IsZero() || seen.FirstVideo.Before(t.FirstVideo)) {
			t.FirstVideo = seen.FirstVideo
		}
	}
	return t
}

// Streams returns the names of all streams that publishers or viewers have named, sorted.
func (s *Simulator) Streams() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.streams))
}

// KeyIs reports whether the feed was published with exactly this stream key, NAME?token=….
func (f Feed) KeyIs(key string) bool { return f.KeySum == sha256.Sum256([]byte(key)) }
