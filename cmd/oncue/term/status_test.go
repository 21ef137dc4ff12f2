package term

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

var statusNow = time.Date(2026, 3, 1, 20, 0, 0, 0, time.Local)

// fleetOf is a status of n streams: a few live ones, some in trouble whoever asks for them, and the
// rest idle.
func fleetOf(n int) (all Status) {
	all.Now, all.Ready = controller.Time{Time: statusNow}, true
	since := controller.Time{Time: statusNow.Add(-time.Hour)}
	all.Savings.Since, all.Savings.RunS, all.Savings.AvoidedS = &since, 3600, 4*3600
	for i := range n {
		v := controller.StreamView{
			ID:    controller.JoinID("ABC123", fmt.Sprintf("camera-%03d", i)),
			Phase: controller.PhaseIdle, Reason: "no viewer", Since: since,
		}
		switch {
		case i%10 == 0:
			v.Phase, v.Wanted, v.Reason = controller.PhaseLive, true, "somebody is watching"
		case i%100 == 71:
			v.Trouble = &controller.Trouble{
				Encoder: "cam", Text: "connection refused by the input; it said: no route to host at all", Count: 5,
				Since: since, Last: since,
			}
		}
		if i%200 == 171 {
			v.Phase, v.Wanted, v.Reason = controller.PhaseBackoff, true, "a viewer is waiting; cam failed: "+
				v.Trouble.Text
		}
		all.Streams = append(all.Streams, v)
	}
	return all
}

// A page of 80x24 says how many there are of what, then shows trouble, then what runs, and counts
// the rest.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 5, 20, 23, 80, 500} {
		var out bytes.Buffer
		Screen{Out: &out, Size: 80, Tall: 23}.StatusTable(fleetOf(n))
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) > 23 {
			t.Errorf("%d lines for %d streams:\n%s", len(lines), n, out.String())
		}
		for _, l := range lines {
			if Width(l) > 80 {
				t.Errorf("%d cells: %q", Width(l), l)
			}
		}
	}
	var out bytes.Buffer
	Screen{Out: &out, Size: 80, Tall: 23}.StatusTable(fleetOf(500))
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "500 streams: 5 in trouble, 50 live, 2 backoff, 448 idle" {
		t.Errorf("the first line is %q", lines[0])
	}
	for i := 2; i < 12; i += 2 {
		if !strings.Contains(lines[i], "failed: connection refused") || !strings.HasPrefix(lines[i+1], "      ") {
			t.Errorf("lines %d and %d are %q, not a stream in trouble", i, i+1, lines[i:i+2])
		}
	}
	if !strings.HasPrefix(lines[12], "ABC123/camera-000  live ") ||
		!strings.HasPrefix(lines[21], "… and 486 streams: 41 live, 445 idle") {
		t.Errorf("behind those in trouble:\n%s", out.String())
	}
	if lines[22] != "since 19:00:00: encoders ran 1h00m; 4h00m avoided (80 % of always on)" {
		t.Errorf("the last line is %q", lines[22])
	}
}

// Where there is room the reason of trouble is written out, and it begins with the cause in any
// case.
func TestTroubleComesFirst(t *testing.T) {
	t.Parallel()
	all := fleetOf(500)
	all.Streams = all.Streams[171:173]
	var out bytes.Buffer
	Screen{Out: &out, Size: 80, Tall: 23}.StatusTable(all)
	words := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"5 times", "no route to host", "a viewer is waiting"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not on a page with room:\n%s", want, out.String())
		}
	}
	for _, c := range []struct{ phase, reason, onAir, want string }{
		{
			"backoff", "a viewer is waiting; cam failed: refused", "",
			"failed: refused (cam, 3 times, last 19:00:00); a viewer is waiting",
		},
		{
			"failed", "a viewer is waiting; cam is given up: refused", "",
			"failed: refused (cam, 3 times, last 19:00:00); given up; a viewer is waiting",
		},
		{"idle", "no viewer", "", "failed: refused (cam, 3 times, last 19:00:00); no viewer"},
		{
			"live", "somebody is watching", "backup",
			"cam failed, backup is on the air: refused (3 times, last 19:00:00); somebody is watching",
		},
	} {
		last := controller.Time{Time: statusNow.Add(-time.Hour)}
		v := controller.StreamView{
			Phase: controller.Phase(c.phase), Reason: c.reason,
			Trouble:  &controller.Trouble{Encoder: "cam", Text: "refused", Count: 3, Last: last},
			Encoders: []controller.EncoderView{{Name: "cam"}, {Name: "backup", OnAir: c.onAir == "backup"}},
		}
		if got := whyWords(v, statusNow); got != c.want {
			t.Errorf("%s: %q, want %q", c.phase, got, c.want)
		}
	}
}

// While it starts, nothing is tried again at the deadline: the patience ends.
func TestNextWord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase controller.Phase
		state encoders.State
		does  string
		want  string
	}{
		{controller.PhaseStarting, encoders.StateStarting, "retry", "give up 29s"},
		{controller.PhaseStarting, encoders.StatePublishing, "retry", "give up 29s"},
		{controller.PhaseStarting, encoders.StateStarting, "stop", "stop 29s"},
		{controller.PhaseBackoff, encoders.StateFailed, "retry", "retry 29s"},
		{controller.PhaseStopping, encoders.StateStopping, "count the old feed as closed", "feed over 29s"},
	} {
		v := controller.StreamView{
			Phase: c.phase, DeadlineDoes: &c.does, Deadline: &controller.Time{Time: statusNow.Add(29 * time.Second)},
			Encoders: []controller.EncoderView{{State: c.state}},
		}
		if got := nextWord(v, statusNow); got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.phase, c.does, got, c.want)
		}
	}
}

// A history names the number of tries instead of repeating them.
func TestHistoryFolds(t *testing.T) {
	t.Parallel()
	first := controller.Time{Time: statusNow.Add(-23 * time.Minute)}
	s := Step{Transition: controller.Transition{Reason: "failed: connection refused"}, Count: 5, First: &first}
	if diff := cmp.Diff("failed 5 times since 19:37:00: connection refused", s.why(statusNow)); diff != "" {
		t.Error(diff)
	}
	s.Count = 1
	if diff := cmp.Diff("failed: connection refused", s.why(statusNow)); diff != "" {
		t.Error(diff)
	}
}

// The story's steps say which encoder they are about, as the history does.
func TestStepsNameTheirEncoder(t *testing.T) {
	t.Parallel()
	step := Step{Transition: controller.Transition{To: "live", Reason: "is on the air now", Encoder: "backup"}}
	var out bytes.Buffer
	Screen{Out: &out, Size: 80}.Stream(controller.StreamView{ID: "ABC123/show"}, []Step{step}, time.Now())
	if want := "is on the air now (backup)"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is not in\n%s", want, out.String())
	}
}
