package web

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// strangers is the flood guard. It counts, for each peer, what no secret verifies, and nothing else: a signed
// hook is never refused for what others send, not even from the same address. Peers share a fixed number of
// places, so a million of them take no more memory than a thousand; two that meet in one share its allowance.
type strangers struct {
	seed   maphash.Seed
	places [strangerPlaces]stranger
}

type stranger struct {
	deliveries *rate.Limiter // that no secret verifies
	pictures   *rate.Limiter // that came to nothing
}

const (
	strangerPlaces = 1024

	// A peer that has spent this on pictures that came to nothing is doubtful until it has some again.
	badPictures     = 3
	badPictureEvery = 10 * time.Second
)

// newStrangers lets each peer send so many deliveries a second that no secret verifies; 0 for no bound.
func newStrangers(perSecond int) *strangers {
	limit := rate.Inf
	if perSecond > 0 {
		limit = rate.Limit(perSecond)
	}
	s := &strangers{seed: maphash.MakeSeed()}
	for i := range s.places {
		s.places[i] = stranger{
			deliveries: rate.NewLimiter(limit, perSecond),
			pictures:   rate.NewLimiter(rate.Every(badPictureEvery), badPictures),
		}
	}
	return s
}

// unverified counts a delivery and reports whether its peer may still send such.
func (s *strangers) unverified(peer string) bool { return s.of(peer).deliveries.Allow() }

// badPicture counts a picture that took a turn and came to nothing.
func (s *strangers) badPicture(peer string) { s.of(peer).pictures.Allow() }

// doubtful reports whether the peer's pictures have come to nothing lately.
func (s *strangers) doubtful(peer string) bool { return s.of(peer).pictures.Tokens() < 1 }

func (s *strangers) of(peer string) *stranger {
	return &s.places[maphash.String(s.seed, peer)%strangerPlaces]
}

// peerOf names who sends from an address: whoever has one of IPv6 has 2^64 of them.
func peerOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address // of a unix socket: none
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64) // of an address without zone it always works
	return network.String()
}
