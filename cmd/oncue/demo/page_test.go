package demo

import (
	"context"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A viewer of the demo page sees the pictures of both streams, not only that they are live.
func TestDemoPageShowsPictures(t *testing.T) {
	browser, err := exec.LookPath("chromium-headless-shell")
	if err != nil {
		t.Skip("no chromium-headless-shell in PATH: the demo page is not tried in a browser")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg in PATH")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	d, err := startDemo(ctx, Options{Listen: "127.0.0.1:0", ListenSet: true}, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()

	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(browser), chromedp.NoSandbox, chromedp.Flag("disable-gpu", true))
	page, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	page, cancel = chromedp.NewContext(page)
	defer cancel()
	if err := chromedp.Do(page, chromedp.Navigate("http://"+d.svc.AdminAddr.String()+"/demo/")); err != nil {
		t.Fatal(err)
	}
	// The pictures are test patterns of many colours.
	const look = `(() => {
  const seen = [];
  for (const seat of document.querySelectorAll(".seat")) {
    const name = seat.querySelector("h2").textContent, img = seat.querySelector("img");
    if (!seat.pressed) { seat.pressed = true; seat.querySelector("[data-act=watch]").click(); }
    if (img.hidden || !img.complete || !img.naturalWidth || !img.checkVisibility()) continue;
    const canvas = document.createElement("canvas"), at = canvas.getContext("2d");
    [canvas.width, canvas.height] = [64, 36];
    at.drawImage(img, 0, 0, 64, 36);
    const data = at.getImageData(0, 0, 64, 36).data, colours = new Set();
    for (let i = 0; i < data.length; i += 4) {
      colours.add((data[i] >> 5) * 64 + (data[i + 1] >> 5) * 8 + (data[i + 2] >> 5));
    }
    if (colours.size >= 6) seen.push(name);
  }
  return seen.sort().join(" ");
})()`
	if _, err := chromedp.Run(page,
		chromedp.Poll[bool](look+` === "`+strings.Join(demoStreams, " ")+`"`,
			chromedp.WithPollingTimeout(90*time.Second),
			chromedp.WithPollingInterval(200*time.Millisecond))); err != nil {
		seen, _ := chromedp.Run(page, chromedp.Evaluate[string](look+` + "\n" + document.body.innerText`))
		t.Fatalf("%v; pictures seen: %s\n%s", err, seen, d.log)
	}
}
