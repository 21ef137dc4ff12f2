package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// claim is the memory of a start: which stream and run asked for what the box does now. It is on disk before the start is sent and until
// the box has confirmed a stop, so that a controller that was killed in between neither starts twice nor takes its own stream for
// somebody else's. The zero claim says that the box is on for none of us.
type claim struct {
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	At       time.Time `json:"at"`                 // when it was asked for
	Taken    bool      `json:"taken,omitempty"`    // the box has answered that it starts
	Live     bool      `json:"live,omitempty"`     // was seen on since
	Stopping bool      `json:"stopping,omitempty"` // a stop was sent and not confirmed
	Ended    ending    `json:"ended,omitempty"`
	Why      string    `json:"why,omitempty"` // of Ended, in words
}

// ending is how a run ended without us.
type ending string

const (
	notEnded ending = ""
	byHand   ending = "hand"
	byItself ending = "failure"
)

// pending reports whether the box was asked to start and need not show it yet.
func (c claim) pending(settle time.Duration) bool {
	return c.Stream != "" && !c.Live && c.Ended == notEnded && !c.Stopping && time.Since(c.At) < settle
}

const claimFile = "started.json"

// loadClaim reads the claim in dir; it is zero without a dir or a file.
func loadClaim(dir string) (claim, error) {
	var c claim
	if dir == "" {
		return c, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, claimFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &c)
	}
	if err != nil {
		return claim{}, fmt.Errorf("read what was started before: %w", err)
	}
	return c, nil
}

// saveClaim writes c, or removes the file for the zero claim.
func saveClaim(dir string, c claim) error {
	if dir == "" {
		return nil
	}
	name := filepath.Join(dir, claimFile)
	if c == (claim{}) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("forget what was started: %w", err)
		}
		return nil
	}
	data, err := json.Marshal(c)
	if err == nil {
		err = os.WriteFile(name+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("note what is started: %w", err)
	}
	return nil
}
