package ffmpeg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// standby is a process that is loaded and waiting, so that a start need not load it. It has opened
// neither its input nor its output: before that, it opens the file for its progress, which is a
// named pipe (the gate), and blocks in that open until the gate is opened. When the controller dies
// it keeps waiting, and the next controller ends it. It does not hold the lock yet, and has not
// been given its key.
type standby struct {
	command command
	stream  string
	handle  *proc.Handle
	proc.Identity
	watch   *proc.Handle // used by follow alone
	lock    *os.File     // unlocked; the process shares the open file, so that locking ours locks its
	keys    []*os.File   // writing ends of the pipes for its option files; nil for none
	logFrom int64
	ended   chan struct{} // closed when the process has ended
	left    chan struct{} // closed when follow returns
}

const (
	// gateFile is the named pipe, which exists while a process waits. It lies where the process may
	// create files: if the gate is already gone, the process creates a plain file of that name.
	gateFile = ownDir + "/gate"
	// standbyRun is the run in a standby's cookie.
	standbyRun = "standby"
)

// warm makes a standby for the job's next start, if the settings ask for one. Nothing may be
// running, and the caller holds turn.
func (e *Encoder) warm(job encoders.Job) error {
	if e.settings.Standby != "warm" || !e.settings.isFFmpeg() || !job.Publish.Set() {
		return nil
	}
	c, err := build(e.chosen(), job, !e.probesFully(job))
	if err != nil || !c.progress || c.whip {
		return nil // the next start shows why
	}
	if s := e.standby; s != nil && s.fits(c, job) { // even if it has ended: likewise
		return nil
	}
	e.cool()
	if e.standby, err = e.ready(c, job); err != nil {
		e.cool()
		return fmt.Errorf("keep a process warm: %w", err)
	}
	e.setWarm(e.standby.PID)
	return nil
}

// setWarm tells readers which process is kept warm; 0: none.
func (e *Encoder) setWarm(pid int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if (e.warmPID == 0) != (pid == 0) {
		e.announce()
	}
	e.warmPID = pid
}

func (s *standby) fits(c command, job encoders.Job) bool {
	return s.stream == job.ID() && s.command.binary == c.binary && slices.Equal(s.command.options, c.options) &&
		s.command.list == c.list && slices.Equal(s.command.args, c.args)
}

func (s *standby) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// ready starts a standby.
func (e *Encoder) ready(c command, job encoders.Job) (*standby, error) {
	binary, err := proc.LookUp(c.binary, binaryKey)
	if err != nil {
		return nil, err
	}
	gate := filepath.Join(prepareOwn(e.env.Dir), filepath.Base(gateFile))
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		return nil, fmt.Errorf("make the gate: %w", err)
	}
	s := &standby{command: c, stream: job.ID(), ended: make(chan struct{}), left: make(chan struct{})}
	if s.lock, err = proc.OpenLock(e.env.Dir, lockFile); err != nil {
		return s, err
	}
	child := launch{settings: e.settings, binary: binary, args: append([]string{"-progress", "file:" + gate}, c.args...),
		cookie: proc.NewCookie(standbyRun), lock: s.lock,
		tmp: filepath.Dir(gate)}
	child.confine(e.settings, e.env, job)
	defer child.closeFiles()
	for _, text := range c.options {
		var options, key *os.File
		if text != "" {
			if options, key, err = os.Pipe(); err != nil {
				return s, fmt.Errorf("hand over the key: %w", err)
			}
		}
		child.options, s.keys = append(child.options, options), append(s.keys, key)
	}
	if child.list, err = listOf(c); err != nil {
		return s, err
	}
	if s.logFrom, err = child.openFiles(e.env.Dir, e.settings.LogSize); err != nil {
		return s, fmt.Errorf("open the encoder's output files: %w", err)
	}
	h, pid, err := child.start(job)
	if err != nil {
		return s, fmt.Errorf("start %s: %w", c.binary, err)
	}
	if s.Identity, err = proc.Identify(h, pid, child.cookie); err == nil {
		s.watch, err = proc.OpenHandle(pid)
	}
	if err != nil {
		proc.Abandon(h, pid)
		return s, err
	}
	s.handle = h
	proc.YieldMemory(pid)
	e.followers.Go(s.follow)
	return s, nil
}

// follow reaps the process if it ends while it waits.
func (s *standby) follow() {
	defer close(s.left)
	if ended, _ := s.watch.Wait(time.Time{}); ended {
		s.watch.Status(0)
		close(s.ended)
	}
}

// unfollow ends follow, and reports whether the process still runs.
func (s *standby) unfollow() bool {
	s.watch.Close()
	<-s.left
	return !s.gone()
}

// release closes our files for it.
func (s *standby) release() {
	if s.lock != nil {
		s.lock.Close()
	}
	for _, key := range s.keys {
		if key != nil {
			key.Close()
		}
	}
}

// wake opens the gate for a job, and makes the standby the running process. It returns nil when
// there is no fitting standby.
func (e *Encoder) wake(c command, job encoders.Job) (*process, error) {
	s := e.standby
	if s == nil || s.handle == nil || !s.fits(c, job) || !s.unfollow() {
		return nil, nil
	}
	st := state{Identity: s.Identity, Stream: s.stream, Run: job.Run, Started: time.Now(), LogFrom: s.logFrom,
		Progress: true, Fast: c.fast, Input: inputMark(e.settings, job), GPU: c.gpu}
	if err := proc.Lock(s.lock); err != nil {
		return nil, err
	}
	for i, key := range s.keys {
		if key == nil {
			continue
		}
		if _, err := key.WriteString(c.options[i]); err != nil {
			return nil, fmt.Errorf("hand over the key: %w", err)
		}
	}
	if err := st.save(e.env.Dir); err != nil {
		return nil, err
	}
	s.release()
	e.noteInLog("run %s begins, pid %d, kept warm before", job.Run, s.PID)
	if err := openGate(e.env.Dir); err != nil {
		return nil, err
	}
	e.standby = nil
	e.setWarm(0)
	return e.open(newProcess(e.settings, st), s.handle), nil
}

// openGate lets the waiting process continue, and removes the gate.
func openGate(dir string) error {
	gate := filepath.Join(dir, gateFile)
	f, err := os.OpenFile(gate, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open the gate of the warm process: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(gate))
}

// cool ends the standby, if there is one. The caller holds turn.
func (e *Encoder) cool() {
	s := e.standby
	if s == nil {
		return
	}
	e.standby = nil
	e.setWarm(0)
	s.release()
	if s.watch != nil {
		s.unfollow()
	}
	if s.handle != nil {
		proc.Abandon(s.handle, s.PID)
	}
	if err := os.Remove(filepath.Join(e.env.Dir, gateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.env.Log.Warn("the gate of a warm process cannot be removed", "error", err)
	}
}

// clearGate handles a standby of an earlier controller: it opens the gate for one that already had
// its job, and ends any other.
func (e *Encoder) clearGate() {
	gate := filepath.Join(e.env.Dir, gateFile)
	if _, err := os.Lstat(gate); err != nil {
		return
	}
	if st, err := loadState(e.env.Dir); err == nil && strings.HasPrefix(st.Cookie, standbyRun+".") {
		if h, err := proc.Find(st.Identity); err == nil {
			h.Close()
			if err := openGate(e.env.Dir); err != nil {
				e.env.Log.Warn("a woken process still waits", "error", err)
			}
			return
		}
	}
	for _, pid := range proc.Holders(filepath.Join(e.env.Dir, lockFile)) {
		endByCookie(pid, standbyRun)
	}
	_ = os.Remove(gate)
}

// endByCookie kills a process whose cookie, which it verifies behind the handle, is of that run.
func endByCookie(pid int, run string) {
	h, err := proc.OpenHandle(pid)
	if err != nil {
		return
	}
	defer h.Close()
	if strings.HasPrefix(proc.Environ(pid, proc.CookieVar), run+".") {
		_ = h.SignalOne(unix.SIGKILL)
		_, _ = h.Wait(time.Now().Add(time.Second))
	}
}
