package simulator

import (
	"errors"
	"maps"
	"slices"

	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// ingest is the simulator as the RTMP server sees it.
type ingest struct{ *Simulator }

func (s ingest) Publish(p *rtmp.Publisher) error {
	c, err := parseContribution(p.Params)
	if err != nil {
		return err
	}
	s.mu.Lock()
	t, err := s.admit(p)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	f := newFeed(s.stream(p.Name), p, c, t)
	p.Owner = f
	old := s.startFeed(f)
	s.mu.Unlock()
	old.disconnect(errTakenOver)
	return nil
}

// admit returns the token that lets a publisher in, nil where none is needed. An error has the
// words that the publisher will see.
func (s ingest) admit(p *rtmp.Publisher) (*token, error) {
	for _, name := range []string{p.Name, ""} {
		if words := s.refusals[name]; words != "" {
			return nil, errors.New(words)
		}
	}
	if s.closed {
		return nil, rtmp.ErrClosed
	}
	return s.tokens.admit(p, s.now(), !s.behaviour.RTMPSkipsIPs)
}

func (s ingest) Unpublish(p *rtmp.Publisher, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.endFeed(p.Owner.(*feed), cause)
	}
}

func (s ingest) Tag(p *rtmp.Publisher, t rtmp.Tag) {
	f := p.Owner.(*feed)
	if first := f.accept(t); first {
		s.changed.notify()
	}
	if s.set.OnTag != nil {
		s.set.OnTag(f.id(), p.Name, t)
	}
}

// accept counts a tag and passes it to the sinks. It reports whether it was the feed's first
// picture.
func (f *feed) accept(t rtmp.Tag) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen.Bytes += int64(len(t.Data))
	switch {
	case t.Kind == rtmp.Script || t.Config():
		f.setup[t.Kind] = t.Clone()
	case t.Kind == rtmp.Video && t.Frame():
		f.seen.Pictures++
		if first = f.seen.FirstVideo.IsZero(); first {
			f.seen.FirstVideo = t.At
		}
	case t.Frame():
		f.seen.Sounds++
	}
	if t.Keyframe() {
		f.seen.Keyframes++
		f.key.Timestamp, f.key.Kind, f.key.At = t.Timestamp, t.Kind, t.At
		f.key.Data = append(f.key.Data[:0], t.Data...)
	}
	f.sinks = slices.DeleteFunc(f.sinks, func(k *sink) bool { return !k.accept(t, f.setup) })
	return first
}

// Refuse makes the ingest refuse publishers of a stream, of every stream if name is empty, with
// these words, which FFmpeg shows as "Server error: WORDS". Empty words take it back. Feeds that
// are open stay.
func (s *Simulator) Refuse(name, words string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals[name] = words
}

// named returns a stream, or all streams if name is empty. Called with mu held.
func (s *Simulator) named(name string) []*stream {
	if name == "" {
		return slices.Collect(maps.Values(s.streams))
	}
	if st := s.streams[name]; st != nil {
		return []*stream{st}
	}
	return nil
}

// connected returns the feeds whose publishers are connected.
func connected(streams []*stream) (list []*feed) {
	for _, st := range streams {
		for _, f := range st.links {
			if f.connected() {
				list = append(list, f)
			}
		}
	}
	return list
}

// publishers returns the feeds of a stream, of all streams if name is empty, whose publishers are
// connected.
func (s *Simulator) publishers(name string) []*feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return connected(s.named(name))
}

// Freeze stops reading from the publishers of a stream, of all streams if name is empty, and
// returns how many they are. Their connections stay up, unread; their feeds end when they have been
// silent for Settings.Silence. Publishers who connect later are not frozen.
func (s *Simulator) Freeze(name string) int {
	list := s.publishers(name)
	for _, f := range list {
		f.publisher.Freeze()
	}
	return len(list)
}

// Thaw resumes reading after Freeze.
func (s *Simulator) Thaw(name string) int {
	list := s.publishers(name)
	for _, f := range list {
		f.publisher.Thaw()
	}
	return len(list)
}

var errDropped = errors.New("the ingest dropped the connection")

// Drop disconnects the publishers of a stream, of all streams if name is empty, with a TCP reset or
// a FIN, and ends its feeds, those of OpenFeed included. It returns the number of publishers and of
// OpenFeed's feeds. A publisher that connects again is let in.
func (s *Simulator) Drop(name string, reset bool) int {
	s.mu.Lock()
	streams := s.named(name)
	list := connected(streams)
	count := len(list)
	for _, st := range streams {
		for _, f := range slices.Clone(st.feeds) {
			if f.publisher == nil {
				count++
			}
			s.endFeed(f, errDropped)
		}
	}
	s.mu.Unlock()
	for _, f := range list {
		f.publisher.Drop(reset, errDropped)
	}
	return count
}

// Mute(true) makes the ingest accept connections and never answer; Mute(false) ends that.
func (s *Simulator) Mute(on bool) { s.ingest.Mute(on) }

// Connections returns how many RTMP connections have been accepted since the start, publishing or
// not.
func (s *Simulator) Connections() int64 { return s.ingest.Connections() }
