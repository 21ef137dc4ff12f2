package millicast

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Anybody can send what looks like a genuine hook, so the space for held hooks is shared out. Peers
// that brought a verified delivery before have a room of their own, which no stranger can fill.
// When a room is full, the peer that holds the most loses hooks first, and of its hooks those of
// the stream that has the most, oldest first. A flood that comes from one peer, or names one
// stream, displaces itself. One that imitates everything from many peers displaces at random, so
// that part of what came before it stays.
const (
	maxHeldBytes = 12 << 20 // of each of the two rooms, by heldDelivery.cost
	maxHeldTime  = 15 * time.Minute
	maxHeldBody  = 8 << 10 // bytes of a hook; the platform's that move a stream have a few hundred

	heldCost = 512 // bytes of memory that a held hook takes beside its body, at most

	// Shares below these sizes count as equal: so small a share is not the flood.
	fairPeer   = maxHeldBytes / 64
	fairStream = maxHeldBytes / 1024

	// To make space, shares are picked at random, weighted by their size; the largest of them
	// loses, or the largest of so many streams of the same peer.
	peerSamples   = 16
	streamSamples = 64
)

// held is the deliveries that wait for a secret that verifies them.
type held struct {
	mu     sync.Mutex
	rooms  [2]room     // for strangers, and for known peers
	expiry *time.Timer // set while something is held
	closed bool
}

type heldDelivery struct {
	Delivery
	sig    signature
	stream string
	share  *heldShare // nil once it was removed; its body is nil then, too
}

func (d *heldDelivery) cost() int                  { return len(d.Body) + heldCost }
func (d *heldDelivery) expired(now time.Time) bool { return now.Sub(d.Received) > maxHeldTime }

func byReceived(a, b *heldDelivery) int { return a.Received.Compare(b.Received) }

// room holds deliveries within maxHeldBytes.
type room struct {
	line  []*heldDelivery // oldest first; removed ones stay until they are a third of it
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
	queue []*heldDelivery // oldest first; the first one is not removed
	bytes int
}

// add puts d into the room that its peer belongs to, and makes space there as the comment at the
// top says. The caller has mu, here and where no method below says otherwise.
func (h *held) add(d *heldDelivery, known bool, now time.Time) {
	if h.closed {
		return
	}
	room := &h.rooms[0]
	if known {
		room = &h.rooms[1]
	}
	room.add(d)
	h.expire(now)
	for room.bytes > maxHeldBytes {
		room.remove(room.largest().queue[0])
	}
	if h.expiry == nil {
		h.expiry = time.AfterFunc(maxHeldTime, h.runExpiry)
	}
}

// expire removes what is too old.
func (h *held) expire(now time.Time) {
	for i := range h.rooms {
		room := &h.rooms[i]
		for len(room.line) > 0 && (room.line[0].share == nil || room.line[0].expired(now)) {
			room.remove(room.line[0])
			room.line[0] = nil
			room.line = room.line[1:]
		}
	}
}

// runExpiry frees the memory when no more deliveries come. It locks mu.
func (h *held) runExpiry() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expiry = nil
	h.expire(time.Now())
	if h.count() > 0 && !h.closed {
		h.expiry = time.AfterFunc(maxHeldTime, h.runExpiry)
	}
}

func (h *held) count() int { return h.rooms[0].count + h.rooms[1].count }

// close removes everything and makes add do nothing. It locks mu.
func (h *held) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.rooms = [2]room{}
	if h.expiry != nil {
		h.expiry.Stop()
	}
}

// removeAll empties the rooms and returns what is not too old, oldest first.
func (h *held) removeAll(now time.Time) (all []*heldDelivery) {
	h.expire(now)
	for i := range h.rooms {
		for _, d := range h.rooms[i].line {
			if d.share != nil {
				all = append(all, d)
			}
		}
	}
	h.rooms = [2]room{}
	slices.SortStableFunc(all, byReceived)
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
	r.addBytes(d, d.cost())
	if len(r.line) > r.count+r.count/2+16 {
		r.line = slices.DeleteFunc(r.line, func(d *heldDelivery) bool { return d.share == nil })
	}
}

func (r *room) addBytes(d *heldDelivery, bytes int) {
	r.bytes += bytes
	d.share.bytes += bytes
	d.share.peer.bytes += bytes
}

// remove removes d, if it is still there.
func (r *room) remove(d *heldDelivery) {
	share := d.share
	if share == nil {
		return
	}
	r.addBytes(d, -d.cost())
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

// largest finds the share that loses a hook, in a room that is not empty.
func (r *room) largest() (found *heldShare) {
	for samples := peerSamples; samples > 0; {
		share := r.line[rand.IntN(len(r.line))].share
		if share == nil {
			continue
		}
		if found == nil || share.exceeds(found) {
			found = share
		}
		samples--
	}
	samples := streamSamples
	for _, share := range found.peer.streams {
		if share.exceeds(found) {
			found = share
		}
		if samples--; samples == 0 {
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

// maxKnownPeers is how many peers are remembered, those that were heard last.
const maxKnownPeers = 1024

// knownPeers are the peers that brought verified deliveries, and when they last did.
type knownPeers struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (k *knownPeers) add(peer string, at time.Time) {
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

func (k *knownPeers) contains(peer string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, known := k.last[peer]
	return known
}
