package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

// Controller is what the admin side shows and changes. Its methods may be called concurrently; the
// caller owns what they return.
type Controller interface {
	// Streams returns all streams, sorted by id.
	Streams() []controller.StreamView
	Stream(id controller.StreamID) (controller.StreamView, bool)
	// Helpers returns all helpers, in the order of the configuration.
	Helpers() []controller.HelperView
	// Accounts returns the platform's side, sorted by account.
	Accounts() []controller.AccountView
	// SetMode holds a stream on or off, or returns it to automatic. ErrUnknownStream and ErrInvalid
	// are in the chain of a person's mistakes.
	SetMode(ctx context.Context, id controller.StreamID, r controller.ModeRequest) (controller.StreamView, error)
	// SetDemand begins, renews or, with a For of 0, ends a lease on a stream, which wants it as a
	// viewer who waits does. Beside the errors of SetMode, ErrFull: no more leases fit.
	SetDemand(ctx context.Context, id controller.StreamID, r controller.DemandRequest) (controller.StreamView, error)
	// History returns at most limit transitions with a Seq below before (0: no bound), newest
	// first.
	History(ctx context.Context, id controller.StreamID, limit int, before int64) ([]controller.Transition, error)
	Records(ctx context.Context, f controller.RecordFilter) ([]controller.Record, error)
	// Log returns the last lines of one encoder, oldest first, secrets redacted; an empty name
	// means the stream's first encoder.
	Log(ctx context.Context, id controller.StreamID, encoder string, lines int) ([]string, error)
	// Thumbnail returns the stream's last picture (JPEG) and when it came.
	Thumbnail(id controller.StreamID) (jpeg []byte, at time.Time, ok bool)
	// Watch sends every change after the given id (0: from now on). The channel closes when ctx
	// ends, or when the reader is too slow: then the reader calls Watch again with the last id that
	// it got.
	Watch(ctx context.Context, after uint64) <-chan controller.Change
	// Ready says why hooks cannot be received and stored now; nothing means ready.
	Ready(ctx context.Context) []string
}

// AdminOptions configure the admin side. Controller and Log are required.
type AdminOptions struct {
	Controller Controller
	Log        *slog.Logger

	Version string
	Started time.Time

	Token          secret.Value   // empty: none needed, and only loopback and unix sockets are served
	AllowedHosts   []string       // more Host names (without port) for a loopback listener behind a proxy
	TrustedProxies []netip.Prefix // proxies whose X-Forwarded-For and X-Forwarded-Proto are believed
	Settings       Settings       // keeps which sessions were ended; nil: forgotten at the end of the process

	Metrics http.Handler // GET /metrics; nil: none
	Demo    http.Handler // everything under /demo/; nil: none
	Rotate  Rotate       // POST /api/v1/accounts/{id}/webhook/rotate; nil: none

	RotateToken RotateToken // POST /api/v1/streams/{id}/token/rotate; nil: none

	// Config, when not nil, returns the configuration in force, and the problems that people must
	// know of: one sentence each.
	Config func() (ConfigState, []string)
	// Reload reads the configuration again and returns the problems because of which it was
	// refused. POST /api/v1/reload; nil: none.
	Reload func(context.Context) (refused []string, err error)
}

// Admin is the admin side.
type Admin struct {
	*Server
	opts     AdminOptions
	sessions *sessions
	guesses  *guesses
	assets   *assets
	client   echo.IPExtractor // names the client, for the log
	user     int              // the daemon's uid
	service  bool             // only the daemon and its encoders run as that user
	watchers chan struct{}    // has one element for each open watch
	ending   context.Context  // ends the watches when the server drains
}

const (
	maxWatchers = 200
	readyLimit  = 2 * time.Second
	callLimit   = 20 * time.Second
)

// NewAdmin makes the admin side.
func NewAdmin(o AdminOptions) (*Admin, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	sessions, err := newSessions(o.Token, o.Settings)
	if err != nil {
		return nil, err
	}
	ending, end := context.WithCancel(context.Background())
	a := &Admin{
		opts: o, sessions: sessions, guesses: newGuesses(), assets: files,
		client: TrustProxies(o.TrustedProxies), user: os.Geteuid(), service: isService(),
		watchers: make(chan struct{}, maxWatchers), ending: ending,
	}
	a.Server = newServer(a.guard(a.router()), serverOptions{
		log: o.Log, keepAlive: true, writeTimeout: adminWriteTimeout,
		check: a.mayServe, end: end, refusal: unreadable,
	})
	return a, nil
}

func (a *Admin) router() http.Handler {
	e := echo.New()
	e.IPExtractor = a.client
	e.HTTPErrorHandler = a.fail
	e.Use(a.recoverPanic)
	a.routes(e)
	return encodedPaths(e)
}

func (a *Admin) routes(e *echo.Echo) {
	get := func(path string, h echo.HandlerFunc) { e.Match([]string{http.MethodGet, http.MethodHead}, path, h) }
	get("/", a.dashboard)
	get("/login", a.loginPage)
	e.POST("/login", a.login)
	e.POST("/logout", a.logout)
	e.POST("/api/v1/login-code", a.loginCode)
	get("/assets/:file", a.asset)

	get("/status", a.status)
	get("/readyz", a.readyz)
	get("/healthz", a.healthz)

	const api = "/api/v1"
	get(api+"/openapi.yaml", a.openapi)
	get(api+"/streams", a.streams)
	get(api+"/streams/:id", a.stream)
	e.PUT(api+"/streams/:id/mode", a.setMode)
	e.PUT(api+"/streams/:id/demand", a.setDemand)
	e.DELETE(api+"/streams/:id/demand", a.endDemand)
	get(api+"/streams/:id/history", a.history)
	get(api+"/streams/:id/log", a.encoderLog)
	get(api+"/streams/:id/thumbnail", a.thumbnail)
	get(api+"/events", a.events)
	e.GET(api+"/watch", a.watch)
	if a.opts.Rotate != nil {
		e.POST(api+"/accounts/:id/webhook/rotate", a.rotateWebhook)
	}
	if a.opts.RotateToken != nil {
		e.POST(api+"/streams/:id/token/rotate", a.rotateToken)
	}
	if a.opts.Reload != nil {
		e.POST(api+"/reload", a.reload)
	}

	if a.opts.Metrics != nil {
		get("/metrics", echo.WrapHandler(a.opts.Metrics))
	}
	if a.opts.Demo != nil {
		e.Any("/demo/*", echo.WrapHandler(a.opts.Demo))
	}
}

// encodedPaths makes Echo route by the path as it was sent, so that an encoded slash stays inside
// its segment.
func encodedPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawPath = r.URL.EscapedPath()
		next.ServeHTTP(w, r)
	})
}

// clientAddr names the client that sent r.
func (a *Admin) clientAddr(r *http.Request) string {
	if ip := a.client(r); ip != "" {
		return ip
	}
	return "unix socket"
}

func (a *Admin) fail(err error, c echo.Context) {
	p, known := asProblem(err)
	if !known {
		a.opts.Log.Error("request failed", "method", c.Request().Method, "path", c.Path(), "error", err)
	}
	if !c.Response().Committed {
		p.write(c.Response())
	}
}

func (a *Admin) recoverPanic(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if p := recover(); p != nil {
				if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
					panic(p)
				}
				err = panicError(p)
			}
		}()
		return next(c)
	}
}

// whole returns a whole number of the query, or byDefault when the query has none.
func whole(c echo.Context, name string, least, most, byDefault int64) (int64, error) {
	text := c.QueryParam(name)
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, newProblem(http.StatusBadRequest, name+": "+quote(text)+" is not a whole number from "+
			strconv.FormatInt(least, 10)+" to "+strconv.FormatInt(most, 10), "")
	}
	return n, nil
}
