package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
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
		if got := harmless(in); got != want {
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
		-time.Second: "0s", 0: "0s", 43 * time.Second: "43s", 59*time.Second + 900*time.Millisecond: "1m00s", 125 * time.Second: "2m05s",
		2*time.Hour - time.Millisecond: "2h00m", 51 * time.Hour: "2d03h",
	} {
		if got := span(in); got != want {
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
	all := atAGlance{Now: controller.Time{Time: now}, Ready: true}
	for i, name := range []string{"a", strings.Repeat("long-", 25), "日本語" + strings.Repeat("の", 60), "\x1b[2J\n\n", ""} {
		all.Streams = append(all.Streams, controller.StreamView{
			ID: "ABC123/" + name, Name: name, Phase: controller.Phases[i], Wanted: i%2 == 0, Reason: strings.Repeat("words and ", i*5),
			Since: controller.Time{Time: now.Add(-50 * time.Hour)}, Deadline: &controller.Time{Time: now.Add(30 * time.Hour)}, DeadlineDoes: &does,
		})
	}
	var out bytes.Buffer
	screen{out: &out}.statusTable(all)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(all.Streams)+1 {
		t.Errorf("%d lines for %d streams:\n%s", len(lines), len(all.Streams), out.String())
	}
	for _, l := range lines {
		if width(l) > pageWidth || strings.Contains(l, "\x1b") {
			t.Errorf("%d cells: %q", width(l), l)
		}
	}
}

// Those in trouble come first, those that are idle last, and nothing else changes places.
func TestStatusTableShowsTroubleFirst(t *testing.T) {
	t.Parallel()
	var all atAGlance
	for i, phase := range []controller.Phase{controller.PhaseIdle, controller.PhaseLive, controller.PhaseIdle, controller.PhaseFailed, controller.PhaseLive} {
		all.Streams = append(all.Streams, controller.StreamView{ID: fmt.Sprintf("ACC/s%d", i), Phase: phase})
	}
	var out bytes.Buffer
	screen{out: &out}.statusTable(all)
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Fields(line)[0])
	}
	if diff := cmp.Diff([]string{"STREAM", "ACC/s3", "ACC/s1", "ACC/s4", "ACC/s0", "ACC/s2"}, got); diff != "" || all.Streams[0].Phase != controller.PhaseIdle {
		t.Error(diff)
	}
}

func TestOverlap(t *testing.T) {
	t.Parallel()
	words := func(s string) []string { return strings.Fields(s) }
	for _, c := range []struct {
		before, now string
		want        int
	}{
		{"", "a b", 0}, {"a b", "a b", 2}, {"a b", "a b c", 2}, {"a b c", "b c d", 2}, {"a b", "c d", 0}, {"x x", "x x x", 2}, {"a b c d", "d e", 1},
	} {
		if got := overlap(words(c.before), words(c.now)); got != c.want {
			t.Errorf("overlap(%s; %s) = %d, want %d", c.before, c.now, got, c.want)
		}
	}
}

func TestMessage(t *testing.T) {
	t.Parallel()
	var m message
	for _, line := range []string{": a comment", "id: 17", "event: stream", `data: {"id":"A/x",`, `data:"phase":"live"}`} {
		m.add(line)
	}
	ch, ok := m.change()
	if !ok || ch.Stream == nil || ch.Stream.ID != "A/x" || ch.Stream.Phase != controller.PhaseLive || m.id != "17" {
		t.Errorf("got %+v, %t", ch, ok)
	}
	for _, bad := range []message{{event: "stream", data: "{"}, {event: "stream", data: "null"}, {event: "other", data: "{}"}, {}} {
		if _, ok := bad.change(); ok {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// Whatever comes, the lines of the journal, of a history and of the doctor fit the page, and columns stand below each other.
func TestLinesFitThePage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	long := strings.Repeat("many words ", 20)
	var past []json.RawMessage
	for i, name := range []string{"lobby", strings.Repeat("camera-", 15)} {
		raw, err := json.Marshal(controller.Record{Seq: int64(i + 1), Received: at, Stream: "ABC123/" + name, Event: strings.Repeat("NoActiveViewers", i+1), Verdict: controller.Quarantined, Note: long})
		if err != nil {
			t.Fatal(err)
		}
		past = append(past, raw)
	}
	for what, write := range map[string]func(s screen) error{
		"events":           func(s screen) error { return (&eventPrinter{screen: s}).printAll(past, false) },
		"events to follow": func(s screen) error { return (&eventPrinter{screen: s}).printAll(past, true) },
		"none so far": func(s screen) error {
			p := eventPrinter{screen: s}
			if err := p.printAll(nil, true); err != nil {
				return err
			}
			return p.print(past[1])
		},
		"history": func(s screen) error {
			s.historyTable("ABC123/lobby", []step{{Transition: controller.Transition{At: controller.Time{Time: at}, To: controller.PhaseLingering, Event: strings.Repeat("long ", 9), Reason: long, Encoder: "cam"}}}, at.Add(72*time.Hour))
			return nil
		},
		"doctor": func(s screen) error {
			s.finding(finding{"encoder lobby-cam", encoders.Finding{Level: encoders.Warn, What: long, Hint: long}})
			return nil
		},
		"complaints": func(s screen) error {
			s.complaints(atAGlance{NotReady: []string{long}, Platform: []controller.AccountView{{Account: "ABC123", PollError: &long}}})
			return nil
		},
	} {
		var out bytes.Buffer
		if err := write(screen{out: &out}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for line := range strings.Lines(out.String()) {
			if l := strings.TrimRight(line, "\n"); width(l) > pageWidth {
				t.Errorf("%s: %d cells: %q", what, width(l), l)
			}
		}
		if strings.HasPrefix(what, "events") && (strings.Count(out.String(), " quarantined ") != len(past) || !strings.HasPrefix(out.String(), "TIME ")) {
			t.Errorf("%s:\n%s", what, out.String())
		}
	}
}
