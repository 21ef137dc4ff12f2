package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/boxes"
)

// session is the result of a login.
type session struct {
	mu       sync.Mutex
	loggedIn bool
	at       time.Time
	host     string
	captured map[string]string
	cookies  []cookie // in the order in which the box set them

	refused   error // of the last login
	refusedAt time.Time
}

type cookie struct{ name, value string }

// valid reports whether requests to host can use the session now.
func (s *session) valid(host string, maxAge time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loggedIn && s.host == host && (maxAge == 0 || time.Since(s.at) < maxAge)
}

// forget drops the session.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loggedIn, s.captured, s.cookies = false, nil, nil
}

// values is what the login captured; nil while there is no session.
func (s *session) values() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.captured)
}

func (s *session) cookieHeader() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	pairs := make([]string, len(s.cookies))
	for i, c := range s.cookies {
		pairs[i] = c.name + "=" + c.value
	}
	return strings.Join(pairs, "; ")
}

// keepCookies keeps the cookies of an answer as they are written: boxes set attributes and
// characters that the rules of browsers forbid.
func (s *session) keepCookies(header http.Header, m *secret.Masker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range parseCookies(header) {
		if len(c.value) > 3 {
			m.Know(c.value)
		}
		found := false
		for i := range s.cookies {
			if s.cookies[i].name == c.name {
				s.cookies[i], found = c, true
			}
		}
		if !found {
			s.cookies = append(s.cookies, c)
		}
	}
}

func parseCookies(header http.Header) []cookie {
	var out []cookie
	for _, line := range header.Values("Set-Cookie") {
		pair, _, _ := strings.Cut(line, ";")
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if ok && name != "" {
			out = append(out, cookie{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return out
}

// errLogin is in the chain of every refused login.
var errLogin = errors.New("the login was refused")

// logIn opens a session. The caller has the turn at the box.
func (c *call) logIn(ctx context.Context) error {
	s, l := &c.e.session, c.plan.login
	s.mu.Lock()
	refused, again := s.refused, time.Until(s.refusedAt.Add(c.plan.settings.Login.Backoff))
	s.mu.Unlock()
	if refused != nil && again > 0 {
		return fmt.Errorf("%w (the next try is in %s)", refused, again.Round(time.Second))
	}
	s.forget()
	defer c.during("login")()
	a, err := c.attempt(ctx, l.request, nil, false)
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	if err := c.judge(l.request, a); err != nil {
		err = fmt.Errorf("log in: %w: %w", errLogin, err)
		s.mu.Lock()
		s.refused, s.refusedAt = err, time.Now()
		s.mu.Unlock()
		return err
	}
	captured := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(l.capture)) {
		value := l.capture[name].find(a, c.values)
		if value == "" {
			return fmt.Errorf("log in: %s: the answer does not hold what login.capture.%s asks for: %s",
				l.target(c.values), name, a.show(c.Mask))
		}
		captured[name] = value
		c.Mask.Know(value)
	}
	s.keepCookies(a.header, c.Mask)
	s.mu.Lock()
	s.loggedIn, s.at, s.host, s.captured, s.refused = true, time.Now(), c.host, captured, nil
	s.mu.Unlock()
	return nil
}

// find returns the captured value, "" when it is not in the answer.
func (p capture) find(a *answer, v *values) string {
	switch {
	case p.value.Set():
		return p.value.Text(a.facts(v))
	case p.header != "":
		return a.header.Get(p.header)
	case p.cookie != "":
		for _, c := range parseCookies(a.header) {
			if c.name == p.cookie {
				return c.value
			}
		}
	case p.regex != nil:
		if m := p.regex.FindStringSubmatch(a.text); m != nil {
			return m[min(1, len(m)-1)]
		}
	}
	return ""
}

// judge returns nil when the box did what the request asked for, or had done it before.
func (c *call) judge(r *request, a *answer) error {
	f := a.facts(c.values)
	if r.already.Set() {
		if holds, err := r.already.Holds(f); err == nil && holds {
			return nil
		}
	}
	holds, err := r.success.Holds(f)
	if err == nil && holds {
		return nil
	}
	refusal := &boxes.Refusal{Text: r.complaint(a, f, c.values, err)}
	if busy, err := orFalse(r.busy, f); err == nil && busy {
		refusal.Cause = encoders.ErrBusy
		return refusal
	}
	if permanent, err := orFalse(r.permanent, f); err == nil && permanent {
		return encoders.Permanent(refusal)
	}
	return refusal
}

func orFalse(r boxes.Rule, f facts) (bool, error) {
	if !r.Set() {
		return false, nil
	}
	return r.Holds(f)
}
