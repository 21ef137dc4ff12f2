package store

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/store/commit"
)

// duplicateWindow is how long a body is remembered.
const duplicateWindow = 24 * time.Hour

// identity is what two deliveries share when one repeats the other. Nothing that was set aside, and
// no picture, stands in the way of a hook with the same body: whoever sees a hook before the daemon
// does could otherwise have it ignored.
type identity struct {
	sum     [32]byte
	picture bool // the journal keeps no body of it
	aside   bool // stored and not acted on
}

func identityOf(r *controller.Record) identity {
	return identity{sum: r.Sum, picture: r.Body == nil, aside: r.Verdict != controller.Accepted}
}

// earlier lists what a delivery repeats when it was stored before: what was acted on of its own
// kind and, for one that is set aside, what was set aside like it.
func (id identity) earlier() []identity {
	acted := id
	acted.aside = false
	if id.aside {
		return []identity{acted, id}
	}
	return []identity{acted}
}

// key is what the table swept keeps of an identity.
func (id identity) key() []byte {
	key := binary.BigEndian.Uint64(id.sum[:])
	if id.picture {
		key ^= 1 << 62
	}
	if id.aside {
		key ^= 1 << 63
	}
	return binary.BigEndian.AppendUint64(nil, key)
}

// sentAt is the time by which the indexes of bodies are sorted. That of a picture is signed by
// nobody, and may be another when it is brought again.
func (id identity) sentAt(r *controller.Record) int64 {
	if id.picture {
		return 0
	}
	return millis(r.Sent)
}

// newestHook asks for the number of the last hook, and for the last of those times, the end of all
// when one of them is not known.
const newestHook = "SELECT (SELECT max(seq) FROM journal)," +
	" coalesce((SELECT 1 << 62 FROM swept WHERE sent = -1 LIMIT 1)," +
	" max(coalesce((SELECT max(iif(body IS NULL, 0, sent)) FROM journal), 0)," +
	" coalesce((SELECT max(sent) FROM swept), 0)))"

// findDuplicate looks into the journal, and into what was swept from it. It compares one by one,
// for an IN would fill a table of its own for each hook.
var findDuplicate = "SELECT seq FROM journal WHERE iif(body IS NULL, 0, sent) = ?1" +
	" AND substr(sum, 1, 8) = ?2 AND sum = ?3 AND (body IS NULL) = ?4" +
	" AND (verdict = 'accepted' OR ?5) AND abs(received - ?6) < ?7" +
	swept("?1", "?8") + swept("?1", "?9") + swept("-1", "?8") + swept("-1", "?9") + " LIMIT 1"

func swept(sent, key string) string {
	return " UNION ALL SELECT seq FROM swept WHERE sent = " + sent + " AND key = " + key +
		" AND abs(received - ?6) < ?7"
}

func inWindow(before, received int64) bool {
	return max(received-before, before-received) < duplicateWindow.Milliseconds()
}

// repeated returns the seq of the row that r repeats and that was received within the window, 0 if
// there is none. The same body says the same time of sending, so the index need not look elsewhere.
func repeated(c *commit.Conn, r *controller.Record) (int64, error) {
	id := identityOf(r)
	earlier := id.earlier()
	seq, err := c.Number(findDuplicate, id.sentAt(r), id.sum[:8], id.sum[:], oneIf(id.picture), oneIf(id.aside),
		millis(r.Received), duplicateWindow.Milliseconds(), earlier[0].key(), earlier[len(earlier)-1].key())
	if err != nil {
		return 0, fmt.Errorf("look for a duplicate: %w", err)
	}
	return seq, nil
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// rememberSwept keeps the identities of hooks up to last that are about to be removed from the
// journal, and may have duplicates yet.
func rememberSwept(c *commit.Conn, last int64, now time.Time) error {
	const rows = "SELECT seq, received, iif(body IS NULL, 0, sent), sum, body IS NULL, verdict FROM journal" +
		" WHERE seq <= ? AND received > ? AND sum IS NOT NULL"
	var found [][]driver.Value
	err := c.Query(rows, []driver.Value{last, now.Add(-duplicateWindow).UnixMilli()}, 6,
		func(row []driver.Value) error {
			sum, _ := row[3].([]byte)
			if len(sum) != 32 {
				return fmt.Errorf("%w: a sum has %d bytes", errCorrupt, len(sum))
			}
			id := identity{sum: [32]byte(sum), picture: row[4] == int64(1)}
			id.aside = row[5] != string(controller.Accepted)
			found = append(found, []driver.Value{row[0], row[1], row[2], id.key()})
			return nil
		})
	for _, one := range found {
		if err == nil {
			err = c.Exec("INSERT OR REPLACE INTO swept (seq, received, sent, key) VALUES (?, ?, ?, ?)", one...)
		}
	}
	return err
}
