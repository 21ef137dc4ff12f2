package web

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
)

const (
	sessionLife  = 7 * 24 * time.Hour
	codeLife     = 5 * time.Minute
	maxCodes     = 100
	maxLoginBody = 4 << 10

	endedSetting = "admin-sessions-ended"
	settingLimit = 5 * time.Second
)

// Settings keeps small values by name, also after a restart.
type Settings interface {
	Setting(ctx context.Context, key string) (string, error) // "" for what was never set
	SetSetting(ctx context.Context, key, value string) error
}

// sessions makes and checks the cookie of a browser that has shown the token. The cookie is its
// expiry, its id, and a MAC over both, keyed with the token. So it stays valid after a restart,
// contains no secret, and a new token ends it. The ids of sessions that were ended early are kept.
type sessions struct {
	token secret.Value
	kept  Settings // nil: nothing is kept after the process

	saving sync.Mutex // held while ended is written to kept; taken before mu

	mu    sync.Mutex
	ended map[string]int64     // ids of sessions that were ended early, and their expiry in Unix seconds
	codes map[string]time.Time // login codes and their expiry
}

func newSessions(token secret.Value, kept Settings) (*sessions, error) {
	s := &sessions{token: token, kept: kept, ended: map[string]int64{}, codes: map[string]time.Time{}}
	if kept == nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), settingLimit)
	defer cancel()
	text, err := kept.Setting(ctx, endedSetting)
	if err == nil && text != "" {
		err = json.Unmarshal([]byte(text), &s.ended)
	}
	if err != nil {
		return nil, fmt.Errorf("read the ended sessions: %w", err)
	}
	return s, nil
}

// issue makes the value of a cookie, which is valid only under that name.
func (s *sessions) issue(cookie string, now time.Time) string {
	head := strconv.FormatInt(now.Add(sessionLife).Unix(), 10) + "." + rand.Text()
	return head + "." + hex.EncodeToString(s.mac(cookie, head))
}

// check returns the id and the expiry of a valid session.
func (s *sessions) check(cookie, value string) (id string, end int64, ok bool) {
	cut := strings.LastIndexByte(value, '.')
	if cut < 0 {
		return "", 0, false
	}
	raw, err := hex.DecodeString(value[cut+1:])
	if err != nil || !hmac.Equal(raw, s.mac(cookie, value[:cut])) {
		return "", 0, false
	}
	unix, id, _ := strings.Cut(value[:cut], ".")
	if end, err = strconv.ParseInt(unix, 10, 64); err != nil || time.Now().Unix() >= end {
		return "", 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, over := s.ended[id]
	return id, end, !over
}

func (s *sessions) mac(cookie, head string) []byte {
	m := hmac.New(sha256.New, []byte(s.token.Reveal()))
	m.Write([]byte("oncue session " + cookie + " until " + head))
	return m.Sum(nil)
}

// end ends a session for good. With an error, it is ended only until the end of the process.
func (s *sessions) end(ctx context.Context, id string, until int64) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	text, err := s.addEnded(id, until)
	if err != nil || s.kept == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, settingLimit)
	defer cancel()
	return s.kept.SetSetting(ctx, endedSetting, string(text))
}

// addEnded adds a session to ended, and returns ended as JSON.
func (s *sessions) addEnded(id string, until int64) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Unix()
	maps.DeleteFunc(s.ended, func(_ string, end int64) bool { return end <= now })
	s.ended[id] = until
	return json.Marshal(s.ended)
}

// code makes a code that logs in once.
func (s *sessions) code(now time.Time) (code string, until time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.codes, func(_ string, until time.Time) bool { return !now.Before(until) })
	if len(s.codes) >= maxCodes {
		return "", until, newProblem(http.StatusTooManyRequests, "too many login codes are unused",
			"each expires after "+codeLife.String())
	}
	code, until = rand.Text(), now.Add(codeLife)
	s.codes[code] = until
	return code, until, nil
}

// use reports whether a code is valid, and makes it invalid. The look-up does not take constant
// time; that does not help to guess 128 bits.
func (s *sessions) use(code string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.codes[code]
	delete(s.codes, code)
	return ok && now.Before(until)
}

// sessionOf returns the valid session of r.
func (a *Admin) sessionOf(r *http.Request) (id string, end int64, ok bool) {
	name := a.cookieName(r)
	for _, c := range r.CookiesNamed(name) {
		if id, end, ok = a.sessions.check(name, c.Value); ok {
			return id, end, true
		}
	}
	return "", 0, false
}

func (a *Admin) loginPage(c echo.Context) error {
	if !a.opts.Token.Set() || reachedAt(c.Request()) == placeUnix || a.identify(c.Request()) == nil {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	return a.page(c, http.StatusOK, "login.html", map[string]any{"Wrong": ""})
}

// login accepts the token, or a code that logs in once.
func (a *Admin) login(c echo.Context) error {
	if !a.opts.Token.Set() {
		return c.Redirect(http.StatusSeeOther, "/")
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxLoginBody)
	given := strings.TrimSpace(r.PostFormValue("token"))
	if !a.opts.Token.Equal(given) && !a.sessions.use(given, time.Now()) {
		if !a.wrongToken(r, "a login") {
			c.Response().Header().Set("Retry-After", "1")
			return a.page(c, http.StatusTooManyRequests, "login.html",
				map[string]any{"Wrong": "Too many wrong tries. Wait a moment, then try again."})
		}
		return a.page(c, http.StatusUnauthorized, "login.html", map[string]any{
			"Wrong": "This token is wrong. The right one is admin.token in the configuration. " +
				"Without it, let oncue dashboard print a link that logs in.",
		})
	}
	a.setSession(c, a.sessions.issue(a.cookieName(r), time.Now()), int(sessionLife.Seconds()))
	return c.Redirect(http.StatusSeeOther, "/")
}

// logout ends the session on this side, too, so that a copy of the cookie is invalid afterwards.
func (a *Admin) logout(c echo.Context) error {
	a.setSession(c, "", -1)
	if id, end, ok := a.sessionOf(c.Request()); ok {
		if err := a.sessions.end(c.Request().Context(), id, end); err != nil {
			return fmt.Errorf("%w: the session is valid again after the next start: %w", controller.ErrStore, err)
		}
	}
	return c.Redirect(http.StatusSeeOther, "/login")
}

// loginCode answers a proven client with a code with which a browser logs in once. The code is
// empty when no token is needed.
func (a *Admin) loginCode(c echo.Context) error {
	var answer struct {
		Code    string           `json:"code"`
		Expires *controller.Time `json:"expires"`
	}
	if !a.proven(c.Request()) {
		return notProven("get a login code")
	}
	if a.opts.Token.Set() {
		code, until, err := a.sessions.code(time.Now())
		if err != nil {
			return err
		}
		answer.Code, answer.Expires = code, &controller.Time{Time: until}
	}
	return sendJSON(c, answer)
}

func notProven(what string) *problem {
	return newProblem(http.StatusForbidden,
		"only root, the daemon's own user, or a client that sends admin.token may "+what,
		"use sudo; or set admin.token, and send it")
}

// cookieName returns the name of the session's cookie. Browsers send a host's cookies to every port
// of it, so each port has a name of its own. On encrypted connections the prefix makes the browser
// refuse a cookie that another host has set.
func (a *Admin) cookieName(r *http.Request) string {
	prefix, port := "", "80"
	if a.encrypted(r) {
		prefix, port = "__Host-", "443"
	}
	if _, p, err := net.SplitHostPort(r.Host); err == nil && p != "" {
		port = p
	}
	return prefix + "oncue_session_" + port
}

// encrypted reports whether the browser uses HTTPS, here or up to a trusted proxy.
func (a *Admin) encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		return false
	}
	return slices.ContainsFunc(a.opts.TrustedProxies, func(p netip.Prefix) bool {
		return p.Contains(peer.Addr().Unmap())
	})
}

func (a *Admin) setSession(c echo.Context, value string, maxAge int) {
	http.SetCookie(c.Response(), &http.Cookie{
		Name: a.cookieName(c.Request()), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: a.encrypted(c.Request()),
	})
}
