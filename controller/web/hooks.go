package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
)

// HookPath is where the platform delivers: the webhook's URL is the public base and this.
const HookPath = "/hooks/millicast"

// takeTimeout bounds the verifying and storing of one hook. It ends before the connection's write time-out, so the sender gets its 503.
const takeTimeout = 4 * time.Second

// Receiver verifies a delivery and stores it. When it returns without an error, the hook has survived power loss. It owns the body from then on.
// Its errors: millicast.ErrSignature in the chain for what is not signed by an account that is known; all others mean "not stored".
type Receiver interface {
	Receive(ctx context.Context, d millicast.Delivery) (controller.Verdict, error)
}

// HookOptions make the public side. Only Receiver and Log are required.
type HookOptions struct {
	Receiver Receiver
	Log      *slog.Logger

	TLS            *tls.Config      // from CertFiles or ACME; nil: plain HTTP
	ClientAddr     echo.IPExtractor // who the peer is; nil: the direct one. See TrustProxies
	HooksPerSecond int              // flood guard: what no secret verifies, of each peer; 0: no cap
	MaxConns       int              // open connections; 0: 1024, or half of the files the process may open

	// KeepAlive lets a sender use its connection again. A sender that does so loses the hook that crosses with the closing of its idle
	// connection at a restart, so it is only right where nothing restarts: in a benchmark.
	KeepAlive bool

	// Observe, when not nil, is told what became of each request and how long its answer took. It must not block.
	Observe func(result HookResult, took time.Duration)
}

// HookResult is the cause of a hook's answer: a verdict, or why there is none.
type HookResult string

// The results beside the verdicts of package controller.
const (
	ResultSignature HookResult = "signature"  // 401
	ResultSlow      HookResult = "slow"       // 408
	ResultTooLarge  HookResult = "too_large"  // 413
	ResultMediaType HookResult = "media_type" // 415
	ResultFlood     HookResult = "flood"      // 429
	ResultBusy      HookResult = "busy"       // 503, too many large bodies at once
	ResultStore     HookResult = "store"      // 503
	ResultPanic     HookResult = "panic"      // 503
	ResultMalformed HookResult = "malformed"  // 400, broken chunks or a body that ends early
)

// Hooks is the public side: POST HookPath and GET /healthz, nothing else.
type Hooks struct {
	*Server
	opts      HookOptions
	strangers atomic.Pointer[strangers]
	bodies    *bodies
	refused   *rate.Limiter // how many refusals a second are worth a log line
	failed    *rate.Limiter // and how many failures of our own: a flood must not hide them
}

// NewHooks makes the public side.
func NewHooks(o HookOptions) *Hooks {
	h := &Hooks{opts: o, bodies: newBodies(), refused: rate.NewLimiter(5, 20), failed: rate.NewLimiter(5, 20)}
	h.SetHooksPerSecond(o.HooksPerSecond)
	h.Server = newServer(h.router(), serverOptions{
		log: o.Log, tls: o.TLS, keepAlive: o.KeepAlive, writeTimeout: hookWriteTimeout, maxConns: o.MaxConns,
		refusal: func(status int) (string, []byte) {
			return echo.MIMEApplicationJSON, refusalBody(http.StatusText(status))
		},
	})
	return h
}

// SetHooksPerSecond moves the flood guard, which begins anew; 0 lifts it.
func (h *Hooks) SetHooksPerSecond(n int) { h.strangers.Store(newStrangers(n)) }

func (h *Hooks) router() http.Handler {
	e := echo.New()
	e.IPExtractor = h.opts.ClientAddr
	if e.IPExtractor == nil {
		e.IPExtractor = echo.ExtractIPDirect()
	}
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		if he, ok := errors.AsType[*echo.HTTPError](err); ok {
			status = he.Code
		}
		if refuse(c, status, http.StatusText(status)) == nil {
			linger(c.Response(), c.Request())
		}
	}
	wrongMethod := func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderAllow, http.MethodPost)
		return echo.ErrMethodNotAllowed
	}
	e.POST(HookPath, h.hook)
	e.OPTIONS(HookPath, wrongMethod) // Echo would answer it by itself
	e.Match([]string{http.MethodGet, http.MethodHead}, "/healthz", func(c echo.Context) error {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(`{"status":"ok"}`))
	})
	return e
}

// hook answers one delivery: read, hand over, answer. Everything else comes after the answer.
func (h *Hooks) hook(c echo.Context) error {
	began := time.Now()
	result, status, words, cause := h.take(c.Request(), peerOf(c.RealIP()), began)
	if status == http.StatusOK {
		c.Response().Header()[echo.HeaderContentType] = contentJSON // a Set for each hook would make it anew
		c.Response().WriteHeader(http.StatusOK)
		_, err := c.Response().Write(accepted(result))
		h.observe(result, time.Since(began))
		return err
	}
	err := refuse(c, status, words)
	h.observe(result, time.Since(began))
	h.logRefusal(c, result, cause)
	if err == nil && result != ResultFlood {
		linger(c.Response(), c.Request())
	}
	return err
}

// take reads a delivery and hands it over. It returns the status of the answer, the words of an error answer, and the cause for the log.
func (h *Hooks) take(r *http.Request, peer string, began time.Time) (result HookResult, status int, words string, cause error) {
	kind, limit, ok := contentOf(r.Header)
	if !ok {
		return ResultMediaType, http.StatusUnsupportedMediaType, "send application/json or image/jpeg, without content encoding", nil
	}
	picture := limit == millicast.MaxJPEG
	if picture && r.ContentLength <= limit && !millicast.HasSignature(r.Header) {
		return h.unverified(peer, millicast.ErrSignature) // the few turns are not for such
	}
	body, done, err := h.bodies.read(r, limit, picture && h.strangers.Load().doubtful(peer))
	defer done()
	defer func() {
		if picture && status/100 == 4 {
			h.strangers.Load().badPicture(peer)
		}
	}()
	if err != nil {
		result, status, words = bodyFailure(err)
		return result, status, words, err
	}
	served(r)
	// A sender that has gone away has still told what happened: its leaving does not end the storing.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), takeTimeout)
	defer cancel()
	verdict, err := h.receive(ctx, millicast.Delivery{
		Via: "http", ContentType: kind, Header: r.Header, Body: body, Received: began, Peer: peer,
	})
	switch {
	case err == nil:
		return HookResult(verdict), http.StatusOK, "", nil
	case errors.Is(err, millicast.ErrSignature):
		return h.unverified(peer, err)
	case errors.Is(err, errPanic):
		return ResultPanic, http.StatusServiceUnavailable, "cannot store the hook now", err
	default:
		return ResultStore, http.StatusServiceUnavailable, "cannot store the hook now", err
	}
}

// unverified is the answer to a delivery that no secret verifies.
func (h *Hooks) unverified(peer string, cause error) (HookResult, int, string, error) {
	if !h.strangers.Load().unverified(peer) {
		return ResultFlood, http.StatusTooManyRequests, "too many hooks that are not signed", cause
	}
	return ResultSignature, http.StatusUnauthorized, "bad signature", cause
}

var errPanic = errors.New("panic")

// receive turns a panic of the receiver into an error: the connection gets its 503, and the next hook is taken.
func (h *Hooks) receive(ctx context.Context, d millicast.Delivery) (verdict controller.Verdict, err error) {
	defer func() {
		if p := recover(); p != nil {
			h.opts.Log.Error("receiving a hook panicked", "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return h.opts.Receiver.Receive(ctx, d)
}

func (h *Hooks) observe(result HookResult, took time.Duration) {
	if h.opts.Observe != nil {
		h.opts.Observe(result, took)
	}
}

// logRefusal writes a few lines a second at most: a flood of forged hooks must not become a flood of log lines.
func (h *Hooks) logRefusal(c echo.Context, result HookResult, cause error) {
	level, lines := slog.LevelWarn, h.refused
	if result == ResultStore || result == ResultPanic {
		level, lines = slog.LevelError, h.failed
	}
	if !lines.Allow() {
		return
	}
	attrs := []slog.Attr{slog.String("cause", string(result)), slog.String("from", clientName(c))}
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	h.opts.Log.LogAttrs(c.Request().Context(), level, "hook refused", attrs...)
}

func clientName(c echo.Context) string {
	if ip := c.RealIP(); ip != "" {
		return ip
	}
	return "unix socket"
}

// refuse answers with an error and closes the connection after it.
func refuse(c echo.Context, status int, words string) error {
	w := c.Response()
	_ = http.NewResponseController(w).EnableFullDuplex() // answer first, whatever of the body is still to come
	body := refusalBody(words)
	w.Header().Set("Connection", "close")
	w.Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}

func refusalBody(words string) []byte { return []byte(`{"status":"error","error":"` + words + `"}`) }

// linger reads and drops what the sender still sends after a refusal, for a moment: a sender that writes its whole body before it reads
// would otherwise see a reset instead of the answer. One that asked before it sends has its answer first, and most likely sends nothing:
// without the deadline net/http would wait for its body as long as for any.
func linger(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	patience := lingerTime
	if r.Header.Get("Expect") != "" {
		patience = lingerAsked
	}
	control := http.NewResponseController(w)
	if control.Flush() == nil && control.SetReadDeadline(time.Now().Add(patience)) == nil {
		_, _ = io.CopyN(io.Discard, r.Body, lingerSize)
	}
}

var (
	contentJSON    = []string{echo.MIMEApplicationJSON}
	answerAccepted = []byte(`{"status":"accepted"}`)
)

func accepted(result HookResult) []byte {
	if result == HookResult(controller.Accepted) {
		return answerAccepted
	}
	return []byte(`{"status":"` + string(result) + `"}`)
}

// isTimeout reports whether a read failed for the connection's deadline.
func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
