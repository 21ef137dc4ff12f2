package systemd

import (
	"errors"
	"io/fs"
	"os"

	"github.com/oncue/oncue/encoders"
)

// started remembers a start: which stream and run asked for what the unit does now. It is saved
// before systemd is asked, and removed once the unit has stopped. So a controller that was killed
// in between neither starts the unit twice nor takes its own start for somebody else's. The zero
// value says that the unit is on for none of our streams.
type started struct {
	Stream string `json:"stream"` // stream id
	Run    string `json:"run"`
	File   string `json:"file,omitempty"` // the publish_file that was written for it

	// Before is the unit's invocation at the time of the start, and Invocation the one that the start
	// began: "" until it was seen. systemd gives each start of a unit a new one.
	Before     string `json:"before,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	Restarts   uint32 `json:"restarts,omitempty"` // how often systemd had started it again by itself

	Stopping bool   `json:"stopping,omitempty"` // a stop was asked for and not confirmed
	Ended    ending `json:"ended,omitempty"`
	Why      string `json:"why,omitempty"` // of Ended, in words
}

// ending is how a run ended without us.
type ending string

const (
	notEnded ending = ""
	byHand   ending = "hand"
	byItself ending = "failure"
)

// known is what is known beside the unit and the start that is remembered.
type known struct {
	starting bool   // a Start is under way
	followed bool   // every signal of the unit since the last reading was heard
	stopped  bool   // a job of somebody else has stopped the unit since it was seen on
	own      string // result of the job of our start, "" while it runs
}

// judge says what a reading of the unit means for the start that is remembered, and returns what is
// to be remembered now. It changes nothing itself.
func judge(u unit, c started, k known) (encoders.Status, started) {
	if u.on() {
		c = c.foundOn(u, k)
	} else if c.Stream != "" && c.Ended == notEnded && !c.Stopping && !k.starting && !u.job {
		c = c.foundOff(u, k)
	}
	s := encoders.Status{State: u.state(), At: u.at, Since: u.since, Run: c.Run, Stream: c.Stream}
	switch {
	case s.State == encoders.StateUnknown:
		s.Error = "systemd says that it is " + u.active
	case u.on():
		s.PID, s.ConfigOnly, s.ByHand = u.pid, s.State == encoders.StatePublishing, c.Stream == ""
	case c.Stream == "" || c.Stopping:
		s.State = encoders.StateStopped // a failure of long ago is nobody's
	case c.Ended == notEnded: // its job waits
		s.State = encoders.StateStarting
	case c.Ended == byHand:
		s.State, s.ByHand = encoders.StateStopped, true
	default:
		s.State, s.Error, s.Permanent = encoders.StateFailed, c.Why, u.incurable()
	}
	return s, c
}

// foundOn decides whose start it is that is on. systemd begins a new invocation when somebody
// starts the unit, but also when it starts the unit again by itself (Restart=), which it counts,
// and when somebody restarts it, which is not meant to take it from us: so a new one is somebody
// else's only when the unit was off in between.
func (c started) foundOn(u unit, k known) started {
	switch {
	case c.Stream == "", c.Invocation == "" && c.Before == u.invocation: // the latter ends before our start begins
		return c
	case c.Invocation == u.invocation:
	case c.Ended != notEnded:
		return started{}
	case c.Invocation != "" && !k.followed && u.restarts <= c.Restarts:
		return started{}
	}
	c.Invocation, c.Restarts, c.Ended, c.Why = u.invocation, u.restarts, notEnded, ""
	return c
}

// foundOff decides how a run ended. Who stops a unit by hand leaves a job behind; a program that
// ends by itself does not.
func (c started) foundOff(u unit, k known) started {
	c.Ended = byItself
	switch {
	case k.stopped:
		c.Ended = byHand
	case c.Invocation == "" && jobResults[k.own] != "":
		c.Why = jobResults[k.own]
	case c.Invocation == "" && u.invocation == c.Before:
		c.Why = "systemd did not carry out the start"
	case k.followed || u.state() == encoders.StateFailed:
		c.Why = u.why()
	default:
		c.Why = "it was found off"
	}
	return c
}

const startedFile = "started.json"

// save writes c to the encoder's folder; the zero value leaves no file.
func (c started) save(dir string) error {
	if c == (started{}) {
		return encoders.Forget(dir, startedFile)
	}
	return encoders.Remember(dir, startedFile, c)
}

// writePublish writes the publishing URL where only this user and systemd, which is root, can read
// it.
func writePublish(file, url string) error {
	if err := os.WriteFile(file+".new", []byte(url), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func removePublish(file string) error {
	if file == "" {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
