package simulator

import (
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// stream is everything about one stream name. Guarded by Simulator.mu. Times are this host's clock.
type stream struct {
	name      string
	feeds     []*feed     // open ones
	past      []Feed      // ended ones, the last few
	links     []*feed     // feeds whose connection may still be there, open or not
	viewers   []*Viewer   // all who have not left
	since     time.Time   // when it went live; zero while it is not
	started   time.Time   // when the last broadcast began
	ended     time.Time   // when the last broadcast ended; zero before the first end
	attempted time.Time   // when ViewerAttempt was last sent
	welcomed  bool        // FirstViewerConnection was sent in this broadcast
	empty     *time.Timer // runs from the last viewer's leaving to NoActiveViewers
	pictures  []time.Time // thumbnails on demand, for their limit
}

// keptFeeds is how many ended feeds of a stream are remembered.
const keptFeeds = 32

// stream returns the stream of a name, and makes it if it is new. Called with mu held.
func (s *Simulator) stream(name string) *stream {
	st := s.streams[name]
	if st == nil {
		st = &stream{name: name}
		s.streams[name] = st
	}
	return st
}

func (st *stream) live() bool { return len(st.feeds) > 0 }

// count returns how many viewers are in a state.
func (st *stream) count(state ViewerState) int {
	n := 0
	for _, v := range st.viewers {
		if v.state == state {
			n++
		}
	}
	return n
}

func (st *stream) stopTimers() {
	if st.empty != nil {
		st.empty.Stop()
	}
	for _, v := range st.viewers {
		v.stop()
	}
	for _, f := range st.feeds {
		f.stop()
	}
}

// emit sends a viewer hook. Called with mu held, as are all below.
func (s *Simulator) emit(kind controller.HookKind, st *stream) {
	s.sendMessage(aboutViewers, st.name, millicast.ViewerMessage(kind, s.set.Account, st.name, s.now()))
}

func (s *Simulator) sendMessage(about subject, name string, m millicast.Message) {
	s.hooks.send(notice{
		about: about, typ: m.Type, event: m.Event, stream: name, contentType: millicast.ContentJSON, body: m.Body(),
	})
}

// goLive begins a broadcast. Inactive viewers see it at once.
func (s *Simulator) goLive(st *stream) {
	now := time.Now()
	st.since, st.started, st.welcomed = now, now, false
	for _, v := range st.viewers {
		if v.state == Inactive {
			s.enter(v)
		}
	}
}

// goDark ends a broadcast. Its viewers stay, inactive, and make no further attempt.
func (s *Simulator) goDark(st *stream) {
	st.since, st.ended = time.Time{}, time.Now()
	for _, v := range st.viewers {
		if v.state == Watching {
			v.state = Inactive
		}
	}
}
