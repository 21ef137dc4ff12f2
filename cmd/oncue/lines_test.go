package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// Whatever comes, the lines of the journal and of the doctor fit the page, and columns stand below
// each other.
func TestLinesFitThePage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	long := strings.Repeat("many words ", 20)
	var past []json.RawMessage
	for i, name := range []string{"lobby", strings.Repeat("camera-", 15)} {
		raw, err := json.Marshal(controller.Record{
			Seq: int64(i + 1), Received: at, Stream: controller.JoinID("ABC123", name),
			Event:   strings.Repeat("NoActiveViewers", i+1),
			Verdict: controller.Quarantined, Note: long,
		})
		if err != nil {
			t.Fatal(err)
		}
		past = append(past, raw)
	}
	for what, write := range map[string]func(s term.Screen) error{
		"events":           func(s term.Screen) error { return (&eventPrinter{Screen: s}).printAll(past, false) },
		"events to follow": func(s term.Screen) error { return (&eventPrinter{Screen: s}).printAll(past, true) },
		"none so far": func(s term.Screen) error {
			p := eventPrinter{Screen: s}
			if err := p.printAll(nil, true); err != nil {
				return err
			}
			return p.print(past[1])
		},
		"doctor": func(s term.Screen) error {
			showFinding(s, finding{"encoder lobby-cam", encoders.Finding{Level: encoders.Warn, What: long, Hint: long}})
			return nil
		},
	} {
		var out bytes.Buffer
		if err := write(term.Screen{Out: &out}); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for line := range strings.Lines(out.String()) {
			if l := strings.TrimRight(line, "\n"); term.Width(l) > term.PageWidth {
				t.Errorf("%s: %d cells: %q", what, term.Width(l), l)
			}
		}
		if strings.HasPrefix(what, "events") &&
			(strings.Count(out.String(), " quarantined ") != len(past) || !strings.HasPrefix(out.String(), "TIME ")) {
			t.Errorf("%s:\n%s", what, out.String())
		}
	}
}
