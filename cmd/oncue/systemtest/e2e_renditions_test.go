package systemtest

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// Two FFmpegs publish three qualities each, as main and backup. Every feed belongs to its encoder,
// the sound and the recording are the best one's alone, the key frames of all come together, and a
// quality that is lost is told and comes back while the viewer stays in.
func testRenditions(t *testing.T, s *site) {
	needFFmpeg(t)
	keys := keyFrames{of: map[string][]uint32{}}
	sim := s.platform(simulator.Settings{Scale: 30, OnTag: keys.note})
	const picture = `{ffmpeg: {input: "lavfi:testsrc2=size=320x180:rate=10[out0];sine=sample_rate=48000[out1]", ` +
		`preset: ultrafast, gop: 1s, renditions: [{height: 180, bitrate: 200k}, {height: 90, bitrate: 90k}, ` +
		`{height: 46, bitrate: 40k}]}}`
	s.configure(fmt.Sprintf(`
encoders: {main: %s, spare: %s}
streams:
  lobby: {encoders: [main, spare], publish: {token: %q, server: "rtmp://%s"}, idle_timeout: 500ms}
`, picture, picture, testToken, sim.RTMPAddr()))
	s.start()
	viewer := sim.Join("lobby")
	six := func() bool {
		feeds := sim.Truth("lobby").Feeds
		return len(feeds) == 6 && !slices.ContainsFunc(feeds, func(f simulator.Feed) bool { return f.Keyframes < 3 })
	}
	s.await("six feeds with pictures", six)
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	v := s.awaitStream("lobby", "live by both", func(v controller.StreamView) bool {
		return len(v.Feeds) == 6 && v.Encoders[0].OnAir && !v.Encoders[1].OnAir && !v.Encoders[1].Since.IsZero()
	})
	for _, f := range v.Feeds {
		want := map[int]string{100: "main", 99: "spare"}[*f.Priority]
		if f.Encoder != want || !slices.Contains([]string{"1", "2", "3"}, f.SourceID) {
			t.Errorf("the feed %+v belongs to %s", f, want)
		}
	}
	for _, f := range sim.Truth("lobby").Feeds {
		best := f.SourceID == "1"
		if f.SimulcastID == nil || *f.SimulcastID != "" || (f.Sounds > 0) != best || f.OnAir != (*f.Priority == 100) {
			t.Errorf("the platform has %+v", f)
		}
		key := fmt.Sprintf("lobby?token=%s&priority=%d&sourceId=%s&simulcastId", testToken, *f.Priority, f.SourceID)
		if !best {
			key += "&videoOnly&record=false"
		}
		if !f.KeyIs(key) {
			t.Errorf("source %s was published with another key than %s", f.SourceID, strings.ReplaceAll(key, testToken, "TOKEN"))
		}
	}
	keys.together(t, sim.Truth("lobby").Feeds)
	for _, e := range v.Encoders {
		argv, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", *e.PID))
		if err != nil || bytes.Contains(argv, []byte(testToken)) || bytes.Count(argv, []byte("/v2/pub")) != 3 {
			t.Errorf("%s runs as %q, %v", e.Name, argv, err)
		}
	}

	for _, f := range sim.Truth("lobby").Feeds {
		if f.SourceID == "3" && *f.Priority == 100 {
			sim.CloseFeed(f.ID)
		}
	}
	v = s.awaitStream("lobby", "begun anew", func(v controller.StreamView) bool { return v.Encoders[0].Restarts > 0 })
	if v.Encoders[1].Restarts != 0 {
		t.Errorf("the spare one is %+v", v.Encoders[1])
	}
	told := func(step controller.Transition) bool {
		return step.Encoder == "main" && strings.HasPrefix(step.Reason, "failed: the ")
	}
	if !slices.ContainsFunc(s.history("lobby"), told) {
		t.Errorf("the loss is not told: %+v", s.history("lobby"))
	}
	s.await("six feeds with pictures again", six)
	s.awaitStream("lobby", "on the air by the main one again", func(v controller.StreamView) bool {
		return v.Encoders[0].OnAir && !v.Encoders[1].OnAir
	})
	if viewer.State() != simulator.Watching {
		t.Errorf("the viewer is %s", viewer.State())
	}

	viewer.Leave()
	v = s.awaitPhase("lobby", controller.PhaseIdle)
	s.await("the platform has lost all feeds", func() bool { return sim.Truth("lobby").Connections == 0 })
	if left := s.holders(); len(left) != 1 {
		t.Errorf("processes %v have files of the data directory open, which only the daemon should", left)
	}
	if slices.Contains(s.phases("lobby")[2:], controller.PhaseStarting) {
		t.Errorf("the stream went off meanwhile: %v", s.phases("lobby"))
	}
}

// keyFrames notes when the key frames of each feed come, in its own milliseconds.
type keyFrames struct {
	mu sync.Mutex
	of map[string][]uint32
}

func (k *keyFrames) note(feed, _ string, tag rtmp.Tag) {
	if tag.Keyframe() {
		k.mu.Lock()
		k.of[feed] = append(k.of[feed], tag.Timestamp)
		k.mu.Unlock()
	}
}

// together checks that the key frames of all feeds are as far apart as those of the first.
func (k *keyFrames) together(t *testing.T, feeds []simulator.Feed) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range feeds {
		at := k.of[f.ID]
		for i := 1; i < len(at); i++ {
			if d := at[i] - at[i-1]; d != 1000 {
				t.Errorf("source %s, priority %d: key frames at %v", f.SourceID, *f.Priority, at)
				break
			}
		}
	}
}
