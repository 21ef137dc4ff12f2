package ffmpeg

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/oncue/oncue/encoders"
)

// present returns the running process, after adopting it if another controller has started it.
func (e *Encoder) present() (*process, error) {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	alive, err := locked(e.env.Dir)
	if err != nil || !alive {
		return nil, err
	}
	if err := e.adopt(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil {
		return nil, errLocked
	}
	return e.running, nil
}

// adopt finds the process of an earlier controller: by the state file or, when that is lost, by its
// lock.
func (e *Encoder) adopt() error {
	alive, err := locked(e.env.Dir)
	if err != nil {
		return err
	}
	st, err := loadState(e.env.Dir)
	if err != nil {
		e.env.Log.Warn("the state file cannot be used", "error", err)
	}
	written := st != state{}
	if written {
		if h, err := find(st.identity); err == nil {
			return e.takeOver(h, st)
		}
	}
	if alive {
		return e.adoptHolder()
	}
	if written { // it ended while no controller ran
		p := newProcess(e.settings, st)
		f := e.explain(p, exit{})
		e.blankLog(p, true)
		e.change(func(s *encoders.Status) {
			*s = encoders.Status{State: encoders.StateFailed, Since: time.Now(), Run: st.Run, Stream: st.Stream,
				Permanent: f.permanent, Error: "it ended while the controller was away: " + f.text}
		})
		return encoders.Forget(e.env.Dir, stateFile)
	}
	return nil
}

// takeOver opens a process and catches up on its progress.
func (e *Encoder) takeOver(h *handle, st state) error {
	p := newProcess(e.settings, st)
	if err := e.catchUp(p); err != nil {
		e.env.Log.Warn("the progress of an adopted process cannot be read", "pid", st.PID, "error", err)
	}
	e.env.Log.Info("ffmpeg adopted", "pid", st.PID, "run", st.Run)
	e.open(p, h)
	return nil
}

// adoptHolder takes over a process that is only known to hold the lock. Its environment says which
// run it is.
func (e *Encoder) adoptHolder() error {
	who := holders(filepath.Join(e.env.Dir, lockFile))
	if e.standby != nil { // it has the file open, but not locked
		who = slices.DeleteFunc(who, func(pid int) bool { return pid == e.standby.PID })
	}
	h, id, err := findByCookie(who)
	if err != nil {
		return fmt.Errorf("%w: processes %v hold the lock in its folder, and none of them is known", errLocked, who)
	}
	stream, err := url.PathUnescape(environ(id.PID, streamName))
	if err != nil {
		stream = ""
	}
	st := state{identity: id, Stream: stream, Run: runOf(id.Cookie), Started: time.Now(), Progress: true}
	if err := st.save(e.env.Dir); err != nil {
		h.close()
		return err
	}
	return e.takeOver(h, st)
}
