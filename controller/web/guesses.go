package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	guessBurst  = 10 // wrong tokens in a row from one peer, then one a second
	maxGuessers = 4096
)

// guesses counts wrong tokens, by peer. Right ones are never counted nor refused: who guesses, from
// whatever address, locks nobody out. What guessing costs here is bounded by that, and what it can
// gain by the length of the token.
type guesses struct {
	mu    sync.Mutex
	peers map[string]*rate.Limiter
	rest  *rate.Limiter // shared by peers for which there is no room
}

func newGuesses() *guesses {
	return &guesses{peers: map[string]*rate.Limiter{}, rest: rate.NewLimiter(1, guessBurst)}
}

// wrong counts one, and reports whether the peer may go on.
func (g *guesses) wrong(peer string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.peers[peer]
	if l == nil {
		if len(g.peers) >= maxGuessers {
			for p, l := range g.peers {
				if l.TokensAt(now) >= guessBurst { // it has been quiet
					delete(g.peers, p)
				}
			}
		}
		if len(g.peers) >= maxGuessers {
			return g.rest.AllowN(now, 1)
		}
		l = rate.NewLimiter(1, guessBurst)
		g.peers[peer] = l
	}
	return l.AllowN(now, 1)
}

// wrongToken counts a wrong token in r and logs it, and reports whether the peer may go on.
func (a *Admin) wrongToken(r *http.Request, where string) bool {
	from := a.clientAddr(r)
	if !a.guesses.wrong(guesser(from), time.Now()) {
		return false
	}
	a.opts.Log.Warn("a wrong admin token was refused", "in", where, "from", from, "path", r.URL.Path)
	return true
}

// guesser is the peer that is counted: of IPv6 the network, for one host has all of it.
func guesser(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, _ := ip.Prefix(64)
	return network.String()
}
