package store

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/controller"
)

// seen finds the journal row with a given sum without touching the file. It holds about eleven bytes a row and forgets in whole
// generations. It says where to look; the journal says whether it is true.
type seen struct {
	generations []*generation // oldest first
	rows        int
}

// generation is one open-addressing table over rows that arrived together.
type generation struct {
	slots  []uint64 // 40 bits of the sum's key, 24 bits of seq-base+1; 0 is empty
	memory []byte   // that the slots are in; nil when they are in the heap
	rows   int
	base   int64 // seq of its first row
	newest int64 // received, ms
}

const (
	seenIndexBits = 24
	seenIndexMask = 1<<seenIndexBits - 1
	seenMinSlots  = 1 << 13
	seenMaxSlots  = 1 << 22
)

// identity is what two deliveries share when one repeats the other. Nothing that was set aside, and no
// picture, stands in the way of a hook with the same body: whoever sees a hook before the daemon does
// could otherwise have it ignored.
type identity struct {
	sum     [32]byte
	picture bool // the journal keeps no body of it
	aside   bool // stored and not acted on
}

func identityOf(r *controller.Record) identity {
	return identity{sum: r.Sum, picture: r.Body == nil, aside: r.Verdict != controller.Accepted}
}

// earlier lists what a delivery repeats when it was stored before, and how many those are: what was acted
// on of its own kind and, for one that is set aside, what was set aside like it.
func (id identity) earlier() (all [2]identity, n int) {
	all[0], all[1] = id, id
	all[0].aside = false
	if id.aside {
		return all, 2
	}
	return all, 1
}

// key is what the index and the runs keep of an identity; 0 is for rows without a sum.
func (id identity) key() uint64 {
	key := plainKey(id.sum)
	if key == 0 {
		return 0
	}
	if id.picture {
		key ^= 1 << 62
	}
	if id.aside {
		key ^= 1 << 63
	}
	return key
}

// plainKey is the key of a hook that was acted on. Runs of older versions have it for all their rows.
func plainKey(sum [32]byte) uint64 { return binary.BigEndian.Uint64(sum[:8]) }

func (s *seen) add(key uint64, seq, received int64) {
	if key == 0 {
		return
	}
	g := s.open(seq)
	slot := key & uint64(len(g.slots)-1)
	for g.slots[slot] != 0 {
		slot = (slot + 1) & uint64(len(g.slots)-1)
	}
	g.slots[slot] = key&^seenIndexMask | uint64(seq-g.base+1)
	g.rows++
	g.newest = max(g.newest, received)
	s.rows++
}

// open returns the generation to add to. Each holds up to a quarter of all rows, so that a lookup meets few, and old ones go soon.
func (s *seen) open(seq int64) *generation {
	if n := len(s.generations); n > 0 {
		g := s.generations[n-1]
		if g.rows < len(g.slots)/4*3 && seq >= g.base && seq-g.base+1 <= seenIndexMask {
			return g
		}
	}
	slots := seenMinSlots
	for slots < s.rows/3 && slots < seenMaxSlots {
		slots *= 2
	}
	g := newGeneration(slots, seq)
	s.generations = append(s.generations, g)
	return g
}

// newGeneration makes an empty one. Its slots are outside the collector's heap: it would let as much garbage gather as they take, and they live for a day.
func newGeneration(slots int, base int64) *generation {
	g := &generation{base: base}
	if memory, err := unix.Mmap(-1, 0, slots*8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err == nil {
		g.memory, g.slots = memory, unsafe.Slice((*uint64)(unsafe.Pointer(&memory[0])), slots)
	} else {
		g.slots = make([]uint64, slots)
	}
	return g
}

// free gives the slots back.
func (g *generation) free() {
	if g.memory != nil {
		_ = unix.Munmap(g.memory)
	}
	g.memory, g.slots = nil, nil
}

// find calls match with each row that may have the key, newest generation first, until it returns true.
func (s *seen) find(key uint64, match func(seq int64) bool) bool {
	if key == 0 {
		return false
	}
	for i := len(s.generations) - 1; i >= 0; i-- {
		g := s.generations[i]
		mask := uint64(len(g.slots) - 1)
		for slot := key & mask; g.slots[slot] != 0; slot = (slot + 1) & mask {
			if v := g.slots[slot]; (v^key)&^seenIndexMask == 0 && match(g.base+int64(v&seenIndexMask)-1) {
				return true
			}
		}
	}
	return false
}

// old reports whether forget would drop anything.
func (s *seen) old(before int64) bool {
	return len(s.generations) > 0 && s.generations[0].newest < before
}

// forget drops the generations whose rows were all received before the given time, ms.
func (s *seen) forget(before int64) {
	for s.old(before) {
		s.rows -= s.generations[0].rows
		s.generations[0].free()
		s.generations[0] = nil
		s.generations = s.generations[1:]
	}
}

// clear forgets everything.
func (s *seen) clear() {
	for _, g := range s.generations {
		g.free()
	}
	*s = seen{}
}
