package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Handle is a pidfd: it always means the same process, even after the pid was given to another one.
// The runtime's epoll waits on all of them, so waiting costs a parked goroutine and no thread.
type Handle struct {
	file *os.File
	raw  syscall.RawConn
}

// NewHandle takes ownership of fd.
func NewHandle(fd int) (*Handle, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	raw, err := file.SyscallConn()
	if err == nil {
		err = file.SetReadDeadline(time.Time{}) // fails when the runtime cannot poll it
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("pidfd: %w", err)
	}
	return &Handle{file: file, raw: raw}, nil
}

// OpenHandle returns a handle of a process. The caller closes it.
func OpenHandle(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("pidfd of %d: %w", pid, err)
	}
	return NewHandle(fd)
}

// Close ends waits of the handle. The process continues.
func (h *Handle) Close() { h.file.Close() }

// Wait waits until the process has ended, or until the given time (zero: no limit). Its error is
// os.ErrClosed after close.
func (h *Handle) Wait(until time.Time) (ended bool, err error) {
	return h.poll(until, unix.POLLIN|unix.POLLHUP)
}

// poll waits for one of the events. The pidfd reports POLLIN when the process ends, and POLLHUP
// once it is reaped; the runtime wakes this goroutine for both.
func (h *Handle) poll(until time.Time, events int16) (bool, error) {
	if err := h.file.SetReadDeadline(until); err != nil {
		return false, err
	}
	err := h.raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0 && p[0].Revents&events != 0
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return false, nil
	}
	return err == nil, err
}

// control runs f on the descriptor; f's error is returned, or os.ErrClosed.
func (h *Handle) control(f func(fd int) error) error {
	var err error
	if closed := h.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return os.ErrClosed // the runtime has its own error for a file that is being closed
	}
	return err
}

// Signal signals the process's group, which the process leads. It is no error when the process or
// the group is gone.
func (h *Handle) Signal(sig unix.Signal, pid int) error {
	err := h.control(func(fd int) error {
		err := unix.PidfdSendSignal(fd, sig, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
		if !errors.Is(err, unix.EINVAL) {
			return err
		}
		// Before Linux 6.9 a group must be named by its number, which is safe while the process
		// exists and holds it.
		if err := unix.PidfdSendSignal(fd, 0, nil, 0); err != nil {
			return err
		}
		return unix.Kill(-pid, sig)
	})
	if errors.Is(err, unix.ESRCH) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// SignalOne signals this process alone.
func (h *Handle) SignalOne(sig unix.Signal) error {
	return h.control(func(fd int) error { return unix.PidfdSendSignal(fd, sig, nil, 0) })
}

const pidfsMagic = 0x50494446

// inode returns the pidfs inode, which is unique for this boot; 0 before Linux 6.9.
func (h *Handle) inode() (ino uint64) {
	_ = h.control(func(fd int) error {
		var fs unix.Statfs_t
		var st unix.Stat_t
		if unix.Fstatfs(fd, &fs) == nil && fs.Type == pidfsMagic && unix.Fstat(fd, &st) == nil {
			ino = st.Ino
		}
		return nil
	})
	return ino
}

// Exit is how a process ended.
type Exit struct {
	Known  bool
	Code   int
	Signal unix.Signal // 0 for none
}

func (x Exit) String() string {
	switch {
	case !x.Known:
		return "exit status unknown"
	case x.Signal != 0:
		return fmt.Sprintf("signal %d (%s)", x.Signal, unix.SignalName(x.Signal))
	}
	return fmt.Sprintf("exit status %d", x.Code)
}

// Status returns how an ended process ended. It reaps our own child; for other processes it reads
// the kernel's record, which exists since Linux 6.15 (PIDFD_INFO_EXIT) once the new parent has
// reaped the process. Init does that at once or within seconds; Status waits for it at most as long
// as patience.
func (h *Handle) Status(patience time.Duration) Exit {
	var info unix.Siginfo
	err := h.control(func(fd int) error { return unix.Waitid(unix.P_PIDFD, fd, &info, unix.WEXITED|unix.WNOHANG, nil) })
	if err == nil && info.Signo != 0 {
		return exitOfChild(&info)
	}
	x, err := h.record()
	if err != nil || x.Known {
		return x
	}
	if reaped, err := h.poll(time.Now().Add(patience), unix.POLLHUP); err != nil || !reaped {
		return Exit{}
	}
	x, _ = h.record()
	return x
}

// record reads the kernel's record of the exit. An error means that this kernel keeps none.
func (h *Handle) record() (Exit, error) {
	info := pidfdInfo{mask: unix.PIDFD_INFO_EXIT}
	err := h.control(func(fd int) error {
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), pidfdGetInfo,
			uintptr(unsafe.Pointer(&info))); errno != 0 && errno != unix.ESRCH {
			return errno
		}
		return nil
	})
	status := unix.WaitStatus(info.exitCode)
	switch {
	case err != nil, info.mask&unix.PIDFD_INFO_EXIT == 0:
		return Exit{}, err
	case status.Signaled():
		return Exit{Known: true, Signal: status.Signal()}, nil
	}
	return Exit{Known: true, Code: status.ExitStatus()}, nil
}

// pidfdInfo is the first version of struct pidfd_info (linux/pidfd.h); pidfdGetInfo is
// PIDFD_GET_INFO for its size.
type pidfdInfo struct {
	mask     uint64
	cgroup   uint64
	ids      [11]uint32
	exitCode int32
}

const pidfdGetInfo = 0xC040FF0B

// exitOfChild reads si_code and si_status, which follow si_pid and si_uid.
func exitOfChild(info *unix.Siginfo) Exit {
	at := unsafe.Sizeof(uintptr(0)) // the union follows three words, aligned for a pointer
	union := (3*4 + at - 1) / at * at
	status := *(*int32)(unsafe.Add(unsafe.Pointer(info), union+8))
	const exited = 1 // CLD_EXITED
	if info.Code == exited {
		return Exit{Known: true, Code: int(status)}
	}
	return Exit{Known: true, Signal: unix.Signal(status)}
}
