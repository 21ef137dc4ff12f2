package simulator

import (
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
)

// ViewerState is what a viewer sees.
type ViewerState string

const (
	Attempting ViewerState = "attempting" // has not got in yet, tries again with growing pauses
	Watching   ViewerState = "watching"
	Inactive   ViewerState = "inactive" // was in when the stream went off; waits without attempting
	Left       ViewerState = "left"
)

// Viewer is one player on somebody's screen. It behaves as the vendor's web player: each attempt
// takes 0.1 s to fail, the second follows at once, further ones after 2, 4, 8, 16, 32, 32, … s. So
// they come at 0, 0.1, 2.2, 6.3, 14.4, 30.5, 62.6 s.
type Viewer struct {
	sim    *Simulator
	stream *stream

	// Guarded by Simulator.mu.
	state    ViewerState
	attempts int
	backoff  time.Duration
	retry    *time.Timer
	arrived  time.Time
	joined   time.Time
}

// Join opens a player for a stream. Its first attempt is made before Join returns.
func (s *Simulator) Join(name string) *Viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &Viewer{sim: s, stream: s.stream(name), state: Attempting, arrived: time.Now()}
	v.stream.viewers = append(v.stream.viewers, v)
	s.attempt(v)
	return v
}

// attempt lets a viewer try. Called with mu held, as are all unexported methods here.
func (s *Simulator) attempt(v *Viewer) {
	st := v.stream
	v.attempts++
	if st.live() {
		s.enter(v)
		return
	}
	if now := time.Now(); st.attempted.IsZero() || now.Sub(st.attempted) >= s.scaled(attemptSpacing) {
		st.attempted = now
		s.emit(controller.HookAttempt, st)
	}
	v.retry = s.after(attemptFails+v.backoff, func() {
		if v.state == Attempting {
			s.attempt(v)
		}
	})
	v.backoff = min(max(2*v.backoff, firstBackoff), lastBackoff)
	s.changed.notify()
}

// enter brings a viewer into a live stream.
func (s *Simulator) enter(v *Viewer) {
	st := v.stream
	alone := st.count(Watching) == 0
	v.state = Watching
	if v.joined.IsZero() {
		v.joined = time.Now()
	}
	if st.empty != nil {
		st.empty.Stop()
		st.empty = nil
	}
	if alone && !(st.welcomed && s.behaviour.FirstViewerOnce) {
		st.welcomed = true
		s.emit(controller.HookFirstViewer, st)
	}
	s.changed.notify()
}

// Leave closes the player. A second call does nothing.
func (v *Viewer) Leave() {
	s := v.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.state == Left {
		return
	}
	wasIn, st := v.state != Attempting, v.stream
	v.stop()
	v.state = Left
	st.viewers = slices.DeleteFunc(st.viewers, func(other *Viewer) bool { return other == v })
	gaveUp := s.behaviour.NoViewersAfterAttempts && len(st.viewers) == 0
	if st.count(Watching)+st.count(Inactive) == 0 && (wasIn || gaveUp) {
		s.scheduleNoViewers(st)
	}
	s.changed.notify()
}

// scheduleNoViewers starts the timer that sends NoActiveViewers.
func (s *Simulator) scheduleNoViewers(st *stream) {
	if st.empty != nil {
		st.empty.Stop()
	}
	var timer *time.Timer
	timer = s.after(noViewersDelay, func() {
		if st.empty == timer { // a stopped timer may have fired already
			st.empty = nil
			s.emit(controller.HookNoViewers, st)
			s.changed.notify()
		}
	})
	st.empty = timer
}

func (v *Viewer) stop() {
	if v.retry != nil {
		v.retry.Stop()
	}
}

// Stream returns the name of the stream.
func (v *Viewer) Stream() string { return v.stream.name }

// State returns what the viewer sees now.
func (v *Viewer) State() ViewerState {
	v.sim.mu.Lock()
	defer v.sim.mu.Unlock()
	return v.state
}

// Attempts returns how often the viewer has tried to get in.
func (v *Viewer) Attempts() int {
	v.sim.mu.Lock()
	defer v.sim.mu.Unlock()
	return v.attempts
}

// Waited returns how long, in real time, it took from Join until the viewer got in; ok is false
// while it has not.
func (v *Viewer) Waited() (d time.Duration, ok bool) {
	v.sim.mu.Lock()
	defer v.sim.mu.Unlock()
	return v.joined.Sub(v.arrived), !v.joined.IsZero()
}

// Viewers returns the players of a stream that are open.
func (s *Simulator) Viewers(name string) []*Viewer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if st := s.streams[name]; st != nil {
		return slices.Clone(st.viewers)
	}
	return nil
}
