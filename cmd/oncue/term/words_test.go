package term

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
)

func TestHarmless(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":              "plain",
		"Ünïcødé 🎥 日本":       "Ünïcødé 🎥 日本",
		"\x1b[31mred\x1b[0m": "�[31mred�[0m",
		"a\r\nb\tc":          "a  b c",
		"\u202egnp.exe":      "�gnp.exe",
		"bad \xff byte":      "bad � byte",
		"\u009b31m":          "�31m",
	} {
		if got := Harmless(in); got != want {
			t.Errorf("harmless(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{cutMiddle("ABC123/lobby", 12), "ABC123/lobby"},
		{cutMiddle("ABC123/camera-north-entrance-17", 15), "ABC123/…ance-17"},
		{cutEnd("a viewer is waiting", 10), "a viewer…"},
		{cutEnd("日本語の名前", 5), "日本…"},
		{cutMiddle("日本語の名前", 7), "日…名前"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for in, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 43 * time.Second: "43s", 59*time.Second +
			900*time.Millisecond: "1m00s", 125 * time.Second: "2m05s",
		2*time.Hour - time.Millisecond: "2h00m", 51 * time.Hour: "2d03h",
	} {
		if got := Span(in); got != want {
			t.Errorf("span(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	got := wrap("live, and waiting for the first viewer to join averyveryverylongwordindeed", 20)
	want := []string{"live, and waiting", "for the first viewer", "to join", "averyveryverylongwor", "dindeed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever the names, the table fits the page and each row is a line.
func TestStatusTableFits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	does := "end of the scheduled window"
	all := Status{Now: controller.Time{Time: now}, Ready: true}
	for i, name := range []string{
		"a", strings.Repeat("long-", 25), "日本語" + strings.Repeat("の", 60), "\x1b[2J\n\n", "",
	} {
		all.Streams = append(all.Streams, controller.StreamView{
			ID: controller.StreamID("ABC123/" + name), Name: name, Phase: controller.Phases[i], Wanted: i%2 == 0,
			Reason:   strings.Repeat("words and ", i*5),
			Since:    controller.Time{Time: now.Add(-50 * time.Hour)},
			Deadline: &controller.Time{Time: now.Add(30 * time.Hour)}, DeadlineDoes: &does,
		})
	}
	var out bytes.Buffer
	Screen{Out: &out}.StatusTable(all)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(all.Streams)+1 {
		t.Errorf("%d lines for %d streams:\n%s", len(lines), len(all.Streams), out.String())
	}
	for _, l := range lines {
		if Width(l) > PageWidth || strings.Contains(l, "\x1b") {
			t.Errorf("%d cells: %q", Width(l), l)
		}
	}
}

// What an encoder does less than it should is told with the stream.
func TestStreamTellsWarnings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	Screen{Out: &out, Size: 80}.Stream(controller.StreamView{ID: "ABC123/lobby", Phase: controller.PhaseLive,
		Encoders: []controller.EncoderView{{Name: "cam", Driver: "ffmpeg", State: "publishing",
			Warning: "it encodes with x264"}}}, nil, time.Now())
	if !strings.Contains(out.String(), "warning: it encodes with x264") {
		t.Error(out.String())
	}
}

// Those in trouble come first, those that are idle last, and nothing else changes places.
func TestStatusTableShowsTroubleFirst(t *testing.T) {
	t.Parallel()
	var all Status
	for i, phase := range []controller.Phase{
		controller.PhaseIdle, controller.PhaseLive, controller.PhaseIdle, controller.PhaseFailed, controller.PhaseLive,
	} {
		id := controller.JoinID("ACC", fmt.Sprint("s", i))
		all.Streams = append(all.Streams, controller.StreamView{ID: id, Phase: phase})
	}
	var out bytes.Buffer
	Screen{Out: &out}.StatusTable(all)
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line)[0])
	}
	if diff := cmp.Diff([]string{"STREAM", "ACC/s3", "ACC/s1", "ACC/s4", "ACC/s0", "ACC/s2"},
		got); diff != "" || all.Streams[0].Phase != controller.PhaseIdle {
		t.Error(diff)
	}
}

// Whatever comes, the lines of a history and of what is wrong fit the page.
func TestHistoryFitsThePage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	long := strings.Repeat("many words ", 20)
	for what, write := range map[string]func(s Screen) error{
		"history": func(s Screen) error {
			s.HistoryTable("ABC123/lobby",
				[]Step{{Transition: controller.Transition{
					At: controller.Time{Time: at}, To: controller.PhaseLingering, Event: strings.Repeat("long ", 9),
					Reason: long, Encoder: "cam",
				}}}, at.Add(72*time.Hour))
			return nil
		},
		"complaints": func(s Screen) error {
			s.Complaints(Status{
				NotReady: []string{long}, Platform: []controller.AccountView{{Account: "ABC123", PollError: &long}},
			})
			return nil
		},
	} {
		var out bytes.Buffer
		if err := write(Screen{Out: &out}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for line := range strings.Lines(out.String()) {
			if l := strings.TrimRight(line, "\n"); Width(l) > PageWidth {
				t.Errorf("%s: %d cells: %q", what, Width(l), l)
			}
		}
	}
}
