package systemtest

import (
	"strings"
	"syscall"
	"testing"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// configureRedundant has a main and a backup of show.
func (s *site) configureRedundant() {
	s.t.Helper()
	s.configure(`
on_exit: stop
encoders: {main: ` + testPicture + `, backup: ` + testPicture + `}
streams: {show: {encoders: [main, backup], publish: {token: "` + testToken + `", server: "rtmp://` +
		s.sim.RTMPAddr() + `"}, restart: {initial: 200ms}}}
`)
}

// onAir is the priority of the feed that viewers of show get; 0 when there is none.
func (s *site) onAir() int {
	for _, f := range s.sim.Truth("show").Feeds {
		if f.OnAir && f.Priority != nil {
			return *f.Priority
		}
	}
	return 0
}

// bothUp brings show up with a viewer, both encoders publishing.
func (s *site) bothUp() controller.StreamView {
	s.t.Helper()
	viewer := s.sim.Join("show")
	s.await("the viewer is in", func() bool { return viewer.State() == simulator.Watching })
	return s.awaitStream("show", "main on the air, backup beside it", func(v controller.StreamView) bool {
		feeds := s.sim.Truth("show").Feeds
		return s.onAir() == 100 && len(feeds) == 2 && feeds[0].Pictures > 0 && feeds[1].Pictures > 0 &&
			v.Encoders[0].OnAir && !v.Encoders[1].OnAir && v.Encoders[1].State == "publishing"
	})
}

// The main FFmpeg of a redundant stream is killed: the backup is on the air without ever having
// been restarted, the main one comes back and is on the air again, and viewers never see black.
func testRedundantIngest(t *testing.T, s *site) {
	needFFmpeg(t)
	sim := s.platform(simulator.Settings{})
	s.configureRedundant()
	s.start()
	before := s.bothUp()
	since := sim.Truth("show").Since
	if err := syscall.Kill(*before.Encoders[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.awaitStream("show", "main on the air again", func(v controller.StreamView) bool {
		main := v.Encoders[0]
		return s.onAir() == 100 && main.OnAir && main.PID != nil && *main.PID != *before.Encoders[0].PID
	})
	after := s.see("show")
	if b := after.Encoders[1]; b.PID == nil || *b.PID != *before.Encoders[1].PID || b.Restarts != 0 || b.OnAir {
		t.Errorf("the backup was touched: %+v", b)
	}
	truth := sim.Truth("show")
	if !truth.Since.Equal(since) || truth.Inactive > 0 || truth.Watching != 1 {
		t.Errorf("viewers saw black: live since %v, before %v; %d of them see nothing", truth.Since, since, truth.Inactive)
	}
	if len(truth.Past) != 1 || *truth.Past[0].Priority != 100 {
		t.Errorf("other feeds than the killed one's have ended: %+v", truth.Past)
	}
	var told []string
	for _, line := range s.history("show") {
		if strings.HasSuffix(line.Reason, "is on the air now") {
			told = append(told, line.Encoder)
		}
	}
	if got := strings.Join(told, " "); !strings.HasSuffix(got, "backup main") { // before, backup may have been the first
		t.Errorf("on the air, one after the other: %s; want backup, main at the end", got)
	}
}
