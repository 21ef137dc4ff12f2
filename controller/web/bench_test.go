package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oncue/oncue/controller/millicast"
)

// The floor of a hook's cost: routing, reading, checking the signature and answering, without a
// store.
func BenchmarkHookHandler(b *testing.B) {
	h := NewHooks(HookOptions{Receiver: verifying(nil), Log: quiet()})
	signature := millicast.Sign(testSecret, []byte(attempt))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, millicast.HookPath, strings.NewReader(attempt))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set(millicast.SignatureHeader, signature)
			w := httptest.NewRecorder()
			h.http.Handler.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				b.Fatal(w.Code, w.Body)
			}
		}
	})
}

// The same over loopback with connections that are kept alive, and without.
func BenchmarkHookOverLoopback(b *testing.B) {
	for name, keepAlive := range map[string]bool{"keepalive": true, "close": false} {
		b.Run(name, func(b *testing.B) {
			_, addr := startHooks(b, HookOptions{Receiver: verifying(nil), KeepAlive: keepAlive}, nil)
			wire := request(attempt)
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				var c net.Conn
				var in *bufio.Reader
				defer func() {
					if c != nil {
						c.Close()
					}
				}()
				for pb.Next() {
					if c == nil {
						var err error
						if c, err = net.Dial("tcp", addr); err != nil {
							b.Error(err)
							return
						}
						in = bufio.NewReader(c)
					}
					if _, err := io.WriteString(c, wire); err != nil {
						b.Error(err)
						return
					}
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					if resp.StatusCode != 200 {
						b.Error(resp.Status)
						return
					}
					if !keepAlive {
						c.Close()
						c = nil
					}
				}
			})
		})
	}
}
