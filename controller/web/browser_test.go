package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// startBrowser runs a headless Chromium until the test ends, or skips the test where there is none.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome",
		"chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium-headless-shell, chromium or chrome in PATH: the dashboard is not tried in a browser")
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true), chromedp.WindowSize(1440, 900),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// page is one tab.
type page struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	messages []string // console errors, warnings and exceptions
}

func openPage(t *testing.T, browser context.Context, base string, width, height int64, dark bool) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx, base: base}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.do("set up", chromedp.EmulateViewport(width, height))
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
				p.mu.Lock()
				p.messages = append(p.messages, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
				p.mu.Unlock()
			}
		}
	}()
	p.do("open", chromedp.Navigate(base+"/"))
	return p
}

func (p *page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// wait waits until the expression is true, also across a navigation.
func (p *page) wait(expression string) {
	p.t.Helper()
	until := time.Now().Add(patience)
	for {
		_, err := chromedp.Run(p.ctx, chromedp.Poll[bool]("Boolean("+expression+")",
			chromedp.WithPollingTimeout(time.Until(until)), chromedp.WithPollingInterval(20*time.Millisecond)))
		if err == nil {
			return
		}
		if p.ctx.Err() != nil || time.Now().After(until) {
			got, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 2000)`))
			p.t.Fatalf("waiting for %s: %v\n%v\nthe page reads:\n%s", expression, err, p.complaints(), got)
		}
	}
}

func value[T any](p *page, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

func (p *page) filter(text string) {
	p.t.Helper()
	value[bool](p,
		fmt.Sprintf(
			`(f => { f.value = %q; return f.dispatchEvent(new Event("input")) })(document.getElementById("filter"))`,
			text))
}

func (p *page) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.messages)
}

// clean checks what is true of every page: no console message, nothing loaded from elsewhere, no
// sideways scroll.
func (p *page) clean() {
	p.t.Helper()
	if c := p.complaints(); len(c) > 0 {
		p.t.Errorf("the console has:\n%s", strings.Join(c, "\n"))
	}
	for _, address := range value[[]string](p, `performance.getEntriesByType("resource").map(e => e.name)`) {
		if !strings.HasPrefix(address, p.base+"/") {
			p.t.Errorf("the page loaded %s", address)
		}
	}
	if over := value[float64](p, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		p.t.Errorf("the page is %v px too wide; widest: %s", over,
			value[string](p,
				`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + `+
					`1).map(e => e.className || e.tagName).slice(0, 8).join(", ")`))
	}
}

// shot saves a screenshot for people, if ONCUE_SCREENSHOTS names a folder.
func (p *page) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("ONCUE_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func row(id string) string { return fmt.Sprintf(`document.querySelector('.row[data-id=%q]')`, id) }

const connected = `document.getElementById("link").dataset.state === "live"`

func TestDashboard(t *testing.T) {
	browser := startBrowser(t)
	f := showcase()
	_, base := startAdmin(t, f, nil)
	p := openPage(t, browser, base, 1440, 900, false)
	p.wait(connected)

	t.Run("a row changes without a reload", func(t *testing.T) {
		p.t = t
		value[bool](p, `window.kept = true`)
		s, _ := f.Stream("ABC123/chapel")
		if got := value[string](p, row(string(s.ID))+`.querySelector(".phase").textContent`); got != "idle" {
			t.Fatalf("phase before: %q", got)
		}
		verb, n := "stop", 7
		s.Phase, s.Reason, s.Wanted, s.Viewers = controller.PhaseLive, "3 viewers watch", true, &n
		s.Since, s.Deadline, s.DeadlineDoes = controller.Time{Time: time.Now()},
			&controller.Time{Time: time.Now().Add(90 * time.Second)}, &verb
		f.put(s)
		p.wait(row(string(s.ID)) + `.querySelector(".phase").textContent === "live"`)
		p.wait(`/^\u2068stop\u2069 in 1:[0-9][0-9]$/.test(` + row(string(s.ID)) + `.querySelector(".act").textContent)`)
		before := value[string](p, row(string(s.ID))+`.querySelector(".act").textContent`)
		p.wait(row(string(s.ID)) + `.querySelector(".act").textContent !== ` + fmt.Sprintf("%q", before)) // it counts down
		if !value[bool](p, `window.kept`) {
			t.Error("the page was loaded again")
		}
		p.wait(row(string(s.ID)) + `.querySelector("svg rect.p-live")`)
		p.wait(row("ABC123/lobby") + `.querySelector(".thumb").naturalWidth > 0`)
		p.shot("desktop-light")
	})

	t.Run("a helper changes without a reload", func(t *testing.T) {
		p.t = t
		const failed = `document.querySelectorAll("#helpers li")[1]`
		p.wait(failed + `.classList.contains("bad")`)
		h := f.Helpers()[1]
		h.State, h.Error = controller.HelperOn, nil
		f.tell(controller.Change{Helper: &h})
		p.wait(failed + `.classList.contains("good")`)
		if text := value[string](p, failed+`.textContent`); !strings.Contains(text, "plug-5") ||
			!strings.Contains(text, "needed by ABC123/foyer") || strings.Contains(text, "refused") {
			t.Errorf("the helper reads %q", text)
		}
	})

	t.Run("hold for 2 h", func(t *testing.T) {
		p.t = t
		p.click(`.row[data-id="ABC123/chapel"] [data-mode="off"]`)
		p.wait(`document.getElementById("hold").open`)
		p.shot("hold")
		p.do("fill in", chromedp.SendKeys(chromedp.CSS("#hold-why"), "maintenance"),
			chromedp.SendKeys(chromedp.CSS("#hold-by"), "mia"))
		p.click("#hold-do")
		p.wait(`!document.getElementById("hold").open`)
		p.wait(`/^held off by \u2068mia\u2069 for 1:59:[0-9][0-9]: \u2068maintenance\u2069$/.test(` +
			row("ABC123/chapel") + `.querySelector(".hold").textContent)`)
		f.mu.Lock()
		last := f.requests[len(f.requests)-1]
		f.mu.Unlock()
		if want := (controller.ModeRequest{Mode: "off", For: 2 * time.Hour, By: "mia",
			Why: "maintenance"}); last != want {
			t.Errorf("asked for %+v, want %+v", last, want)
		}
		p.click(`.row[data-id="ABC123/chapel"] [data-mode="auto"]`)
		p.wait(row("ABC123/chapel") + `.querySelector("[data-mode=auto]").getAttribute("aria-pressed") === "true"`)
	})

	t.Run("detail by keyboard", func(t *testing.T) {
		p.t = t
		value[bool](p, row("ABC123/lobby")+`.querySelector(".name").focus() || true`)
		p.do("enter", chromedp.KeyEvent("\r"))
		p.wait(
			`document.getElementById("detail").open && document.querySelectorAll("#detail-timeline rect").length > 3`)
		p.wait(`document.getElementById("log").textContent.includes("frame=")`)
		p.wait(`document.getElementById("detail-picture").naturalWidth > 0`)
		p.wait(`document.querySelectorAll("#history li").length > 3`)
		p.shot("detail-light")
		f.mu.Lock()
		f.logs["ABC123/lobby"] = append(f.logs["ABC123/lobby"], "a new line")
		f.mu.Unlock()
		p.wait(`document.getElementById("log").textContent.includes("a new line")`)
		p.do("escape", chromedp.KeyEvent("\x1b"))
		p.wait(`!document.getElementById("detail").open`)
		if got := value[string](p, `document.activeElement.textContent`); got != "lobby" {
			t.Errorf("focus is on %q after closing", got)
		}
	})

	t.Run("filter", func(t *testing.T) {
		p.t = t
		p.do("type", chromedp.SendKeys(chromedp.CSS("#filter"), "GIVEN abc"))
		p.wait(
			`[...document.querySelectorAll(".row:not([hidden])")].every(r => r.dataset.phase === "failed") && ` +
				`document.querySelectorAll(".row:not([hidden])").length === 1`)
		p.filter("")
		p.wait(`document.querySelectorAll(".row[hidden]").length === 0`)
		p.click(`[data-only="live"]`)
		p.wait(`[...document.querySelectorAll(".row:not([hidden])")].every(r => r.dataset.phase === "live")`)
		p.click(`[data-only="live"]`)
	})

	t.Run("hooks as they come", func(t *testing.T) {
		p.t = t
		p.click("#hooks summary")
		f.tell(controller.Change{Hook: &controller.Record{
			Seq: 99, Received: time.Now(), Sent: time.Now().Add(-80 * time.Millisecond), Account: "ABC123",
			Stream: "ABC123/lobby",
			Type:   "viewerConnection", Event: "NoActiveViewers", Verdict: controller.Accepted,
		}})
		p.wait(`document.querySelector("#hook-rows tr").textContent.includes("NoActiveViewers")`)
	})

	t.Run("labels, contrast and a quiet console", func(t *testing.T) {
		p.t = t
		p.clean()
		p.accessible()
		p.click(`.row[data-id="ABC123/lobby"] .name`)
		p.wait(`document.querySelectorAll("#history li").length > 3`)
		p.accessible()
	})
}

// A stream that failed is in trouble whatever its phase, comes first, and is found by a chip.
func TestDashboardShowsTrouble(t *testing.T) {
	browser := startBrowser(t)
	f := showcase()
	_, base := startAdmin(t, f, nil)
	p := openPage(t, browser, base, 1440, 900, false)
	p.wait(connected)
	if got := value[[]string](p,
		`[...document.querySelectorAll(".row")].slice(0, 4).map(r => r.dataset.id)`); !slices.Equal(got,
		[]string{"ABC123/garden", "ABC123/roof", "ABC123/terrace", "ABC123/auditorium"}) {
		t.Errorf("the first rows are %q", got)
	}
	p.wait(row("ABC123/terrace") +
		`.querySelector(".fault").textContent.startsWith("\u2068connection refused by the input\u2069 ` +
		`(\u2068terrace-cam\u2069 failed 5 times since ")`)
	p.click(`[data-only="trouble"]`)
	p.wait(`document.querySelectorAll(".row:not([hidden])").length === 3`)
	p.click(`[data-only="trouble"]`)
	p.wait(`document.title.startsWith("3 in trouble")`)

	// Its timeline begins when oncue first knew it, and is complete although it takes several
	// pages.
	p.wait(row("ABC123/terrace") + `.querySelectorAll("svg rect").length > 1000`)
	if got := value[bool](p, `[...`+row("ABC123/terrace")+
		`.querySelectorAll("svg rect")].some(r => r.classList.contains("p-unknown") || Number(r.getAttribute("x")) < `+
		`600 * 5.4 / 6)`); got {
		t.Error("the timeline is drawn before the stream was known, or is not whole")
	}
	// The picture of a stream that is off is grey and shows when it was taken.
	p.wait(row("ABC123/terrace") + `.querySelector(".taken").textContent.match(/[0-9]:[0-9]/) && getComputedStyle(` +
		row("ABC123/terrace") + `.querySelector(".thumb")).filter === "grayscale(1)"`)
	if got := value[string](p, `getComputedStyle(`+row("ABC123/lobby")+
		`.querySelector(".thumb")).filter`); got != "none" {
		t.Errorf("the picture of a live stream has the filter %q", got)
	}

	// It recovers, and returns to its place once nobody points at the list.
	s, _ := f.Stream("ABC123/terrace")
	s.Trouble = nil
	f.put(s)
	p.wait(`document.title.startsWith("2 in trouble")`)
	p.wait(
		`[...document.querySelectorAll(".row")].map(r => r.dataset.id).indexOf("ABC123/terrace") > 3 ` +
			`|| document.getElementById("rows").matches(":hover")`)

	// While it starts, the next step names what oncue waits for.
	s, _ = f.Stream("ABC123/chapel")
	retry := "retry"
	s.Phase, s.Deadline, s.DeadlineDoes = controller.PhaseStarting, &controller.Time{Time: time.Now().Add(time.Minute)},
		&retry
	f.put(s)
	p.wait(row(string(s.ID)) + `.querySelector(".act").textContent.includes("give up waiting for the encoder")`)

	// In the dialog before a hold, one duration looks chosen.
	p.click(`.row[data-id="ABC123/chapel"] [data-mode="on"]`)
	p.wait(
		`document.getElementById("hold").open && document.activeElement.value === "2h" && ` +
			`document.activeElement.checked`)
	p.clean()
}

// A main encoder has failed, and its backup is on the air: the row says both, and tells of the
// backup.
func TestStandInOnDashboard(t *testing.T) {
	f := showcase()
	s, _ := f.Stream("ABC123/lobby")
	main := s.Encoders[0]
	backup := main
	main.Name, backup.Name, backup.OnAir, main.State = "main", "backup", true, encoders.StateFailed
	last := controller.Time{Time: time.Now()}
	s.Encoders = []controller.EncoderView{main, backup}
	s.Trouble = &controller.Trouble{Encoder: "main", Text: "killed by signal 9", Count: 1, Since: last, Last: last}
	f.put(s)
	_, base := startAdmin(t, f, nil)
	p := openPage(t, startBrowser(t), base, 1440, 900, false)
	lobby := row("ABC123/lobby")
	p.wait(lobby + `?.querySelector(".fault").textContent.includes("\u2068backup\u2069 is on the air")`)
	p.wait(lobby + `.querySelector(".encoder").textContent.startsWith("\u2068backup\u2069: publishing")`)
	p.shot("stand-in")
	p.clean()
}

// On a phone the chip of troubled streams is in view.
func TestChipsFitAPhone(t *testing.T) {
	browser := startBrowser(t)
	_, base := startAdmin(t, showcase(), nil)
	p := openPage(t, browser, base, 390, 844, false)
	p.wait(connected)
	p.wait(
		`["trouble", "backoff", "failed"].every(n => { const b = document.querySelector("[data-only=" + n ` +
			`+ "]").getBoundingClientRect(); return b.width > 0 && b.left >= 0 && b.right <= 390 })`)
	p.shot("phone-390")
	p.accessible()
}

func TestDashboardDark(t *testing.T) {
	browser := startBrowser(t)
	_, base := startAdmin(t, showcase(), nil)
	p := openPage(t, browser, base, 1440, 900, true)
	p.wait(connected + ` && ` + row("ABC123/lobby") +
		`.querySelector(".thumb").naturalWidth > 0 && document.querySelector("svg rect.p-live")`)
	p.shot("desktop-dark")
	p.accessible()
	p.click(`.row[data-id="ABC123/lobby"] .name`)
	p.wait(
		`document.querySelectorAll("#history li").length > 3 ` +
			`&& document.getElementById("log").textContent.includes("frame=")`)
	p.shot("detail-dark")
	p.accessible()
	p.clean()
}

func TestDashboardOnAPhone(t *testing.T) {
	browser := startBrowser(t)
	f := showcase()
	f.streams["ABC123/"+strings.Repeat("w", 128)] = idleStream(controller.StreamID("ABC123/" + strings.Repeat("w", 128)))
	_, base := startAdmin(t, f, nil)
	for _, width := range []int64{360, 412, 768, 1100} {
		p := openPage(t, browser, base, width, 780, width == 412)
		p.wait(connected + ` && document.querySelector("svg rect.p-live")`)
		p.shot(fmt.Sprintf("width-%d", width))
		p.clean()
		value[bool](p, row("ABC123/lobby")+`.querySelector(".name").click() || true`)
		p.wait(`document.querySelectorAll("#history li").length > 3`)
		p.shot(fmt.Sprintf("width-%d-detail", width))
		p.clean()
		if over := value[float64](p,
			`(b => b.scrollWidth - b.clientWidth)(document.querySelector(".drawer-body"))`); over > 0 {
			t.Errorf("at %d px the detail scrolls sideways by %v px", width, over)
		}
	}
}

// Anybody who tries to watch chooses a name. Every view shows it as text, and nothing else happens.
func TestHostileNamesAreText(t *testing.T) {
	browser := startBrowser(t)
	names := []string{
		`<script>window.hit=1</script>`, `"><img src=x onerror="window.hit=1">`, `'"` + "`" +
			`><svg onload=window.hit=1>`, `javascript:window.hit=1`,
		`{{.Version}}`, `${window.hit=1}`, `</template><script>window.hit=1</script>`, `</title><b>bold</b>`,
		`&lt;b&gt;`, "emoji 😀 é", "\u202eright to left", `a/b?c=d#e`,
		"__proto__", "constructor", `x" data-mode="on`, `*{display:none}`, `%2e%2e%2f`, `..`, "tab\there",
		strings.Repeat("long ", 25),
	}
	f := newFake()
	for i, name := range names {
		s := idleStream(controller.StreamID("ABC123/" + name))
		s.Phase, s.Reason, s.Mode, s.ModeBy, s.ModeWhy = controller.PhaseLive, name, controller.ModeOn, &names[i],
			&names[i]
		s.WaitsFor, s.DeadlineDoes, s.Deadline = &names[i], &names[i], &controller.Time{Time: time.Now().Add(time.Hour)}
		s.Encoders[0].Name, s.Encoders[0].Error = name, &names[i]
		s.Feeds = []controller.Feed{{ID: name, SourceID: name}}
		f.streams[string(s.ID)] = s
		f.history[string(s.ID)] = []controller.Transition{{Seq: 1, Stream: s.ID,
			At: controller.Time{Time: time.Now().Add(-time.Hour)}, From: "idle", To: "live", Event: name, Reason: name,
			Encoder: name}}
		f.logs[string(s.ID)] = []string{name}
		f.records = append(f.records, controller.Record{Seq: int64(i), Received: time.Now(), Account: name,
			Stream: s.ID, Type: name, Event: name, Verdict: controller.Ignored, Note: name})
		f.accounts = append(f.accounts,
			controller.AccountView{Account: name, PollError: &names[i],
				Webhook: &controller.WebhookView{Disabled: &names[i]}})
	}
	f.notReady = names
	_, base := startAdmin(t, f, nil)
	p := openPage(t, browser, base, 1440, 900, false)
	p.wait(connected)
	for _, name := range names {
		id, _ := json.Marshal("ABC123/" + name)
		text, _ := json.Marshal(name)
		p.wait(
			fmt.Sprintf(
				`[...document.querySelectorAll(".row")].find(r => r.dataset.id === `+
					`%s)?.querySelector(".name").textContent === %s`, id, text))
		value[bool](p,
			fmt.Sprintf(
				`[...document.querySelectorAll(".row")].find(r => r.dataset.id === `+
					`%s).querySelector(".name").click() || true`, id))
		p.wait(
			fmt.Sprintf(
				`document.getElementById("detail-name").textContent === %s && `+
					`document.getElementById("log").textContent.startsWith(%s) && document.querySelector("#history `+
					`li").textContent.includes(%s)`, text, text, text))
		value[bool](p, `document.getElementById("detail").close() || true`)
		value[bool](p,
			fmt.Sprintf(
				`[...document.querySelectorAll(".row")].find(r => r.dataset.id === `+
					`%s).querySelector("[data-mode=off]").click() || true`, id))
		p.wait(fmt.Sprintf(`document.getElementById("hold-title").textContent === "Hold \u2068" + %s + "\u2069 off"`,
			text))
		value[bool](p, `document.getElementById("hold-do").click() || true`)
		p.wait(`!document.getElementById("hold").open`)
	}
	p.shot("hostile")
	if value[bool](p, `"hit" in window`) {
		t.Error("a name ran as a script")
	}
	if n := value[int](p,
		`document.querySelectorAll("main script, main b:not(.chip b), main img:not(.thumb), dialog `+
			`script").length`); n != 0 {
		t.Errorf("%d elements came out of names", n)
	}
	p.clean()
}

func TestDashboardOfAThousandStreams(t *testing.T) {
	browser := startBrowser(t)
	f := manyStreams(1000)
	_, base := startAdmin(t, f, nil)
	p := openPage(t, browser, base, 1440, 900, false)
	p.wait(connected + ` && document.querySelectorAll(".row").length === 1000`)
	load := value[float64](p, `performance.now()`)
	took := value[float64](p,
		`(() => { const b = performance.now(), f = document.getElementById("filter"); f.value = "camera-0500"; `+
			`f.dispatchEvent(new Event("input")); document.body.offsetHeight; return performance.now() - b })()`)
	t.Logf("1,000 rows after %.0f ms; filtering takes %.0f ms", load, took)
	if took > 1000 {
		t.Errorf("filtering takes %.0f ms", took)
	}
	p.wait(`document.querySelectorAll(".row:not([hidden])").length === 1`)
	s, _ := f.Stream("ABC123/camera-0500")
	s.Phase = controller.PhaseFailed
	f.put(s)
	p.wait(row(string(s.ID)) + `.querySelector(".phase").textContent === "failed"`)
	p.filter("")
	s, _ = f.Stream("ABC123/camera-0999")
	s.ID, s.Name = "ABC123/camera-0500b", "camera-0500b"
	f.put(s)
	p.wait(row("ABC123/camera-0501") + `.previousElementSibling.dataset.id === "ABC123/camera-0500b"`)
	if got := value[string](p, `document.querySelector(".row").dataset.id`); got != "ABC123/camera-0500" {
		t.Errorf("%s comes first, and not the one that failed", got)
	}
	f.mu.Lock()
	delete(f.streams, string(s.ID))
	f.mu.Unlock()
	p.wait(`document.querySelectorAll(".row").length === 1000`) // when the page next reads the status
	p.shot("thousand")
	p.clean()
}

// Green means that the platform has just answered. A hook alone does not prove that its API works.
func TestDotsOfAccounts(t *testing.T) {
	browser := startBrowser(t)
	f := showcase()
	ago := func(d time.Duration) *controller.Time { return &controller.Time{Time: time.Now().Add(-d)} }
	wrong := "401: the secret is wrong"
	f.accounts = []controller.AccountView{
		{Account: "answers", LastHook: ago(26 * time.Hour), LastPoll: ago(time.Second)},
		{Account: "silent", LastHook: ago(time.Second), LastPoll: ago(time.Hour)},
		{Account: "unasked", LastHook: ago(time.Second)},
		{Account: "refuses", LastHook: ago(time.Second), LastPoll: ago(time.Second), PollError: &wrong},
		{Account: "disabled", LastPoll: ago(time.Second), Webhook: &controller.WebhookView{ID: 18, Disabled: &wrong}},
	}
	_, base := startAdmin(t, f, nil)
	p := openPage(t, browser, base, 1440, 900, false)
	p.wait(connected + ` && document.querySelectorAll("#platform li").length === 6`)
	got := value[[]string](p, `[...document.querySelectorAll("#platform li")].slice(0, 5).map(e => `+
		`e.firstElementChild.textContent + ":" + ["good", "bad"].filter(c => e.classList.contains(c)))`)
	if want := []string{"answers:good", "silent:", "unasked:", "refuses:bad", "disabled:bad"}; !slices.Equal(got,
		want) {
		t.Errorf("the dots are %q, want %q", got, want)
	}
}

// Without streams the page says what to do.
func TestDashboardWithoutStreams(t *testing.T) {
	browser := startBrowser(t)
	_, base := startAdmin(t, newFake(), nil)
	p := openPage(t, browser, base, 390, 844, false)
	p.wait(connected + ` && !document.getElementById("none").hidden`)
	got := value[string](p, `document.getElementById("none").textContent`)
	for _, want := range []string{"No stream is configured", "when a viewer comes", "oncue check", "oncue reload"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	p.shot("empty")
	p.clean()
}

// Of many streams, those that fail come first, and each says why, on every page size and in both
// colour schemes.
func TestDashboardOfAFleet(t *testing.T) {
	browser := startBrowser(t)
	f := manyStreams(500)
	broken(f)
	_, base := startAdmin(t, f, nil)
	for _, c := range []struct {
		name          string
		width, height int64
		dark          bool
	}{{"light", 1440, 900, false}, {"dark", 1440, 900, true}, {"middle", 1024, 768, false},
		{"phone-light", 390, 844, false}, {"phone-dark", 390, 844, true}} {
		p := openPage(t, browser, base, c.width, c.height, c.dark)
		p.wait(connected + ` && document.querySelectorAll(".row").length === 500`)
		p.shot("fleet-" + c.name)
		if got := value[int](p,
			`[...document.querySelectorAll(".row")].slice(0, 7).filter(r `+
				`=> r.classList.contains("troubled")).length`); got != 7 {
			t.Errorf("%s: %d of the first 7 rows are in trouble", c.name, got)
		}
		const cut = `[...document.querySelectorAll(".row.troubled .why, .row.troubled .fault")].filter(e ` +
			`=> e.scrollHeight > e.clientHeight || !e.textContent).map(e => e.textContent)`
		if got := value[[]string](p, cut); len(got) > 0 {
			t.Errorf("%s: cut: %q", c.name, got)
		}
		p.clean()
		p.accessible()
	}
}

// broken lets seven of many streams fail, each of another cause, and some run.
func broken(f *fakeController) {
	now := time.Now()
	for i, cause := range []string{
		"connection refused by the input",
		"GET http://10.0.0.12/config?action=get&paramid=eParamID_ReplicatorCommand: connection refused: nothing " +
			"listens there",
		"not live within start_timeout of 30s",
		"connection refused by the input; it said: [tcp @ 0x55d0c8a3f2c0] Connection to tcp://10.0.0.7:554 failed: " +
			"Connection refused",
		"no route to host", "the password is wrong: OBS refused it", "no progress for 10 s",
	} {
		s := f.streams[fmt.Sprintf("ABC123/camera-%04d", 60*i+17)]
		s.Phase, s.Reason = controller.PhaseIdle, "no viewer"
		s.Trouble = &controller.Trouble{Encoder: s.Encoders[0].Name, Text: cause, Count: 5,
			Since: controller.Time{Time: now.Add(-time.Hour)}, Last: controller.Time{Time: now.Add(-time.Minute)}}
		if i < 4 {
			retry := "retry"
			s.Phase, s.Wanted, s.Deadline, s.DeadlineDoes = controller.PhaseBackoff, true,
				&controller.Time{Time: now.Add(time.Minute)}, &retry
			s.Reason = fmt.Sprintf("a viewer is waiting; %s failed: %s", s.Encoders[0].Name, cause)
			s.Encoders[0].State, s.Encoders[0].Error = encoders.StateFailed, &cause
		}
		f.streams[string(s.ID)] = s
	}
}

func TestDashboardShowsThatItIsDisconnected(t *testing.T) {
	browser := startBrowser(t)
	f := showcase()
	a, err := NewAdmin(AdminOptions{Controller: f, Log: quiet(), Started: testStart})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	go a.Serve(l) //nolint:errcheck // ends with Close
	p := openPage(t, browser, "http://"+addr, 1440, 900, false)
	p.wait(connected)
	_ = a.Close()
	p.wait(
		`document.getElementById("link").textContent === "disconnected" && ` +
			`document.getElementById("alarm").textContent.includes("Disconnected")`)
	p.shot("disconnected")
	s, _ := f.Stream("ABC123/chapel")
	s.Phase = controller.PhaseStarting
	f.put(s)
	if a, err = NewAdmin(AdminOptions{Controller: f, Log: quiet(), Started: testStart}); err != nil {
		t.Fatal(err)
	}
	if l, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	go a.Serve(l) //nolint:errcheck // ends with Close
	defer a.Close()
	p.wait(connected + ` && document.getElementById("alarm").hidden && ` +
		row(string(s.ID)) + `.dataset.phase === "starting"`)
}

// TestProblemInABrowser: the bar at the top shows what people must know, as long as it is true.
func TestProblemInABrowser(t *testing.T) {
	browser := startBrowser(t)
	_, base := startAdmin(t, showcase(), func(o *AdminOptions) {
		o.Config = func() (ConfigState, []string) {
			return ConfigState{}, []string{"the configuration was not reloaded: <b>lisen</b>"}
		}
	})
	p := openPage(t, browser, base, 1024, 700, false)
	p.wait(
		`!document.getElementById("alarm").hidden && document.getElementById("alarm").textContent.includes("not ` +
			`reloaded: <b>lisen</b>")`)
	p.shot("problem")
	p.accessible()
	p.clean()
}

func TestLoginInABrowser(t *testing.T) {
	browser := startBrowser(t)
	a, base := startAdmin(t, showcase(), func(o *AdminOptions) { o.Token = secret.New("right token") })
	p := openPage(t, browser, base, 412, 780, false)
	p.wait(`location.pathname === "/login" && document.getElementById("token") === document.activeElement`)
	p.shot("login")
	p.accessible()
	p.do("type", chromedp.SendKeys(chromedp.CSS("#token"), "right token\r"))
	p.wait(`location.pathname === "/" && document.getElementById("link")?.dataset.state === "live"`)
	p.clean()
	p.click(".more form button")
	p.wait(`location.pathname === "/login"`)
	code, _, err := a.sessions.code(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.do("follow the link of oncue dashboard", chromedp.Navigate(base+"/login#"+code))
	p.wait(`location.href.endsWith("/") && document.getElementById("link")?.dataset.state === "live"`)
	p.clean()
}

// accessible checks that every control has a name and every visible text enough contrast (WCAG AA).
func (p *page) accessible() {
	p.t.Helper()
	for _, finding := range value[[]string](p, `(() => {
  const out = [];
  const visible = (e) =>
    e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && e.getBoundingClientRect().width > 0;
  const named = "button, input, select, a[href], img, svg, dialog[open], [role=group], [role=region]";
  for (const e of document.querySelectorAll(named)) {
    if (!visible(e)) continue;
    const labels = (e.getAttribute("aria-labelledby") || "").split(" ");
    const labelled = e.getAttribute("aria-label") ||
      labels.map((i) => document.getElementById(i)?.textContent).join("") ||
      e.labels?.[0]?.textContent || e.textContent.trim() || e.hasAttribute("alt");
    if (!labelled && e.tagName !== "svg" && e.getAttribute("role") !== "group") {
      out.push("no name: " + e.outerHTML.slice(0, 120));
    }
  }
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (c) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = c;
    canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data;
    return [d[0], d[1], d[2], d[3] / 255];
  };
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const behind = (e) => {
    const layers = [];
    for (let n = e; n; n = n.parentElement) {
      const c = rgba(getComputedStyle(n).backgroundColor);
      layers.push(c);
      if (c[3] === 1) break;
    }
    return layers.reverse().reduce((base, c) => over(c, base), [255, 255, 255, 1]);
  };
  const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map(linear);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !visible(e) || e.closest("svg")) continue;
    if (document.querySelector("dialog[open]") && !e.closest("dialog[open]")) continue;
    const style = getComputedStyle(e), bg = behind(e), fg = over(rgba(style.color), bg);
    const [a, b] = [light(fg), light(bg)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) out.push("contrast " + ratio.toFixed(2) + ": " + e.outerHTML.slice(0, 120));
  }
  return [...new Set(out)].slice(0, 20);
})()`) {
		p.t.Error(finding)
	}
}
