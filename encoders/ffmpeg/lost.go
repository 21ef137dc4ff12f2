package ffmpeg

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// EndLost ends the processes of encoders whose folder below root was deleted while they ran, and
// returns their pids. Nobody can find or stop them any more: their lock is no longer at its place,
// and a start would make a second copy. It waits until they are gone, at most some seconds each.
func EndLost(root string) (ended []int) {
	for _, pid := range pids() {
		if environ(pid, cookieName) == "" || !lostLock(root, pid) {
			continue
		}
		h, err := openHandle(pid)
		if err != nil {
			continue
		}
		if environ(pid, cookieName) != "" && lostLock(root, pid) && h.signalOne(unix.SIGKILL) == nil { // it is the one that the handle means
			_, _ = h.wait(time.Now().Add(5 * time.Second))
			ended = append(ended, pid)
		}
		h.close()
	}
	return ended
}

// lostLock reports whether a process has a lock below root open that is deleted.
func lostLock(root string, pid int) bool {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		return false
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		if err == nil && strings.HasPrefix(to, root+"/") && strings.HasSuffix(to, "/"+lockFile+" (deleted)") {
			return true
		}
	}
	return false
}
