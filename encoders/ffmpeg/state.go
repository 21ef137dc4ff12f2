package ffmpeg

import (
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// state is what a later controller must know of the process. It holds no secret.
type state struct {
	proc.Identity
	Stream   string    `json:"stream"` // stream id
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	LogFrom  int64     `json:"log_from"`     // where this run begins in the log
	Progress bool      `json:"progress"`     // it was asked to report progress
	Fast     bool      `json:"fast"`         // its input was probed briefly
	Input    string    `json:"input"`        // mark of its input
	GPU      gpu       `json:"gpu,omitzero"` // what encodes, if not x264
}

// loadState returns the zero state when none was saved.
func loadState(dir string) (state, error) { return encoders.Recall[state](dir, stateFile) }

func (st state) save(dir string) error { return encoders.Remember(dir, stateFile, st) }
