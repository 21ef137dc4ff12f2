package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	guessBurst  = 10 // wrong tokens in a row from one peer; after that, one a second
	maxGuessers = 4096
)

// guesses counts wrong tokens by peer. It never counts or refuses right ones, so that guessing
// locks nobody out, whatever address it comes from. The count bounds what guessing costs oncue; the
// length of the token bounds what it can gain.
type guesses struct {
	mu    sync.Mutex
	peers map[string]*rate.Limiter
	rest  *rate.Limiter // shared by all peers beyond maxGuessers
}

func newGuesses() *guesses {
	return &guesses{peers: map[string]*rate.Limiter{}, rest: rate.NewLimiter(1, guessBurst)}
}

// wrong counts a wrong token and reports whether the peer may go on.
func (g *guesses) wrong(peer string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.peers[peer]
	if l == nil {
		if len(g.peers) >= maxGuessers {
			for p, l := range g.peers {
				if l.TokensAt(now) >= guessBurst { // no guess lately
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

// guesser names the peer that is counted. For IPv6 it is the network, because one host may have all
// of its addresses.
func guesser(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, _ := ip.Prefix(64)
	return network.String()
}
