package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/oncue/oncue/configs/secret"
)

const (
	sessionCookie = "oncue_session"
	sessionLife   = 7 * 24 * time.Hour
	maxLoginBody  = 4 << 10
)

// sessions makes and checks the cookie of a browser that has shown the token: when it ends, and a MAC over that, keyed with the token. So it
// outlives a restart, holds no secret, and a new token ends it.
type sessions struct {
	token secret.Value
	tries *rate.Limiter
}

func newSessions(token secret.Value) sessions {
	return sessions{token: token, tries: rate.NewLimiter(1, 10)}
}

func (s sessions) issue(now time.Time) string {
	end := strconv.FormatInt(now.Add(sessionLife).Unix(), 10)
	return end + "." + hex.EncodeToString(s.mac(end))
}

func (s sessions) valid(cookie string) bool {
	end, mac, _ := strings.Cut(cookie, ".")
	raw, err := hex.DecodeString(mac)
	if err != nil || !hmac.Equal(raw, s.mac(end)) {
		return false
	}
	unix, err := strconv.ParseInt(end, 10, 64)
	return err == nil && time.Now().Unix() < unix
}

func (s sessions) mac(end string) []byte {
	m := hmac.New(sha256.New, []byte(s.token.Reveal()))
	m.Write([]byte("oncue session until " + end))
	return m.Sum(nil)
}

func (a *Admin) loginPage(c echo.Context) error {
	if !a.opts.Token.Set() || reachedAt(c.Request()) == placeUnix || a.identify(c.Request()) == nil {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return a.page(c, http.StatusOK, "login.html", map[string]any{"Wrong": ""})
}

func (a *Admin) login(c echo.Context) error {
	if !a.opts.Token.Set() {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	if !a.sessions.tries.Allow() {
		return a.page(c, http.StatusTooManyRequests, "login.html", map[string]any{"Wrong": "Too many tries. Wait a moment, then try again."})
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxLoginBody)
	if !a.opts.Token.Equal(strings.TrimSpace(r.PostFormValue("token"))) {
		a.opts.Log.Warn("login refused: wrong token", "from", clientName(c))
		return a.page(c, http.StatusUnauthorized, "login.html", map[string]any{"Wrong": "This is not the token. It is admin.token in the configuration."})
	}
	a.setSession(c, a.sessions.issue(time.Now()), int(sessionLife.Seconds()))
	return c.Redirect(http.StatusSeeOther, "/")
}

func (a *Admin) logout(c echo.Context) error {
	a.setSession(c, "", -1)
	return c.Redirect(http.StatusSeeOther, "/login")
}

func (a *Admin) setSession(c echo.Context, value string, maxAge int) {
	http.SetCookie(c.Response(), &http.Cookie{
		Name: sessionCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: c.Request().TLS != nil,
	})
}
