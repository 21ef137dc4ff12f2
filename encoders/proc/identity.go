package proc

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The environment of a process, which only its own user can read, says which run it is.
const (
	CookieVar = "ONCUE_ENCODER" // the run, a dot, and a random text
	StreamVar = "ONCUE_STREAM"  // the stream id, percent-encoded
)

// Identity distinguishes a process from all others, including those of other boots.
type Identity struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks after boot
	Boot   string `json:"boot"`
	Inode  uint64 `json:"inode,omitempty"` // of its pidfd; 0 before Linux 6.9
	Cookie string `json:"cookie"`
}

// ThisBoot reports whether the host has not been booted since.
func (id Identity) ThisBoot() bool {
	boot, err := bootID()
	return err == nil && boot == id.Boot
}

// NewCookie returns a cookie of a run, which no other process has.
func NewCookie(run string) string { return run + "." + strings.ToLower(rand.Text()) }

// RunOf returns the run for which a cookie was made.
func RunOf(cookie string) string { run, _, _ := strings.Cut(cookie, "."); return run }

// Identify describes the process behind h.
func Identify(h *Handle, pid int, cookie string) (Identity, error) {
	boot, err := bootID()
	if err != nil {
		return Identity{}, err
	}
	st, err := ReadStat(pid)
	if err != nil {
		return Identity{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return Identity{PID: pid, Start: st.Start, Boot: boot, Inode: h.inode(), Cookie: cookie}, nil
}

// Find returns a handle for the process that id describes, or an error when it is gone. It opens
// the handle first, so that it verifies the very process behind the handle.
func Find(id Identity) (*Handle, error) {
	h, err := OpenHandle(id.PID)
	if err != nil {
		return nil, err
	}
	now, err := Identify(h, id.PID, Environ(id.PID, CookieVar))
	if err == nil && id.Inode == 0 {
		now.Inode = 0 // an older kernel ran when it was saved
	}
	if err == nil && now != id {
		err = fmt.Errorf("process %d is another one now", id.PID)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// findByCookie returns the candidate that has a cookie and leads its session.
func findByCookie(candidates []int) (*Handle, Identity, error) {
	for _, pid := range candidates {
		h, err := OpenHandle(pid)
		if err != nil {
			continue
		}
		cookie := Environ(pid, CookieVar)
		st, err := ReadStat(pid)
		if err == nil && cookie != "" && st.sid == pid && !st.Gone() {
			if id, err := Identify(h, pid, cookie); err == nil {
				return h, id, nil
			}
		}
		h.Close()
	}
	return nil, Identity{}, fmt.Errorf("none of the processes %v is an encoder", candidates)
}

// FindHolder returns the process, other than except, that holds a lock file and leads its session.
// Its environment tells its run, in the cookie, and its stream.
func FindHolder(path string, except int) (*Handle, Identity, string, error) {
	who := slices.DeleteFunc(Holders(path), func(pid int) bool { return pid == except })
	h, id, err := findByCookie(who)
	if err != nil {
		return nil, id, "", fmt.Errorf("%w: processes %v hold the lock in its folder, and none of them is known",
			ErrLocked, who)
	}
	stream, err := url.PathUnescape(Environ(id.PID, StreamVar))
	if err != nil {
		stream = ""
	}
	return h, id, stream, nil
}
