package obs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// claim is the memory of a start: which stream and run asked for what OBS does now. It is on disk before StartStream is sent and until the
// end of the stream was seen, so that a controller that was killed in between neither starts twice nor takes its own stream for somebody
// else's.
type claim struct {
	Stream string    `json:"stream"` // stream id
	Run    string    `json:"run"`
	At     time.Time `json:"at"` // when it was asked for
}

const claimFile = "started.json"

// loadClaim reads the claim in dir. With no dir, or no claim in it, it is the zero one.
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
