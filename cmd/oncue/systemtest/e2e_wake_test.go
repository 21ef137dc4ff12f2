package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// wakeLink is what oncue wake-link --json prints.
type wakeLink struct {
	URL, Base, Stream, Sig string
	Exp                    int64
}

func (s *site) wakeLink(stream string) (l wakeLink) {
	s.t.Helper()
	out, err := exec.Command(s.binary, "wake-link", stream, "--json", "--config", s.config()).Output()
	if err == nil {
		err = json.Unmarshal(out, &l)
	}
	if err != nil {
		s.t.Fatalf("make a wake link: %v\n%s", err, out)
	}
	return l
}

// wakePage is a site of its own, with a page that embeds wake.js; its links come from link.
func wakePage(t testing.TB, link func() wakeLink) *httptest.Server {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		l := link()
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><title>a site</title><script src="%s/wake.js"></script><script>
			var lives = 0, phases = [], liveAfter = 0; // ms after the page was asked for
			var stop = oncueWake({base: %q, stream: %q, exp: %d, sig: %q,
				onLive: () => { lives++; liveAfter = liveAfter || performance.now(); },
				onState: (s) => phases.push(s.phase)});
			</script>`, l.Base, l.Base, l.Stream, l.Exp, l.Sig)
	}))
	t.Cleanup(page.Close)
	return page
}

// openBrowser runs a headless Chromium until the test ends, or skips the test where there is none.
func openBrowser(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("no chromium-headless-shell, chromium or chrome in PATH: no page is tried in a browser")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("disable-gpu", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// visit opens the page in a tab of its own.
func visit(t testing.TB, browser context.Context, address string) (tab context.Context, leave func()) {
	t.Helper()
	tab, leave = chromedp.NewContext(browser)
	if err := chromedp.Do(tab, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	return tab, leave
}

func evaluate[T any](t testing.TB, tab context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(tab, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wakes is how many requests of wake links had the result.
func (s *site) wakes(result string) int {
	return s.metric(`oncue_wake_requests_total{result="` + result + `"}`)
}

// saves is how often the daemon has stored the state of a stream.
func (s *site) saves() int { return s.metric(`oncue_store_duration_seconds_count{operation="save"}`) }

func (s *site) metric(series string) int {
	s.t.Helper()
	_, body := s.get("/metrics")
	if found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(body); found != nil {
		n, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return int(n)
	}
	return 0
}

// testWakeLink has pages of a real browser ask for a stream: one of a site that is not configured
// is refused, one of the right site is told each time that the stream goes live. Links that are
// forged, over or sent again and again cost nothing.
func testWakeLink(t *testing.T, s *site) {
	needFFmpeg(t)
	browser := openBrowser(t)
	s.platform(simulator.Settings{})
	link := func() wakeLink { return s.wakeLink("lobby") }
	right, wrong := wakePage(t, link), wakePage(t, link)
	s.configure(fmt.Sprintf("public_url: http://%s\nwake: {secret: 0123456789abcdef0123, origins: [%q], hold: 10s}\n"+
		"encoders: {cam: {ffmpeg: {input: test}}}\nstreams: {lobby: {encoder: cam, publish: \"RTMP:\"}}\n",
		s.hooks, right.URL))
	s.start()

	refused, leave := visit(t, browser, wrong.URL)
	s.await("the page of the other site is refused", func() bool { return s.wakes("origin") >= 2 })
	if evaluate[int](t, refused, "phases.length") != 0 || s.see("lobby").Wanted {
		t.Error("a page of another site is told of the stream, or wakes it")
	}
	leave()

	tab, leave := visit(t, browser, right.URL)
	defer leave()
	s.await("the page is told that the stream is live", func() bool { return evaluate[int](t, tab, "lives") == 1 })
	t.Logf("live %.0f ms after the page was asked for", evaluate[float64](t, tab, "liveAfter"))
	v := s.see("lobby")
	if len(v.Demand) != 1 || v.Demand[0].By != "a page" {
		t.Errorf("%+v", v)
	}
	if got := evaluate[string](t, tab, "phases.join()"); !strings.HasSuffix(got, "starting,live") {
		t.Errorf("the page was told of %s", got)
	}
	if w := v.Waits; w == nil || w.Of != 1 || w.Last.StartS == nil || w.Last.LiveS == nil || *w.Last.LiveS <= 0 ||
		w.Last.ViewerS != nil {
		t.Errorf("how long it took: %+v", w)
	}
	const series = `oncue_stream_wait_seconds_count{account="ABC123",stream="lobby",until="live"}`
	if n := s.metric(series); n != 1 {
		t.Errorf("the metrics tell of %d waits", n)
	}
	asked := s.wakes("accepted")
	if err := syscall.Kill(*v.Encoders[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.await("the page is told that it is live again", func() bool { return evaluate[int](t, tab, "lives") == 2 })
	if n := s.wakes("accepted"); n != asked {
		t.Errorf("the page went on asking for the stream after it was live: %d times", n-asked)
	}

	s.replayed(link())
	s.mode("lobby", controller.ModeOff)
	s.await("the page is told that it is off", func() bool {
		return strings.HasSuffix(evaluate[string](t, tab, "phases.join()"), "idle")
	})
	evaluate[bool](t, tab, "stop(), true")
	if n := s.see("lobby").Starts; n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

// replayed sends one link again and again, and forged and old ones, and looks at what it costs.
func (s *site) replayed(l wakeLink) {
	t := s.t
	t.Helper()
	forged, over, unmapped := l.URL[:len(l.URL)-2], strings.Replace(l.URL, "exp=1", "exp=0", 1), l.URL
	unmapped = strings.Replace(unmapped, "/lobby?", "/"+url.PathEscape("no/body")+"?", 1)
	before, began := s.saves(), time.Now()
	var taken, refused atomic.Int64
	const each = 2000
	many(16, func(i int) {
		for n := range each / 4 {
			address := []string{l.URL, forged, over, unmapped}[(i+n)%4]
			resp, err := s.client.Post(address, "", bytes.NewReader(nil))
			if err != nil {
				continue
			}
			resp.Body.Close()
			switch resp.StatusCode {
			case http.StatusNoContent:
				taken.Add(1)
			case http.StatusForbidden:
				refused.Add(1)
			}
		}
	})
	took := time.Since(began)
	t.Logf("%d links a second", int(float64(taken.Load()+refused.Load())/took.Seconds()))
	if taken.Load() != each || refused.Load() != 3*each {
		t.Errorf("%d links taken, %d refused; want %d and %d", taken.Load(), refused.Load(), each, 3*each)
	}
	if before == 0 {
		t.Error("the daemon tells of no state that it has stored")
	}
	if n, most := s.saves()-before, 10+int(took/time.Second)*4; n > most {
		t.Errorf("a state was stored %d times in %s, want %d at most", n, took, most)
	}
}
