package ffmpeg

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oncue/oncue/encoders/proc"
)

// TestEndLost deletes the folder of one of two encoders that run: that one is ended, and the other
// goes on.
func TestEndLost(t *testing.T) {
	root := t.TempDir()
	var pids [2]int
	for i, name := range []string{"kept", "lost"} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		e := openIn(t, scripted(t, "exec sleep 1000"), dir)
		start(t, e, job)
		if name == "kept" {
			defer end(t, e)
		} else {
			defer e.Close() //nolint:errcheck // its folder is gone
		}
		s, _ := e.now()
		pids[i] = s.PID
		await(t, "its script has become a sleep", func() bool { // meanwhile it has no environment
			return read(t, fmt.Sprintf("/proc/%d/comm", s.PID)) == "sleep\n"
		})
	}
	if err := os.RemoveAll(filepath.Join(root, "lost")); err != nil {
		t.Fatal(err)
	}
	if ended := proc.EndLost(root); !slices.Equal(ended, pids[1:]) {
		t.Errorf("ended %v of %v", ended, pids)
	}
	if st, err := proc.ReadStat(pids[1]); err == nil && !st.Gone() {
		t.Error("the lost one goes on")
	}
	if st, err := proc.ReadStat(pids[0]); err != nil || st.Gone() {
		t.Errorf("the other has ended: %v", err)
	}
}
