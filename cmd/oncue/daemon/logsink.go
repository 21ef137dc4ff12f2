package daemon

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/cmd/oncue/term"
)

// logSink is where the log goes. It never waits: while nobody reads the log, as behind a stopped
// terminal or a stuck collector, it drops and counts lines, because hooks and encoders must not
// depend on the reader.
type logSink struct {
	to      io.Writer
	dropped int
}

// atomicWrite is how many bytes a pipe that is ready for writing takes at once (pipe(7)).
const atomicWrite = 4096

// Write gets one whole record at a time from its handler, which holds a lock. It always succeeds.
func (s *logSink) Write(line []byte) (int, error) {
	if s.dropped > 0 {
		form := "time=%s level=WARN msg=%q lines=%d\n"
		switch line[0] {
		case '{':
			form = `{"time":"%s","level":"WARN","msg":%q,"lines":%d}` + "\n"
		case '<': // journald's form, which has no time
			form = term.PriorityWarn + "msg=%[2]q lines=%[3]d\n"
		}
		if !s.put(fmt.Appendf(nil, form, time.Now().UTC().Format(time.RFC3339Nano),
			"log lines were dropped: nobody took them", s.dropped)) {
			s.dropped++
			return len(line), nil
		}
		s.dropped = 0
	}
	for rest := line; len(rest) > 0; {
		n := min(len(rest), atomicWrite)
		if !s.put(rest[:n]) {
			s.dropped++
			break
		}
		rest = rest[n:]
	}
	return len(line), nil
}

func (s *logSink) put(text []byte) bool {
	if f, ok := s.to.(*os.File); ok {
		ready := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLOUT}}
		for {
			_, err := unix.Poll(ready, 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil || ready[0].Revents != unix.POLLOUT {
				return false
			}
			break
		}
	}
	_, err := s.to.Write(text)
	return err == nil
}
