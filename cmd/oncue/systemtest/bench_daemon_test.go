package systemtest

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/store"
)

var journalRows = flag.Int("bench-rows", 1_000_000, "journal rows of the start in TestBenchTable")

// benchExec measures from a ViewerAttempt's first byte to the encoder's process at work, beside a
// bare fork and exec of the same program.
func benchExec(t *testing.T, table *table) {
	const tries = 60
	dir := t.TempDir()
	fifo, script := filepath.Join(dir, "fifo"), filepath.Join(dir, "encoder")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho x > \"$1\"\nexec sleep 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	word, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer word.Close()
	began := func() {
		t.Helper()
		_ = word.SetReadDeadline(time.Now().Add(patience))
		if _, err := word.Read(make([]byte, 2)); err != nil {
			t.Fatal(err)
		}
	}
	s := newSite(t, buildFast(t))
	s.configure(fmt.Sprintf("on_exit: stop\nencoders: {nvr: {ffmpeg: {binary: %q, args: [%q]}}}\nstreams: "+
		"{\"cam-*\": {encoder: nvr, publish: \"rtmp://127.0.0.1:9/v2/pub/{stream}?token=x\"}}\n",
		script, fifo))
	s.start()
	commits := newCommits(t)
	var ours, floor, commit []time.Duration
	for n := range tries {
		at := time.Now()
		cmd := exec.Command(script, fifo)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		began()
		floor = append(floor, time.Since(at))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		at = time.Now()
		s.hook(controller.HookAttempt, fmt.Sprintf("cam-%d", n))
		began()
		ours = append(ours, time.Since(at))

		commit = append(commit, commits())
	}
	s.term()
	limit := median(floor) + median(commit) + time.Millisecond
	table.add("attempt to encoder exec", spread(ours), "fork/exec "+spread(floor)+"; commit "+spread(commit), "",
		goal("≤ fork/exec + commit + 1 ms = "+ms(limit), median(ours) <= limit))
}

func spread(v []time.Duration) string {
	return fmt.Sprintf("p50 %s, p99 %s", ms(median(v)), ms(percentile(v, 99)))
}

// newCommits returns a function that stores one hook, alone, and measures how long that takes.
func newCommits(t *testing.T) func() time.Duration {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	n := int64(0)
	return func() time.Duration {
		n++
		at := time.Now()
		if _, _, err := st.Append(t.Context(), benchRecord(n, at)); err != nil {
			t.Fatal(err)
		}
		return time.Since(at)
	}
}

func benchRecord(n int64, received time.Time) controller.Record {
	name := fmt.Sprintf("s%d", n%benchStreams)
	body := viewerBody(name, n)
	return controller.Record{
		Received: received, Sent: received, Account: testAccount, Stream: controller.StreamID(testAccount + "/" + name),
		Type: millicast.TypeViewers, Event: string(controller.HookAttempt),
		Verdict: controller.Accepted, Size: len(body), Body: body,
	}
}

// benchFirstFrame measures from a ViewerAttempt to the first picture at the ingest, through
// everything, beside FFmpeg's plainest command line. The driver alone, on live inputs, is measured
// by its own package.
func benchFirstFrame(t *testing.T, table *table) {
	needFFmpeg(t)
	const tries, picture = 5, "testsrc2=size=1280x720:rate=30"
	s := newSite(t, buildFast(t))
	sim, slate := s.platform(simulator.Settings{Scale: 60}), makeSlate(t, "1280x720")
	s.configure(`
on_exit: stop
encoders: {cam: {ffmpeg: {input: "lavfi:` + picture + `"}}, ready: {ffmpeg: {input: "lavfi:` + picture +
		`", standby: warm}}, booting: {fake: {start_delay: 10m}}, slate: {ffmpeg: {input: ` + slate + `}}}
streams: {cold: {encoder: cam, publish: "RTMP:"}, warm: {encoder: ready, publish: "RTMP:"},
  covered: {encoder: booting, cover: slate, publish: {token: "` + testToken + `", server: "rtmp://` + sim.RTMPAddr() +
		`"}}}
`)
	s.start()
	first := func(name string, begin func() (end func())) time.Duration {
		t.Helper()
		at := time.Now()
		end := begin()
		s.await("a picture", func() bool { return !sim.Truth(name).FirstVideo.IsZero() })
		took := sim.Truth(name).FirstVideo.Sub(at)
		end()
		s.await("the end", func() bool { return sim.Truth(name).Connections == 0 })
		return took
	}
	attempt := func(name string) func() func() {
		return func() func() {
			s.hook(controller.HookAttempt, name)
			return func() {
				s.mode(name, controller.ModeOff)
				s.awaitPhase(name, controller.PhaseIdle)
				s.mode(name, controller.ModeAuto)
			}
		}
	}
	ffmpeg := func(args ...string) func() func() {
		return func() func() {
			cmd := exec.Command("ffmpeg", append([]string{"-nostdin", "-loglevel", "error", "-re"}, args...)...)
			cmd.Args = append(cmd.Args, "-c:v", "libx264", "-f", "flv", sim.RTMPURL("plain"))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		}
	}
	var plain, cold, warm, still, covered []time.Duration
	for range tries {
		plain = append(plain, first("plain", ffmpeg("-f", "lavfi", "-i", picture)))
		cold = append(cold, first("cold", attempt("cold")))
		warm = append(warm, first("warm", attempt("warm")))
		still = append(still, first("plain", ffmpeg("-loop", "1", "-framerate", "30", "-i", slate, "-pix_fmt", "yuv420p")))
		covered = append(covered, first("covered", attempt("covered")))
	}
	s.term()
	times := func(v []time.Duration) string {
		return fmt.Sprintf("%.1f times faster", float64(median(plain))/float64(median(v)))
	}
	table.add("attempt to first picture, test source", spread(cold), "plain ffmpeg "+spread(plain), times(cold), "")
	table.add("… with standby: warm", spread(warm), "", times(warm), "")
	table.add("attempt to a cover's first picture, a 720p slate", spread(covered), "plain ffmpeg "+spread(still),
		fmt.Sprintf("%.1f times faster", float64(median(still))/float64(median(covered))), "")
}

// benchLarge measures a site of 10,000 streams, 1,000 of them live, with a large journal: from exec
// to ready, memory, and CPU at rest.
func benchLarge(t *testing.T, table *table) {
	const streams, live, starts = 10_000, 1000, 9
	s := newSite(t, buildFast(t))
	var text strings.Builder
	text.WriteString("defaults: {confirm: encoder, join_timeout: 24h, attempt_hold: 24h}\nencoders:\n")
	for n := range streams {
		fmt.Fprintf(&text, "  box%d: {fake: {}}\n", n)
	}
	text.WriteString("streams:\n")
	for n := range streams {
		fmt.Fprintf(&text, "  s%d: {encoder: box%d}\n", n, n)
	}
	s.configure(text.String())
	s.write(strings.Replace(readFile(t, s.config()), "level: debug", "level: info", 1))
	growJournal(t, s.data(), *journalRows)
	version := []time.Duration{}
	for range starts {
		at := time.Now()
		if err := exec.Command(s.binary, "version").Run(); err != nil {
			t.Fatal(err)
		}
		version = append(version, time.Since(at))
	}
	s.listenForReady()
	first := s.timeToReady()
	none := s.cpuAtRest()
	many(16, func(i int) {
		for n := i; n < live; n += 16 {
			s.hook(controller.HookAttempt, fmt.Sprintf("s%d", n))
		}
	})
	s.awaitPhase(fmt.Sprintf("s%d", live-1), controller.PhaseLive)
	var killed, ended []time.Duration
	for range starts {
		s.kill()
		killed = append(killed, s.timeToReady())
	}
	for range starts {
		s.term()
		ended = append(ended, s.timeToReady())
	}
	what := fmt.Sprintf("exec to ready, %d streams, %d rows", streams, *journalRows)
	table.add(what, spread(ended), "oncue version "+spread(version), "",
		goal("≤ 300 ms", median(ended) <= 300*time.Millisecond))
	table.add("… after kill -9", spread(killed), "the very first "+ms(first), "",
		goal("≤ 300 ms", median(killed) <= 300*time.Millisecond))

	share := s.cpuAtRest()
	rss := rssOf(t, s.proc.Process.Pid)
	table.add(fmt.Sprintf("CPU at rest, %d live on the fake driver", live), fmt.Sprintf("%.2f %% of a core", share),
		fmt.Sprintf("none live %.2f %%", none), "", goal("≤ 1 %", share <= 1))
	table.add("resident memory of the same", fmt.Sprintf("%.0f MB", float64(rss)/1e6), "", "",
		goal("≤ 100 MB", rss <= 100e6))
	s.term()
}

// cpuAtRest is the daemon's share of a core, in percent, once its start and the checks that follow
// it are over.
func (s *site) cpuAtRest() float64 {
	s.t.Helper()
	const window = 20 * time.Second
	used := func(during time.Duration) time.Duration {
		before := cpuOf(s.t, s.proc.Process.Pid)
		<-time.After(during)
		return cpuOf(s.t, s.proc.Process.Pid) - before
	}
	s.await("rest", func() bool { return used(12*time.Second) < 12*time.Second/20 })
	return float64(used(window)) / float64(window) * 100
}

// listenForReady has the site's daemons notify the test when they are ready, as they notify
// systemd.
func (s *site) listenForReady() {
	s.t.Helper()
	path := filepath.Join(s.dir, "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	s.notify = l
	s.env = append(s.env, "NOTIFY_SOCKET="+path)
}

// timeToReady starts the daemon and measures from exec to its READY=1.
func (s *site) timeToReady() time.Duration {
	s.t.Helper()
	at := time.Now()
	s.launch()
	_ = s.notify.SetReadDeadline(time.Now().Add(patience))
	for message := make([]byte, 256); ; {
		n, err := s.notify.Read(message)
		if err != nil {
			s.t.Fatalf("oncue does not say that it is ready: %v\n%s", err, s.logTail(4000))
		}
		if string(message[:n]) == "READY=1" {
			return time.Since(at)
		}
	}
}

// growJournal stores hooks that came within the last day.
func growJournal(t *testing.T, dir string, rows int) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const span = 23 * time.Hour
	begin := time.Now().Add(-span)
	var next atomic.Int64
	many(512, func(int) {
		for n := next.Add(1); n <= int64(rows); n = next.Add(1) {
			at := begin.Add(span / time.Duration(rows) * time.Duration(n))
			if _, _, err := st.Append(context.Background(), benchRecord(n, at)); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cpuOf is the CPU time that a process has used, to the kernel's hundredth of a second.
func cpuOf(t testing.TB, pid int) time.Duration {
	t.Helper()
	_, rest, _ := strings.Cut(readFile(t, fmt.Sprintf("/proc/%d/stat", pid)), ") ")
	var ticks time.Duration
	for _, field := range strings.Fields(rest)[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100)
}

// rssOf is a process's resident memory, bytes.
func rssOf(t testing.TB, pid int) int { return memoryOf(t, pid, "status", "VmRSS:") }

// memoryOf reads kilobytes from a file of /proc/PID.
func memoryOf(t testing.TB, pid int, file, name string) int {
	t.Helper()
	_, rest, _ := strings.Cut(readFile(t, fmt.Sprintf("/proc/%d/%s", pid, file)), name)
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n * 1024
}

// benchPackages runs the benchmarks of single packages, and puts their results into the table.
func benchPackages(t *testing.T, table *table) {
	for _, b := range []struct{ folder, name, times string }{
		{"controller", "Alarms", "5x"},
		{"encoders/ffmpeg", "FirstFrame", "5x"},
		{"encoders/ffmpeg", "Children", "1x"},
	} {
		out, err := exec.Command("go", "test", "-run", "^$", "-bench", b.name, "-benchtime", b.times, "-timeout",
			"20m", "../../../"+b.folder).CombinedOutput()
		if err != nil {
			t.Errorf("%s of %s: %v\n%s", b.name, b.folder, err, out)
			continue
		}
		for line := range strings.Lines(string(out)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
				continue
			}
			name := strings.TrimPrefix(fields[0], "Benchmark")
			if at := strings.LastIndexByte(name, '-'); at > 0 {
				name = name[:at]
			}
			var figures []string
			wanted := ""
			for i := 2; i+1 < len(fields); i += 2 {
				if fields[i+1] != "ns/op" || len(fields) == 4 {
					figures = append(figures, fields[i]+" "+fields[i+1])
				}
				late, err := strconv.ParseFloat(fields[i], 64)
				if err == nil && name == "Alarms/heap" && fields[i+1] == "ms-late" {
					wanted = goal("100,000 at once, ≤ 50 ms", late <= 50)
				}
			}
			table.add(b.folder+": "+name, strings.Join(figures, ", "), "", "", wanted)
		}
	}
}
