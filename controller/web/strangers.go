package web

import (
	"hash/maphash"
	"net/netip"
	"time"

	"golang.org/x/time/rate"
)

// strangers is the flood guard. It counts, for each peer, deliveries that no secret verifies, and
// nothing else: a signed hook is never refused because of what others send, not even from the same
// address. Peers share a fixed number of places, so a million of them take no more memory than a
// thousand; two peers that share a place share its allowance.
type strangers struct {
	seed   maphash.Seed
	places [strangerPlaces]stranger
}

type stranger struct {
	deliveries *rate.Limiter // of unverified deliveries
	pictures   *rate.Limiter // of bad pictures
}

const (
	strangerPlaces = 1024

	// A peer is doubtful after so many bad pictures in a row, until so much time has passed.
	badPictures     = 3
	badPictureEvery = 10 * time.Second
)

// newStrangers allows each peer so many unverified deliveries a second; 0 for no cap.
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

// refuse counts an unverified delivery and returns how it is refused.
func (s *strangers) refuse(peer string) HookResult {
	if s.of(peer).deliveries.Allow() {
		return ResultSignature
	}
	return ResultFlood
}

// badPicture counts a picture that took a turn and was refused.
func (s *strangers) badPicture(peer string) { s.of(peer).pictures.Allow() }

// doubtful reports whether the peer has lately sent too many bad pictures.
func (s *strangers) doubtful(peer string) bool { return s.of(peer).pictures.Tokens() < 1 }

func (s *strangers) of(peer string) *stranger {
	return &s.places[maphash.String(s.seed, peer)%strangerPlaces]
}

// peerOf names the sender behind an address. For IPv6 it is the network, because a host has 2^64
// addresses.
func peerOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address // "" for a unix socket
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64) // it cannot fail: the zone was removed
	return network.String()
}
