package ffmpeg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// TestRenditions publishes two qualities with real FFmpegs: from a test picture, from one that was
// kept warm, and from an input whose URL is a secret. Nothing of that stands in a command line.
func TestRenditions(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	clip := filmOf(t, 12, 15) // a jump back by more than 10 s is none to FFmpeg, however late it begins
	source, file := broadcast(t, clip), filepath.Join(t.TempDir(), "film.ts")
	if err := os.WriteFile(file, clip, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Settings){
		"plain":        func(s *Settings) { s.Audio = "none" },
		"warm":         func(s *Settings) { s.Standby = "warm" },
		"hidden input": func(s *Settings) { s.Input = source + "?token=" + canary },
	} {
		t.Run(name, func(t *testing.T) {
			box := newSink(t)
			s := small()
			s.Renditions = []Rendition{{90, "100k"}, {46, "50k"}}
			change(&s)
			e := opened(t, s)
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary))
			if s.Standby == "warm" {
				e.KeepReady(j, true)
				waiting(t, e)
			}
			start(t, e, j)
			seen := awaitState(t, e, encoders.StatePublishing)
			await(t, "two publishers", func() bool { return box.copies() == 2 })
			argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", seen.PID))
			if err != nil || bytes.Contains(argv, []byte(canary)) {
				t.Errorf("it runs as %q, %v", argv, err)
			}
			if err := e.Stop(t.Context(), j); err != nil {
				t.Fatal(err)
			}
			await(t, "no publisher", func() bool { return box.copies() == 0 })
			silent := map[bool]string{true: "&videoOnly"}[s.Audio == "none"]
			want := []string{
				"lobby?token=" + canary + "&sourceId=1&simulcastId" + silent,
				"lobby?token=" + canary + "&sourceId=2&simulcastId&videoOnly&record=false",
			}
			if !slices.Equal(box.keys, want) {
				t.Errorf("the ingest got %q", box.keys)
			}
		})
	}
	s := small()
	s.Input, s.Renditions = file, []Rendition{{720, "2M"}, {46, "50k"}}
	found := opened(t, s).Probe(t.Context(), job)
	if len(found) != 2 || found[0].Level != encoders.OK || found[1].Level != encoders.Warn ||
		found[1].Hint != "begin renditions with height: 240" {
		t.Errorf("of an input of 320x240, the probe finds %+v", found)
	}
	j := job
	j.Publish = secret.New("/tmp/film.flv")
	if err := opened(t, s).Start(t.Context(), j); !encoders.IsPermanent(err) {
		t.Errorf("several qualities into one file: %v", err)
	}
}
