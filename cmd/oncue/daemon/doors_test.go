package daemon

import (
	"strings"
	"syscall"
	"testing"

	"github.com/oncue/oncue/cmd/oncue/term"
)

// TestListenHint holds the way out against the cause, where a test cannot bring the cause about as
// any user.
func TestListenHint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		err  error
		want string
	}{
		{":80", syscall.EACCES, "port 80 is below 1024"},
		{"127.0.0.1:443", syscall.EPERM, "port 443 is below 1024"},
		{"127.0.0.1:8080", syscall.EACCES, "a sandbox or a security module"},
		{"unix:/run/oncue/admin.sock", syscall.EACCES, "give it the folder of /run/oncue/admin.sock"},
		{"unix:/run/oncue/admin.sock", syscall.EADDRINUSE, "another process answers there"},
	} {
		err := ListenError("listen", c.addr, c.err)
		if got := term.HintFor(err); !strings.Contains(got, c.want) ||
			!strings.HasPrefix(err.Error(), "listen "+c.addr+": ") {
			t.Errorf("%s, %v: %q, hint %q", c.addr, c.err, err, got)
		}
	}
}
