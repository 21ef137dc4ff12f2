package obs

import (
	"time"

	"github.com/oncue/oncue/encoders"
)

// started remembers a start: which stream and run asked for what OBS does now. It is saved before
// StartStream is sent, and removed once the end of the stream was seen. So a controller that was
// killed in between neither starts OBS twice nor takes its own stream for somebody else's. The zero
// value says that the last start was not ours.
type started struct {
	Stream string    `json:"stream"` // stream id
	Run    string    `json:"run"`
	At     time.Time `json:"at"` // when the start was asked for
}

const startedFile = "started.json"

func startedBy(job encoders.Job, now time.Time) started {
	return started{Stream: job.ID(), Run: job.Run, At: now.Round(0)}
}

// save writes s to the encoder's folder; the zero value leaves no file.
func (s started) save(dir string) error {
	if s == (started{}) {
		return encoders.Forget(dir, startedFile)
	}
	return encoders.Remember(dir, startedFile, s)
}
