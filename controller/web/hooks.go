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

// receiveTimeout bounds the verifying and storing of one hook. It ends before the connection's
// write time-out, so that the sender gets its 503.
const receiveTimeout = 4 * time.Second

// Receiver verifies a delivery and stores it. When it returns without an error, the hook has
// survived power loss. It owns the body from then on. Its errors: millicast.ErrSignature in the
// chain for what no known account signed; all others mean "not stored".
type Receiver interface {
	Receive(ctx context.Context, d millicast.Delivery) (controller.Verdict, error)
}

// HookOptions configure the public side. Only Receiver and Log are required.
type HookOptions struct {
	Receiver Receiver
	Log      *slog.Logger

	TLS            *tls.Config      // from CertFiles or ACME; nil: plain HTTP
	ClientAddr     echo.IPExtractor // names the peer; nil: the direct one. See TrustProxies
	HooksPerSecond int              // flood guard: unverified deliveries of each peer; 0: no cap
	MaxConns       int              // open connections; 0: 1024, or half of the files the process may open

	// KeepAlive lets a sender reuse its connection. At a restart, such a sender loses a hook that
	// it sends while its idle connection is being closed, so only benchmarks use it.
	KeepAlive bool

	// Waker is asked for streams by wake links, once SetWake has turned them on; nil: never.
	// ObserveWake, when not nil, gets what became of each of their requests, and must not block.
	Waker       Waker
	ObserveWake func(WakeResult)

	// Observe, when not nil, gets the result of each request and how long its answer took. It must
	// not block.
	Observe func(result HookResult, took time.Duration)
}

// HookResult is the cause of a hook's answer: a verdict, or why there is none.
type HookResult string

// The results beside the verdicts of package controller.
const (
	ResultSignature HookResult = "signature"
	ResultSlow      HookResult = "slow"
	ResultTooLarge  HookResult = "too_large"
	ResultMediaType HookResult = "media_type"
	ResultFlood     HookResult = "flood"
	ResultBusy      HookResult = "busy" // too many large bodies at once
	ResultStore     HookResult = "store"
	ResultPanic     HookResult = "panic"
	ResultMalformed HookResult = "malformed" // broken chunks, or a body that ends early
)

// refusals are the answers to hooks that get no verdict.
var refusals = map[HookResult]struct {
	status int
	text   string
}{
	ResultSignature: {http.StatusUnauthorized, "bad signature"},
	ResultSlow:      {http.StatusRequestTimeout, "the body came too slowly"},
	ResultTooLarge:  {http.StatusRequestEntityTooLarge, "the body is too large"},
	ResultMediaType: {http.StatusUnsupportedMediaType, "send application/json or image/jpeg, without content encoding"},
	ResultFlood:     {http.StatusTooManyRequests, "too many hooks that are not signed"},
	ResultBusy:      {http.StatusServiceUnavailable, "too many large bodies at once"},
	ResultStore:     {http.StatusServiceUnavailable, "cannot store the hook now"},
	ResultPanic:     {http.StatusServiceUnavailable, "cannot store the hook now"},
	ResultMalformed: {http.StatusBadRequest, "the body cannot be read"},
}

// Hooks is the public side: POST millicast.HookPath and GET /healthz, and nothing else but wake
// links where they are on.
type Hooks struct {
	*Server
	opts      HookOptions
	strangers atomic.Pointer[strangers]
	wake      atomic.Pointer[WakeOptions] // nil: wake links are off
	pages     *pages
	ending    context.Context // ends what pages are told when the server drains
	bodies    *bodies
	refused   *rate.Limiter // limits the log lines about refusals
	failed    *rate.Limiter // and about oncue's own failures, which a flood must not hide
}

// NewHooks makes the public side.
func NewHooks(o HookOptions) *Hooks {
	ending, end := context.WithCancel(context.Background())
	h := &Hooks{opts: o, bodies: newBodies(), pages: newPages(roomFor(o.MaxConns)), ending: ending,
		refused: rate.NewLimiter(5, 20), failed: rate.NewLimiter(5, 20)}
	h.SetHooksPerSecond(o.HooksPerSecond)
	h.Server = newServer(h.router(), serverOptions{
		log: o.Log, tls: o.TLS, keepAlive: o.KeepAlive, writeTimeout: hookWriteTimeout, maxConns: o.MaxConns,
		end: end,
		refusal: func(status int) (string, []byte) {
			return echo.MIMEApplicationJSON, refusalBody(http.StatusText(status))
		},
	})
	return h
}

// SetHooksPerSecond replaces the flood guard, which counts from 0 again; n 0 means no cap.
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
	e.POST(millicast.HookPath, h.hook)
	e.OPTIONS(millicast.HookPath, wrongMethod) // or else Echo answers it
	e.Match([]string{http.MethodGet, http.MethodHead}, "/healthz", func(c echo.Context) error {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, []byte(`{"status":"ok"}`))
	})
	e.Any(wakeRoot+"*", h.wakeLink)
	e.Match([]string{http.MethodGet, http.MethodHead}, "/wake.js", h.script)
	return e
}

// hook answers one delivery. Everything else comes after the answer.
func (h *Hooks) hook(c echo.Context) error {
	began := time.Now()
	result, cause := h.receive(c.Request(), peerOf(c.RealIP()), began)
	refusal, refused := refusals[result]
	if !refused {
		c.Response().Header()[echo.HeaderContentType] = contentJSON // a Set for each hook would allocate it
		c.Response().WriteHeader(http.StatusOK)
		_, err := c.Response().Write(accepted(result))
		h.observe(result, time.Since(began))
		return err
	}
	err := refuse(c, refusal.status, refusal.text)
	h.observe(result, time.Since(began))
	h.logRefusal(c, result, cause)
	if err == nil && result != ResultFlood {
		linger(c.Response(), c.Request())
	}
	return err
}

// receive reads a delivery and hands it to the Receiver. The cause of a refusal is for the log.
func (h *Hooks) receive(r *http.Request, peer string, began time.Time) (result HookResult, cause error) {
	strangers := h.strangers.Load()
	kind, limit, ok := contentOf(r.Header)
	if !ok {
		return ResultMediaType, nil
	}
	picture := limit == millicast.MaxJPEG
	if picture && r.ContentLength <= limit && !millicast.HasSignature(r.Header) {
		return strangers.refuse(peer), millicast.ErrSignature // before it takes one of the few turns
	}
	body, done, err := h.bodies.read(r, limit, picture && strangers.doubtful(peer))
	defer done()
	defer func() {
		if picture && refusals[result].status/100 == 4 {
			strangers.badPicture(peer)
		}
	}()
	if err != nil {
		return bodyFailure(err), err
	}
	connOf(r).markAnswering()
	// Storing goes on when the sender has gone away: what it reported is true all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), receiveTimeout)
	defer cancel()
	verdict, err := h.callReceiver(ctx, millicast.Delivery{
		Via: "http", ContentType: kind, Header: r.Header, Body: body, Received: began, Peer: peer,
	})
	switch {
	case err == nil:
		return HookResult(verdict), nil
	case errors.Is(err, millicast.ErrSignature):
		return strangers.refuse(peer), err
	case errors.Is(err, errPanic):
		return ResultPanic, err
	default:
		return ResultStore, err
	}
}

var errPanic = errors.New("panic")

// callReceiver turns a panic of the Receiver into an error, so that the sender gets its 503.
func (h *Hooks) callReceiver(ctx context.Context, d millicast.Delivery) (verdict controller.Verdict, err error) {
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

// logRefusal writes a few lines a second at most, whatever a flood of forged hooks does.
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
func refuse(c echo.Context, status int, text string) error {
	w := c.Response()
	_ = http.NewResponseController(w).EnableFullDuplex() // to answer before the rest of the body has come
	body := refusalBody(text)
	w.Header().Set("Connection", "close")
	w.Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body)))
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}

func refusalBody(text string) []byte { return []byte(`{"status":"error","error":"` + text + `"}`) }

// linger reads and drops what the sender still sends after a refusal, for a moment: a sender that
// writes its whole body before it reads would otherwise see a reset instead of the answer. A sender
// that asked before it sends (Expect: 100-continue) has its answer first and most likely sends
// nothing; without a deadline of its own net/http would wait for its body all the same.
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

// isTimeout reports whether a read failed because of the connection's deadline.
func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
