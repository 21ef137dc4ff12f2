package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// EndLost ends the processes of encoders whose folder below root was deleted while they ran, and
// returns their pids. No controller could find or stop them: their lock file is gone, and a start
// would make a second copy. It waits until they have ended, at most five seconds each.
func EndLost(root string) (ended []int) {
	for _, pid := range PIDs() {
		if Environ(pid, CookieVar) == "" || !lostLock(root, pid) {
			continue
		}
		h, err := OpenHandle(pid)
		if err != nil {
			continue
		}
		// Check again, now that the handle holds the process.
		if Environ(pid, CookieVar) != "" && lostLock(root, pid) && h.SignalOne(unix.SIGKILL) == nil {
			_, _ = h.Wait(time.Now().Add(5 * time.Second))
			ended = append(ended, pid)
		}
		h.Close()
	}
	return ended
}

// lostFile is what the kernel calls a deleted lock file.
var lostFile = regexp.MustCompile(`/[a-z]+\.lock \(deleted\)$`)

// lostLock reports whether a process has a deleted lock file below root open.
func lostLock(root string, pid int) bool {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(to, root+"/") && lostFile.MatchString(to) {
			return true
		}
	}
	return false
}
