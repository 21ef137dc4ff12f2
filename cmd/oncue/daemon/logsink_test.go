package daemon

import (
	"bufio"
	"os"
	"strings"
	"testing"
)

// A log that nobody reads takes no line, costs no time, and tells later what is missing.
func TestLogSinkDoesNotWait(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := &logSink{to: w}
	line := []byte(strings.Repeat("x", 999) + "\n")
	const lines = 1000 // no pipe holds a megabyte unasked
	for range lines {
		if n, err := s.Write(line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if s.dropped == 0 || s.dropped == lines {
		t.Fatalf("%d of %d lines were dropped", s.dropped, lines)
	}
	kept, dropped := lines-s.dropped, s.dropped
	in := bufio.NewReader(r)
	for range kept {
		if got, err := in.ReadString('\n'); err != nil || got != string(line) {
			t.Fatal(got, err)
		}
	}
	if _, err := s.Write([]byte("{}\n")); err != nil || s.dropped != 0 {
		t.Fatal(s.dropped, err)
	}
	if note, err := in.ReadString('\n'); err != nil ||
		!strings.Contains(note, `"log lines were dropped: nobody took them","lines":`) {
		t.Fatalf("of %d dropped lines it says %q, %v", dropped, note, err)
	}
	if got, err := in.ReadString('\n'); err != nil || got != "{}\n" {
		t.Fatal(got, err)
	}
	s.dropped = 7
	if _, err := s.Write([]byte("<6>msg=x\n")); err != nil {
		t.Fatal(err)
	}
	if note, err := in.ReadString('\n'); err != nil ||
		note != "<4>msg=\"log lines were dropped: nobody took them\" lines=7\n" {
		t.Fatalf("for journald it says %q, %v", note, err)
	}
}
