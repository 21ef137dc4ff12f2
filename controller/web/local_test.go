package web

import (
	"bufio"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

const (
	rotatePath = "/api/v1/accounts/ABC123/webhook/rotate?show_secret=true"
	tokenPath  = "/api/v1/streams/ABC123%2Fcam-%2A/token/rotate?show_secret=true"
)

// TestSecretsAreNotForEverybody asks for the webhook's secret on loopback without a token: as the
// daemon's own user, as another user, and through a proxy of either.
func TestSecretsAreNotForEverybody(t *testing.T) {
	_, base := startAdmin(t, newFake("ABC123/lobby"), func(o *AdminOptions) {
		o.Rotate, o.Reload, o.AllowedHosts = rotated, reloads(), []string{"oncue.example"}
		o.RotateToken = rotatedToken
	})
	if got := call(t, "POST", base+rotatePath, ""); got.status != 200 ||
		!strings.Contains(got.body, `"secret":"fresh"`) {
		t.Errorf("the daemon's own user: %d %s", got.status, got.body)
	}
	if got := call(t, "POST", base+tokenPath, ""); got.status != 200 || !strings.Contains(got.body, `"token":"fresh"`) {
		t.Errorf("a token for the daemon's own user: %d %s", got.status, got.body)
	}
	for _, header := range []string{"X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1", "Via: 1.1 proxy",
		"X-Real-IP: 10.0.0.1", "Host: oncue.example"} {
		for _, path := range []string{rotatePath, "/api/v1/accounts/ABC123/webhook/rotate", "/api/v1/login-code",
			"/api/v1/reload", tokenPath} {
			if got := call(t, "POST", base+path, "", header); got.status != 403 || strings.Contains(got.body, "fresh") {
				t.Errorf("%s with %s: %d %s", path, header, got.status, got.body)
			}
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can try as another user")
	}
	addr := netip.MustParseAddrPort(strings.TrimPrefix(base, "http://"))
	for path, want := range map[string]int{rotatePath: 403, "/api/v1/accounts/ABC123/webhook/rotate": 403,
		"/api/v1/login-code": 403, "/api/v1/reload": 403, tokenPath: 403} {
		if status, body := postAs(t, 65534, addr, path); status != want || strings.Contains(body, "fresh") {
			t.Errorf("%s as another user: %d %s", path, status, body)
		}
	}
	// With the token, any user may.
	_, base = startAdmin(t, newFake(),
		func(o *AdminOptions) { o.Rotate, o.Token = rotated, secret.New("0123456789abcdef") })
	if got := call(t, "POST", base+rotatePath, "", "Authorization: Bearer 0123456789abcdef",
		"X-Forwarded-For: 10.0.0.1"); got.status != 200 {
		t.Errorf("with the token: %d %s", got.status, got.body)
	}
}

// postAs makes a request from another user's socket.
func postAs(t *testing.T, uid int, to netip.AddrPort, path string) (status int, body string) {
	t.Helper()
	type opened struct {
		fd  int
		err error
	}
	made := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0); errno != 0 {
			made <- opened{0, errno}
			return
		}
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		made <- opened{fd, err}
	}()
	socket := <-made
	if socket.err != nil {
		t.Fatal(socket.err)
	}
	if err := syscall.Connect(socket.fd,
		&syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(socket.fd), "socket")
	defer f.Close()
	if _, err := f.WriteString("POST " + path +
		" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(f), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text strings.Builder
	_ = resp.Write(&text)
	return resp.StatusCode, text.String()
}

// TestOwnerOfASocket reads lines of the kernel's tables. A socket that its process has closed is
// listed as root's and has no owner.
func TestOwnerOfASocket(t *testing.T) {
	addr := netip.MustParseAddrPort
	const rest = " 00000000:00000000 00:00000000 00000000 %UID        0 %INODE 1 0000000000000000 20 4 30 10 -1"
	line := func(sockets, state, uid, inode string) string {
		return "   1: " + sockets + " " + state + strings.NewReplacer("%UID", uid, "%INODE", inode).Replace(rest)
	}
	const v4, v6 = "0100007F:D431 0100007F:1F91",
		"00000000000000000000000001000000:D431 00000000000000000000000001000000:1F91"
	const mapped = "0000000000000000FFFF00000100007F:D431 0000000000000000FFFF00000100007F:1F91"
	for _, c := range []struct {
		name, line string
		own, other string
		uid        int
		ok         bool
	}{
		{"of a user", line(v4, "01", "1000", "77"), "127.0.0.1:54321", "127.0.0.1:8081", 1000, true},
		{"of root", line(v4, "01", "0", "77"), "127.0.0.1:54321", "127.0.0.1:8081", 0, true},
		{"by IPv6", line(v6, "01", "1000", "77"), "[::1]:54321", "[::1]:8081", 1000, true},
		{"by IPv4 in IPv6", line(mapped, "01", "1000", "77"), "127.0.0.1:54321", "[::ffff:127.0.0.1]:8081", 1000, true},
		{"the other end", line(v4, "01", "1000", "77"), "127.0.0.1:8081", "127.0.0.1:54321", 0, false},
		{"another port", line(v4, "01", "1000", "77"), "127.0.0.1:54322", "127.0.0.1:8081", 0, false},
		{"let go of, FIN_WAIT1", line(v4, "04", "0", "0"), "127.0.0.1:54321", "127.0.0.1:8081", 0, false},
		{"let go of, FIN_WAIT2", line(v4, "05", "0", "0"), "127.0.0.1:54321", "127.0.0.1:8081", 0, false},
		{"without an inode", line(v4, "01", "0", "0"), "127.0.0.1:54321", "127.0.0.1:8081", 0, false},
		{"time-wait", line(v4, "06", "0", "0"), "127.0.0.1:54321", "127.0.0.1:8081", 0, false},
		{"the head of the table",
			"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
			"127.0.0.1:54321", "127.0.0.1:8081", 0, false},
	} {
		if uid, ok := ownerIn(c.line, addr(c.own), addr(c.other)); uid != c.uid || ok != c.ok {
			t.Errorf("%s: %d %v, want %d %v", c.name, uid, ok, c.uid, c.ok)
		}
	}
}

// TestUnixPeer: the user at a unix socket is the author of a hold. A socket that everybody may open
// proves nothing but that user.
func TestUnixPeer(t *testing.T) {
	f := newFake("ABC123/lobby")
	_, client := unixAdmin(t, AdminOptions{Controller: f, Log: quiet(), Rotate: rotated,
		Token: secret.New("0123456789abcdef")})
	send := func(method, path, body string) int {
		r, err := http.NewRequest(method, "http://localhost"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if status := send("PUT", "/api/v1/streams/ABC123%2Flobby/mode", `{"mode":"on"}`); status != 200 {
		t.Errorf("a hold: %d", status)
	}
	if status := send("POST", rotatePath, ""); status != 200 {
		t.Errorf("a rotation: %d", status)
	}
	if want := (controller.ModeRequest{Mode: "on", By: userName(os.Geteuid())}); len(f.requests) != 1 ||
		f.requests[0] != want {
		t.Errorf("the hold is %+v, want %+v", f.requests, want)
	}
}

// TestEncodersAreStrangers: the service's own user needs the token, because its encoders run as
// that user.
func TestEncodersAreStrangers(t *testing.T) {
	t.Setenv("MANAGERPID", "")
	for pid, want := range map[string]bool{strconv.Itoa(os.Getpid()): true, strconv.Itoa(os.Getppid()): false,
		"": false} {
		if t.Setenv("SYSTEMD_EXEC_PID", pid); isService() != want {
			t.Errorf("by SYSTEMD_EXEC_PID=%s it is a service: %v", pid, !want)
		}
	}
	a, client := unixAdmin(t, AdminOptions{Controller: newFake(), Log: quiet(), Rotate: rotated,
		Token: secret.New("0123456789abcdef")})
	ask := func(header string) int {
		r, err := http.NewRequest("GET", "http://localhost/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	a.service = true
	if status := ask(""); os.Geteuid() != 0 && status != 401 { // a service that runs as root has no user of its own
		t.Errorf("without the token: %d", status)
	}
	if status := ask("Bearer 0123456789abcdef"); status != 200 {
		t.Errorf("with the token: %d", status)
	}
	for _, c := range []struct {
		service bool
		uid     int
		known   bool
		want    bool
	}{{true, 995, true, true}, {true, 0, true, false}, {true, 1000, true, false}, {true, 995, false, false},
		{false, 995, true, false}} {
		a := &Admin{user: 995, service: c.service}
		if got := a.mayBeEncoder(c.uid, c.known); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}
