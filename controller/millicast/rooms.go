package millicast

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// When a webhook's secret is renewed, the platform signs with the new one at once, before anybody here can
// know it, and it does not repeat what was refused. So hooks that no secret verifies are held in memory for a
// while, in case a secret comes that does.
//
// Anybody can send what looks like such a hook, so room is shared out. Peers that brought a verified delivery
// before have a room of their own, which no stranger can fill. In each room the peer that holds the most
// loses first, and of its hooks those of the stream that has the most, oldest first. A flood that comes from
// one peer, or names one stream, displaces itself. One that imitates everything from many peers displaces by
// chance, so that part of what came before it stays.
const (
	maxHeldBytes = 12 << 20 // of each of the two rooms, as cost counts
	maxHeldTime  = 15 * time.Minute
	maxHeldBody  = 8 << 10 // bytes of a hook; the platform's that move a stream have a few hundred

	heldCost = 512 // bytes of memory that a held hook takes beside its body, at most

	// Below these a share is not looked at: who has so little is not the flood.
	fairPeer   = maxHeldBytes / 64
	fairStream = maxHeldBytes / 1024

	heldPicks = 16 // shares that are compared when room has to be made; one is picked by its size
	heldLooks = 64 // and so many of the peer that is found
)

// held are the deliveries that wait for a secret.
type held struct {
	mu     sync.Mutex
	rooms  [2]room     // of strangers, and of known peers
	expiry *time.Timer // set while something is held
	closed bool
}

type heldDelivery struct {
	Delivery
	sig    signature
	stream string
	share  *heldShare // nil: it has left the room, and its body is gone
}

func (d *heldDelivery) cost() int              { return len(d.Body) + heldCost }
func (d *heldDelivery) old(now time.Time) bool { return now.Sub(d.Received) > maxHeldTime }

// room holds deliveries within maxHeldBytes.
type room struct {
	line  []*heldDelivery // oldest first; those that have left it stay until a third is empty
	peers map[string]*heldPeer
	count int
	bytes int
}

type heldPeer struct {
	streams map[string]*heldShare
	bytes   int
}

// heldShare is what one peer has sent for one stream.
type heldShare struct {
	peer  *heldPeer
	queue []*heldDelivery // oldest first; the first is there
	bytes int
}

// add puts d into the room that its peer belongs to. Room is made by what the comment at the top says.
func (h *held) add(d *heldDelivery, known bool, now time.Time) {
	if h.closed {
		return
	}
	room := &h.rooms[0]
	if known {
		room = &h.rooms[1]
	}
	room.add(d)
	for h.expire(now); room.bytes > maxHeldBytes; {
		room.remove(room.largest().queue[0])
	}
	if h.expiry == nil {
		h.expiry = time.AfterFunc(maxHeldTime, h.expireLater)
	}
}

// expire drops what is too old.
func (h *held) expire(now time.Time) {
	for i := range h.rooms {
		room := &h.rooms[i]
		for len(room.line) > 0 && (room.line[0].share == nil || room.line[0].old(now)) {
			room.remove(room.line[0])
			room.line[0] = nil
			room.line = room.line[1:]
		}
	}
}

// expireLater gives the memory back when nothing comes any more.
func (h *held) expireLater() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expiry = nil
	if h.expire(time.Now()); h.count() > 0 && !h.closed {
		h.expiry = time.AfterFunc(maxHeldTime, h.expireLater)
	}
}

func (h *held) count() int { return h.rooms[0].count + h.rooms[1].count }

// close forgets all and holds nothing any more.
func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.rooms = [2]room{}
	if h.expiry != nil {
		h.expiry.Stop()
	}
}

// takeAll empties the rooms and returns what is not too old, oldest first.
func (h *held) takeAll(now time.Time) (all []*heldDelivery) {
	h.expire(now)
	for i := range h.rooms {
		for _, d := range h.rooms[i].line {
			if d.share != nil {
				all = append(all, d)
			}
		}
	}
	h.rooms = [2]room{}
	slices.SortStableFunc(all, func(a, b *heldDelivery) int { return a.Received.Compare(b.Received) })
	return all
}

func (r *room) add(d *heldDelivery) {
	if r.peers == nil {
		r.peers = map[string]*heldPeer{}
	}
	peer := r.peers[d.Peer]
	if peer == nil {
		peer = &heldPeer{streams: map[string]*heldShare{}}
		r.peers[d.Peer] = peer
	}
	share := peer.streams[d.stream]
	if share == nil {
		share = &heldShare{peer: peer}
		peer.streams[d.stream] = share
	}
	d.share = share
	share.queue = append(share.queue, d)
	r.line = append(r.line, d)
	r.count++
	r.weigh(d, d.cost())
	if len(r.line) > r.count+r.count/2+16 {
		r.line = slices.DeleteFunc(r.line, func(d *heldDelivery) bool { return d.share == nil })
	}
}

func (r *room) weigh(d *heldDelivery, bytes int) {
	r.bytes += bytes
	d.share.bytes += bytes
	d.share.peer.bytes += bytes
}

// remove takes d out of the room, if it is still there.
func (r *room) remove(d *heldDelivery) {
	share := d.share
	if share == nil {
		return
	}
	r.weigh(d, -d.cost())
	r.count--
	d.share, d.Body = nil, nil
	for len(share.queue) > 0 && share.queue[0].share == nil {
		share.queue[0] = nil
		share.queue = share.queue[1:]
	}
	if share.bytes > 0 {
		return
	}
	delete(share.peer.streams, d.stream)
	if len(share.peer.streams) == 0 {
		delete(r.peers, d.Peer)
	}
}

// largest finds the share that has to give way, in a room that is not empty.
func (r *room) largest() (found *heldShare) {
	for picks := heldPicks; picks > 0; {
		share := r.line[rand.IntN(len(r.line))].share
		if share == nil {
			continue
		}
		if found == nil || share.exceeds(found) {
			found = share
		}
		picks--
	}
	looks := heldLooks
	for _, share := range found.peer.streams {
		if share.exceeds(found) {
			found = share
		}
		if looks--; looks == 0 {
			break
		}
	}
	return found
}

func (s *heldShare) exceeds(t *heldShare) bool {
	return cmp.Or(
		cmp.Compare(max(s.peer.bytes, fairPeer), max(t.peer.bytes, fairPeer)),
		cmp.Compare(max(s.bytes, fairStream), max(t.bytes, fairStream)),
	) > 0
}

// maxKnownPeers bounds what is remembered of those who can sign.
const maxKnownPeers = 1024

// knownPeers are the peers that brought verified deliveries, and when they last did.
type knownPeers struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (k *knownPeers) met(peer string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.last == nil {
		k.last = map[string]time.Time{}
	}
	if _, known := k.last[peer]; !known && len(k.last) >= maxKnownPeers {
		oldest := peer
		for p, t := range k.last {
			if oldest == peer || t.Before(k.last[oldest]) {
				oldest = p
			}
		}
		delete(k.last, oldest)
	}
	k.last[peer] = at
}

func (k *knownPeers) knows(peer string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.last[peer]
	return known
}
