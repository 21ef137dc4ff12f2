package simulator

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// Feed is one publisher's connection as the platform sees it. Times are this host's clock, exact;
// hooks tell them in milliseconds and by the platform's clock.
type Feed struct {
	ID          string
	Stream      string // name
	SourceID    string
	SimulcastID *string // nil: it is no layer of a multi-bitrate contribution
	Priority    *int    // of the URL, else of the token; nil: the lowest
	TokenID     int     // of the publishing token; 0 without one
	Remote      string  // the publisher's address; "" for a feed of OpenFeed

	OnAir bool // viewers get it, and not another one of its source; false once it has ended

	Connected  time.Time // TCP was accepted
	Started    time.Time // the publish command was accepted
	FirstVideo time.Time // the last byte of the first picture was read; zero before
	Ended      time.Time // zero while open
	Cause      string    // why it ended; "" for a goodbye

	Pictures, Keyframes, Sounds int
	Bytes                       int64 // of media

	KeySum [sha256.Size]byte // SHA-256 of the stream key as sent; the key itself is not kept
}

// feed is a Feed and what the simulator needs to run it.
type feed struct {
	stream     *stream
	publisher  *rtmp.Publisher // nil for a feed of OpenFeed
	thumbnail  *time.Timer     // guarded by Simulator.mu
	thumbnails bool            // its token wants them each 30 s
	recorded   bool
	recordFile int // id of its recording by the older hooks

	mu    sync.Mutex // guards the rest; locked after Simulator.mu
	seen  Feed
	setup map[rtmp.TagKind]rtmp.Tag // metadata, and each track's decoder configuration
	key   rtmp.Tag                  // the last keyframe
	sinks []*sink
}

// newFeed makes a feed that is not open yet. p and t may be nil.
func newFeed(st *stream, p *rtmp.Publisher, c contribution, t *token) *feed {
	f := &feed{stream: st, publisher: p, setup: make(map[rtmp.TagKind]rtmp.Tag), thumbnails: true}
	f.seen = Feed{
		ID: newFeedID(), Stream: st.name, SourceID: c.source, SimulcastID: c.simulcast, Priority: c.priority,
		Started: time.Now(),
	}
	if t != nil {
		f.apply(t, c)
	}
	if p != nil {
		f.seen.Remote, f.seen.Connected, f.seen.Started = p.Remote, p.Connected, p.Published
		f.seen.KeySum = sha256.Sum256([]byte(p.Key.Reveal()))
	}
	return f
}

// newFeedID makes a random UUID, as the platform's feed ids are.
func newFeedID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (f *feed) snapshot() Feed {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// These never change once the feed is open.
func (f *feed) id() string   { return f.seen.ID }
func (f *feed) tokenID() int { return f.seen.TokenID }

// connected reports whether the publisher's connection is open, whether or not it is read.
func (f *feed) connected() bool { return f.publisher != nil && f.publisher.Open() }

func (f *feed) stop() {
	if f.thumbnail != nil {
		f.thumbnail.Stop()
	}
}

var errTakenOver = errors.New("another publisher took over")

// startFeed adds a feed, which overwrites the one that has its slot, and returns that one for the
// caller to disconnect once mu is free. The only hooks of a change between main and backup are
// those of the feeds that come and go: none tells who is on the air. Called with mu held.
func (s *Simulator) startFeed(f *feed) (old *feed) {
	st := f.stream
	if !s.behaviour.OverwrittenStays {
		for _, other := range st.feeds {
			if sameSlot(&other.seen, &f.seen) {
				old = other
			}
		}
	}
	wasLive := st.live()
	st.feeds = append(st.feeds, f)
	if f.publisher != nil {
		st.links = append(slices.DeleteFunc(st.links, func(l *feed) bool { return !l.connected() }), f)
	}
	if old != nil && s.behaviour.EndedFirst {
		s.endFeed(old, errTakenOver)
	}
	s.sendFeed(controller.HookFeedStarted, f)
	if !wasLive {
		s.goLive(st)
	}
	if old != nil && !s.behaviour.EndedFirst {
		s.endFeed(old, errTakenOver)
	}
	st.switchOver()
	s.scheduleThumbnail(f)
	s.startRecording(f)
	s.changed.notify()
	return old
}

// switchOver notes which feeds are on the air, and ends the dumps of those that are not any more.
// The real platform takes a time that depends on the protocol (source: the vendor's documentation,
// "Redundant Ingest"); here it is at once. Called with Simulator.mu held.
func (st *stream) switchOver() {
	shown := st.onAir()
	for _, f := range st.feeds {
		f.mu.Lock()
		if f.seen.OnAir = slices.Contains(shown, f); !f.seen.OnAir {
			f.endSinks()
		}
		f.mu.Unlock()
	}
}

// endFeed closes an open feed; it does nothing to one that ended before. Called with mu held.
func (s *Simulator) endFeed(f *feed, cause error) {
	st := f.stream
	at := slices.Index(st.feeds, f)
	if at < 0 {
		return
	}
	st.feeds = slices.Delete(st.feeds, at, at+1)
	f.stop()
	f.mu.Lock()
	f.seen.Ended, f.seen.OnAir = time.Now(), false
	if cause != nil {
		f.seen.Cause = cause.Error()
	}
	f.endSinks()
	f.mu.Unlock()
	if len(st.past) == keptFeeds {
		st.past = st.past[1:]
	}
	st.past = append(st.past, f.snapshot())
	s.sendFeed(controller.HookFeedEnded, f)
	st.switchOver()
	if !st.live() {
		s.goDark(st)
	}
	s.endRecording(f)
	s.changed.notify()
}

func (s *Simulator) sendFeed(kind controller.HookKind, f *feed) {
	seen := f.snapshot()
	told := controller.Feed{
		ID: seen.ID, SourceID: seen.SourceID, Priority: seen.Priority,
		Started: controller.ByPlatform(seen.Started.Add(s.behaviour.Skew)),
	}
	if !seen.Ended.IsZero() {
		told.Ended = controller.ByPlatform(seen.Ended.Add(s.behaviour.Skew))
	}
	m := millicast.FeedMessage(kind, s.set.Account, seen.Stream, told, s.now())
	data := m.Data.(millicast.FeedData)
	data.SimulcastID = seen.SimulcastID
	m.Data = data
	s.sendMessage(aboutFeeds, seen.Stream, m)
}

// OpenFeed starts a feed without a publisher and without a token, for tests whose encoder sends no
// media, and returns its id. It takes over as any feed does.
func (s *Simulator) OpenFeed(name, source string, priority *int) (id string) {
	s.mu.Lock()
	f := newFeed(s.stream(name), nil, contribution{source: source, priority: priority}, nil)
	old := s.startFeed(f)
	s.mu.Unlock()
	old.disconnect(errTakenOver)
	return f.id()
}

// CloseFeed ends a feed by its id, however it began, and reports whether it was open. A publisher
// is disconnected.
func (s *Simulator) CloseFeed(id string) bool {
	s.mu.Lock()
	var found *feed
	for _, st := range s.streams {
		for _, f := range st.feeds {
			if f.id() == id {
				found = f
			}
		}
	}
	if found != nil {
		s.endFeed(found, nil)
	}
	s.mu.Unlock()
	found.disconnect(nil)
	return found != nil
}

// disconnect hangs up on the publisher, if there is one. Called without mu: the ingest calls back.
func (f *feed) disconnect(cause error) {
	if f != nil && f.publisher != nil {
		f.publisher.Drop(false, cause)
	}
}
