package store

import (
	"database/sql/driver"
	"fmt"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// recentMost is how many hooks are remembered, in about a megabyte.
const recentMost = 8192

// recent remembers the newest hooks under load, for senders tell the time in milliseconds and many
// hooks are of the newest one: each of these would be looked for in the database. What it says of
// the journal is so for as long as the writer alone adds to it, and whatever failed was undone; so
// it is forgotten after each failure, and after each request that was written alone. Eight hooks
// are written in 0.29 ms instead of 0.33.
type recent struct {
	known bool
	last  int64 // seq of the last hook
	sent  int64 // the newest time by which the indexes of bodies are sorted
	from  int64 // all hooks with this time or a later one are in hooks
	hooks map[identity]remembered
}

type remembered struct {
	seq, received int64
}

func (h *recent) forget() { h.known = false }

// load asks the database for what is not known.
func (h *recent) load(c *commit.Conn) error {
	if h.known {
		return nil
	}
	err := c.Query(newestHook, nil, 2, func(row []driver.Value) error {
		h.last, _ = row[0].(int64)
		h.sent, _ = row[1].(int64)
		return nil
	})
	if err != nil {
		return fmt.Errorf("number a hook: %w", err)
	}
	h.known = true
	h.clear()
	return nil
}

func (h *recent) clear() {
	if h.hooks == nil {
		h.hooks = map[identity]remembered{}
	}
	clear(h.hooks)
	h.from = h.sent + 1
}

// repeated returns the seq of the row that r repeats, 0 if there is none.
func (h *recent) repeated(c *commit.Conn, r *controller.Record) (int64, error) {
	id := identityOf(r)
	for _, before := range id.earlier() {
		got, ok := h.hooks[before]
		if apart := millis(r.Received) - got.received; ok && max(apart, -apart) < duplicateWindow.Milliseconds() {
			return got.seq, nil
		}
	}
	if id.sentAt(r) >= h.from {
		return 0, nil
	}
	return repeated(c, r)
}

// add gives r the next number.
func (h *recent) add(r *controller.Record) int64 {
	h.last++
	if r.Sum != ([32]byte{}) {
		if len(h.hooks) >= recentMost {
			h.clear()
		}
		id := identityOf(r)
		h.sent = max(h.sent, id.sentAt(r))
		h.hooks[id] = remembered{h.last, millis(r.Received)}
	}
	return h.last
}
