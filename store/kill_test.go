package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

const (
	childDir = "ONCUE_STORE_TEST_CHILD"
	together = "together" // event of hooks that are stored with a state, and of its story
)

// child stores hooks and stream states as fast as it can, and prints a line for each that it was
// promised. It ends by being killed.
func child(dir string) error {
	s, err := Open(context.Background(), Options{Dir: dir, LockWait: time.Minute})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(os.Stdout, format, args...) // one write, so a line is whole or not there
	}
	errs := make(chan error)
	base := time.Now().UnixNano()
	for worker := range 16 {
		go func() {
			for n := 0; ; n++ {
				r := hook(n)
				r.Note = fmt.Sprintf("%d-%d-%d", base, worker, n)
				r.Body = []byte(r.Note)
				r.Sum = sha256.Sum256(r.Body)
				id := fmt.Sprintf("ABC/s-%d", worker)
				saved := controller.Saved{ID: controller.StreamID(id)}
				saved.State = binary.BigEndian.AppendUint64(nil, uint64(base)+uint64(n))
				story := []controller.Transition{{Stream: controller.StreamID(id), Reason: r.Note}}
				var seq int64
				var err error
				if n%4 == 0 {
					r.Event, story[0].Event = together, together
					seq, _, err = commitOne(context.Background(), s, r, saved, story)
				} else {
					seq, _, err = s.Append(context.Background(), r)
				}
				if n%4 == 2 && err == nil {
					err = saveStream(context.Background(), s, saved, story)
				}
				if err != nil {
					errs <- err
					return
				}
				say("hook %d %s\n", seq, r.Note)
				if n%2 == 0 {
					say("state %s %d\n", id, uint64(base)+uint64(n))
				}
			}
		}()
	}
	return <-errs
}

// TestKill kills a process that stores, again and again, and holds every promise it made against
// the file.
func TestKill(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 5
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	hooks := map[string]string{}  // note → seq
	states := map[string]uint64{} // stream → the last promised
	for range kills {
		killOne(t, dir, 50+random.IntN(2000), hooks, states)
	}
	s := open(t, dir)
	missing := 0
	for note, seq := range hooks {
		if number(t, s, "SELECT count(*) FROM journal WHERE seq = ? AND note = ?", seq, note) != 1 {
			missing++
		}
	}
	saved, err := s.LoadStreams(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range saved {
		if binary.BigEndian.Uint64(one.State) < states[string(one.ID)] {
			missing++
		}
		delete(states, string(one.ID))
	}
	for _, query := range []string{
		"SELECT count(*) FROM journal WHERE event = ? AND note NOT IN (SELECT reason FROM history)",
		"SELECT count(*) FROM history WHERE event = ? AND reason NOT IN (SELECT note FROM journal)",
	} {
		if n := number(t, s, query, together); n > 0 {
			t.Errorf("%d halves of what was to be stored together: %s", n, query)
		}
	}
	if err := quickCheck(t.Context(), s.reader(), ""); err != nil {
		t.Error(err)
	}
	t.Logf("%d kills, %d hooks promised, %d promises broken", kills, len(hooks), missing+len(states))
	if missing+len(states) > 0 {
		t.Fail()
	}
}

func killOne(t *testing.T, dir string, after int, hooks map[string]string, states map[string]uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	n := 0
	for ; lines.Scan(); n++ {
		if n == after {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		words := strings.Fields(lines.Text())
		if len(words) != 3 {
			continue // cut by the kill
		}
		if words[0] == "hook" {
			hooks[words[2]] = words[1]
			continue
		}
		var state uint64
		if _, err := fmt.Sscan(words[2], &state); err != nil {
			t.Fatal(err)
		}
		states[words[1]] = max(states[words[1]], state)
	}
	if err := cmd.Wait(); err == nil || n < after {
		t.Fatalf("the child ended by itself after %d promises: %v", n, err)
	}
}
