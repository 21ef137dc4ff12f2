package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
)

// Each failure is listed once, and attempts that end in the same failure are one line, until one
// succeeds or the stream is no longer wanted.
func TestFold(t *testing.T) {
	t.Parallel()
	steps := func(lines ...string) (story []controller.Transition) {
		phase := controller.PhaseIdle
		for i, line := range lines {
			to, reason, _ := strings.Cut(line, ": ")
			tr := controller.Transition{Seq: int64(i + 1),
				At: controller.Time{Time: testStart.Add(time.Duration(i) * time.Second)}, From: phase,
				To: controller.Phase(to), Reason: reason}
			if name, ok := strings.CutSuffix(to, " fails"); ok {
				tr.To, tr.Encoder, tr.Reason = phase, name, "failed: "+reason
			}
			phase = tr.To
			story = append(story, tr)
		}
		slices.Reverse(story)
		return story
	}
	for _, c := range []struct {
		name  string
		story []controller.Transition
		want  []string // oldest first
	}{
		{"nothing", nil, nil},
		{"a good visit", steps("starting: a viewer is waiting", "live: somebody is watching", "idle: no viewer"),
			[]string{"1 starting a viewer is waiting", "2 live somebody is watching", "3 idle no viewer"}},
		{"three tries", steps("starting: a viewer is waiting", "cam fails: refused by port 41",
			"backoff: a viewer is waiting; cam failed: refused by port 41",
			"starting: a viewer is waiting", "cam fails: refused by port 7",
			"backoff: a viewer is waiting; cam failed: refused by port 7",
			"starting: a viewer is waiting", "cam fails: refused by port 7",
			"backoff: a viewer is waiting; cam failed: refused by port 7"),
			[]string{"1 starting a viewer is waiting", "8 backoff failed: refused by port 7 (3 since 2)"}},
		{"given up", steps("starting: x", "cam fails: a", "backoff: x; cam failed: a", "starting: x", "cam fails: a",
			"failed: x; cam is given up: a"),
			[]string{"1 starting x", "5 failed failed: a (2 since 2)"}},
		{"while it runs", steps("live: x", "cam fails: stuck", "stopping: restarting: stuck",
			"backoff: x; cam failed: stuck", "starting: x", "live: x"),
			[]string{"1 live x", "2 backoff failed: stuck (1 since 2)", "5 starting x", "6 live x"}},
		{"live between", steps("cam fails: a", "backoff: x; cam failed: a", "starting: x", "live: x", "cam fails: a",
			"backoff: x; cam failed: a"),
			[]string{"1 backoff failed: a (1 since 1)", "3 starting x", "4 live x", "5 backoff failed: a (1 since 5)"}},
		{"another viewer", steps("cam fails: a", "backoff: x; cam failed: a", "idle: no viewer", "starting: x",
			"cam fails: a"),
			[]string{"1 backoff failed: a (1 since 1)", "3 idle no viewer", "4 starting x",
				"5 starting failed: a (1 since 5)"}},
		{"another cause", steps("cam fails: a", "starting: x", "cam fails: b"),
			[]string{"1 idle failed: a (1 since 1)", "2 starting x", "3 starting failed: b (1 since 3)"}},
		{"another encoder", steps("cam fails: a", "starting: x", "spare fails: a"),
			[]string{"1 idle failed: a (1 since 1)", "2 starting x", "3 starting failed: a (1 since 3)"}},
	} {
		var got []string
		for _, f := range slices.Backward(fold(c.story)) {
			line := fmt.Sprintf("%d %s %s", f.Seq, f.To, f.Reason)
			if f.Count > 0 {
				line += fmt.Sprintf(" (%d since %.0f)", f.Count, f.First.Sub(testStart).Seconds()+1)
			}
			got = append(got, line)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}
