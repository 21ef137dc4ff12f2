package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Room starts a process that can use less than we can, as package sandbox does.
type Room interface {
	Do(start func() error) error
}

// Itself is the program that runs, also when its file was replaced since.
const Itself = "/proc/self/exe"

// Start starts a program that leads a session of its own, confined by room unless that is nil, and
// returns its pid. The caller waits and reaps by the handle, and closes it.
func Start(room Room, path string, args []string, attr os.ProcAttr) (*Handle, int, error) {
	pidfd := -1
	attr.Sys = &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd}
	var p *os.Process
	start := func() (err error) {
		p, err = os.StartProcess(path, args, &attr)
		return err
	}
	var err error
	if room != nil {
		err = room.Do(start)
	} else {
		err = start()
	}
	if err != nil {
		return nil, 0, err
	}
	pid := p.Pid
	h, err := NewHandle(pidfd)
	if err != nil {
		return nil, 0, errors.Join(err, p.Kill(), waitFor(p))
	}
	return h, pid, p.Release() // its pidfd is used to wait for it
}

// YieldMemory makes the kernel kill an encoder before the controller when memory runs out.
func YieldMemory(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("300"), 0)
}

// Abandon kills a child whose identity was not saved.
func Abandon(h *Handle, pid int) {
	_ = h.Signal(syscall.SIGKILL, pid)
	_, _ = h.Wait(time.Now().Add(5 * time.Second))
	h.Status(0)
	h.Close()
}

// LookUp finds a program. A name without a slash is searched for in PATH. The error tells users to
// set key.
func LookUp(binary, key string) (string, error) {
	path, err := exec.LookPath(binary)
	if err == nil {
		return path, nil
	}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no program %s: install it, or set %s", binary, key)
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("%s is not an executable file, or may not be executed", binary)
	}
	return "", fmt.Errorf("look for %s: %w", binary, err)
}

func waitFor(p *os.Process) error {
	_, err := p.Wait()
	return err
}

// Pipe returns the reading end of a pipe that holds text and is closed for writing: once the
// child has read the text, it exists nowhere else. The text is far smaller than a pipe's buffer, so
// writing does not block.
func Pipe(text string) (*os.File, error) {
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

// Quote writes a word for a POSIX shell.
func Quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_./:=,+@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
