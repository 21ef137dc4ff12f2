package exec

import (
	"path/filepath"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// present returns the running program, after adopting it if another controller has started it.
func (e *Encoder) present() (*process, error) {
	e.mu.Lock()
	p := e.running
	e.mu.Unlock()
	if p != nil {
		return p, nil
	}
	if alive, err := proc.Locked(e.env.Dir, lockFile); err != nil || !alive {
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

// endTime limits how long the daemon waits at its start for what a program has left.
const endTime = 5 * time.Second

// adopt finds the program of an earlier controller: by the state file or, when that is lost, by its
// lock. Of a program that has ended meanwhile, it ends what is left.
func (e *Encoder) adopt() error {
	alive, err := proc.Locked(e.env.Dir, lockFile)
	if err != nil {
		return err
	}
	st, err := encoders.Recall[state](e.env.Dir, stateFile)
	if err != nil {
		e.env.Log.Warn("the state file cannot be used", "error", err)
	}
	written := st != state{}
	if written {
		if h, err := proc.Find(st.Identity); err == nil {
			e.takeOver(st, h)
			return nil
		}
		if alive && st.ThisBoot() && len(proc.Family(st.Identity)) > 0 {
			e.env.Log.Warn("a program has ended while the controller was away, and left processes", "pid", st.PID)
			over := make(chan struct{})
			timer := time.AfterFunc(endTime, func() { close(over) })
			proc.NewLeader(st.Identity).EndFamily(over)
			timer.Stop()
			if alive, err = proc.Locked(e.env.Dir, lockFile); err != nil {
				return err
			}
		}
	}
	if alive {
		return e.adoptHolder()
	}
	if written { // it ended while no controller ran
		p := newProcess(e.settings, st)
		why := e.explain(p, proc.Exit{})
		e.blankLog(p, true)
		e.change(func(s *encoders.Status) {
			*s = encoders.Status{State: encoders.StateFailed, Since: time.Now(), Run: st.Run, Stream: st.Stream,
				Error: "it ended while the controller was away: " + why}
		})
		return encoders.Forget(e.env.Dir, stateFile)
	}
	return nil
}

func (e *Encoder) takeOver(st state, h *proc.Handle) {
	e.env.Log.Info("program adopted", "pid", st.PID, "run", st.Run)
	e.open(newProcess(e.settings, st), h)
}

// adoptHolder takes over a program that is only known to hold the lock. How it publishes is not
// known any more, so it counts as publishing while it runs.
func (e *Encoder) adoptHolder() error {
	h, id, stream, err := proc.FindHolder(filepath.Join(e.env.Dir, lockFile), 0)
	if err != nil {
		return err
	}
	st := state{Identity: id, Stream: stream, Run: proc.RunOf(id.Cookie), Started: time.Now(), Ready: true}
	if err := st.save(e.env.Dir); err != nil {
		h.Close()
		return err
	}
	e.takeOver(st, h)
	return nil
}
