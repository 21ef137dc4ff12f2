package millicast

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
)

func openThumbnails(t *testing.T, dir string) *ThumbnailDir {
	t.Helper()
	d, err := OpenThumbnails(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestThumbnailsKeepTheNewestOfEachStream(t *testing.T) {
	dir := t.TempDir()
	d := openThumbnails(t, dir)
	at := vectorTime
	for _, step := range []struct {
		id, picture string
		at          time.Time
	}{
		{"A/../../etc/passwd", "first", at}, {"A/\x00", "other", at},
		{"A/../../etc/passwd", "second", at.Add(time.Second)}, {"A/../../etc/passwd", "late", at.Add(-time.Second)},
	} {
		if err := d.SaveThumbnail(controller.StreamID(step.id), step.at, []byte(step.picture)); err != nil {
			t.Fatal(err)
		}
	}
	if got, when, ok := d.Thumbnail("A/../../etc/passwd"); !ok || string(got) != "second" ||
		!when.Equal(at.Add(time.Second)) {
		t.Errorf("picture %q of %s, %v", got, when, ok)
	}
	if _, _, ok := d.Thumbnail("A/none"); ok {
		t.Error("a stream without a picture has one")
	}
	files, err := os.ReadDir(filepath.Join(dir, "thumbnails"))
	if err != nil || len(files) != 2 {
		t.Fatalf("files %v, error %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !regexp.MustCompile(`^[0-9a-f]{64}\.jpg$`).MatchString(f.Name()) ||
			info.Mode().Perm() != 0o600 {
			t.Errorf("file %s has mode %v, error %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestThumbnailsCleanUp(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "thumbnails"), 0o700); err != nil {
		t.Fatal(err)
	}
	stray := filepath.Join(dir, "thumbnails", "x.tmp")
	if err := os.WriteFile(stray, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := openThumbnails(t, dir)
	if _, err := os.Stat(stray); !os.IsNotExist(err) {
		t.Errorf("an unfinished file is still there: %v", err)
	}
	for i := range 4 {
		if err := d.SaveThumbnail(controller.StreamID(fmt.Sprint("A/", i)), vectorTime.Add(time.Duration(i)*time.Hour),
			[]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := d.Prune(vectorTime.Add(2 * time.Hour)); n != 2 || err != nil {
		t.Errorf("pruned %d, error %v", n, err)
	}
	if _, _, ok := d.Thumbnail("A/2"); !ok {
		t.Error("a picture at the bound is gone")
	}
}

func TestThumbnailsAreNeverHalf(t *testing.T) {
	d := openThumbnails(t, t.TempDir())
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for i := range 50 {
				picture := bytes.Repeat([]byte{byte('a' + w)}, 100_000)
				if err := d.SaveThumbnail("A/one", vectorTime.Add(time.Duration(i)), picture); err != nil {
					t.Error(err)
				}
				if got, _, ok := d.Thumbnail("A/one"); !ok || len(got) != 100_000 || got[0] != got[len(got)-1] {
					t.Errorf("half a picture: %d bytes, %v", len(got), ok)
				}
			}
		})
	}
	group.Wait()
}
