package systemtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// chaosDuplicates sends every hook of a stream's life ten times, some of them at once.
func chaosDuplicates(c *chaos) {
	s := c.site
	s.configure("encoders: {box: {fake: {}}}\ndefaults: {confirm: encoder, idle_timeout: 100ms}\nstreams: {lobby: " +
		"{encoder: box}}\n")
	s.start()
	accepted, duplicates := atomic.Int64{}, atomic.Int64{}
	for _, step := range []struct {
		hook controller.HookKind
		then controller.Phase
	}{
		{controller.HookAttempt, controller.PhaseLive}, {controller.HookFirstViewer, controller.PhaseLive},
		{controller.HookNoViewers, controller.PhaseIdle},
	} {
		body := millicast.ViewerMessage(step.hook, testAccount, "lobby", time.Now()).Body()
		many(5, func(int) {
			for range 2 {
				status, answer, err := s.post(body, millicast.ContentJSON, testSecret)
				switch {
				case err != nil || status != http.StatusOK:
					c.Errorf("%s: %d %s %v", step.hook, status, answer, err)
				case string(answer) == `{"status":"duplicate"}`:
					duplicates.Add(1)
				default:
					accepted.Add(1)
				}
			}
		})
		s.awaitPhase("lobby", step.then)
	}
	b := s.box("box")
	c.says("%d accepted, %d duplicates, %d start, %d stop", accepted.Load(), duplicates.Load(), b.Starts, b.Stops)
	if accepted.Load() != 3 || b.Starts != 1 || b.Stops != 1 {
		c.Errorf("the box is %+v", b)
	}
}

// chaosOrder sends the same hooks in different orders; all must end the same. Package machine tries
// all orders.
func chaosOrder(c *chaos) {
	s := c.site
	s.configure("encoders: {nvr: {fake: {}}}\ndefaults: {confirm: encoder, idle_timeout: 10m, join_timeout: 10m, " +
		"attempt_hold: 10m}\nstreams: {\"cam-*\": {encoder: nvr}}\n")
	s.start()
	at := time.Now().Add(-time.Second)
	orders := c.times(20, 300)
	for n := range orders {
		name := fmt.Sprintf("cam-%d", n)
		feed := controller.Feed{ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", n), Started: controller.ByPlatform(at)}
		bodies := [][]byte{
			millicast.ViewerMessage(controller.HookAttempt, testAccount, name, at).Body(),
			millicast.FeedMessage(controller.HookFeedStarted, testAccount, name, feed,
				at.Add(100*time.Millisecond)).Body(),
			millicast.ViewerMessage(controller.HookFirstViewer, testAccount, name, at.Add(200*time.Millisecond)).Body(),
			millicast.ViewerMessage(controller.HookNoViewers, testAccount, name, at.Add(300*time.Millisecond)).Body(),
			millicast.ViewerMessage(controller.HookFirstViewer, testAccount, name, at.Add(400*time.Millisecond)).Body(),
		}
		c.random.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
		for _, body := range bodies {
			s.await("a hook is taken", func() bool {
				status, _, err := s.post(body, millicast.ContentJSON, testSecret)
				return err == nil && status == http.StatusOK
			})
		}
		s.awaitStream(name, "live, wanted, with its feed", func(v controller.StreamView) bool {
			return v.Phase == controller.PhaseLive && v.Wanted && len(v.Feeds) == 1
		})
	}
	c.says("%d orders, all ended live, wanted, with the one feed", orders)
}

// chaosForged sends forged hooks, and repeats real ones after a restart.
func chaosForged(c *chaos) {
	s := c.site
	s.configure("encoders: {box: {fake: {}}}\ndefaults: {confirm: encoder, idle_timeout: 100ms}\nstreams: {lobby: " +
		"{encoder: box}}\n")
	s.start()
	var real [][]byte
	for _, kind := range []controller.HookKind{
		controller.HookAttempt, controller.HookFirstViewer, controller.HookNoViewers,
	} {
		body := millicast.ViewerMessage(kind, testAccount, "lobby", time.Now()).Body()
		s.await("a hook is taken", func() bool {
			status, _, _ := s.post(body, millicast.ContentJSON, testSecret)
			return status == http.StatusOK
		})
		real = append(real, body)
	}
	s.await("the start that the hooks ask for", func() bool { return s.box("box").Starts == 1 })
	s.awaitPhase("lobby", controller.PhaseIdle)
	starts := s.box("box").Starts
	key := secret.New("bm90LXRoZS1yaWdodC1zZWNyZXQtYXQtYWxs")
	forged, taken := c.times(500, 20_000), atomic.Int64{}
	seeds := make([]uint64, 8)
	for i := range seeds {
		seeds[i] = c.random.Uint64()
	}
	many(len(seeds), func(i int) {
		random := rand.New(rand.NewPCG(seeds[i], 1))
		for range forged / len(seeds) {
			body := viewerBody("lobby", random.Int64())
			status, answer, err := s.post(body, millicast.ContentJSON, key)
			if err != nil || status != http.StatusUnauthorized {
				c.Errorf("a forged hook: %d %s %v", status, answer, err)
				taken.Add(1)
			}
		}
	})
	s.term()
	s.start()
	for _, body := range real {
		status, answer, err := s.post(body, millicast.ContentJSON, testSecret)
		if err != nil || string(answer) != `{"status":"duplicate"}` {
			c.Errorf("a replayed hook after a restart: %d %s %v", status, answer, err)
		}
	}
	old := millicast.ViewerMessage(controller.HookAttempt, testAccount, "lobby", time.Now().Add(-11*time.Minute)).Body()
	status, answer, err := s.post(old, millicast.ContentJSON, testSecret)
	if err != nil || string(answer) != `{"status":"stale"}` {
		c.Errorf("a hook of 11 minutes ago: %d %s %v", status, answer, err)
	}
	_, events := s.get("/api/v1/events?limit=1000")
	var rows []json.RawMessage
	if err := json.Unmarshal(events, &rows); err != nil {
		c.Fatal(err)
	}
	again := s.box("box").Starts - starts
	c.says("%d forged: %d taken; %d replayed: %d effects; %d rows in the journal", forged, taken.Load(), len(real)+1,
		again, len(rows))
	if again != 0 || len(rows) != len(real)+1 {
		c.Errorf("%d starts, rows: %s", again, events)
	}
}

// beside measures honest hooks while something else goes on.
func (c *chaos) beside(d time.Duration, other func(end <-chan struct{})) (slowest []time.Duration, failed int) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { other(end) })
	for until := time.Now().Add(d); time.Now().Before(until); {
		status, took, _ := c.site.tryHook("cam-1")
		slowest = append(slowest, took)
		if status != http.StatusOK {
			failed++
		}
	}
	close(end)
	wg.Wait()
	return slowest, failed
}

// abuses are requests that a server must not believe.
var abuses = []string{
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 8000000\r\n\r\n\xff\xd8\xff",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n{",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: " +
		"60000\r\n\r\n",
	"POST %s HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n0123456789",
	"POST %[1]s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}POST %[1]s HTTP/1.1\r\nHost: x\r\n" +
		"Content-Length: 2\r\n\r\n{}",
	"GET /%s HTTP/1.1\r\nX-A: ",
	"\x16\x03\x01\x02\x00\x01\x00%s",
}

// chaosAbuse plays every trick of HTTP at once. Package web tries each alone.
func chaosAbuse(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	played, before := atomic.Int64{}, rssOf(c, s.proc.Process.Pid)
	took, failed := c.beside(time.Duration(c.times(5, 20))*time.Second, func(end <-chan struct{}) {
		many(40, func(i int) {
			random := rand.New(rand.NewPCG(*chaosSeed, uint64(i)))
			for {
				select {
				case <-end:
					return
				default:
				}
				conn, err := net.Dial("tcp", s.hooks)
				if err != nil {
					continue
				}
				fmt.Fprintf(conn, abuses[random.IntN(len(abuses))], millicast.HookPath)
				_ = conn.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(500)) * time.Millisecond))
				_, _ = conn.Read(make([]byte, 512))
				conn.Close()
				played.Add(1)
			}
		})
	})
	rss := rssOf(c, s.proc.Process.Pid)
	c.says("%d abuses; %d honest hooks, %d failed, p99 %v; %d MB resident, %d before", played.Load(), len(took),
		failed, percentile(took, 99).Round(time.Millisecond), rss/1e6, before/1e6)
	c.mustServe(failed, rss)
}

// mustServe checks what honest senders got, and what that cost. The race detector needs many times
// the memory.
func (c *chaos) mustServe(failed, rss int) {
	c.Helper()
	if failed > 0 {
		c.Errorf("%d honest hooks failed", failed)
	}
	if rss > 64e6 && !raceDetector() {
		c.Errorf("%d MB resident, want less than 64", rss/1e6)
	}
}

// chaosFlood sends valid and forged hooks as fast as they go.
func chaosFlood(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	l := s.load(64, loadClient(), "cam-1", "cam-2", "cam-3")
	took, failed := c.beside(time.Duration(c.times(3, 15))*time.Second, func(end <-chan struct{}) { <-end })
	l.stop()
	valid := l.sent.Load()
	forged := atomic.Int64{}
	key := secret.New("bm90LXRoZS1yaWdodC1zZWNyZXQtYXQtYWxs")
	took2, failed2 := c.beside(time.Duration(c.times(3, 15))*time.Second, func(end <-chan struct{}) {
		many(64, func(int) {
			for {
				select {
				case <-end:
					return
				default:
				}
				status, _, err := s.post(millicastViewer("cam-1"), millicast.ContentJSON, key)
				if err == nil && status == http.StatusUnauthorized {
					forged.Add(1)
				}
			}
		})
	})
	rss := rssOf(c, s.proc.Process.Pid)
	s.kill()
	lost := s.audit(l.answered)
	c.says("beside %d valid: honest p99 %v; beside %d forged: honest p99 %v; %d failed, %d lost, %d MB resident",
		valid, percentile(took, 99).Round(time.Millisecond),
		forged.Load(), percentile(took2, 99).Round(time.Millisecond), failed+failed2+int(l.failed.Load()), lost,
		rss/1e6)
	c.mustServe(failed+failed2, 0)
	if lost > 0 || l.failed.Load() > 0 {
		c.Errorf("%d lost; failed: %v", lost, l.failures)
	}
}

// silent opens connections that send little or nothing, and keeps them open until the test ends.
func (c *chaos) silent(n int) {
	for i := range n {
		conn, err := net.DialTimeout("tcp", c.site.hooks, time.Second)
		if err != nil {
			continue
		}
		c.Cleanup(func() { conn.Close() })
		switch i % 3 {
		case 1:
			fmt.Fprint(conn, "POST /hooks/millicast HTTP/1.1\r\nX: ")
		case 2:
			fmt.Fprint(conn,
				"POST /hooks/millicast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "+
					"5000\r\n\r\n{")
		}
	}
}

// chaosSlowloris opens 2,000 connections that never finish a request.
func chaosSlowloris(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	took, failed := c.beside(time.Duration(c.times(4, 15))*time.Second, func(<-chan struct{}) { c.silent(2000) })
	c.says("%d honest hooks beside 2000 silent connections, %d failed, p99 %v; %d MB resident", len(took), failed,
		percentile(took, 99).Round(time.Millisecond),
		rssOf(c, s.proc.Process.Pid)/1e6)
	c.mustServe(failed, 0)
}

// chaosFiles gives the daemon few file descriptors, and uses them all.
func chaosFiles(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.wrap = []string{"sh", "-c", `ulimit -n 64; exec "$0" "$@"`}
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	took, failed := c.beside(time.Duration(c.times(4, 15))*time.Second, func(<-chan struct{}) { c.silent(640) })
	s.awaitPhase("cam-1", controller.PhaseLive)
	s.hook(controller.HookAttempt, "cam-9")
	s.awaitPhase("cam-9", controller.PhaseLive)
	c.says("64 files, 640 silent connections: %d honest hooks, %d failed, p99 %v", len(took), failed,
		percentile(took, 99).Round(time.Millisecond))
	c.mustServe(failed, 0)
}

// chaosConfigs sends SIGHUP with broken files, one after another.
func chaosConfigs(c *chaos) {
	s := c.site
	s.configure(plainCams)
	good := readFile(c, s.config())
	s.start()
	s.hook(controller.HookAttempt, "cam-1")
	s.awaitPhase("cam-1", controller.PhaseLive)
	pid := s.proc.Process.Pid
	bad := 0
	for bad < c.times(15, 50) {
		text := []byte(good)
		switch c.random.IntN(3) {
		case 0:
			text = text[:c.random.IntN(len(text))]
		case 1:
			text[c.random.IntN(len(text))] = byte(c.random.IntN(256))
		case 2:
			at := c.random.IntN(len(text))
			text = slices.Concat(text[:at], text[min(at+1+c.random.IntN(20), len(text)):])
		}
		if err := os.WriteFile(s.config()+".try", text, 0o600); err != nil {
			c.Fatal(err)
		}
		cfg, _, err := configs.Load(s.config()+".try", daemon.DriverSettings())
		if err == nil && len(cfg.Accounts)+len(cfg.Encoders)+len(cfg.Streams) > 0 {
			continue // still a good one
		}
		bad++
		s.write(string(text))
		s.signal(syscall.SIGHUP)
		s.await("the file is refused",
			func() bool { return strings.Count(s.log(), `"the configuration was not reloaded`) == bad })
	}
	status, _, _ := s.tryHook("cam-2")
	if v := s.see("cam-1"); v.Phase != controller.PhaseLive || status != http.StatusOK || s.proc.Process.Pid != pid {
		c.Errorf("after %d bad files cam-1 is %s, and a hook gets %d", bad, v.Phase, status)
	}
	c.says("%d bad files, all refused, the good one in force", bad)
}

// chaosRotation renews the webhook secret while hooks come. The sender signs with the new one
// before the receiver can know it.
func chaosRotation(c *chaos) {
	s := c.site
	s.configure(plainCams)
	s.start()
	next := secret.New("dGhlLW5ldy1zZWNyZXQtb2YtdGhlLXdlYmhvb2s=")
	sent := map[string]bool{}
	refused := 0
	send := func(key secret.Value) {
		body := viewerBody("cam-1", time.Now().UnixNano())
		sent[string(body)] = true
		if status, _, err := s.post(body, millicast.ContentJSON, key); err != nil || status != http.StatusOK {
			refused++
		}
	}
	for range 100 {
		send(testSecret)
	}
	before := refused
	for range c.times(100, 900) {
		send(next)
	}
	held := refused - before
	s.write(strings.Replace(readFile(c, s.config()), fmt.Sprintf("[%q]", testSecret.Reveal()),
		fmt.Sprintf("[%q, %q]", testSecret.Reveal(), next.Reveal()), 1))
	s.signal(syscall.SIGHUP)
	s.await("the new secret is in force",
		func() bool { return strings.Contains(s.log(), `"the configuration was reloaded"`) })
	for range 100 {
		send(next)
	}
	for range 20 { // some were still on their way
		send(testSecret)
	}
	s.term()
	missing := s.audit(maps.Clone(sent))
	c.says("%d hooks, %d signed before their secret was known, %d lost", len(sent), held, missing)
	if missing > 0 || refused != held {
		c.Errorf("%d lost; %d refused beside those that were held", missing, refused-held)
	}
}
