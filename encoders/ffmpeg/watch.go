package ffmpeg

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// process is one running process. Its goroutine runs follow.
type process struct {
	// set at construction
	state
	*proc.Leader

	// owned by follow
	progress *progress
	watchdog watchdog
	queue    proc.SendQueue
	ticks    int
	blanked  int64 // the secrets in the log are overwritten up to here
}

const (
	startTick = 250 * time.Millisecond // how often a starting process is observed
	tick      = time.Second            // how often a publishing one is
	queueEach = 2                      // ticks between two checks of its sockets
	cutEach   = 20                     // ticks between two checks of its files: their size, secrets in them

	// How long to wait for an adopted process's exit status: first, and when its output does not
	// explain the end.
	reapSoon = 100 * time.Millisecond
	reapLate = 3 * time.Second
)

func newProcess(s Settings, st state) *process {
	p := &process{state: st, Leader: proc.NewLeader(st.Identity), queue: proc.SendQueue{PID: st.PID},
		watchdog: newWatchdog(s.StallTimeout, st.Progress, st.Started)}
	p.watchdog.ours = s.Input != "" // only an FFmpeg understands what is made of it
	return p
}

// open makes p the running process, and follows it until it ends or the encoder is closed.
func (e *Encoder) open(p *process, h *proc.Handle) *process {
	p.Handle = h
	now := time.Now()
	seen, why := p.watchdog.verdict(now)
	e.mu.Lock()
	e.running, e.lastBlock = p, p.watchdog.last
	e.mu.Unlock()
	e.change(func(s *encoders.Status) {
		*s = encoders.Status{State: seen, Since: p.Started, Run: p.Run, Stream: p.Stream, PID: p.PID, Error: why}
	})
	e.followers.Go(func() { e.follow(p) })
	return p
}

// follow observes the process until it has ended.
func (e *Encoder) follow(p *process) {
	defer p.close()
	for {
		every := tick
		if p.watchdog.moves == 0 {
			every = startTick
		}
		ended, err := p.Handle.Wait(time.Now().Add(every))
		if err != nil { // closed: the process continues
			return
		}
		if ended {
			e.finish(p)
			return
		}
		e.observe(p, time.Now())
	}
}

func (p *process) close() {
	p.Handle.Close()
	if p.progress != nil {
		p.progress.close()
	}
}

// observe reads what the process has reported, and what the kernel says of it.
func (e *Encoder) observe(p *process, now time.Time) {
	if err := e.readProgress(p, now); err != nil {
		e.env.Log.Debug("progress cannot be read", "error", err)
	}
	p.ticks++
	if p.watchdog.blocks == 0 && !p.watchdog.ours {
		p.watchdog.ours = e.showsFFmpeg(p)
	}
	if p.watchdog.moves > 0 && p.ticks%queueEach == 0 {
		if n, err := p.queue.Bytes(now); err == nil {
			p.watchdog.sockets(now, n)
		}
	}
	if p.ticks%cutEach == 0 {
		e.cutFiles(p)
	}
	e.publishVerdict(p, now)
}

func (e *Encoder) readProgress(p *process, now time.Time) (err error) {
	if p.progress == nil {
		if p.progress, err = openProgress(filepath.Join(e.env.Dir, progressFile)); err != nil {
			return err
		}
	}
	return p.progress.read(func(b block) { p.watchdog.block(now, b) })
}

// catchUp reads the last reports of an adopted process, as of the time they were written.
func (e *Encoder) catchUp(p *process) error {
	reports, err := openProgress(filepath.Join(e.env.Dir, progressFile))
	if err != nil {
		return err
	}
	p.progress = reports
	written, err := reports.skip()
	if err != nil {
		return err
	}
	return e.readProgress(p, written)
}

// publishVerdict puts the watchdog's verdict into the status.
func (e *Encoder) publishVerdict(p *process, now time.Time) {
	seen, why := p.watchdog.verdict(now)
	e.mu.Lock()
	e.lastBlock = p.watchdog.last
	e.mu.Unlock()
	e.change(func(s *encoders.Status) {
		if p.Stopping.Load() || seen == encoders.StateStalled && s.State == seen {
			return // in a stall, only the words would change, every second
		}
		if s.State != seen {
			s.Since = now
		}
		s.State, s.Error = seen, why
	})
}

// showsFFmpeg reports whether the output begins as FFmpeg's does.
func (e *Encoder) showsFFmpeg(p *process) bool {
	head, err := proc.FirstBytes(filepath.Join(e.env.Dir, logFile), p.LogFrom, 256)
	return err == nil && bytes.Contains(head, []byte("ffmpeg version "))
}

func (e *Encoder) cutFiles(p *process) {
	e.blankLog(p, false)
	log := filepath.Join(e.env.Dir, logFile)
	cut, err := proc.Rotate(log, e.settings.LogSize)
	if cut {
		_, blankErr := proc.Blank(e.redactor().Masker, log+".1", 0, true) // including the last lines before the cut
		p.LogFrom, p.blanked = 0, 0
		err = errors.Join(blankErr, p.state.save(e.env.Dir))
	}
	if err == nil && p.progress != nil {
		err = p.progress.cut()
	}
	if err != nil {
		e.env.Log.Warn("the encoder's output files cannot be cut", "error", err)
	}
}

// finish reports how a process ended, once its whole family has ended.
func (e *Encoder) finish(p *process) {
	_ = e.readProgress(p, time.Now()) // the last reports
	how := p.Handle.Status(reapSoon)
	if !p.EndFamily(e.closed) {
		return // closed meanwhile
	}
	s := encoders.Status{State: encoders.StateStopped, Since: time.Now(), Run: p.Run, Stream: p.Stream}
	if p.Stopping.Load() {
		if p.watchdog.moves == 0 && time.Since(p.Started) > gpuPatience {
			e.doubtGPU(p.GPU)
		}
		e.noteInLog("run %s was stopped, pid %d", p.Run, p.PID)
	} else {
		f := e.explain(p, how)
		if f.unexplained && !how.Known {
			how = p.Handle.Status(reapLate)
			f = e.explain(p, how)
		}
		if why := e.heldWhy(); f.inputEnded && why != "" {
			f.text = "the input ended: " + why
		}
		e.blameGPU(p, how, &f)
		s.State, s.Error, s.Permanent = encoders.StateFailed, f.text, f.permanent
		short, _, _ := strings.Cut(s.Error, "; it said: ")
		e.noteInLog("run %s ended, pid %d, %v: %s", p.Run, p.PID, how, short)
		e.env.Log.Info("ffmpeg ended", "pid", p.PID, "how", how.String(), "why", s.Error)
	}
	e.blankLog(p, true)
	if err := encoders.Forget(e.env.Dir, stateFile); err != nil {
		e.env.Log.Warn("the state file of an ended process cannot be removed", "error", err)
	}
	e.mu.Lock()
	e.running, e.lastBlock = nil, p.watchdog.last
	e.mu.Unlock()
	e.change(func(now *encoders.Status) { *now = s })
	close(p.Done)
	e.nudge()
	e.beginTries() // nobody waits now, and a GPU may have room by now
}
