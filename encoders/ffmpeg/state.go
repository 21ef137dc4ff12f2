package ffmpeg

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// state is what a later controller must know of the process. It holds no secret.
type state struct {
	identity
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	LogFrom  int64     `json:"log_from"` // where this run begins in the log
	Progress bool      `json:"progress"` // it was asked to report progress
	Fast     bool      `json:"fast"`     // its input was probed briefly
	Input    string    `json:"input"`    // mark of its input
}

func loadState(dir string) (st state, found bool, err error) {
	body, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	if err != nil {
		return state{}, false, fmt.Errorf("read the encoder's state file: %w", err)
	}
	return st, true, nil
}

// save replaces the file in one step. It is not synced: after a power loss the process is gone too.
func (st state) save(dir string) error {
	body, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("write the encoder's state file: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err = os.WriteFile(path+".new", body, 0o600); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("write the encoder's state file: %w", err)
	}
	return nil
}

func dropState(dir string) error {
	err := os.Remove(filepath.Join(dir, stateFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the encoder's state file: %w", err)
	}
	return nil
}
