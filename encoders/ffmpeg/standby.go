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
)

// standby is a process that is loaded and waits, so that a start saves the time for that. It has opened neither its input nor its output,
// and cannot before it is let through: it waits inside the open of a named pipe that it was told to report its progress to, first of all.
// When the controller dies it goes on waiting, and the next one ends it. It does not have the lock yet, and its key is not written yet.
type standby struct {
	command command
	stream  string
	handle  *handle
	identity
	watch   *handle  // what follow waits with
	lock    *os.File // unlocked; the process has the same open file, so locking ours gives it the lock
	key     *os.File // writing end of its option file; nil when it needs none
	logFrom int64
	ended   chan struct{} // closed when it is gone
	left    chan struct{} // closed when follow is over
}

const (
	// gateFile is the named pipe; there while a process waits before it. It is where the process may make files: one that comes to the
	// gate when it is open and gone makes a file of that name.
	gateFile = ownDir + "/gate"
	// standbyRun stands for the run in the cookie of a process that had none when it was started.
	standbyRun = "standby"
)

// warm makes a standby for the next start of a job, if one is wanted and nothing runs. The caller has the turn.
func (e *Encoder) warm(job encoders.Job) {
	if e.settings.Standby != "warm" || !e.settings.isFFmpeg() || !job.Publish.Set() {
		return
	}
	c, err := build(e.settings, job, !e.probesFully(job))
	if err != nil || !c.progress || c.whip {
		return
	}
	if s := e.standby; s != nil && s.fits(c, job) { // also when it is gone: the next start will show why
		return
	}
	e.cool()
	if e.standby, err = e.ready(c, job); err != nil {
		e.cool()
		e.env.Log.Warn("no process is kept warm", "error", err)
	}
}

func (s *standby) fits(c command, job encoders.Job) bool {
	return s.stream == job.ID() && s.command.binary == c.binary && s.command.options == c.options && s.command.list == c.list && slices.Equal(s.command.args, c.args)
}

func (s *standby) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// ready starts the process that waits.
func (e *Encoder) ready(c command, job encoders.Job) (*standby, error) {
	binary, err := lookUp(c.binary)
	if err != nil {
		return nil, err
	}
	gate := filepath.Join(prepareOwn(e.env.Dir), filepath.Base(gateFile))
	if err := unix.Mkfifo(gate, 0o600); err != nil {
		return nil, fmt.Errorf("make the gate: %w", err)
	}
	s := &standby{command: c, stream: job.ID(), ended: make(chan struct{}), left: make(chan struct{})}
	if s.lock, err = openLock(e.env.Dir); err != nil {
		return s, err
	}
	child := launch{binary: binary, args: append([]string{"-progress", "file:" + gate}, c.args...), cookie: newCookie(standbyRun), lock: s.lock,
		tmp: filepath.Dir(gate)}
	child.confine(e.settings, e.env, job)
	defer child.closeFiles()
	if c.options != "" {
		if child.options, s.key, err = os.Pipe(); err != nil {
			return s, fmt.Errorf("hand over the key: %w", err)
		}
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
	if s.identity, err = identify(h, pid, child.cookie); err == nil {
		s.watch, err = openHandle(pid)
	}
	if err != nil {
		abandon(h, pid)
		return s, err
	}
	s.handle = h
	yieldMemory(pid)
	e.followers.Go(s.follow)
	return s, nil
}

// follow collects the process should it end while it waits.
func (s *standby) follow() {
	defer close(s.left)
	if ended, _ := s.watch.wait(time.Time{}); ended {
		s.watch.status(0)
		close(s.ended)
	}
}

// unfollow leaves the process to somebody else, and reports whether it is still there.
func (s *standby) unfollow() bool {
	s.watch.close()
	<-s.left
	return !s.gone()
}

// release closes what we have of it.
func (s *standby) release() {
	if s.lock != nil {
		s.lock.Close()
	}
	if s.key != nil {
		s.key.Close()
	}
}

// wake lets the standby through for a job, and makes it the running process. It returns nil when there is none that fits.
func (e *Encoder) wake(c command, job encoders.Job) (*process, error) {
	s := e.standby
	if s == nil || s.handle == nil || !s.fits(c, job) || !s.unfollow() {
		return nil, nil
	}
	st := state{identity: s.identity, Stream: s.stream, Run: job.Run, Started: time.Now(), LogFrom: s.logFrom, Progress: true, Fast: c.fast, Input: inputMark(e.settings, job)}
	if err := lockOpen(s.lock); err != nil {
		return nil, err
	}
	if s.key != nil {
		if _, err := s.key.WriteString(c.options); err != nil {
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
	return e.open(newProcess(e.settings, st), s.handle), nil
}

// openGate lets who waits before the gate through, and takes it away.
func openGate(dir string) error {
	gate := filepath.Join(dir, gateFile)
	f, err := os.OpenFile(gate, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("let the process that is kept warm through: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(gate))
}

// cool ends the standby. The caller has the turn.
func (e *Encoder) cool() {
	s := e.standby
	if s == nil {
		return
	}
	e.standby = nil
	s.release()
	if s.watch != nil {
		s.unfollow()
	}
	if s.handle != nil {
		abandon(s.handle, s.PID)
	}
	if err := os.Remove(filepath.Join(e.env.Dir, gateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.env.Log.Warn("the gate of a process that was kept warm stays", "error", err)
	}
}

// clearGate deals with what an earlier controller kept warm. One that it had given its job is let through; all others are ended.
func (e *Encoder) clearGate() {
	gate := filepath.Join(e.env.Dir, gateFile)
	if _, err := os.Lstat(gate); err != nil {
		return
	}
	if st, err := loadState(e.env.Dir); err == nil && strings.HasPrefix(st.Cookie, standbyRun+".") {
		if h, err := find(st.identity); err == nil {
			h.close()
			if err := openGate(e.env.Dir); err != nil {
				e.env.Log.Warn("a process that was woken still waits", "error", err)
			}
			return
		}
	}
	for _, pid := range holders(filepath.Join(e.env.Dir, lockFile)) {
		e.endWaiting(pid)
	}
	_ = os.Remove(gate)
}

// endWaiting ends a process if it is one that waits, verified behind its handle.
func (e *Encoder) endWaiting(pid int) {
	h, err := openHandle(pid)
	if err != nil {
		return
	}
	defer h.close()
	if strings.HasPrefix(environ(pid, cookieName), standbyRun+".") {
		_ = h.signalOne(unix.SIGKILL)
		_, _ = h.wait(time.Now().Add(time.Second))
	}
}
