package systemtest

import (
	"context"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// shownTimes keeps when the pictures of each feed came, by the feed's id.
type shownTimes struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (s *shownTimes) take(feed, _ string, t rtmp.Tag) {
	if t.Kind != rtmp.Video || !t.Frame() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[feed] = append(s.at[feed], t.At)
}

// gap is how long viewers had no new picture when the air changed from one feed, which has ended,
// to another; zero while that has not shown one.
func (s *shownTimes) gap(from simulator.Feed, to string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.at[from.ID][len(s.at[from.ID])-1]
	for _, at := range s.at[to] {
		if at.After(from.Ended) {
			return at.Sub(last)
		}
	}
	return 0
}

// benchSwitchOver measures how long viewers have no new picture when the main FFmpeg of a redundant
// stream is killed, beside two plain FFmpegs without oncue, one of which is killed: the platform's
// change between them is all that there is. Both send ten pictures a second.
func benchSwitchOver(t *testing.T, table *table) {
	needFFmpeg(t)
	const tries = 5
	shown := &shownTimes{at: map[string][]time.Time{}}
	s := newSite(t, buildFast(t))
	sim := s.platform(simulator.Settings{OnTag: shown.take})
	s.configureRedundant()
	s.start()
	// measured kills the main one of a stream whose feeds are both up, and waits for the backup's
	// picture.
	measured := func(name string, main int) (took time.Duration) {
		t.Helper()
		var ids [2]string
		for _, f := range sim.Truth(name).Feeds {
			ids[100-*f.Priority] = f.ID
		}
		if err := syscall.Kill(main, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		s.await("the backup's picture", func() bool {
			for _, f := range sim.Truth(name).Past {
				if f.ID == ids[0] {
					took = shown.gap(f, ids[1])
				}
			}
			return took > 0
		})
		return took
	}
	publisher := func(priority string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), "ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi",
			"-i", "testsrc2=size=160x90:rate=10", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
			"-f", "flv", sim.RTMPURL("plain")+"&priority="+priority)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	publisher("99")
	s.bothUp()
	var ours, plain []time.Duration
	for range tries {
		main := publisher("100")
		s.await("both plain ones", func() bool {
			feeds := sim.Truth("plain").Feeds
			return len(feeds) == 2 && feeds[0].Pictures > 10 && feeds[1].Pictures > 10
		})
		plain = append(plain, measured("plain", main.Process.Pid))
		both := s.awaitStream("show", "both up", func(v controller.StreamView) bool {
			feeds := sim.Truth("show").Feeds
			return len(feeds) == 2 && feeds[0].Pictures > 10 && feeds[1].Pictures > 10 && v.Encoders[0].OnAir
		})
		ours = append(ours, measured("show", *both.Encoders[0].PID))
	}
	s.term()
	table.add("main killed, to the backup's picture", spread(ours), "two plain ffmpegs "+spread(plain),
		fmt.Sprintf("%.2f", float64(median(ours))/float64(median(plain))), "within 100 ms, one picture")
}
