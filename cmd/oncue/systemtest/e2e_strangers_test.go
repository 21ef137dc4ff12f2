package systemtest

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// testStrangers lets strangers flood the public side with forged hooks that look genuine, from the
// platform's own address and from many others, and renews the webhook's secret meanwhile: it costs
// the platform's hooks nothing.
func testStrangers(t *testing.T, s *site) {
	const rest = "trusted_proxies: [127.0.0.0/8]\nlimits: {hooks_per_second: 5}\nencoders: {box: {fake: {}}}\n" +
		"streams: {lobby: {encoder: box}, \"cam-*\": {encoder: box}}\n"
	s.configure(rest)
	s.start()
	s.hook(controller.HookNoViewers, "lobby") // this address is known from now on
	wrong, next := secret.New("YW5vdGhlci1rZXktZm9yLXRlc3Rz"), secret.New("dGhlLW5leHQta2V5LWZvci10ZXN0cw==")

	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	var answers [600]atomic.Int64
	defer flood.Wait()
	defer cancel()
	for i := range 4 {
		flood.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name, peer := "lobby", ""
				if i > 0 {
					name, peer = fmt.Sprint("cam-", n%20), fmt.Sprintf("2001:db8:%x:%x::1", i, n%0xffff)
				}
				if status, err := s.forge(ctx, name, peer, wrong); err == nil {
					answers[status].Add(1)
				}
			}
		})
	}
	s.await("the flood is over the guard", func() bool { return answers[http.StatusTooManyRequests].Load() > 20 })

	body := millicastViewer("lobby")
	for _, c := range []struct{ as, want string }{
		{millicast.ContentJPEG, "quarantined"}, {millicast.ContentJSON, "accepted"}, {
			millicast.ContentJSON, "duplicate",
		},
	} {
		if status, answer, err := s.post(body, c.as,
			testSecret); err != nil || status != 200 || !strings.Contains(string(answer), c.want) {
			t.Errorf("as %s: %d %s %v, want %s", c.as, status, answer, err, c.want)
		}
	}
	for range 20 {
		s.hook(controller.HookAttempt, "lobby")
	}
	const renewed = 10
	for i := range renewed {
		status, answer, err := s.post(millicastViewer(fmt.Sprint("cam-", i)), millicast.ContentJSON, next)
		if err != nil || status != http.StatusUnauthorized && status != http.StatusTooManyRequests {
			t.Fatalf("a hook signed with the new secret: %d %s %v", status, answer, err)
		}
	}
	before := answers[http.StatusTooManyRequests].Load()
	s.await("the flood goes on", func() bool { return answers[http.StatusTooManyRequests].Load() > before+20 })
	text, err := os.ReadFile(s.config())
	if err != nil {
		t.Fatal(err)
	}
	s.write(strings.Replace(string(text), testSecret.Reveal(), testSecret.Reveal()+`", "`+next.Reveal(), 1))
	s.signal(syscall.SIGHUP)
	for i := range renewed {
		s.awaitStream(fmt.Sprint("cam-", i), "started by a hook that was refused",
			func(v controller.StreamView) bool { return v.Wanted })
	}
	for status := range answers {
		if n := answers[status].Load(); n > 0 && status != http.StatusUnauthorized &&
			status != http.StatusTooManyRequests {
			t.Errorf("%d forged hooks were answered with %d", n, status)
		}
	}
}

// forge sends a hook that no secret verifies, as a proxy on this host would pass it on for peer.
func (s *site) forge(ctx context.Context, name, peer string, key secret.Value) (status int, err error) {
	body := []byte(strings.Replace(string(millicastViewer(name)), `"data":{`,
		fmt.Sprintf(`"data":{"x":%d,`, time.Now().UnixNano()), 1))
	req, err := millicast.NewRequest(ctx, "http://"+s.hooks+millicast.HookPath, key, millicast.ContentJSON, body)
	if err != nil {
		return 0, err
	}
	if peer != "" {
		req.Header.Set("X-Forwarded-For", peer)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
