package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// A spare room has rules for Base as it was when the room was made. Files that were replaced since
// must be readable as well: upgrades replace files, and a network change replaces resolv.conf.
func TestSpareKnowsWhatCameLater(t *testing.T) {
	if !Available() {
		t.Skip("this kernel has no Landlock")
	}
	kept := filepath.Join(t.TempDir(), "kept")
	confined.making.Lock()                  // the last test's spare may still be in the making
	Base = append(slices.Clone(Base), kept) // not undone: this test's own spare is made after its end
	confined.making.Unlock()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(kept+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(kept+".new", kept); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	emptySpare()
	confined.refill()
	write("new")
	cmd := exec.Command("cat", kept)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout = out
	if cmd.Stdin, err = os.Open(os.DevNull); err != nil {
		t.Fatal(err)
	}
	if err := (Policy{}).Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if body, _ := os.ReadFile(out.Name()); string(body) != "new" {
		t.Errorf("it read %q", body)
	}
}

func emptySpare() {
	confined.making.Lock() // so that no new one is made meanwhile
	defer confined.making.Unlock()
	select {
	case r := <-confined.ready:
		_ = r.run(func() error { return nil })
	default:
	}
}
