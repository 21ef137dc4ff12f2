package ffmpeg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// TestWatchdog plays what is seen of a process, second by second.
func TestWatchdog(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(1000, 0).Add(time.Duration(second) * time.Second) }
	report := func(second int, kilobytes int64) block {
		b := emptyBlock()
		b.outTime, b.size = time.Duration(second)*time.Second, kilobytes*1000
		return b
	}
	for _, c := range []struct {
		name    string
		reports bool
		play    func(w *watchdog)
		when    int
		want    encoders.State
		why     string
	}{
		{"nothing yet", true, func(w *watchdog) { w.ours = true }, 60, encoders.StateStarting, ""},
		{"alive, not known to report", true, func(*watchdog) {}, 1, encoders.StateStarting, ""},
		{"alive for a while", false, func(*watchdog) {}, 2, encoders.StatePublishing, ""},
		{"one report", true, func(w *watchdog) { w.block(at(1), report(1, 100)) }, 1, encoders.StateStarting, ""},
		{"two reports", true, func(w *watchdog) { w.block(at(1), report(1, 100)); w.block(at(2), report(2, 200)) }, 2,
			encoders.StatePublishing, ""},
		{"time without bytes", true, func(w *watchdog) {
			w.block(at(1), report(1, 100))
			w.block(at(2), report(2, 100))
		}, 2, encoders.StateStarting, ""},
		{"frames alone", true, func(w *watchdog) {
			for n := range 2 {
				b := emptyBlock()
				b.frame = int64(n)
				w.block(at(n), b)
			}
		}, 2, encoders.StatePublishing, ""},
		{"frames without bytes", true, func(w *watchdog) {
			for n := range 2 {
				b := emptyBlock()
				b.frame, b.size = int64(n), 0
				w.block(at(n), b)
			}
		}, 2, encoders.StateStarting, ""},
		{"silence", true, func(w *watchdog) { w.block(at(1), report(1, 100)); w.block(at(2), report(2, 200)) }, 12,
			encoders.StateStalled, "no progress for 10s: its input sends nothing, or the server accepts nothing"},
		{"frozen time", true, func(w *watchdog) {
			w.block(at(1), report(1, 100))
			for n := 2; n < 13; n++ {
				w.block(at(n), report(2, int64(n*100)))
			}
		}, 12, encoders.StateStalled, "no progress for 10s: its input sends nothing, or the server accepts nothing"},
		{"goes on", true, func(w *watchdog) {
			w.block(at(1), report(1, 100))
			w.block(at(2), report(2, 200))
			w.block(at(20), report(3, 300))
		}, 20, encoders.StatePublishing, ""},
		{"a queue that grows", true, func(w *watchdog) {
			for n := 1; n <= 20; n++ {
				w.block(at(n), report(n, int64(n*100)))
				if n > 5 {
					w.sockets(at(n), int64(n*100_000))
				}
			}
		}, 20, encoders.StateStalled, "the server accepts nothing: 2000 kB wait to be sent"},
		{"a queue that goes down now and then", true, func(w *watchdog) {
			for n := 1; n <= 20; n++ {
				w.block(at(n), report(n, int64(n*100)))
				w.sockets(at(n), 500_000-int64(n%5)*1000)
			}
		}, 20, encoders.StatePublishing, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWatchdog(10*time.Second, c.reports, at(0))
			c.play(&w)
			if state, why := w.verdict(at(c.when)); state != c.want || why != c.why {
				t.Errorf("it is %s, %q; want %s, %q", state, why, c.want, c.why)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "progress")
	write := func(text string) {
		f, err := proc.OpenOutput(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("frame=12\nfps=0.0\nstream_0_0_q=23.0\nbitrate=1182.9kbits/s\ntotal_size=151405\nout_time_us=1024000\n" +
		"out_time=00:00:01.024000\n" +
		"dup_frames=0\ndrop_frames=3\nspeed=   1x\nprogress=continue\nframe=2")
	p, err := openProgress(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	var got []block
	next := func() {
		t.Helper()
		got = nil
		if err := p.read(func(b block) { got = append(got, b) }); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...block) {
		t.Helper()
		if d := cmp.Diff(want, got, cmp.AllowUnexported(block{})); d != "" {
			t.Error(d)
		}
	}
	next()
	expect(block{outTime: 1024 * time.Millisecond, frame: 12, size: 151405, dropped: 3, fps: 0, bitrate: 1182900,
		speed: 1})
	write("4\ntotal_size=N/A\nbitrate=N/A\nout_time_us=N/A\nprogress=end\n")
	next()
	later := emptyBlock()
	later.frame = 24
	expect(later)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	next() // notices
	write(strings.Repeat("x", 5000) + "\nframe=1\nprogress=continue\n")
	next()
	later.frame = 1
	expect(later)
}
