package ffmpeg

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/oncue/oncue/encoders/proc"
)

// The files of an encoder's folder. The process appends to its output files itself, so it never
// waits for us.
const (
	lockFile     = "ffmpeg.lock"     // locked while any process of the family lives
	relayLock    = "relay.lock"      // locked while the input's relay or its reader lives
	relayDir     = "relay"           // the relay's folder
	stateFile    = "ffmpeg.json"     // the process's identity
	logFile      = "ffmpeg.log"      // its standard error
	progressFile = "ffmpeg.progress" // its standard output
	probeFile    = "ffmpeg.probe"    // exists when brief probing of this input has failed
)

// progressSize bounds the progress file. Old progress is worthless.
const progressSize = 256 << 10

// notePrefix marks our own lines in the log.
const notePrefix = "--- "

// noteInLog writes a line of our own, with the time, into the log. The log is for people only.
func (e *Encoder) noteInLog(format string, args ...any) {
	f, err := proc.OpenOutput(filepath.Join(e.env.Dir, logFile))
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, notePrefix+time.Now().Format(time.DateTime)+" "+format+"\n", args...)
}
