package runner

import (
	"sync"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/machine"
	"github.com/oncue/oncue/encoders"
)

// stream is one stream. An event posted to an idle one gets it a worker, which takes steps
// (step.go) until the inbox is empty: a stream that waits for a deadline or a hook costs no
// goroutine. The state belongs to the worker; atWork says whether there is one.
type stream struct {
	c             *Controller
	id            controller.StreamID
	account, name string

	mu     sync.Mutex // guards what follows up to the worker's
	inbox  []item
	atWork bool
	gone   bool        // forgotten: its name belongs to another stream by now
	spec   *StreamSpec // never changed, replaced by a reload
	idle   *sync.Cond  // signalled when the worker leaves

	view    published                  // what readers see
	figures map[string]encoders.Status // the latest statuses that went past the machine

	woken woken

	// owned by the worker
	state     machine.State // CheckClock changes it and savedAt, too, but not during a step
	callers   map[machine.Instance]*caller
	requested map[string]bool                       // devices that were claimed and may be held or waited for
	unsaved   bool                                  // the store has an older state
	savedAt   time.Time                             // when it was saved last
	started   time.Time                             // attempt that metrics have counted a start for
	lived     time.Time                             // and one for which they have counted that it became live
	held      held                                  // what was passed on that the state needs
	told      map[machine.Needer]machine.HelperSeen // of a helper: what those who need it were told

	alarm   *alarm // owned by alarms
	evicted bool   // asked to make way; guarded by Controller.mu
}

// item is one thing in the inbox of a stream.
type item struct {
	ev      machine.Event             // nil: there is nothing to decide
	record  *controller.Record        // a hook's, to be stored with what it leads to; nil: no hook, or stored before
	answer  chan<- controller.Receipt // buffered, gets one receipt after the step; nil: nobody waits
	receipt controller.Receipt        // of the record, once it is stored
	evict   bool                      // forget the stream now if nobody needs it: there are too many of its pattern
	save    bool                      // the store may have lost the state
}

func newStream(c *Controller, spec *StreamSpec) *stream {
	s := &stream{
		c: c, id: spec.ID(), account: spec.Account, name: spec.Name, spec: spec, callers: map[machine.Instance]*caller{},
	}
	s.idle = sync.NewCond(&s.mu)
	return s
}

// post puts an event in the inbox. It never blocks.
func (s *stream) post(ev machine.Event) { s.postItem(item{ev: ev}) }

// postItem puts an item in the inbox. It returns false when nobody will work on it: the stream was
// forgotten, or the controller stops. It never blocks.
func (s *stream) postItem(it item) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone || s.c.closing.Load() {
		return false
	}
	s.inbox = append(s.inbox, it)
	s.startWork()
	return true
}

// startWork gives the stream to a worker unless one has it. The caller holds mu.
func (s *stream) startWork() {
	if !s.atWork {
		s.atWork = true
		s.c.workers.run(s)
	}
}

// resume starts work on a stream that has something in its inbox.
func (s *stream) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) > 0 && !s.c.closing.Load() {
		s.startWork()
	}
}

// work takes steps until the inbox is empty.
func (s *stream) work() {
	for {
		s.mu.Lock()
		batch := s.inbox
		s.inbox = nil
		spec := s.spec
		if len(batch) == 0 {
			s.atWork = false
			s.idle.Broadcast()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		s.step(batch, spec)
	}
}

// waitIdle waits until no worker has the stream.
func (s *stream) waitIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.atWork {
		s.idle.Wait()
	}
}

// observe posts a status of an encoder. One in which only figures are new goes past the machine: of
// a thousand running encoders, five hundred report such a one every second.
func (s *stream) observe(ev machine.EncoderSeen) {
	if !s.keepFigures(ev.Encoder, ev.Instance, ev.Status) {
		s.post(ev)
	} else if s.c.hub.watched() {
		s.c.hub.publish(entry{stream: s.published(), at: s.c.cfg.Clock.Now()})
	}
}

// keepFigures keeps a status for readers and returns true, if the machine would learn nothing from
// it. While the stream is at work that cannot be known.
func (s *stream) keepFigures(encoder string, at machine.Instance, status encoders.Status) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.atWork || s.c.closing.Load() {
		return false
	}
	e := s.view.state.Encoder(encoder)
	if e == nil || e.Instance != at || !e.Known || !e.Seen.Alike(status) {
		return false
	}
	if s.figures == nil {
		s.figures = map[string]encoders.Status{}
	}
	s.figures[encoder] = status
	return true
}

// jobOf is what an encoder is opened with, and the job of its calls. While the encoder may run,
// both are those of its run.
func (s *stream) jobOf(name string, at machine.Instance, spec *StreamSpec) (machine.EncoderSpec, encoders.Job) {
	es := machine.EncoderSpec{Name: name, Instance: at}
	if now := spec.Policy.Encoder(name); now != nil && now.Instance == at {
		es = *now
	}
	j := encoders.Job{
		Account: s.account, Name: s.name, Matches: spec.Policy.Matches, Grace: spec.Policy.StopTimeout,
	}
	if e := s.state.Encoder(name); e != nil && e.Instance == at {
		j.Run = e.Run
		if e.MayRun() {
			es.Version, j.Matches = e.Version, e.Matches
		}
	}
	return es, j
}

// withPublish is the job with what the encoder of that name is to publish to.
func withPublish(j encoders.Job, spec *StreamSpec, encoder string) encoders.Job {
	if spec.Publish != nil {
		j.Publish = j.FillSecret(spec.Publish(encoder))
	}
	return j
}

func (s *stream) caller(at machine.Instance) *caller {
	cl := s.callers[at]
	if cl == nil {
		cl = &caller{s: s, dev: s.c.devices.get(at), slot: make(chan struct{}, 1)}
		s.callers[at] = cl
	}
	return cl
}

// updateWatches has those encoders watched that run, and those that people may switch on by hand.
func (s *stream) updateWatches(spec *StreamSpec) {
	for e := range s.state.All() {
		es, job := s.jobOf(e.Name, e.Instance, spec)
		if e.On() || e.Foreign() || es.Watched {
			u := user{es, withPublish(job, spec, e.Name), e.On(), s.state.MayStart()}
			if dev := s.caller(e.Instance).dev; !dev.has(s, u) {
				dev.addUser(s, u)
			}
		} else if cl := s.callers[e.Instance]; cl != nil {
			cl.dev.removeUser(s)
		}
	}
	for at, cl := range s.callers {
		if s.state.ByInstance(at) == nil { // it has left the configuration, and is off
			delete(s.callers, at)
			cl.dev.removeUser(s)
			s.c.calls.Go(func() { s.c.devices.put(cl.dev) }) // which may have to wait for the driver
		}
	}
}
