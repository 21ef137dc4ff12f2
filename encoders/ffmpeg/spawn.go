package ffmpeg

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
)

// spawn starts a process for a job and saves its identity. If that fails, it ends the process.
func (e *Encoder) spawn(c command, job encoders.Job) (*process, error) {
	binary, err := lookUp(c.binary)
	if err != nil {
		return nil, encoders.Permanent(err)
	}
	lock, err := takeLock(e.env.Dir, lockFile)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the child holds it
	st := state{Stream: job.ID(), Run: job.Run, Started: time.Now(), Progress: c.progress, Fast: c.fast,
		Input: inputMark(e.settings, job)}
	child := launch{binary: binary, args: c.args, cookie: newCookie(job.Run), lock: lock,
		tmp: filepath.Join(e.env.Dir, ownDir)}
	defer child.closeFiles()
	child.confine(e.settings.published(), e.env, job)
	if child.tmp != "" {
		prepareOwn(e.env.Dir)
	}
	for _, text := range c.options {
		var options *os.File
		if text != "" {
			if options, err = pipeOf(text); err != nil {
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
	if st.identity, err = identify(h, pid, child.cookie); err == nil {
		err = st.save(e.env.Dir)
	}
	if err != nil { // a later controller could not find it
		abandon(h, pid)
		return nil, err
	}
	if c.held {
		err = relay.Go(child.list)
	}
	if err != nil {
		e.env.Log.Warn("the input that is held open does not come", "error", err) // the process will say so, too
	}
	e.noteInLog("run %s begins, pid %d", job.Run, pid)
	yieldMemory(pid)
	return e.open(newProcess(e.settings, st), h), nil
}

// yieldMemory makes the kernel kill an encoder before the controller when memory runs out.
func yieldMemory(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("300"), 0)
}

// abandon kills a child whose identity was not saved.
func abandon(h *handle, pid int) {
	_ = h.signal(syscall.SIGKILL, pid)
	_, _ = h.wait(time.Now().Add(5 * time.Second))
	h.status(0)
	h.close()
}

// lookUp finds the binary. A name without a slash is searched for in PATH.
func lookUp(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err == nil {
		return path, nil
	}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no program %s: install it, or set binary", binary)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s is not an executable file, or may not be executed", binary)
	}
	return "", fmt.Errorf("look for %s: %w", binary, err)
}

// launch is a process about to start.
type launch struct {
	binary         string
	args           []string
	options        []*os.File // become descriptors optionFD(i); nil for none
	list           *os.File   // becomes descriptor listFD; nil for none
	cookie         string
	lock           *os.File
	output, errors *os.File
	sandbox        confiner // nil: not confined
	tmp            string   // its TMPDIR; "" for ours
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
	if _, err := rotate(log, logSize); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if l.errors, err = openOutput(log); err != nil {
		return 0, err
	}
	info, err := l.errors.Stat()
	if err == nil {
		l.output, err = openOutput(filepath.Join(dir, progressFile))
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
	f, err := pipeOf(c.list)
	if err != nil {
		return nil, fmt.Errorf("hand over the input: %w", err)
	}
	return f, nil
}

// start forks and executes. The child leads a new session, has an empty standard input, and
// inherits only the descriptors listed here.
func (l *launch) start(job encoders.Job) (*handle, int, error) {
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
	pidfd := -1
	attr := os.ProcAttr{Env: environment(l.cookie, job, l.tmp), Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}}
	var p *os.Process
	begin := func() (err error) {
		p, err = os.StartProcess(l.binary, append([]string{l.binary}, l.args...), &attr)
		return err
	}
	if l.sandbox != nil {
		err = l.sandbox.Do(begin)
	} else {
		err = begin()
	}
	if err != nil {
		return nil, 0, err
	}
	pid := p.Pid
	h, err := newHandle(pidfd)
	if err != nil {
		return nil, 0, errors.Join(err, p.Kill(), waitFor(p))
	}
	return h, pid, p.Release() // its pidfd is used to wait for it
}

func waitFor(p *os.Process) error {
	_, err := p.Wait()
	return err
}

// pipeOf returns the reading end of a pipe that holds text and is closed for writing: once the
// child has read the text, it exists nowhere else. The text is far smaller than a pipe's buffer, so
// writing does not block.
func pipeOf(text string) (*os.File, error) {
	var fd [2]int
	if err := syscall.Pipe2(fd[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, err
	}
	n, err := syscall.Write(fd[1], []byte(text))
	syscall.Close(fd[1])
	if err == nil && n < len(text) {
		err = fmt.Errorf("it takes %d bytes, too many for a pipe", len(text))
	}
	if err != nil {
		syscall.Close(fd[0])
		return nil, err
	}
	return os.NewFile(uintptr(fd[0]), "options"), nil
}
