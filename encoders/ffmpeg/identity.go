package ffmpeg

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/oncue/oncue/encoders"
)

// The environment of a process says whose it is, readable for its own user alone.
const (
	cookieName = "ONCUE_ENCODER" // the run, a dot, and what no other process has
	streamName = "ONCUE_STREAM"  // the stream id, percent-encoded
)

// identity tells one process apart from all others, those of other boots included.
type identity struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks after boot
	Boot   string `json:"boot"`
	Inode  uint64 `json:"inode,omitempty"` // of its pidfd; 0 where the kernel has none of its own
	Cookie string `json:"cookie"`
}

func newCookie(run string) string { return run + "." + strings.ToLower(rand.Text()) }

// runOf is the run that a cookie was made for.
func runOf(cookie string) string { run, _, _ := strings.Cut(cookie, "."); return run }

// identify describes the process behind h.
func identify(h *handle, pid int, cookie string) (identity, error) {
	boot, err := bootID()
	if err != nil {
		return identity{}, err
	}
	st, err := readStat(pid)
	if err != nil {
		return identity{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return identity{PID: pid, Start: st.start, Boot: boot, Inode: h.inode(), Cookie: cookie}, nil
}

// find returns a handle of the very process id describes, or an error when it is gone. The handle is taken first, so that what is verified
// is what the handle means.
func find(id identity) (*handle, error) {
	h, err := openHandle(id.PID)
	if err != nil {
		return nil, err
	}
	now, err := identify(h, id.PID, environ(id.PID, cookieName))
	if err == nil && id.Inode == 0 {
		now.Inode = 0 // the kernel was older when it was written
	}
	if err == nil && now != id {
		err = fmt.Errorf("process %d is another one now", id.PID)
	}
	if err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// findByCookie returns the leader among some processes: the one with a cookie whose session it leads.
func findByCookie(candidates []int) (*handle, identity, error) {
	for _, pid := range candidates {
		h, err := openHandle(pid)
		if err != nil {
			continue
		}
		cookie := environ(pid, cookieName)
		st, err := readStat(pid)
		if err == nil && cookie != "" && st.sid == pid && !st.gone() {
			if id, err := identify(h, pid, cookie); err == nil {
				return h, id, nil
			}
		}
		h.close()
	}
	return nil, identity{}, fmt.Errorf("none of the processes %v is an encoder", candidates)
}

// inherited names the variables that a child gets from us. Everything else is ours alone: sockets, credentials, FFREPORT.
var inherited = []string{"PATH", "HOME", "USER", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "PULSE_SERVER",
	"ALSA_CARD", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"}

// environment is what a child gets. Its language is none, so that its messages can be understood. tmp is a folder of its own for what it
// does not keep; "" leaves it ours.
func environment(cookie string, job encoders.Job, tmp string) []string {
	env := []string{"LC_ALL=C.UTF-8", cookieName + "=" + cookie, streamName + "=" + url.PathEscape(job.ID())}
	for _, name := range inherited {
		if value, ok := os.LookupEnv(name); ok && (name != "TMPDIR" || tmp == "") {
			env = append(env, name+"="+value)
		}
	}
	if tmp != "" {
		env = append(env, "TMPDIR="+tmp, "XDG_CACHE_HOME="+tmp)
	}
	return env
}
