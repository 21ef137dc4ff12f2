package millicast

import (
	"sync/atomic"
	"time"

	"github.com/oncue/oncue/controller"
)

// cause is one way in which a delivery can end. The names are the label values of the metric.
type cause int

const (
	causeAccepted cause = iota
	causeDuplicate
	causeIgnored
	causeStale
	causeQuarantined
	causeNoSignature
	causeBadSignature
	causeWrongAccount
	causeContentType
	causeTooLarge
	causeStore
	causes
)

var causeNames = [causes]string{
	"accepted", "duplicate", "ignored", "stale", "quarantined",
	"no_signature", "bad_signature", "wrong_account", "content_type", "too_large", "store",
}

type counters struct {
	results         [causes]atomic.Uint64
	recovered       atomic.Uint64
	thumbnailErrors atomic.Uint64
}

func (c *counters) count(v controller.Verdict) {
	for i, name := range causeNames {
		if string(v) == name {
			c.results[i].Add(1)
			return
		}
	}
}

// Stats are a Receiver's counts since it was made.
type Stats struct {
	Results         map[string]uint64    // deliveries by result: a verdict, or why it was refused; has every result
	Recovered       uint64               // deliveries received late, when a new secret verified them
	Held            int                  // deliveries that wait for a secret now
	ThumbnailErrors uint64               // pictures that could not be saved
	LastHook        map[string]time.Time // by account: when the last verified delivery came; zero: none yet
	Secrets         []SecretUse          // one for each secret
}

// SecretUse says when a secret last verified a delivery. One that stays unused after a rotation can
// be removed.
type SecretUse struct {
	Account string
	Index   int       // place in the account's list, from 0
	Last    time.Time // zero: never
}

// Stats returns the counts; the caller owns them.
func (r *Receiver) Stats() Stats {
	ring := r.ring.Load()
	s := Stats{
		Results:         make(map[string]uint64, causes),
		Recovered:       r.stats.recovered.Load(),
		ThumbnailErrors: r.stats.thumbnailErrors.Load(),
		LastHook:        make(map[string]time.Time, len(ring.accounts)),
	}
	for i, name := range causeNames {
		s.Results[name] = r.stats.results[i].Load()
	}
	for account, last := range ring.accounts {
		s.LastHook[account] = last.time()
	}
	for _, k := range ring.keys {
		s.Secrets = append(s.Secrets, SecretUse{k.account, k.index, k.last.time()})
	}
	r.held.mu.Lock()
	s.Held = r.held.count()
	r.held.mu.Unlock()
	return s
}

// moment is a time that may be set concurrently and never goes back; the zero value is no time.
type moment struct{ nanos atomic.Int64 }

func (m *moment) set(t time.Time) {
	n := t.UnixNano()
	for {
		old := m.nanos.Load()
		if n <= old || m.nanos.CompareAndSwap(old, n) {
			return
		}
	}
}

func (m *moment) time() time.Time {
	if n := m.nanos.Load(); n != 0 {
		return time.Unix(0, n).UTC()
	}
	return time.Time{}
}
