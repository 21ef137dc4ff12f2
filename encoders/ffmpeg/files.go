package ffmpeg

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
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
	f, err := openOutput(filepath.Join(e.env.Dir, logFile))
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, notePrefix+time.Now().Format(time.DateTime)+" "+format+"\n", args...)
}

// openOutput opens a file for the child to append to. Because it appends, the file can be truncated
// safely.
func openOutput(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// rotate moves the contents of a file that is larger than size to path.1, and reports whether it
// did. The process appends meanwhile, so that a few of its lines may be lost.
func rotate(path string, size int64) (bool, error) {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= size {
		return false, err
	}
	from, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer from.Close()
	if _, err := from.Seek(max(0, info.Size()-size), io.SeekStart); err != nil {
		return false, err
	}
	kept, err := os.OpenFile(path+".1", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return false, err
	}
	_, err = io.Copy(kept, io.LimitReader(from, size))
	if err = errors.Join(err, kept.Close()); err != nil {
		return false, err
	}
	return true, os.Truncate(path, 0)
}

// lastBytes returns at most n bytes from the end of a file, none of them before offset from. A
// missing file counts as empty.
func lastBytes(path string, from, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if from > info.Size() { // it was truncated since
		from = 0
	}
	at := max(from, info.Size()-n)
	body, err := io.ReadAll(io.NewSectionReader(f, at, n))
	if at > from { // it begins inside a line
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			body = body[i+1:]
		}
	}
	return body, err
}

// firstBytes returns at most n bytes of a file from offset at.
func firstBytes(path string, at, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, at, n))
}

// lines splits output into lines that are safe to show on a terminal.
func lines(body []byte) []string {
	var out []string
	for line := range strings.SplitSeq(string(body), "\n") {
		if i := strings.LastIndexByte(strings.TrimRight(line, "\r"), '\r'); i >= 0 {
			line = line[i+1:] // the program has overwritten what stands before it
		}
		line = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' || r == 0x7f {
				return -1
			}
			return r
		}, line)
		if strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out
}

// errLocked means that a process of the encoder is alive.
var errLocked = errors.New("an encoder process of an earlier start still runs")

// takeLock locks a lock file of the folder. The lock belongs to the open file, so a process that
// inherits the descriptor holds it, too.
func takeLock(dir, name string) (*os.File, error) {
	f, err := openLock(dir, name)
	if err != nil {
		return nil, err
	}
	if err := lockOpen(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func openLock(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	return f, nil
}

func lockOpen(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EWOULDBLOCK):
		return errLocked
	}
	return fmt.Errorf("lock the encoder's folder: %w", err)
}

// locked reports whether a process of the encoder is alive.
func locked(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open the lock file: %w", err)
	}
	err = errors.Join(lockOpen(f), f.Close())
	if errors.Is(err, errLocked) {
		return true, nil
	}
	return false, err
}
