package simulator

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// APIFaults is what goes wrong with the REST API. The zero value is an API that works. Of Status,
// Hang and Garbage a request suffers only one, the first that is set.
type APIFaults struct {
	Path  string  // only requests whose path begins so; "" for all
	Share float64 // of the requests that suffer, 0 to 1; 0 means all

	Status     int           // answered instead: 429, 500, 503, …
	RetryAfter time.Duration // header beside Status, whole seconds; not scaled
	Hang       bool          // no answer until the client gives up
	Garbage    bool          // 200 with something that is no JSON

	Delay    time.Duration // before every answer; real time
	StaleFor time.Duration // a stream that ended is shown as live for so long; platform time
}

// apiFaults holds the current faults.
type apiFaults struct {
	mu     sync.Mutex
	now    APIFaults
	random *rand.Rand
}

func (a *apiFaults) get() APIFaults {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

// SetAPIFaults changes what goes wrong with the REST API, from the next request on.
func (s *Simulator) SetAPIFaults(f APIFaults) {
	s.apiFaults.mu.Lock()
	defer s.apiFaults.mu.Unlock()
	s.apiFaults.now = f
}

// hits returns the current faults, and whether this request suffers them.
func (a *apiFaults) hits(r *http.Request) (APIFaults, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.now
	return f, strings.HasPrefix(r.URL.Path, f.Path) && (f.Share == 0 || a.random.Float64() < f.Share)
}

// disturb applies the faults to a request and reports whether they have answered it.
func (a *apiFaults) disturb(s *Simulator, w http.ResponseWriter, r *http.Request) bool {
	f, hit := a.hits(r)
	if !hit {
		return false
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
	}
	switch {
	case f.Status != 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
		}
		respond(w, f.Status, failed{"error", http.StatusText(f.Status), f.Status})
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.ctx.Done():
		}
		panic(http.ErrAbortHandler)
	case f.Garbage:
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"status":"success","data":[{"id":`)
	default:
		return false
	}
	return true
}
