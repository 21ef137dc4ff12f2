package relay

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The descriptors of a reader, apart from 0, 1 and 2. They are those of all of the driver's
// processes.
const (
	lockFD = 3
	ListFD = 5 // the order's List is read from it
)

const (
	// politely is how long a reader has to take its leave of the input after TERM.
	politely = 2 * time.Second
	// pipeSize is asked for between reader and relay, bytes: a key frame should fit in.
	pipeSize = 1 << 20
	// complaints is how many of a reader's last lines are kept, of at most lineSize bytes.
	complaints = 20
	lineSize   = 400
)

// reader is one FFmpeg that reads the input.
type reader struct {
	process *os.Process
	out     *os.File
	errors  *os.File

	mu   sync.Mutex
	said []string // its last lines
}

// begin starts a reader.
func begin(o Order, lock *os.File) (*reader, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r := &reader{}
	var out, said *os.File
	if r.out, out, err = os.Pipe(); err != nil {
		return nil, err
	}
	defer out.Close()
	_, _ = unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, pipeSize)
	if r.errors, said, err = os.Pipe(); err != nil {
		r.out.Close()
		return nil, err
	}
	defer said.Close()
	files := []*os.File{null, out, said, lock, null}
	if o.List != "" {
		list, err := textPipe(o.List)
		if err != nil {
			r.close()
			return nil, err
		}
		defer list.Close()
		files = append(files, list)
	}
	start := func() (err error) {
		r.process, err = os.StartProcess(o.Binary, append([]string{o.Binary}, o.Args...),
			&os.ProcAttr{Env: environment(), Files: files})
		return err
	}
	if o.Policy != nil {
		err = o.Policy.Do(start)
	} else {
		err = start()
	}
	if err != nil {
		r.close()
		return nil, fmt.Errorf("start %s: %w", o.Binary, err)
	}
	go r.listen()
	return r, nil
}

func (r *reader) close() {
	r.out.Close()
	r.errors.Close()
}

// environment is ours, with the reader's own folder for temporary files.
func environment() []string {
	own, _ := filepath.Abs(tmpDir)
	env := []string{"TMPDIR=" + own, "XDG_CACHE_HOME=" + own}
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); name != "TMPDIR" && name != "XDG_CACHE_HOME" {
			env = append(env, pair)
		}
	}
	return env
}

// textPipe returns the reading end of a pipe that holds the text.
func textPipe(text string) (*os.File, error) {
	in, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	_ = out.SetWriteDeadline(time.Now().Add(time.Second)) // it fits, or is too long
	if _, err := io.WriteString(out, text); err != nil {
		in.Close()
		return nil, err
	}
	return in, nil
}

// listen keeps the last lines that the reader says.
func (r *reader) listen() {
	in := bufio.NewReaderSize(r.errors, lineSize)
	for {
		line, err := in.ReadSlice('\n')
		text := strings.TrimRight(string(line), "\n")
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of a long line
			_, err = in.ReadSlice('\n')
		}
		if text != "" {
			r.mu.Lock()
			r.said = append(r.said[max(0, len(r.said)-complaints+1):], text)
			r.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

func (r *reader) words() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.said...)
}

// end asks the reader to end. It is forced when it does not.
func (r *reader) end() {
	_ = r.process.Signal(syscall.SIGTERM)
	time.AfterFunc(politely, func() { _ = r.process.Kill() }) // harmless once it has been waited for
}

// wait waits for the reader's end, and says how it ended.
func (r *reader) wait() string {
	state, err := r.process.Wait()
	r.close()
	if err != nil {
		return err.Error()
	}
	return cmp.Or(state.String(), "ended")
}
