package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// observed has had a call of every Observe method.
func observed(t testing.TB) *Metrics {
	t.Helper()
	m := NewMetrics("v1.2.3", quiet())
	f := newFake("ABC123/lobby")
	s := fullStream("ABC123/full\xff\n\"")
	f.streams[string(s.ID)] = s
	word, at := "no", controller.Time{Time: time.Now().Add(-5 * time.Second)}
	f.accounts = []controller.AccountView{{Account: "ABC123", LastHook: &at, LastPoll: &at, PollError: &word,
		Webhook: &controller.WebhookView{Disabled: &word}}, {Account: "DEF456"}}
	m.Watch(f)
	m.ObserveHook(HookResult(controller.Accepted), 3*time.Millisecond)
	m.ObserveHook(ResultSignature, time.Millisecond)
	for _, step := range [][2]controller.Phase{{"idle", "starting"}, {"starting", "live"}, {"live", "live"},
		{"live", "stopping"}, {"starting", "backoff"}, {"backoff", "starting"}} {
		m.ObserveTransition(controller.Transition{From: step[0], To: step[1], Event: "ViewerAttempt"})
	}
	m.ObserveAttemptToStart(2 * time.Millisecond)
	m.ObserveAttemptToLive(3 * time.Second)
	m.ObserveWait("ABC123", "lobby", controller.WaitLive, 2*time.Second)
	m.ObserveUnconfirmedStop()
	m.ObservePoll("ABC123", nil)
	m.ObservePoll("ABC123", errors.New("x"))
	m.ObserveStore("append", time.Millisecond, nil)
	m.ObserveStore("append", time.Millisecond, errors.New("x"))
	m.ObserveReload(time.UnixMilli(1_700_000_000_500), nil)
	m.ObserveReload(time.Now(), errors.New("x"))
	return m
}

func TestMetrics(t *testing.T) {
	m := observed(t)
	_, base := startAdmin(t, newFake(), func(o *AdminOptions) { o.Metrics = m.Handler() })
	text := call(t, "GET", base+"/metrics", "").body
	var got []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "oncue_") &&
			!regexp.MustCompile(`_bucket|build_info|_age_|duration_seconds_sum|result="[^as]`).MatchString(line) {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := strings.Split(strings.TrimSpace(`
oncue_attempt_to_live_seconds_sum 3
oncue_attempt_to_live_seconds_count 1
oncue_attempt_to_start_seconds_sum 0.002
oncue_attempt_to_start_seconds_count 1
oncue_config_last_reload_success_timestamp_seconds 1.7000000005e+09
oncue_config_last_reload_successful 0
oncue_encoder_bitrate_bps{account="ABC123",encoder="cam",stream="full�\n\""} 2.5e+06
oncue_encoder_dropped_frames{account="ABC123",encoder="cam",stream="full�\n\""} 1000
oncue_encoder_faulty{account="ABC123",encoder="cam",stream="full�\n\""} 0
oncue_encoder_faulty{account="ABC123",encoder="cam",stream="lobby"} 0
oncue_encoder_on_air{account="ABC123",encoder="cam",stream="full�\n\""} 0
oncue_encoder_on_air{account="ABC123",encoder="cam",stream="lobby"} 0
oncue_encoder_restarts{account="ABC123",encoder="cam",stream="full�\n\""} 1
oncue_encoder_restarts{account="ABC123",encoder="cam",stream="lobby"} 0
oncue_encoder_standby_ready{account="ABC123",encoder="cam",stream="full�\n\""} 1
oncue_hook_duration_seconds_count 2
oncue_hooks_total{result="accepted"} 1
oncue_hooks_total{result="signature"} 1
oncue_hooks_total{result="slow"} 0
oncue_hooks_total{result="stale"} 0
oncue_hooks_total{result="store"} 0
oncue_poll_errors_total{account="ABC123"} 1
oncue_poll_failing{account="ABC123"} 1
oncue_poll_failing{account="DEF456"} 0
oncue_polls_total{account="ABC123"} 2
oncue_start_failures_total 1
oncue_starts_total{reason="ViewerAttempt"} 2
oncue_stops_total{reason="ViewerAttempt"} 1
oncue_stops_unconfirmed_total 1
oncue_store_duration_seconds_count{operation="append"} 2
oncue_store_errors_total{operation="append"} 1
oncue_stream_avoided_seconds_total{account="ABC123",stream="full�\n\""} 900
oncue_stream_avoided_seconds_total{account="ABC123",stream="lobby"} 0
oncue_stream_encoder_seconds_total{account="ABC123",stream="full�\n\""} 100
oncue_stream_encoder_seconds_total{account="ABC123",stream="lobby"} 0
oncue_stream_held{account="ABC123",stream="full�\n\""} 1
oncue_stream_held{account="ABC123",stream="lobby"} 0
oncue_stream_phase{account="ABC123",phase="idle",stream="lobby"} 1
oncue_stream_phase{account="ABC123",phase="lingering",stream="full�\n\""} 1
oncue_stream_starts_total{account="ABC123",stream="full�\n\""} 3
oncue_stream_starts_total{account="ABC123",stream="lobby"} 0
oncue_stream_unconfirmed{account="ABC123",stream="full�\n\""} 1
oncue_stream_unconfirmed{account="ABC123",stream="lobby"} 0
oncue_stream_viewers{account="ABC123",stream="full�\n\""} 3
oncue_stream_wait_seconds_sum{account="ABC123",stream="lobby",until="live"} 2
oncue_stream_wait_seconds_count{account="ABC123",stream="lobby",until="live"} 1
oncue_stream_wanted{account="ABC123",stream="full�\n\""} 1
oncue_stream_wanted{account="ABC123",stream="lobby"} 0
oncue_stream_wasted_starts_total{account="ABC123",stream="full�\n\""} 1
oncue_stream_wasted_starts_total{account="ABC123",stream="lobby"} 0
oncue_stream_watched_seconds_total{account="ABC123",stream="full�\n\""} 80
oncue_stream_watched_seconds_total{account="ABC123",stream="lobby"} 0
oncue_streams{phase="backoff"} 0
oncue_streams{phase="failed"} 0
oncue_streams{phase="idle"} 1
oncue_streams{phase="lingering"} 1
oncue_streams{phase="live"} 0
oncue_streams{phase="starting"} 0
oncue_streams{phase="stopping"} 0
oncue_streams{phase="waiting"} 0
oncue_webhook_disabled{account="ABC123"} 1`), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFaultyEncoders(t *testing.T) {
	for state, want := range map[encoders.State]string{
		encoders.StateFailed: " 1", encoders.StateStalled: " 1", encoders.StateUnknown: " 1",
		encoders.StatePublishing: " 0", encoders.StateStopped: " 0",
	} {
		f := newFake()
		s := idleStream("A/s")
		s.Encoders[0].State = state
		f.streams[string(s.ID)] = s
		m := NewMetrics("v", quiet())
		m.Watch(f)
		_, base := startAdmin(t, f, func(o *AdminOptions) { o.Metrics = m.Handler() })
		if got := call(t, "GET", base+"/metrics", "").body; !strings.Contains(got,
			`oncue_encoder_faulty{account="A",encoder="cam",stream="s"}`+want+"\n") {
			t.Errorf("%s: not%s", state, want)
		}
	}
}

// Dashboards and alerts use only metrics and labels that exist.
func TestDashboardAndAlertsUseMetricsThatExist(t *testing.T) {
	families, err := observed(t).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string][]string{}
	for _, family := range families {
		var names []string
		for _, l := range family.GetMetric()[0].GetLabel() {
			names = append(names, l.GetName())
		}
		for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
			labels[family.GetName()+suffix] = append(names, "instance", "job", "le")
		}
	}
	board, err := os.ReadFile("../../configs/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(board, &doc); err != nil {
		t.Fatal(err)
	}
	expressions := map[string]string{}
	for _, p := range doc.Panels {
		for _, target := range p.Targets {
			expressions["panel "+p.Title+": "+target.Expr] = target.Expr
		}
	}
	alerts, err := os.ReadFile("../../configs/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules := 0
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)\n\s+expr: (.*)$`).FindAllStringSubmatch(
		string(alerts), -1) {
		expressions["alert "+m[1]] = m[2]
		rules++
	}
	if want := strings.Count(string(alerts), "alert:"); rules != want {
		t.Errorf("%d of %d alerts have an expression", rules, want)
	}
	name := regexp.MustCompile(`\b(?:oncue|process|go)_[a-z_]+\b(\{[^}]*\})?`)
	for where, expression := range expressions {
		found := name.FindAllString(expression, -1)
		if len(found) == 0 && !strings.Contains(expression, "up{") {
			t.Errorf("%s: no metric in it", where)
		}
		for _, f := range found {
			metric, selector, _ := strings.Cut(f, "{")
			known, ok := labels[metric]
			if !ok {
				t.Errorf("%s: there is no metric %s", where, metric)
				continue
			}
			for _, l := range regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`).FindAllStringSubmatch(selector, -1) {
				if !slices.Contains(known, l[1]) {
					t.Errorf("%s: %s has no label %s", where, metric, l[1])
				}
			}
		}
	}
}

// TestMetricsOfAPattern: however many names strangers ask for, a pattern has one set of series, and
// its counters do not fall when a stream is removed.
func TestMetricsOfAPattern(t *testing.T) {
	m := NewMetrics("v1.2.3", quiet())
	f := newFake("ABC123/lobby")
	m.Watch(f)
	_, base := startAdmin(t, newFake(), func(o *AdminOptions) { o.Metrics = m.Handler() })
	scrape := func() string { return call(t, "GET", base+"/metrics", "").body }
	scrape()
	var lines []int
	for _, n := range []int{1, 50} {
		for i := range n {
			s := fullStream(fmt.Sprint("ABC123/cam-", i))
			s.Pattern, s.Savings.RunS, s.Starts = "ABC123/cam-*", 10, 2
			f.streams[string(s.ID)] = s
		}
		text := scrape()
		lines = append(lines, strings.Count(text, "\n"))
		if strings.Contains(text, "cam-0") {
			t.Error("a name of a pattern is shown")
		}
	}
	if lines[0] != lines[1] {
		t.Errorf("1 name: %d lines, 50 names: %d", lines[0], lines[1])
	}
	if text := scrape(); !strings.Contains(text, `oncue_stream_starts_total{account="ABC123",stream="cam-*"} 100`) ||
		!strings.Contains(text, `oncue_stream_phase{account="ABC123",phase="lingering",stream="cam-*"} 50`) {
		t.Error(text)
	}
	for id, s := range f.streams {
		if s.Pattern != "" && id != "ABC123/cam-0" {
			delete(f.streams, id)
		}
	}
	if text := scrape(); !strings.Contains(text,
		`oncue_stream_encoder_seconds_total{account="ABC123",stream="cam-*"} 500`) {
		t.Error(text)
	}
}
