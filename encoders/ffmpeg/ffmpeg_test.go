package ffmpeg

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/ffmpeg/relay"
)

// small is a cheap picture that never ends.
func small() Settings {
	s := Defaults()
	s.Input, s.Preset, s.Bitrate = "lavfi:testsrc2=size=160x120:rate=10", "ultrafast", "200k"
	return s
}

func openIn(t testing.TB, s Settings, dir string) *Encoder {
	t.Helper()
	e, err := New(s, encoders.Env{Name: "cam", Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// opened opens an encoder that is stopped and closed at the end.
func opened(t testing.TB, s Settings) *Encoder {
	t.Helper()
	e := openIn(t, s, t.TempDir())
	t.Cleanup(func() { end(t, e) })
	return e
}

func end(t testing.TB, e *Encoder) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Stop(ctx, encoders.Job{}); err != nil {
		t.Errorf("stop at the end: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func start(t testing.TB, e *Encoder, job encoders.Job) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Start(ctx, job); err != nil {
		t.Fatalf("start: %v", err)
	}
}

// awaitState waits for a state and returns the status then.
func awaitState(t testing.TB, e *Encoder, want encoders.State) encoders.Status {
	t.Helper()
	var s encoders.Status
	for end := time.After(30 * time.Second); ; {
		if s, _ = e.now(); s.State == want {
			return s
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-end:
			said, _ := e.Log(context.Background(), 10)
			t.Fatalf("not %s within 30 s; it is %+v; it said:\n%s", want, s, strings.Join(said, "\n"))
		}
	}
}

func TestConformance(t *testing.T) {
	needFFmpeg(t)
	encodertest.Run(t, encodertest.Harness{AtOnce: true, EchoesRun: true, OneStream: true, Live: 20 * time.Second,
		New: func(t *testing.T) encodertest.Rig {
			box, dir := newSink(t), t.TempDir()
			e := openIn(t, small(), dir)
			kill := func(t *testing.T) {
				s, _ := e.now()
				if err := syscall.Kill(s.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			return encodertest.Rig{
				Encoder: e,
				Job:     encodertest.NewJob(box.url("lobby?token=" + encodertest.Canary)),
				Copies:  box.copies,
				Reopen:  func(t *testing.T) encoders.Encoder { return openIn(t, small(), dir) },
				Die:     kill,
			}
		}})
}

// TestMain plays the programs that tests start: the test binary itself, told by its environment
// what to be.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == relay.Command {
		os.Exit(relay.Main())
	}
	if role := os.Getenv("ONCUE_TEST_ROLE"); role != "" {
		os.Exit(play(role))
	}
	flag.Parse()
	if !slices.ContainsFunc(os.Args, func(arg string) bool { return strings.HasPrefix(arg, "-test.parallel") }) {
		_ = flag.Set("test.parallel", "8") // they wait for other processes most of the time
	}
	os.Exit(m.Run())
}
