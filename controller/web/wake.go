package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Waker is what wake links need of the controller. Its methods may be called concurrently.
type Waker interface {
	// Knows reports whether the configuration has a stream for the name.
	Knows(account, name string) bool
	// Wake has a page ask for a stream, which wants it for hold as a viewer who waits does. Calls that
	// come soon after another cost nothing and have its result. ErrFull is in the chain when no more
	// pages or names fit.
	Wake(ctx context.Context, id controller.StreamID, hold time.Duration) error
	// Follow sends where the stream is, at once and at each change, until ctx ends. Who reads slowly
	// gets the newest only. The channel is never closed.
	Follow(ctx context.Context, id controller.StreamID) <-chan controller.Situation
}

// WakeOptions turn wake links on. Without a secret they are off.
type WakeOptions struct {
	Secret  secret.Value
	Origins []string // of pages that may use links, such as https://example.com
	Hold    time.Duration
}

// MaxWakeLink is how far ahead a wake link may end.
const MaxWakeLink = 24 * time.Hour

// SignWake makes the signature of a wake link: a page that has it may ask for the stream until exp,
// which is Unix seconds in decimal digits.
func SignWake(key secret.Value, id controller.StreamID, exp string) string {
	return hex.EncodeToString(wakeMAC(key, id, exp))
}

func wakeMAC(key secret.Value, id controller.StreamID, exp string) []byte {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte("wake\n" + string(id) + "\n" + exp))
	return mac.Sum(nil)
}

// WakePath is where the public side takes wake links of the stream.
func WakePath(id controller.StreamID) string {
	account, name, _ := id.Split()
	return wakeRoot + url.PathEscape(account) + "/" + url.PathEscape(name)
}

const wakeRoot = "/wake/"

// WakeResult is what became of a request of a wake link.
type WakeResult string

const (
	WakeAccepted WakeResult = "accepted" // the stream is wanted, or was already
	WakeFollowed WakeResult = "followed" // a page is told when it goes live
	WakeOrigin   WakeResult = "origin"   // the page is of a site that is not configured
	WakeForged   WakeResult = "forged"
	WakeExpired  WakeResult = "expired"
	WakeUnmapped WakeResult = "unmapped"
	WakeFull     WakeResult = "full" // too many names, pages or forged links
	WakeFailed   WakeResult = "failed"
)

var wakeRefusals = map[WakeResult]struct {
	status int
	text   string
}{
	WakeOrigin:   {http.StatusForbidden, "pages of this site may not use wake links"},
	WakeForged:   {http.StatusForbidden, "the link is not signed"},
	WakeExpired:  {http.StatusForbidden, "the link is over, or lasts too long"},
	WakeUnmapped: {http.StatusNotFound, "no such stream"},
	WakeFull:     {http.StatusTooManyRequests, "too many requests"},
	WakeFailed:   {http.StatusServiceUnavailable, "cannot take it now"},
}

//go:embed wake.js
var wakeScript []byte

var wakeScriptTag = func() string {
	sum := sha256.Sum256(wakeScript)
	return `"` + hex.EncodeToString(sum[:8]) + `"`
}()

// SetWake turns wake links on or off, from the next request on.
func (h *Hooks) SetWake(o WakeOptions) {
	if !o.Secret.Set() || h.opts.Waker == nil {
		h.wake.Store(nil)
		return
	}
	h.wake.Store(&o)
}

// wakeLink takes everything below /wake/. The body of a request is never read.
func (h *Hooks) wakeLink(c echo.Context) error {
	o := h.wake.Load()
	if o == nil {
		return echo.ErrNotFound
	}
	id, live, ok := wakeTarget(c.Request().URL.EscapedPath())
	if !ok {
		return echo.ErrNotFound
	}
	method := http.MethodPost
	if live {
		method = http.MethodGet
	}
	result := h.crossOrigin(c, o, method)
	switch r := c.Request(); {
	case result != "":
	case r.Method == http.MethodOptions:
		return c.NoContent(http.StatusNoContent)
	case r.Method != method:
		c.Response().Header().Set(echo.HeaderAllow, method)
		return echo.ErrMethodNotAllowed
	case live:
		result = h.follow(c, o, id)
	default:
		result = h.askFor(c, o, id)
	}
	if h.opts.ObserveWake != nil {
		h.opts.ObserveWake(result)
	}
	refusal, refused := wakeRefusals[result]
	if !refused {
		return nil
	}
	if refusal.status == http.StatusTooManyRequests {
		c.Response().Header().Set("Retry-After", "5")
	}
	err := refuse(c, refusal.status, refusal.text)
	if err == nil && result != WakeFull {
		linger(c.Response(), c.Request())
	}
	return err
}

// wakeTarget reads /wake/{account}/{name} and /wake/{account}/{name}/live.
func wakeTarget(path string) (id controller.StreamID, live, ok bool) {
	parts := strings.Split(strings.TrimPrefix(path, wakeRoot), "/")
	live = len(parts) == 3 && parts[2] == "live"
	if len(parts) != 2 && !live {
		return "", false, false
	}
	account, err := url.PathUnescape(parts[0])
	name, err2 := url.PathUnescape(parts[1])
	if err != nil || err2 != nil || account == "" || name == "" || strings.Contains(account, "/") {
		return "", false, false
	}
	return controller.JoinID(account, name), live, true
}

// crossOrigin lets pages of the configured sites read the answer, and refuses those of others. What
// is no page sends no Origin: its link is enough.
func (h *Hooks) crossOrigin(c echo.Context, o *WakeOptions, method string) WakeResult {
	header := c.Response().Header()
	header.Set("Vary", "Origin")
	header.Set("Cache-Control", "no-store")
	origin := c.Request().Header.Get("Origin")
	if origin == "" {
		return ""
	}
	if !slices.Contains(o.Origins, origin) {
		return WakeOrigin
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if c.Request().Method == http.MethodOptions {
		header.Set("Access-Control-Allow-Methods", method)
		header.Set("Access-Control-Allow-Headers", "content-type, cache-control, last-event-id")
		header.Set("Access-Control-Max-Age", "600")
	}
	return ""
}

// examine checks the link of a request. Only who has a right one learns which streams there are.
func (h *Hooks) examine(c echo.Context, o *WakeOptions, id controller.StreamID) (end time.Time, result WakeResult) {
	query := c.Request().URL.Query()
	exp := query.Get("exp")
	sig, err := hex.DecodeString(query.Get("sig"))
	seconds, err2 := strconv.ParseInt(exp, 10, 64)
	if err != nil || err2 != nil || !hmac.Equal(sig, wakeMAC(o.Secret, id, exp)) {
		if h.strangers.Load().refuse(peerOf(c.RealIP())) == ResultFlood {
			return end, WakeFull
		}
		return end, WakeForged
	}
	end = time.Unix(seconds, 0)
	if left := time.Until(end); left <= 0 || left > MaxWakeLink {
		return end, WakeExpired
	}
	account, name, _ := id.Split()
	if !h.opts.Waker.Knows(account, name) {
		return end, WakeUnmapped
	}
	return end, ""
}

// askFor has a page ask for the stream. Its answer is there once that is stored.
func (h *Hooks) askFor(c echo.Context, o *WakeOptions, id controller.StreamID) WakeResult {
	if _, result := h.examine(c, o, id); result != "" {
		return result
	}
	connOf(c.Request()).markAnswering()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), receiveTimeout)
	defer cancel()
	switch err := h.opts.Waker.Wake(ctx, id, o.Hold); {
	case err == nil:
		_ = c.NoContent(http.StatusNoContent)
		return WakeAccepted
	case errors.Is(err, controller.ErrFull):
		return WakeFull
	case errors.Is(err, controller.ErrUnknownStream): // a reload has just removed it
		return WakeUnmapped
	default:
		if h.failed.Allow() {
			h.opts.Log.Error("a wake link cannot be taken", "stream", id, "error", err)
		}
		return WakeFailed
	}
}

// follow tells a page where the stream is, until the link is over.
func (h *Hooks) follow(c echo.Context, o *WakeOptions, id controller.StreamID) WakeResult {
	end, result := h.examine(c, o, id)
	if result != "" {
		return result
	}
	done, ok := h.pages.enter(peerOf(c.RealIP()))
	if !ok {
		return WakeFull
	}
	defer done()
	connOf(c.Request()).markAnswering()
	ctx, cancel := context.WithDeadline(c.Request().Context(), end)
	defer cancel()
	defer context.AfterFunc(h.ending, cancel)()
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	w := eventWriter{w: c.Response(), control: http.NewResponseController(c.Response())}
	_ = w.control.SetReadDeadline(time.Time{}) // or else the request's own deadline ends the connection
	c.Response().WriteHeader(http.StatusOK)
	w.buf.WriteString("retry: " + strconv.Itoa(eventRetry) + "\n")
	changes, beat := h.opts.Waker.Follow(ctx, id), time.NewTicker(heartbeat)
	defer beat.Stop()
	for w.flush() == nil && h.wakesBy(o.Secret) {
		select {
		case now := <-changes:
			data, _ := json.Marshal(struct { // cannot fail: all members are plain
				controller.Situation
				Hold float64 `json:"hold_s"`
			}{now, o.Hold.Seconds()})
			w.buf.WriteString("event: state\ndata: " + string(data) + "\n\n")
		case <-beat.C:
			w.buf.WriteString(": alive\n\n")
		case <-ctx.Done():
			if !time.Now().Before(end) {
				w.buf.WriteString("event: end\ndata: {}\n\n") // or else the browser would connect again
			}
			_ = w.flush()
			return WakeFollowed
		}
	}
	return WakeFollowed
}

// wakesBy reports whether links by that secret are still good.
func (h *Hooks) wakesBy(key secret.Value) bool {
	now := h.wake.Load()
	return now != nil && now.Secret.Same(key)
}

// script sends the client for pages.
func (h *Hooks) script(c echo.Context) error {
	if h.wake.Load() == nil {
		return echo.ErrNotFound
	}
	header := c.Response().Header()
	header.Set("Cache-Control", "public, max-age=300")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("ETag", wakeScriptTag)
	if c.Request().Header.Get("If-None-Match") == wakeScriptTag {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", wakeScript)
}

// pages bounds the pages that are told of streams. Each has a connection for as long as it waits,
// of which half are kept for hooks.
type pages struct {
	most, mostOfOne int

	mu  sync.Mutex
	all int
	of  map[string]int // by peer
}

func newPages(conns int) *pages {
	return &pages{most: max(1, conns/2), mostOfOne: max(1, conns/16), of: map[string]int{}}
}

func (p *pages) enter(peer string) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= p.most || p.of[peer] >= p.mostOfOne {
		return nil, false
	}
	p.all++
	p.of[peer]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all--
		if p.of[peer]--; p.of[peer] == 0 {
			delete(p.of, peer)
		}
	}, true
}
