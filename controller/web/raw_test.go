package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// request is a whole signed delivery as it goes over the wire, with more header lines.
func request(body string, lines ...string) string {
	return "POST " + millicast.HookPath + " HTTP/1.1\r\nHost: oncue\r\nContent-Type: application/json\r\n" +
		millicast.SignatureHeader + ": " + millicast.Sign(testSecret, []byte(body)) + "\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n", len(body)) + strings.Join(append(lines, ""), "\r\n") + "\r\n" + body
}

// chunked is a request whose body is whatever chunks say.
func chunkedRequest(chunks string, lines ...string) string {
	return "POST " + millicast.HookPath +
		" HTTP/1.1\r\nHost: oncue\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" +
		strings.Join(append(lines, ""), "\r\n") + "\r\n" + chunks
}

// statusOf reads one answer; 0 means that the connection ended without one.
func statusOf(c net.Conn) int {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Input of anybody who finds the port. Each entry is sent as it is; the server must answer with the
// status (0: close without an answer), and accept a genuine hook afterwards.
func TestRawRequests(t *testing.T) {
	_, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, func(h *Hooks) {
		h.http.ReadHeaderTimeout, h.http.ReadTimeout = 300*time.Millisecond, 600*time.Millisecond
	})
	signed := millicast.SignatureHeader + ": " + millicast.Sign(testSecret, []byte(attempt))
	oneChunk := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(attempt), attempt)
	for _, tt := range []struct {
		name string
		send string
		want []int
	}{
		{"honest", request(attempt), []int{200}},
		{"HTTP/1.0", strings.Replace(request(attempt), "HTTP/1.1", "HTTP/1.0", 1), []int{200}},
		{"chunked", chunkedRequest(oneChunk, signed), []int{200}},
		{"length a lie, far too large", request("", "X: y")[:strings.Index(request(""), "Content-Length")] +
			"Content-Length: 99999999999\r\n\r\nabc", []int{413}},
		{"length a lie, a little too large",
			strings.Replace(request(""), "Content-Length: 0", "Content-Length: 65537", 1), []int{413}},
		{"length a lie, the rest never comes",
			strings.Replace(request(attempt), "Content-Length: 1", "Content-Length: 6", 1), []int{408}},
		{"length a lie, more comes", strings.Replace(request(attempt), "Content-Length: 1", "Content-Length: ", 1),
			[]int{401}},
		{"length negative", strings.Replace(request(attempt), "Content-Length: 1", "Content-Length: -1", 1),
			[]int{400}},
		{"length no number", strings.Replace(request(attempt), "Content-Length: 1", "Content-Length: x", 1),
			[]int{400}},
		{"length twice, differing", request(attempt, "Content-Length: 3"), []int{400}},
		{"length and chunks", request(attempt, "Transfer-Encoding: chunked"), []int{400, 408}},
		{"chunks twice over", chunkedRequest(oneChunk, "Transfer-Encoding: chunked", signed), []int{400, 501}},
		{"transfer encoding gzip", strings.Replace(chunkedRequest(oneChunk, signed), "chunked", "gzip", 1), []int{501}},
		{"chunk size no number", chunkedRequest("zz\r\nabc\r\n0\r\n\r\n", signed), []int{400}},
		{"chunk size huge", chunkedRequest("ffffffffffffffff\r\nabc", signed), []int{400, 408}},
		{"chunk size overflows", chunkedRequest("fffffffffffffffff\r\nabc", signed), []int{400}},
		{"chunk without end", chunkedRequest("3\r\nabc", signed), []int{408}},
		{"chunk extension without end", chunkedRequest("3;"+strings.Repeat("a", 64<<10), signed), []int{400, 408}},
		{"many small chunks", chunkedRequest(strings.Repeat("1\r\nx\r\n", 70<<10), signed), []int{400, 413}},
		{"large in chunks", chunkedRequest("20000\r\n"+strings.Repeat("x", 0x20000)+"\r\n0\r\n\r\n", signed),
			[]int{413}},
		{"100-continue, too large", strings.Replace(request("", "Expect: 100-continue"), "Content-Length: 0",
			"Content-Length: 70000", 1), []int{413}},
		{"100-continue, other type", strings.Replace(request("", "Expect: 100-continue"), "application/json",
			"text/html", 1), []int{415}},
		{"expects something else", request(attempt, "Expect: 200-ok"), []int{417}},
		{"content type twice", request(attempt, "Content-Type: image/jpeg"), []int{415}},
		{"encoding twice", request(attempt, "Content-Encoding: identity", "Content-Encoding: gzip"), []int{415}},
		// the Receiver's business
		{"signature twice", request(attempt, millicast.SignatureHeader+": sha1=00"), []int{200, 401}},
		{"headers too large", request(attempt, "X-Big: "+strings.Repeat("a", 32<<10)), []int{431}},
		{"no host", strings.Replace(request(attempt), "Host: oncue\r\n", "", 1), []int{400}},
		{"bare newlines in a header", request(attempt, "X: a\x00b"), []int{400}},
		{"space before the colon", request(attempt, "X : y"), []int{400}},
		{"absolute address", strings.Replace(request(attempt), millicast.HookPath, "http://evil.example"+
			millicast.HookPath, 1), []int{200}},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 404, 405, 505}},
		{"upgrade to HTTP/2", request(attempt, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
			"HTTP2-Settings: AAMAAABkAAQAAP__"), []int{200}},
		{"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", []int{0, 400}},
		{"noise", strings.Repeat("\x00\xff\r\n", 100), []int{400}},
		{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: oncue\r\n\r\n", []int{400, 404, 405}},
		{"CONNECT", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", []int{404, 405}},
		{"slow headers", "POST " + millicast.HookPath + " HTTP/1.1\r\nHost: onc", []int{0}},
		{"nothing at all", "", []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial(t, addr)
			go io.WriteString(c, tt.send) //nolint:errcheck // the server may close first
			status := statusOf(c)
			ok := false
			for _, w := range tt.want {
				ok = ok || w == status
			}
			if !ok {
				t.Errorf("answered with %d, want %v", status, tt.want)
			}
			if status, answer := post(t, addr, attempt); status != 200 {
				t.Errorf("an honest hook afterwards: %d %s", status, answer)
			}
		})
	}
}

func TestContinueIsSentForABodyThatIsWanted(t *testing.T) {
	_, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	c := dial(t, addr)
	whole := request(attempt, "Expect: 100-continue")
	cut := len(whole) - len(attempt)
	send(t, c, whole[:cut])
	r := bufio.NewReader(c)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("before the body: %q, %v", line, err)
	}
	send(t, c, whole[cut:])
	_, _ = r.ReadString('\n')
	if line, _ := r.ReadString('\n'); line != "HTTP/1.1 200 OK\r\n" {
		t.Errorf("after the body: %q", line)
	}
}

// Without keep-alive a second pipelined request is neither answered nor received: its sender knows
// that it must send it again.
func TestPipelinedRequestIsNotTakenWithoutAnAnswer(t *testing.T) {
	var taken sync.Map
	_, addr := startHooks(t,
		HookOptions{Receiver: verifying(func(_ context.Context, d millicast.Delivery) (controller.Verdict, error) {
			taken.Store(string(d.Body), true)
			return controller.Accepted, nil
		})}, nil)
	c := dial(t, addr)
	send(t, c, request(`{"n":1}`)+request(`{"n":2}`))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	text, _ := io.ReadAll(c)
	if n := strings.Count(string(text), "HTTP/1.1 200 OK"); n != 1 ||
		!strings.Contains(string(text), "Connection: close") {
		t.Errorf("%d answers:\n%s", n, text)
	}
	if _, ok := taken.Load(`{"n":2}`); ok {
		t.Error("the second request was taken without an answer")
	}
}

// A sender that writes a large body before it reads must see the answer, not a reset.
func TestRefusalReachesASenderThatWritesFirst(t *testing.T) {
	_, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	c := dial(t, addr)
	body := strings.Repeat("x", 9<<20)
	send(t, c, strings.Replace(request(body), "application/json", "image/jpeg", 1))
	if status := statusOf(c); status != 413 {
		t.Errorf("answered with %d, want 413", status)
	}
}

// Silent, slow and half-sent connections, far more than the server keeps: genuine hooks are
// answered all the same.
func TestSilentConnectionsAreShed(t *testing.T) {
	h, addr := startHooks(t, HookOptions{Receiver: verifying(nil), MaxConns: 100}, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	half := strings.Replace(request(strings.Repeat("x", 60<<10)), "\r\n\r\n", "\r\n\r\n", 1)
	half = half[:len(half)-10]
	for i := range 2000 {
		c := dial(t, addr)
		switch i % 3 {
		case 1:
			_, _ = io.WriteString(c, "POST "+millicast.HookPath+" HTTP/1.1\r\nX: ")
		case 2:
			_, _ = io.WriteString(c, half)
		}
		if i%100 == 99 {
			if status, answer := post(t, addr, attempt); status != 200 {
				t.Fatalf("an honest hook beside %d silent connections: %d %s", i, status, answer)
			}
		}
	}
	runtime.ReadMemStats(&after)
	h.conns.mu.Lock()
	open := h.conns.open
	h.conns.mu.Unlock()
	if open > 100 {
		t.Errorf("%d connections are open, want at most 100", open)
	}
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func TestSlowBodiesShareABoundOfMemory(t *testing.T) {
	h, addr := startHooks(t, HookOptions{Receiver: verifying(nil)}, nil)
	h.bodies.room.Store(100 << 10)
	half := request(strings.Repeat("x", 60<<10))
	half = half[:len(half)-1]
	waiting := dial(t, addr)
	send(t, waiting, half)
	second := dial(t, addr)
	for { // until the first one has taken its share
		send(t, second, request(strings.Repeat("x", 60<<10)))
		status := statusOf(second)
		if status == 503 {
			break
		}
		if status != 200 {
			t.Fatalf("a large hook beside another: %d", status)
		}
		second = dial(t, addr)
	}
	if status, answer := post(t, addr, attempt); status != 200 {
		t.Errorf("a small hook: %d %s", status, answer)
	}
	send(t, waiting, "x")
	if status := statusOf(waiting); status != 200 {
		t.Errorf("the large hook, whole at last: %d", status)
	}
	for h.bodies.room.Load() != 100<<10 { // given back after the answer
		runtime.Gosched()
	}
}
