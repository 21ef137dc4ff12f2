package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is part of /proc/PID/stat (proc_pid_stat(5)).
type Stat struct {
	state byte // R S D T Z …
	pgrp  int
	sid   int
	Start uint64 // clock ticks after boot
}

func ReadStat(pid int) (Stat, error) {
	var buf [1024]byte
	n, err := readProc(pid, "stat", buf[:])
	if err != nil {
		return Stat{}, err
	}
	return parseStat(buf[:n])
}

// readProc reads the beginning of a file in /proc/PID. It avoids os.File for speed: callers read
// the files of every process of the host.
func readProc(pid int, name string, buf []byte) (n int, err error) {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	for n < len(buf) {
		m, err := unix.Read(fd, buf[n:])
		if err != nil && err != unix.EINTR {
			return n, &os.PathError{Op: "read", Path: path, Err: err}
		}
		if m <= 0 && err == nil {
			break
		}
		n += max(m, 0)
	}
	return n, nil
}

// parseStat begins after the last bracket, because the name before it may contain anything.
func parseStat(body []byte) (Stat, error) {
	end := bytes.LastIndexByte(body, ')')
	fields := strings.Fields(string(body[end+1:])) // fields[0] is the manual's third field
	if end < 0 || len(fields) < 20 {
		return Stat{}, fmt.Errorf("/proc stat is not understood: %q", body)
	}
	s := Stat{state: fields[0][0]}
	s.pgrp, _ = strconv.Atoi(fields[2])
	s.sid, _ = strconv.Atoi(fields[3])
	start, err := strconv.ParseUint(fields[19], 10, 64)
	s.Start = start
	return s, err
}

// Gone reports whether the process is a zombie or dead.
func (s Stat) Gone() bool { return s.state == 'Z' || s.state == 'X' }

// Environ returns the value of a variable in a process's environment at its exec; "" when it is not
// set or cannot be read.
func Environ(pid int, name string) string {
	var small [4096]byte
	body := small[:]
	n, err := readProc(pid, "environ", body)
	if n == len(body) { // a wrapping shell may have put ours after many others
		body = make([]byte, 256<<10)
		n, err = readProc(pid, "environ", body)
	}
	if err != nil {
		return ""
	}
	for pair := range bytes.SplitSeq(body[:n], []byte{0}) {
		if value, ok := bytes.CutPrefix(pair, []byte(name)); ok && len(value) > 0 && value[0] == '=' {
			return string(value[1:])
		}
	}
	return ""
}

// ProcessorTime is what a process has used, to the kernel's hundredth of a second; 0 when unknown.
func ProcessorTime(pid int) time.Duration {
	var buf [1024]byte
	n, err := readProc(pid, "stat", buf[:])
	fields := strings.Fields(string(buf[bytes.LastIndexByte(buf[:n], ')')+1 : n]))
	if err != nil || len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// ProportionalMemory is Pss of /proc/PID/smaps_rollup, in bytes: what it shares counts in parts. It
// is 0 when unknown.
func ProportionalMemory(pid int) int64 {
	var buf [4096]byte
	n, _ := readProc(pid, "smaps_rollup", buf[:])
	for line := range strings.Lines(string(buf[:n])) {
		if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(rest + " 0")[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// PIDs lists the visible processes.
func PIDs() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var found []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// Family returns the living processes that belong to id: those in its session or group, and those
// with its cookie. A member that has left the session still has the cookie. The kernel does not
// reuse the number of a session before its last member has ended.
func Family(id Identity) []int {
	leader, err := ReadStat(id.PID)
	another := err == nil && leader.Start != id.Start
	var found []int
	for _, p := range PIDs() {
		st, err := ReadStat(p)
		if err != nil || st.Gone() || st.sid == 0 { // kernel threads have no session
			continue
		}
		if !another && (st.sid == id.PID || st.pgrp == id.PID) || Environ(p, CookieVar) == id.Cookie {
			found = append(found, p)
		}
	}
	return found
}

// Holders returns the processes that have the file open, except ours.
func Holders(path string) []int {
	var want unix.Stat_t
	if unix.Stat(path, &want) != nil {
		return nil
	}
	var found []int
	for _, pid := range PIDs() {
		fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, fd := range fds {
			var st unix.Stat_t
			if unix.Stat(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name()), &st) == nil && st.Dev == want.Dev &&
				st.Ino == want.Ino {
				found = append(found, pid)
				break
			}
		}
	}
	return found
}

// bootID identifies this boot of the host.
func bootID() (string, error) {
	body, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return strings.TrimSpace(string(body)), nil
}
