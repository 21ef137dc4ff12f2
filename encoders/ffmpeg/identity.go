package ffmpeg

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/oncue/oncue/encoders"
)

// The environment of a process, which only its own user can read, says which run it is.
const (
	cookieName = "ONCUE_ENCODER" // the run, a dot, and a random text
	streamName = "ONCUE_STREAM"  // the stream id, percent-encoded
)

// identity distinguishes a process from all others, including those of other boots.
type identity struct {
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"` // clock ticks after boot
	Boot   string `json:"boot"`
	Inode  uint64 `json:"inode,omitempty"` // of its pidfd; 0 before Linux 6.9
	Cookie string `json:"cookie"`
}

func newCookie(run string) string { return run + "." + strings.ToLower(rand.Text()) }

// runOf returns the run for which a cookie was made.
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

// find returns a handle for the process that id describes, or an error when it is gone. It opens
// the handle first, so that it verifies the very process behind the handle.
func find(id identity) (*handle, error) {
	h, err := openHandle(id.PID)
	if err != nil {
		return nil, err
	}
	now, err := identify(h, id.PID, environ(id.PID, cookieName))
	if err == nil && id.Inode == 0 {
		now.Inode = 0 // an older kernel ran when it was saved
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

// findByCookie returns the candidate that has a cookie and leads its session.
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

// inherited names the variables that a child inherits. Everything else stays with us: sockets,
// credentials, FFREPORT.
var inherited = []string{
	"PATH", "HOME", "USER", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR",
	"PULSE_SERVER", "ALSA_CARD", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "LIBVA_DRIVER_NAME", "LIBVA_DRIVERS_PATH", "CUDA_VISIBLE_DEVICES",
	"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
}

// environment returns a child's environment. The C locale keeps its messages in English. tmp is its
// folder for temporary files; "" means ours.
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
