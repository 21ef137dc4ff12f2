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

// run keeps the connection, for as long as the encoder is open.
func (e *Encoder) run() {
	wait := e.limits.backoffMin
	for {
		e.mu.Lock()
		e.begun++
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

// backOff waits before the next attempt, jittered; a kick ends it early, unless the password was refused. It returns false at the end.
func (e *Encoder) backOff(err error, wait time.Duration) bool {
	kick := e.kick
	delay := wait/2 + rand.N(wait/2+1)
	if isRefused(err) {
		kick, delay = nil, e.limits.backoffAuth+rand.N(e.limits.backoffAuth/4+1)
	}
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-kick:
	case <-e.ctx.Done():
		return false
	}
	return true
}

func isRefused(err error) bool {
	var l *linkError
	return errors.As(err, &l) && l.refused
}

// connection makes one connection and serves it to its end. served says that OBS could be talked to.
func (e *Encoder) connection() (served bool, err error) {
	sess, err := dial(e.ctx, e.target, e.limits.dial, e.event)
	if err != nil {
		return false, err
	}
	defer sess.close()
	select { // whoever asked for an attempt has it
	case <-e.kick:
	default:
	}
	e.update(func(time.Time) { e.sess, e.ready, e.linkErr, e.holds, e.events = sess, false, nil, 0, 0 })
	if err := e.learn(sess); err != nil {
		return false, e.ended(sess, err)
	}
	return true, e.serve(sess)
}

// learn finds out what OBS is and does. OBS may not be ready for a while after its start.
func (e *Encoder) learn(sess *session) error {
	var v version
	if err := e.patiently(e.ctx, sess, "GetVersion", nil, &v); err != nil {
		return err
	}
	for {
		e.mu.Lock()
		seen := e.events
		e.mu.Unlock()
		l, err := e.look(e.ctx, sess)
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
			if e.events == seen || e.out.phase == phaseUnseen {
				e.out.returned(l, now)
			} else {
				e.out.looked(l, now) // the events since are newer
			}
			e.ready, e.version = true, v
			if !e.lost.IsZero() {
				e.env.Log.Info("obs is reachable again", "address", e.target.address, "version", v.OBS)
			}
			e.lost = time.Time{}
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

// serve polls, and sends the stop that is due. A request that is not answered ends the connection: OBS is frozen, or the network is gone.
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
		case <-e.nudge:
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

// ended is why the connection is given up: what the reader met, or else err.
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

// silent is an OBS that did not answer a request in time.
func (e *Encoder) silent(limit time.Duration, err error) error {
	return &linkError{address: e.target.address, what: fmt.Sprintf("does not answer within %v", limit), hint: hintFrozen, err: err}
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

// poll asks OBS where its output is, unless it must not be asked now. OBS being busy is no error.
func (e *Encoder) poll(ctx context.Context, sess *session) error {
	e.mu.Lock()
	held := e.holds > 0 && time.Since(e.held) < e.limits.change
	e.mu.Unlock()
	if held {
		return nil
	}
	l, err := e.look(ctx, sess)
	if isCode(err, codeNotReady) {
		return nil
	}
	if err != nil {
		return err
	}
	e.update(func(now time.Time) { e.out.looked(l, now) })
	return nil
}

func (e *Encoder) look(ctx context.Context, sess *session) (look, error) {
	l := look{asked: time.Now()}
	if err := sess.do(ctx, e.limits.request, "GetStreamStatus", nil, &l.stream); err != nil {
		return l, err
	}
	return l, sess.do(ctx, e.limits.request, "GetStats", nil, &l.stats)
}

// event takes one of OBS's events in.
func (e *Encoder) event(ev event) {
	switch ev.Type {
	case "StreamStateChanged":
		var d struct {
			State string `json:"outputState"`
		}
		if json.Unmarshal(ev.Data, &d) == nil {
			e.update(func(now time.Time) { e.events++; e.out.event(d.State, now) })
		}
	case "CurrentSceneCollectionChanging", "CurrentProfileChanging":
		e.hold(1)
	case "CurrentSceneCollectionChanged", "CurrentProfileChanged":
		e.hold(-1)
	case "ExitStarted":
		e.update(func(time.Time) { e.out.exiting = true })
	}
}

// hold keeps the polls away from OBS, or lets them again: before obs-websocket 5.3, a request during a change of the scene collection can
// crash OBS.
func (e *Encoder) hold(by int) {
	e.update(func(now time.Time) { e.holds, e.held = max(0, e.holds+by), now })
}

// disconnected notes the loss of the connection, or that there is still none. An outage is logged once, and a refused password in it too.
func (e *Encoder) disconnected(err error) {
	e.update(func(now time.Time) {
		if e.lost.IsZero() || isRefused(err) && !isRefused(e.lastErr) {
			e.env.Log.Warn("no connection to obs", "error", err)
		}
		e.lost, e.lastErr = cmp.Or(e.lost, now), err
		e.sess, e.ready, e.linkErr = nil, false, err
		e.tries++
	})
}

// connected returns the session. With none it asks for an attempt at once and waits for it to end. One that had begun before does not count when it fails:
// OBS may have come up since.
func (e *Encoder) connected(ctx context.Context, job encoders.Job) (*session, error) {
	e.open(job)
	var sess *session
	var failed error
	from, asked := -1, false
	err := e.await(ctx, func(time.Time) (bool, time.Time) {
		if from < 0 {
			from = e.begun
		}
		if e.tries == from && !asked && e.sess == nil && e.linkErr != nil && !isRefused(e.linkErr) {
			asked = true
			e.wantAttempt()
		}
		switch {
		case e.ready:
			sess = e.sess
		case isRefused(e.linkErr):
			failed = encoders.Permanent(e.linkErr)
		case e.tries > from:
			failed = e.linkErr
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
	case e.kick <- struct{}{}:
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
