package ffmpeg

import (
	"path/filepath"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// present returns the running process, after adopting it if another controller has started it.
func (e *Encoder) present() (*process, error) {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	alive, err := proc.Locked(e.env.Dir, lockFile)
	if err != nil || !alive {
		return nil, err
	}
	if err := e.adopt(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running == nil {
		return nil, proc.ErrLocked
	}
	return e.running, nil
}

// adopt finds the process of an earlier controller: by the state file or, when that is lost, by its
// lock.
func (e *Encoder) adopt() error {
	alive, err := proc.Locked(e.env.Dir, lockFile)
	if err != nil {
		return err
	}
	st, err := loadState(e.env.Dir)
	if err != nil {
		e.env.Log.Warn("the state file cannot be used", "error", err)
	}
	written := st != state{}
	if written {
		if h, err := proc.Find(st.Identity); err == nil {
			return e.takeOver(h, st)
		}
	}
	if alive {
		return e.adoptHolder()
	}
	if written { // it ended while no controller ran
		p := newProcess(e.settings, st)
		f := e.explain(p, proc.Exit{})
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
func (e *Encoder) takeOver(h *proc.Handle, st state) error {
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
	warm := 0
	if e.standby != nil { // it has the file open, but not locked
		warm = e.standby.PID
	}
	h, id, stream, err := proc.FindHolder(filepath.Join(e.env.Dir, lockFile), warm)
	if err != nil {
		return err
	}
	st := state{Identity: id, Stream: stream, Run: proc.RunOf(id.Cookie), Started: time.Now(), Progress: true}
	if err := st.save(e.env.Dir); err != nil {
		h.Close()
		return err
	}
	return e.takeOver(h, st)
}
