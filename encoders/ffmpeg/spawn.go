package ffmpeg

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// spawn starts a process for a job and saves its identity. If that fails, it ends the process.
func (e *Encoder) spawn(c command, job encoders.Job) (*process, error) {
	binary, err := proc.LookUp(c.binary, binaryKey)
	if err != nil {
		return nil, encoders.Permanent(err)
	}
	lock, err := proc.TakeLock(e.env.Dir, lockFile)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child holds it
	st := state{Stream: job.ID(), Run: job.Run, Started: time.Now(), Progress: c.progress, Fast: c.fast,
		Input: inputMark(e.settings, job), GPU: c.gpu}
	child := launch{settings: e.settings, binary: binary, args: c.args, cookie: proc.NewCookie(job.Run), lock: lock,
		tmp: filepath.Join(e.env.Dir, ownDir)}
	defer child.closeFiles()
	child.confine(e.settings.published(), e.env, job)
	if child.tmp != "" {
		prepareOwn(e.env.Dir)
	}
	for _, text := range c.options {
		var options *os.File
		if text != "" {
			if options, err = proc.Pipe(text); err != nil {
				return nil, fmt.Errorf("hand over the key: %w", err)
			}
		}
		child.options = append(child.options, options)
	}
	if child.list, err = e.listOf(c); err != nil {
		return nil, err
	}
	if st.LogFrom, err = child.openFiles(e.env.Dir, e.settings.LogSize); err != nil {
		return nil, fmt.Errorf("open the encoder's output files: %w", err)
	}
	h, pid, err := child.start(job)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOEXEC) {
			err = encoders.Permanent(err)
		}
		return nil, fmt.Errorf("start %s: %w", c.binary, err)
	}
	if st.Identity, err = proc.Identify(h, pid, child.cookie); err == nil {
		err = st.save(e.env.Dir)
	}
	if err != nil { // a later controller could not find it
		proc.Abandon(h, pid)
		return nil, err
	}
	if c.gpu != (gpu{}) {
		e.noteInLog("run %s encodes with %s", job.Run, c.gpu)
	}
	e.noteInLog("run %s begins, pid %d", job.Run, pid)
	proc.YieldMemory(pid)
	return e.open(newProcess(e.settings, st), h), nil
}

// launch is a process about to start.
type launch struct {
	settings       Settings
	binary         string
	args           []string
	options        []*os.File // become descriptors optionFD(i); nil for none
	list           *os.File   // becomes descriptor listFD; nil for none
	cookie         string
	lock           *os.File
	output, errors *os.File
	sandbox        proc.Room // nil: not confined
	tmp            string    // its TMPDIR; "" for ours
}

// confine limits the process to what it needs, if the settings ask for it and the kernel can.
func (l *launch) confine(s Settings, env encoders.Env, job encoders.Job) {
	if !s.confined() {
		return
	}
	if s.apart() {
		l.sandbox, l.tmp = apartFrom(env), ""
		return
	}
	g := grantsFor(s, env, job)
	g.makeOutputs()
	l.sandbox = g.Policy
}

// openFiles opens the output files, and returns the log offset at which the run begins. It discards
// the progress of the last run.
func (l *launch) openFiles(dir string, logSize int64) (logFrom int64, err error) {
	log := filepath.Join(dir, logFile)
	if _, err := proc.Rotate(log, logSize); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if l.errors, err = proc.OpenOutput(log); err != nil {
		return 0, err
	}
	info, err := l.errors.Stat()
	if err == nil {
		l.output, err = proc.OpenOutput(filepath.Join(dir, progressFile))
	}
	if err == nil {
		err = empty(l.output)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// empty truncates a file, unless it is empty: on a busy disk even that would take time.
func empty(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	return f.Truncate(0)
}

// closeFiles closes our copies of the child's files.
func (l *launch) closeFiles() {
	for _, f := range append([]*os.File{l.output, l.errors, l.list}, l.options...) {
		if f != nil {
			f.Close()
		}
	}
}

// listOf returns what descriptor listFD of a command's process is: a connection to the relay, a
// pipe that holds the command's list, or nil.
func (e *Encoder) listOf(c command) (*os.File, error) {
	if c.held {
		return e.feed()
	}
	return listOf(c)
}

// listOf returns a pipe that holds a command's list, nil when it has none.
func listOf(c command) (*os.File, error) {
	if c.list == "" {
		return nil, nil
	}
	f, err := proc.Pipe(c.list)
	if err != nil {
		return nil, fmt.Errorf("hand over the input: %w", err)
	}
	return f, nil
}

// start forks and executes. The child leads a new session, has an empty standard input, and
// inherits only the descriptors listed here.
func (l *launch) start(job encoders.Job) (*proc.Handle, int, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, 0, err
	}
	defer null.Close()
	files := []*os.File{null, l.output, l.errors, l.lock, null, cmp.Or(l.list, null)}
	for i, f := range l.options {
		if i > 0 {
			files = append(files, null)
		}
		files[optionFD(i)] = cmp.Or(f, null)
	}
	attr := os.ProcAttr{Env: l.settings.environment(l.cookie, job, l.tmp), Files: files}
	return proc.Start(l.sandbox, l.binary, append([]string{l.binary}, l.args...), attr)
}
