package obs

import (
	"time"

	"github.com/oncue/oncue/encoders"
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

// keep is the claim on disk from now on; the zero claim leaves none.
func (c claim) keep(dir string) error {
	if c == (claim{}) {
		return encoders.Forget(dir, claimFile)
	}
	return encoders.Remember(dir, claimFile, c)
}
