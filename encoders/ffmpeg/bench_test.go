package ffmpeg

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// source is an input to measure with.
type source struct {
	name  string
	input string
	video string
	plain []string                  // FFmpeg's plainest command line, without the output
	serve []string                  // FFmpeg's arguments to serve one reader; nil when it needs no server
	port  string                    // where that listens
	key   func(time.Time) time.Time // when its next key frame comes; nil when it begins with one
}

// sources lists them. The served ones begin with a key frame; the camera plays all the time, so
// that a start falls anywhere.
func sources(b *testing.B) []source {
	file := sample(b)
	rtmp, srt := freePort(b), freePort(b)
	rtmpURL, srtURL := "rtmp://127.0.0.1:"+rtmp+"/live/cam", "srt://127.0.0.1:"+srt
	loop := []string{"-re", "-stream_loop", "-1", "-i", file, "-c", "copy"}
	cam := cameratest.Small(b)
	const picture = "testsrc2=size=1280x720:rate=30"
	return []source{
		{name: "testsrc", input: "lavfi:" + picture, video: "h264",
			plain: []string{"-re", "-f", "lavfi", "-i", picture, "-c:v", "libx264"}},
		{name: "file", input: file, video: "copy", plain: []string{"-re", "-i", file, "-c", "copy"}},
		{name: "rtsp", input: cam.URL(), video: "copy",
			plain: []string{"-rtsp_transport", "tcp", "-i", cam.URL(), "-c", "copy"}, key: cam.NextKey},
		{name: "rtmp", port: rtmp, input: rtmpURL, video: "copy", plain: []string{"-i", rtmpURL, "-c", "copy"},
			serve: append(loop[:len(loop):len(loop)], "-tcp_nodelay", "1", "-listen", "1", "-f", "flv", rtmpURL)},
		{name: "srt", port: srt, input: srtURL, video: "copy", plain: []string{"-i", srtURL, "-c", "copy"},
			serve: append(loop[:len(loop):len(loop)], "-muxdelay", "0", "-muxpreload", "0", "-f", "mpegts",
				srtURL+"?mode=listener")},
	}
}

// BenchmarkFirstFrame measures from the start to the first picture at an RTMP ingest: FFmpeg's
// plainest command line, ours, and ours with a process kept warm. For the camera ms-over-floor is
// what came on top of waiting for its next key frame.
func BenchmarkFirstFrame(b *testing.B) {
	needFFmpeg(b)
	for _, src := range sources(b) {
		b.Run(src.name+"/plain", func(b *testing.B) {
			measure(b, src, func(box *sink) func() {
				args := append([]string{"-nostdin", "-loglevel", "error"}, src.plain...)
				return run(b, append(args, "-f", "flv", box.url("lobby?token=x"))...)
			}, nil)
		})
		for _, standby := range []string{"none", "warm"} {
			b.Run(src.name+"/"+map[string]string{"none": "ours", "warm": "warm"}[standby], func(b *testing.B) {
				s := Defaults()
				s.Input, s.Video, s.Standby = src.input, src.video, standby
				if src.video == "copy" {
					s.Audio = "copy" // as the plain line does
				}
				e := openIn(b, s, b.TempDir())
				defer func() { _ = e.Close() }()
				j := job
				measure(b, src, func(box *sink) func() {
					j.Publish = secret.New(box.url("lobby?token=x"))
					start(b, e, j)
					return func() {
						if err := e.Stop(b.Context(), j); err != nil {
							b.Error(err)
						}
					}
				}, func(box *sink) {
					if standby == "warm" {
						j.Publish = secret.New(box.url("lobby?token=x"))
						e.KeepReady(j, true)
						waiting(b, e)
					}
				})
			})
		}
	}
}

// measure times from begin to the first picture, for each round.
func measure(b *testing.B, src source, begin func(*sink) (stop func()), before func(*sink)) {
	box := newSink(b)
	var total, over time.Duration
	for range b.N {
		box.forget()
		var unserve func()
		if src.serve != nil {
			unserve = run(b, append([]string{"-nostdin", "-loglevel", "error"}, src.serve...)...)
			await(b, "it listens", func() bool { return listens(b, src.port) })
		}
		if before != nil {
			before(box)
		}
		began := time.Now()
		stop := begin(box)
		await(b, "a picture", func() bool { return box.pictures() > 0 })
		total += box.first.Sub(began)
		if src.key != nil {
			over += box.first.Sub(src.key(began))
		}
		stop()
		await(b, "the end", func() bool { return box.copies() == 0 })
		if unserve != nil {
			unserve()
		}
	}
	b.ReportMetric(float64(total.Milliseconds())/float64(b.N), "ms-to-frame")
	if src.key != nil {
		b.ReportMetric(float64(over.Milliseconds())/float64(b.N), "ms-over-floor")
	}
	b.ReportMetric(0, "ns/op")
}

// listens looks a port up in the kernel's tables: connecting would use up the server's one reader.
func listens(b testing.TB, port string) bool {
	n, err := strconv.Atoi(port)
	if err != nil {
		b.Fatal(err)
	}
	for table, state := range map[string]string{"tcp": "0A", "udp": "07"} {
		body, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			b.Fatal(err)
		}
		for line := range strings.Lines(string(body)) {
			if f := strings.Fields(line); strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) && f[3] == state {
				return true
			}
		}
	}
	return false
}

// BenchmarkStart measures how long Start takes to have the process running, compared with a bare
// fork and exec of the same program.
func BenchmarkStart(b *testing.B) {
	s := scripted(b, "exec sleep 1000")
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command(s.Binary, "one", "lobby")
			if err := cmd.Start(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			b.StartTimer()
		}
	})
	b.Run("ours", func(b *testing.B) {
		e := openIn(b, s, b.TempDir())
		defer func() { _ = e.Close() }()
		for b.Loop() {
			start(b, e, job)
			b.StopTimer()
			if err := e.Stop(b.Context(), job); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}

// BenchmarkChildren supervises 200 FFmpegs at one picture a second, and reports what that costs the
// controller.
func BenchmarkChildren(b *testing.B) {
	needFFmpeg(b)
	const children = 200
	s := Defaults()
	s.Input, s.Preset, s.Bitrate, s.Audio, s.FPS = "lavfi:testsrc2=size=64x64:rate=1", "ultrafast", "50k", "none", 1
	dir, rss := b.TempDir(), ownRSS(b)
	var started []*Encoder
	for n := range children {
		e := openIn(b, s, mkdir(b, dir, n))
		defer end(b, e)
		j := job
		j.Publish = secret.New("file:" + filepath.Join(mkdir(b, dir, n), "out.flv"))
		start(b, e, j)
		started = append(started, e)
	}
	for _, e := range started {
		awaitState(b, e, "publishing")
	}
	const window = 10 * time.Second
	for b.Loop() {
		before := ownCPU(b)
		<-time.After(window)
		b.ReportMetric(float64(ownCPU(b)-before)/float64(window)*100/children, "%cpu/child")
	}
	runtime.GC()
	b.ReportMetric(float64(ownRSS(b)-rss)/children, "kB/child")
	b.ReportMetric(float64(threads(b)), "threads")
	b.ReportMetric(float64(runtime.NumGoroutine())/children, "goroutines/child")
}

func mkdir(b *testing.B, dir string, n int) string {
	path := filepath.Join(dir, strconv.Itoa(n))
	if err := os.MkdirAll(path, 0o700); err != nil {
		b.Fatal(err)
	}
	return path
}

func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ownRSS returns VmRSS in kB.
func ownRSS(b *testing.B) int {
	body, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(body), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func threads(b *testing.B) int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		b.Fatal(err)
	}
	return len(entries)
}

// run starts an FFmpeg of the test's own, and returns what ends it.
func run(b testing.TB, args ...string) func() {
	cmd := exec.Command("ffmpeg", args...)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	end := sync.OnceFunc(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	b.Cleanup(end)
	return end
}

// sample makes a short film: 30 pictures a second, a key frame every second, a tone.
func sample(b testing.TB) string {
	path := filepath.Join(b.TempDir(), "sample.flv")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		"testsrc2=size=640x360:rate=30", "-f", "lavfi", "-i", "sine=sample_rate=48000",
		"-t", "10", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0", "-b:v", "1M", "-c:a", "aac",
		"-y", path).CombinedOutput()
	if err != nil {
		b.Fatal(fmt.Errorf("make a sample: %w: %s", err, out))
	}
	return path
}

// freePort returns a port where nothing listens. The kernel gives it to nobody who asks for any: it
// is below those.
func freePort(b testing.TB) string {
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(12000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	b.Fatal("no port is free")
	return ""
}
