package exec

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/exec/handover"
	"github.com/oncue/oncue/encoders/proc"
)

// process is one running program. Its goroutine runs follow.
type process struct {
	// set at construction
	state
	*proc.Leader

	// owned by follow
	alive   alive
	sent    proc.Sent
	ready   *readiness // nil when it is ready
	ticks   int
	blanked int64 // the secrets in the log are overwritten up to here
}

const (
	startTick = 250 * time.Millisecond // how often a starting program is observed
	tick      = time.Second            // how often one that is ready is
	sentEach  = 2                      // ticks between two questions for what it has sent, then
	cutEach   = 20                     // ticks between two checks of its log: size, secrets in it

	// How long to wait for an adopted program's exit status.
	reapTime = time.Second
)

func newProcess(s Settings, st state) *process {
	p := &process{state: st, Leader: proc.NewLeader(st.Identity), sent: proc.Sent{ID: st.Identity}, alive: newAlive(s, st)}
	p.Alone = !s.KillGroup
	if !st.Ready {
		p.ready = newReadiness(s.Ready)
	}
	return p
}

// open makes p the running program, and follows it until it ends or the encoder is closed.
func (e *Encoder) open(p *process, h *proc.Handle) {
	p.Handle = h
	e.mu.Lock()
	e.running = p
	e.mu.Unlock()
	e.change(func(s *encoders.Status) {
		*s = encoders.Status{State: encoders.StateStarting, Since: p.Started, Run: p.Run, Stream: p.Stream, PID: p.PID}
	})
	e.observe(p, time.Now())
	e.followers.Go(func() { e.follow(p) })
}

// follow observes the program until it has ended.
func (e *Encoder) follow(p *process) {
	defer p.Handle.Close()
	for {
		every := tick
		if !p.alive.publishing() || p.ready != nil {
			every = startTick
		}
		ended, err := p.Handle.Wait(time.Now().Add(every))
		if err != nil { // closed: the program continues
			return
		}
		if ended {
			e.finish(p)
			return
		}
		e.observe(p, time.Now())
	}
}

// observe asks for everything that tells how the program does.
func (e *Encoder) observe(p *process, now time.Time) {
	p.ticks++
	if p.ready != nil && p.ready.met(e.jobOf(p), e.logOf(), p.LogFrom) {
		p.ready, p.Ready = nil, true
		if err := p.state.save(e.env.Dir); err != nil {
			e.env.Log.Warn("it is not saved that a program is ready", "error", err)
		}
	}
	if p.Measured && (!p.alive.publishing() || p.ticks%sentEach == 0) {
		n, err := e.delivered(p, now)
		if err != nil {
			e.env.Log.Warn("what the program sends cannot be measured; it counts as publishing while it runs", "error", err)
			p.Measured, p.alive.measured = false, false
		} else {
			p.alive.sent(now, n)
		}
	}
	if p.ticks%cutEach == 0 {
		e.cutLog(p)
	}
	state, why := p.alive.verdict(now, p.ready == nil)
	e.change(func(s *encoders.Status) {
		if p.Stopping.Load() || state == encoders.StateStalled && s.State == state {
			return // in a stall, only the words would change, every second
		}
		if s.State != state {
			s.Since = now
		}
		s.State, s.Error = state, why
		s.ConfigOnly = state == encoders.StatePublishing && !p.Measured
		s.Health = p.alive.health()
	})
}

// delivered is how much the other side has acknowledged, bytes since the start.
func (e *Encoder) delivered(p *process, now time.Time) (int64, error) {
	if p.Handed {
		return handover.Delivered(filepath.Join(e.env.Dir, countFile))
	}
	return p.sent.Bytes(now)
}

// jobOf is as much of a program's job as placeholders need.
func (e *Encoder) jobOf(p *process) encoders.Job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.noted.ID() == p.Stream {
		return e.noted
	}
	account, name, _ := strings.Cut(p.Stream, "/")
	return encoders.Job{Account: account, Name: name}
}

func (e *Encoder) logOf() string { return filepath.Join(e.env.Dir, logFile) }

func (e *Encoder) cutLog(p *process) {
	e.blankLog(p, false)
	cut, err := proc.Rotate(e.logOf(), e.settings.LogSize)
	if cut {
		_, blankErr := proc.Blank(e.masker(), e.logOf()+".1", 0, true) // including the last lines before the cut
		p.LogFrom, p.blanked = 0, 0
		err = errors.Join(blankErr, p.state.save(e.env.Dir))
	}
	if err != nil {
		e.env.Log.Warn("the encoder's output file cannot be cut", "error", err)
	}
}

// blankLog overwrites the secrets in what a program has written to the log since the last call.
func (e *Encoder) blankLog(p *process, ended bool) {
	to, err := proc.Blank(e.masker(), e.logOf(), max(p.blanked, p.LogFrom), ended)
	if err != nil {
		e.env.Log.Warn("secrets may stay in the encoder's output file", "error", err)
	}
	p.blanked = to
}

// finish reports how a program ended, once all that it has started has ended.
func (e *Encoder) finish(p *process) {
	how := p.Handle.Status(reapTime)
	if !p.EndFamily(e.closed) {
		return // closed meanwhile
	}
	s := encoders.Status{State: encoders.StateStopped, Since: time.Now(), Run: p.Run, Stream: p.Stream}
	if p.Stopping.Load() {
		e.noteInLog("run %s was stopped, pid %d", p.Run, p.PID)
	} else {
		s.State, s.Error = encoders.StateFailed, e.explain(p, how)
		short, _, _ := strings.Cut(s.Error, "; it said: ")
		e.noteInLog("run %s ended, pid %d: %s", p.Run, p.PID, short)
		e.env.Log.Info("program ended", "pid", p.PID, "why", s.Error)
	}
	e.blankLog(p, true)
	if err := encoders.Forget(e.env.Dir, stateFile); err != nil {
		e.env.Log.Warn("the state file of an ended program cannot be removed", "error", err)
	}
	e.mu.Lock()
	e.running = nil
	e.mu.Unlock()
	e.change(func(now *encoders.Status) { *now = s })
	close(p.Done)
}

const (
	logTail   = 16 << 10 // bytes of the output that are looked at
	lastLines = 3
	lastChars = 400
)

// explain says how a program ended, in plain words and its own last ones.
func (e *Encoder) explain(p *process, how proc.Exit) string {
	text := "it ended by itself (" + ended(how) + ")"
	switch {
	case how.Known && how.Signal == unix.SIGKILL, how.Known && how.Code == 128+int(unix.SIGKILL):
		text = "killed by signal 9: the machine ran out of memory, or somebody killed it"
	case how.Known && how.Signal != 0:
		text = "killed by " + how.String()
	}
	body, err := proc.LastBytes(e.logOf(), p.LogFrom, logTail)
	if err != nil {
		return fmt.Sprintf("%s, and its output cannot be read: %v", text, err)
	}
	var said []string
	for _, line := range proc.Lines(body) {
		if !strings.HasPrefix(line, notePrefix) {
			said = append(said, strings.TrimSpace(line))
		}
	}
	if len(said) > 0 {
		last := []rune(strings.Join(said[max(0, len(said)-lastLines):], " | "))
		if len(last) > lastChars {
			last = append([]rune("…"), last[len(last)-lastChars:]...)
		}
		text += "; it said: " + string(last)
	}
	return e.masker().Mask(text)
}

// ended is an exit in words. Shells, and a handover, tell a signal as an exit status over 128.
func ended(how proc.Exit) string {
	if signal := unix.Signal(how.Code - 128); how.Known && how.Signal == 0 && unix.SignalName(signal) != "" {
		return fmt.Sprintf("%v, which means signal %d, %s", how, signal, unix.SignalName(signal))
	}
	return how.String()
}
