package simulator

import (
	"crypto/sha256"
	"maps"
	"slices"
	"time"
)

// Truth is what is really so with a stream, whatever hooks got lost and whatever the API says.
type Truth struct {
	Live  bool
	Since time.Time // when it went live; zero while it is not

	Feeds []Feed // open ones
	Past  []Feed // ended ones, oldest first, at most 32

	Watching   int // viewers who see a picture
	Inactive   int // viewers who saw one until the stream went off
	Attempting int // viewers who never got in

	FirstVideo  time.Time // first picture of the feeds that are open, the machine's clock, exact; zero before
	Connections int       // publishers connected now: frozen ones and ones whose feed has ended count
}

// Wanted reports whether anybody is there who would watch.
func (t Truth) Wanted() bool { return t.Watching+t.Inactive+t.Attempting > 0 }

// Truth looks at a stream. A name never heard of is a stream that is not live.
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
