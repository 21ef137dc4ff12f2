package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
)

// contentPolicy lets the pages load only what this server serves: no inline script or style, no
// frame around them.
const contentPolicy = "default-src 'self'; base-uri 'none'; form-action 'self'; " +
	"frame-ancestors 'none'; object-src 'none'"

// shortestToken is how many characters a token must have where other hosts can try to guess it.
const shortestToken = 16

// mayServe returns an error when other hosts can connect to l and there is no good token.
func (a *Admin) mayServe(l net.Listener) error {
	if placeOf(l.Addr()) == placeNetwork && len(a.opts.Token.Reveal()) < shortestToken {
		return fmt.Errorf("serve the admin side on %s: admin.token is required where other hosts can connect, "+
			"with %d characters or more", l.Addr(), shortestToken)
	}
	return nil
}

// guard checks every request before the admin side's routes.
func (a *Admin) guard(next http.Handler) http.Handler {
	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		newProblem(http.StatusForbidden, "requests from other sites are refused", "").write(w)
	}))
	next = sameOrigin.Handler(a.authenticate(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connOf(r).markAnswering()
		if r.Header.Get("Expect") != "" { // a refusal leaves the body unread
			defer linger(w, r)
		}
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if reachedAt(r) == placeLoopback && !a.rightHost(r.Host) {
			newProblem(http.StatusMisdirectedRequest, "the Host "+quote(r.Host)+" is not a name of this host",
				"use http://localhost, or add the name to admin.allowed_hosts").write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// rightHost reports whether a Host header is right for a loopback listener. A page of another site
// may have a name that resolves to this host (DNS rebinding).
func (a *Admin) rightHost(host string) bool {
	return loopbackName(host) || slices.ContainsFunc(a.opts.AllowedHosts, func(allowed string) bool {
		return strings.EqualFold(nameOf(host), allowed)
	})
}

// loopbackName reports whether a Host header is localhost or a loopback address.
func loopbackName(host string) bool {
	name := nameOf(host)
	if ip := net.ParseIP(name); ip != nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(name, "localhost")
}

func nameOf(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.Trim(host, "[]")
}

// open reports whether an address needs no token: the login page and its parts, and /healthz.
func open(path string) bool {
	return path == "/login" || path == "/healthz" || strings.HasPrefix(path, "/assets/")
}

// authenticate requires the token, as a Bearer token or as the cookie of a login. Clients of the
// unix socket need no token, unless they may be encoders.
func (a *Admin) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.opts.Token.Set() || a.bySocket(r) || open(r.URL.EscapedPath()) {
			next.ServeHTTP(w, r)
			return
		}
		err := a.identify(r)
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
		case errors.Is(err, errWrongToken) && !a.wrongToken(r, "a request"):
			w.Header().Set("Retry-After", "1")
			newProblem(http.StatusTooManyRequests, "too many wrong tokens",
				"the right one is accepted at any time").write(w)
		case fromBrowser(r):
			http.Redirect(w, r, "/login", http.StatusSeeOther)
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="oncue"`)
			newProblem(http.StatusUnauthorized, err.Error(),
				"send Authorization: Bearer with admin.token of the configuration").write(w)
		}
	})
}

// fromBrowser reports whether r asks for a page.
func fromBrowser(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html")
}

// bySocket reports whether r came by a unix socket, and not from an encoder, which could open the
// socket because it runs as the daemon's user.
func (a *Admin) bySocket(r *http.Request) bool {
	return reachedAt(r) == placeUnix && !a.mayBeEncoder(localUser(r))
}

var errWrongToken = errors.New("the token is wrong")

func (a *Admin) identify(r *http.Request) error {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if strings.EqualFold(scheme, "Bearer") && a.opts.Token.Equal(strings.TrimSpace(token)) {
			return nil
		}
		return errWrongToken
	}
	if _, _, ok := a.sessionOf(r); ok {
		return nil
	}
	return errors.New("a token is required")
}
