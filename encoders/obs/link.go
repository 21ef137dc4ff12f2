package obs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
)

// connected notes a new connection, of which nothing is known yet.
func (l *link) connected(sess *session) {
	l.sess, l.ready, l.err = sess, false, nil
	l.events, l.changes, l.setup, l.busyUntil = 0, 0, setup{}, time.Time{}
}

// run keeps the connection until the encoder is closed.
func (e *Encoder) run() {
	wait := e.limits.backoffMin
	for {
		e.mu.Lock()
		e.link.begun++
		e.mu.Unlock()
		served, err := e.connection()
		if e.ctx.Err() != nil {
			return
		}
		if served {
			wait = e.limits.backoffMin
		}
		e.disconnected(err)
		if !e.backOff(err, wait) {
			return
		}
		wait = min(2*wait, e.limits.backoffMax)
	}
}

// backOff waits about that long before the next attempt. dialNow ends the wait early, unless the
// password was refused. It returns false when the encoder is closed.
func (e *Encoder) backOff(err error, wait time.Duration) bool {
	early := e.dialNow
	delay := wait/2 + rand.N(wait/2+1)
	if isRefused(err) {
		early, delay = nil, e.limits.backoffAuth+rand.N(e.limits.backoffAuth/4+1)
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-e.ctx.Done():
		return false
	}
	return true
}

func isRefused(err error) bool {
	var l *linkError
	return errors.As(err, &l) && l.refused
}

// connection makes one connection and serves it to its end. served says that OBS answered.
func (e *Encoder) connection() (served bool, err error) {
	sess, err := dial(e.ctx, e.target, e.limits.dial, e.event)
	if err != nil {
		return false, err
	}
	defer sess.close()
	select { // this was the attempt that was asked for
	case <-e.dialNow:
	default:
	}
	e.update(func(time.Time) { e.link.connected(sess) })
	if err := e.learn(sess); err != nil {
		return false, e.ended(sess, err)
	}
	return true, e.serve(sess)
}

// learn asks OBS for its version and state. OBS may not be ready for a while after its start.
func (e *Encoder) learn(sess *session) error {
	var v version
	if err := e.patiently(e.ctx, sess, "GetVersion", nil, &v); err != nil {
		return err
	}
	for {
		e.mu.Lock()
		seen := e.link.events
		e.mu.Unlock()
		r, err := e.read(e.ctx, sess)
		if isCode(err, codeNotReady) {
			if err := e.pause(e.ctx, sess.done, time.Now().Add(e.limits.retry)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		e.update(func(now time.Time) {
			if e.link.events == seen || e.out.phase == phaseUnseen {
				e.out.reconnected(r, now)
			} else {
				e.out.polled(r, now) // the events since are newer
			}
			e.link.ready, e.link.version = true, v
			if !e.link.lost.IsZero() {
				e.env.Log.Info("obs is reachable again", "address", e.target.address, "version", v.OBS)
			}
			e.link.lost = time.Time{}
		})
		return nil
	}
}

// patiently sends a request until OBS is ready for it.
func (e *Encoder) patiently(ctx context.Context, sess *session, kind string, data, into any) error {
	for {
		err := sess.do(ctx, e.limits.request, kind, data, into)
		if !isCode(err, codeNotReady) {
			return err
		}
		if err := e.pause(ctx, sess.done, time.Now().Add(e.limits.retry)); err != nil {
			return err
		}
	}
}

// serve polls, and sends the stop that is due. A request without an answer ends the connection: OBS
// is frozen, or the network failed.
func (e *Encoder) serve(sess *session) error {
	for last := time.Now(); ; {
		next, stop := e.next(last)
		if stop {
			if err := e.sendStop(e.ctx, sess); err != nil && !isRequestError(err) {
				return e.ended(sess, err)
			}
			continue
		}
		t := time.NewTimer(time.Until(next))
		select {
		case <-e.moved:
		case <-t.C:
			last = time.Now()
			if err := e.poll(e.ctx, sess); err != nil {
				t.Stop()
				return e.ended(sess, err)
			}
		case <-sess.done:
			t.Stop()
			return sess.err
		case <-e.ctx.Done():
			t.Stop()
			return e.ctx.Err()
		}
		t.Stop()
	}
}

// ended is why the connection is given up: the reader's error, or else err.
func (e *Encoder) ended(sess *session, err error) error {
	select {
	case <-sess.done:
		return sess.err
	default:
	}
	if isTimeout(err) {
		return e.silent(e.limits.request, err)
	}
	return err
}

// silent is the error of an OBS that did not answer a request in time.
func (e *Encoder) silent(limit time.Duration, err error) error {
	what := fmt.Sprintf("does not answer within %v", limit)
	return &linkError{address: e.target.address, what: what, hint: hintFrozen, err: err}
}

// next says when to poll next, and whether a remembered stop is due now.
func (e *Encoder) next(last time.Time) (at time.Time, stop bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.out.phase == phaseStopped && !e.out.certain(time.Now()):
		return last.Add(e.limits.pollUnsure), false
	case e.out.phase == phaseStopped:
		return last.Add(e.limits.pollOff), false
	}
	return last.Add(e.limits.pollOn), e.out.stopDue && e.out.on()
}

// poll asks OBS where its output is, unless OBS must not be asked now. That OBS is not ready is no
// error.
func (e *Encoder) poll(ctx context.Context, sess *session) error {
	e.mu.Lock()
	changing := e.link.changes > 0 && time.Since(e.link.change) < e.limits.change
	e.mu.Unlock()
	if changing {
		return nil
	}
	r, err := e.read(ctx, sess)
	if isCode(err, codeNotReady) {
		return nil
	}
	if err != nil {
		return err
	}
	e.update(func(now time.Time) { e.out.polled(r, now) })
	return nil
}

func (e *Encoder) read(ctx context.Context, sess *session) (reading, error) {
	r := reading{asked: time.Now()}
	if err := sess.do(ctx, e.limits.request, "GetStreamStatus", nil, &r.stream); err != nil {
		return r, err
	}
	return r, sess.do(ctx, e.limits.request, "GetStats", nil, &r.stats)
}

// event follows one of OBS's events.
func (e *Encoder) event(ev event) {
	switch ev.Type {
	case "StreamStateChanged":
		var d struct {
			State string `json:"outputState"`
		}
		if json.Unmarshal(ev.Data, &d) == nil {
			e.update(func(now time.Time) { e.link.events++; e.out.event(d.State, now) })
		}
	case "CurrentSceneCollectionChanging", "CurrentProfileChanging":
		e.changing(1)
	case "CurrentSceneCollectionChanged", "CurrentProfileChanged":
		e.changing(-1)
	case "ExitStarted":
		e.update(func(time.Time) { e.out.exiting = true })
	}
}

// changing counts the changes of profile and scene collection under way. OBS is not polled during
// one: before obs-websocket 5.3, a request during a change of the scene collection can crash OBS.
func (e *Encoder) changing(by int) {
	e.update(func(now time.Time) { e.link.changes, e.link.change = max(0, e.link.changes+by), now })
}

// disconnected notes the loss of the connection, or that there is still none. An outage is logged
// once, and so is a refused password during it.
func (e *Encoder) disconnected(err error) {
	e.update(func(now time.Time) {
		if e.link.lost.IsZero() || isRefused(err) && !isRefused(e.link.lastErr) {
			e.env.Log.Warn("no connection to obs", "error", err)
		}
		e.link.lost, e.link.lastErr = cmp.Or(e.link.lost, now), err
		e.link.sess, e.link.ready, e.link.err = nil, false, err
		e.link.ended++
	})
}

// connected returns the session. Without one it asks for an attempt at once and waits for it to
// end. An attempt that had begun before does not count when it fails: OBS may have started since.
func (e *Encoder) connected(ctx context.Context, job encoders.Job) (*session, error) {
	e.connectOnce(job)
	var sess *session
	var failed error
	from, asked := -1, false
	err := e.await(ctx, func(time.Time) (bool, time.Time) {
		if from < 0 {
			from = e.link.begun
		}
		if e.link.ended == from && !asked && e.link.sess == nil && e.link.err != nil && !isRefused(e.link.err) {
			asked = true
			e.wantAttempt()
		}
		switch {
		case e.link.ready:
			sess = e.link.sess
		case isRefused(e.link.err):
			failed = encoders.Permanent(e.link.err)
		case e.link.ended > from:
			failed = e.link.err
		}
		return sess != nil || failed != nil, time.Time{}
	})
	if err == nil {
		err = failed
	}
	return sess, err
}

// wantAttempt asks for a connection attempt now.
func (e *Encoder) wantAttempt() {
	select {
	case e.dialNow <- struct{}{}:
	default:
	}
}

// version is the answer to GetVersion.
type version struct {
	OBS       string `json:"obsVersion"`
	WebSocket string `json:"obsWebSocketVersion"`
}

// major is the first number of OBS's version; 0 when it is not understood.
func (v version) major() int {
	first, _, _ := strings.Cut(v.OBS, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}
