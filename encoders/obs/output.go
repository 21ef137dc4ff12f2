package obs

import (
	"cmp"
	"time"

	"github.com/oncue/oncue/encoders"
)

// phase is where OBS's stream output is, by its events, its answers and what was asked of it.
type phase string

const (
	phaseUnseen       phase = "not seen yet"
	phaseStopped      phase = "stopped"
	phaseStarting     phase = "starting" // from StartStream or STARTING to STARTED, STOPPED or the end of startLimit
	phaseLive         phase = "streaming"
	phaseReconnecting phase = "reconnecting"
	phaseStopping     phase = "stopping"
)

const (
	// startLimit is how long a start may last in OBS without news of it. OBS gives up on a server
	// that accepts and never answers after 32 s (OBS 29), and tells nothing at all when it could
	// not set its output up.
	startLimit = 40 * time.Second
	// overruleAge is the age that an event or a request must have before a poll may contradict it:
	// answers and events overtake each other.
	overruleAge = time.Second
	// clockSlack is how much earlier than asked for an output may seem to have begun, by OBS's
	// duration and our clock.
	clockSlack = 5 * time.Second

	startFailed  = "the start failed; OBS does not tell its clients why: see the message in OBS's window"
	startSilent  = "OBS accepted the start and never began to stream; its window may show why"
	endedItself  = "OBS stopped streaming by itself: it lost the connection and gave up, or its encoder failed"
	obsGone      = "OBS was closed, crashed or was killed while it was streaming"
	lostServer   = "OBS lost its connection to the streaming server and tries to reconnect"
	sendsNothing = "OBS is streaming, but sends nothing"
)

// output is what is known of OBS's stream output. It is plain state: the encoder locks it, and
// passes the time in.
type output struct {
	stallAfter time.Duration
	quiet      time.Duration // after connecting, how long a silent, inactive output may not count as stopped
	remembers  bool          // the file of starts was read: what is on and not in it was started by others

	phase    phase
	since    time.Time // when phase began
	moved    time.Time // last event or request that says something about the phase
	clear    time.Time // phaseStopped: from here on it is certain that no start is under way
	closing  bool      // phaseStopped: OBS has said so, and was not seen to be inactive since
	deadline time.Time // phaseStarting: the end of startLimit
	owner    started   // our start that is on, or was on last; zero when others made the last start
	failure  string    // phaseStopped: why it ended by itself
	byHand   bool      // we did not ask for the last change
	asked    bool      // we asked for the end that comes
	stopDue  bool      // a stop came while it was starting: send StopStream once it is live
	exiting  bool      // this OBS has said ExitStarted

	rendered int64     // frames rendered since OBS's start, by which a new process is told apart
	counted  time.Time // when rendered was read
	meter    meter
}

func (o *output) move(to phase, now time.Time) {
	if o.phase != to {
		o.phase, o.since = to, now
	}
	o.moved, o.clear, o.closing = now, now, false
	if to == phaseLive {
		o.meter.advanced = now
	}
}

// newRun forgets what was known of the run before.
func (o *output) newRun(owner started, byHand bool) {
	o.owner, o.byHand = owner, byHand
	o.failure, o.asked, o.stopDue = "", false, false
}

func (o *output) on() bool { return o.phase == phaseLive || o.phase == phaseReconnecting }

// certain reports whether a stopped output can be started, and a stop be called done. Neither is so
// shortly after connecting: an output that is not active may be in the middle of a start by
// somebody else, and a second StartStream then crashes OBS (seen with 29, open for 32). Nor for
// some milliseconds after STOPPED, while OBS takes the output down: it answers a StartStream then
// with success, and drops it (seen with 29).
func (o *output) certain(now time.Time) bool {
	return o.phase == phaseStopped && !o.closing && !now.Before(o.clear)
}

// startAsked is called before StartStream is sent.
func (o *output) startAsked(by started, now time.Time) {
	o.newRun(by, false)
	o.meter = meter{}
	o.move(phaseStarting, now)
	o.deadline = now.Add(startLimit)
}

// startRefused undoes startAsked: OBS has said that it did not start.
func (o *output) startRefused(now time.Time) { o.end("", now) }

// stopAsked is called before StopStream is sent to an output that is on.
func (o *output) stopAsked(now time.Time) {
	o.asked, o.stopDue = true, false
	o.move(phaseStopping, now)
}

// stopRefused undoes stopAsked. gone says that OBS sees nothing to stop, which it also says while
// it is starting.
func (o *output) stopRefused(gone bool, now time.Time) {
	switch {
	case o.phase != phaseStopping: // an event was quicker
	case gone:
		o.end("", now)
		o.clear = now.Add(o.quiet)
	default:
		o.asked = false
		o.move(phaseLive, now)
	}
}

// stopLater remembers a stop that OBS would not take while it is starting.
func (o *output) stopLater() { o.asked, o.stopDue = true, true }

// adopt makes what is on the run of by.
func (o *output) adopt(by started) {
	by.At = cmp.Or(o.owner.At, by.At)
	o.owner, o.byHand, o.asked, o.stopDue = by, false, false, false
}

// event follows one StreamStateChanged.
func (o *output) event(state string, now time.Time) {
	switch state {
	case "OBS_WEBSOCKET_OUTPUT_STARTING":
		if o.phase != phaseStarting {
			o.newRun(started{}, true)
			o.meter = meter{}
		}
		o.move(phaseStarting, now)
		o.deadline = now.Add(startLimit)
	case "OBS_WEBSOCKET_OUTPUT_STARTED":
		o.begun(now)
	case "OBS_WEBSOCKET_OUTPUT_RECONNECTING":
		o.move(phaseReconnecting, now)
	case "OBS_WEBSOCKET_OUTPUT_RECONNECTED":
		o.move(phaseLive, now)
	case "OBS_WEBSOCKET_OUTPUT_STOPPING":
		o.byHand = !o.asked
		o.move(phaseStopping, now)
	case "OBS_WEBSOCKET_OUTPUT_STOPPED":
		o.stopped(now)
		o.closing = true
	}
}

// begun follows the success of a start, or a start by others that no event announced.
func (o *output) begun(now time.Time) {
	if o.phase == phaseStopped || o.phase == phaseUnseen {
		o.newRun(started{}, true)
	}
	o.move(phaseLive, now)
}

// stopped follows an end. OBS says STOPPING before it only when somebody asked for the end.
func (o *output) stopped(now time.Time) {
	switch {
	case o.asked || o.phase == phaseStopping || o.phase == phaseStopped:
		o.end("", now)
	case o.phase == phaseStarting:
		o.end(startFailed, now)
	default:
		o.end(endedItself, now)
	}
}

func (o *output) end(failure string, now time.Time) {
	if o.phase != phaseStopped {
		o.failure = failure
	}
	o.asked, o.stopDue = false, false
	o.move(phaseStopped, now)
}

// state is the phase in the words of all encoders, and since when. OBS's loss of its server is
// shown at once, and is a stall once it lasts.
func (o *output) state(now time.Time) (s encoders.State, since time.Time, why string) {
	switch o.phase {
	case phaseStopped:
		if o.failure != "" {
			return encoders.StateFailed, o.since, o.failure
		}
		return encoders.StateStopped, o.since, ""
	case phaseStarting:
		return encoders.StateStarting, o.since, ""
	case phaseStopping:
		return encoders.StateStopping, o.since, ""
	case phaseReconnecting:
		if stalled := o.since.Add(o.stallAfter); !now.Before(stalled) {
			return encoders.StateStalled, stalled, lostServer
		}
		return encoders.StatePublishing, o.since, lostServer
	case phaseLive:
		if stalled := o.meter.advanced.Add(o.stallAfter); !now.Before(stalled) {
			return encoders.StateStalled, stalled, sendsNothing
		}
		return encoders.StatePublishing, o.since, ""
	}
	return encoders.StateUnknown, o.since, "obs was not asked yet"
}
