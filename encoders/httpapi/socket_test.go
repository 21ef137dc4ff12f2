package httpapi

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
)

// listenSocket listens on a socket of a path that is short enough: the kernel allows 107 bytes.
func listenSocket(t *testing.T) net.Listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "oncue")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "box.sock"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestSocketsThatCannotBeUsed says why in words, and does not send anything.
func TestSocketsThatCannotBeUsed(t *testing.T) {
	asked := 0
	server := &httptest.Server{Listener: listenSocket(t), Config: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			reply(w, `{"state":"off"}`)
		}),
	}}
	server.Start()
	t.Cleanup(server.Close)
	path := server.Listener.Addr().String()
	dir := filepath.Dir(path)
	link, twin, file := filepath.Join(dir, "link"), filepath.Join(dir, "twin"), filepath.Join(dir, "file")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, twin); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "log"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { datagrams.Close() })
	guard := func(paths ...string) encoders.Guard { return encoders.Guard{Paths: append(paths, "")} }
	for _, c := range []struct {
		what, path string
		guard      encoders.Guard
		say        string
	}{
		{"no socket", filepath.Join(dir, "none"), guard(), "there is no socket " + dir + "/none"},
		{"a file", file, guard(), "connection refused: nothing listens at " + file},
		{"another kind", filepath.Join(dir, "log"), guard(), "is not a socket of the kind that HTTP needs"},
		{"oncue's own", path, guard(path), "is oncue's own"},
		{"a link to oncue's own", link, guard(path), "is oncue's own"},
		{"oncue's own by a link", path, guard(link), "is oncue's own"},
		{"another name of oncue's own", twin, guard(path), "is oncue's own"},
		{"in a folder of oncue", path, guard(dir), "is oncue's own"},
	} {
		e, err := New(settingsOf(t, "url: unix://"+c.path+"\n"+quick+ownBox), encoders.Env{
			Dir: t.TempDir(), Log: env("").Log, Guard: c.guard,
		})
		if err != nil {
			t.Fatal(err)
		}
		s := status(t, e)
		if s.State != encoders.StateUnknown {
			t.Errorf("%s: it is %+v", c.what, s)
		}
		mustSay(t, s.Error, c.say)
		if err := e.Start(within(t, 5*time.Second), encodertest.NewJob("")); err == nil {
			t.Errorf("%s: a start is taken", c.what)
		}
		_ = e.Close()
	}
	if asked > 0 {
		t.Errorf("%d requests were sent", asked)
	}
	e, err := New(settingsOf(t, "url: unix://"+link+"\n"+quick+ownBox),
		encoders.Env{Dir: t.TempDir(), Log: env("").Log, Guard: guard(path + "2")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	if s := status(t, e); s.State != encoders.StateStopped {
		t.Errorf("by a link to a socket of others: %+v", s)
	}
	plan := strings.Join(e.Plan(encodertest.NewJob("")), "\n")
	mustSay(t, plan, "start: POST unix://"+link+":/api/start", "status: GET unix://"+link+":/api/state")
	found := e.Check(within(t, 5*time.Second), encodertest.NewJob(""))
	mustSay(t, found[0].What, "unix://"+link+" answers in ")
}

// As root, nothing is refused; so what the kernel says to others is put in by hand.
func TestSocketPermission(t *testing.T) {
	l := listenSocket(t)
	t.Cleanup(func() { l.Close() })
	path := l.Addr().String()
	if err := os.Chmod(path, 0o060); err != nil {
		t.Fatal(err)
	}
	said := socketReason(&socketError{path, syscall.EACCES})
	mustSay(t, said, "no permission to use "+path+": it is for user ", " and group ", "(----rw----)")
	if os.Geteuid() != 0 {
		mustSay(t, status(t, open(t, "url: unix://"+path+"\n"+ownBox)).Error, said)
	}
}
