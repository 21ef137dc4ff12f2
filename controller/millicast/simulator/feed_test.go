package simulator

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// program finds a program or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

// testPicture are the arguments of an ffmpeg that publishes a test picture and a tone without end.
func testPicture(url string) []string {
	line := "-nostdin -v warning -re -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=48000 " +
		"-c:v libx264 -preset ultrafast -tune zerolatency -g 25 -threads 1 -c:a aac -tcp_nodelay 1 -f flv"
	return append(strings.Fields(line), url)
}

// publish runs an ffmpeg that publishes until it is ended, and returns it with its stderr.
func publish(t *testing.T, url string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	stderr := &bytes.Buffer{}
	cmd := exec.Command(program(t, "ffmpeg"), testPicture(url)...)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("ffmpeg to %s: %v\n%s", url, cmd.ProcessState, stderr)
		}
	})
	return cmd, stderr
}

func TestFFmpegIsAFeed(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{Token: secret.New("s3cret")})
	begin := time.Now()
	cmd, stderr := publish(t, sim.RTMPURL("lobby/a b")+"&sourceId=main&priority=7")
	until(t, sim, "two keyframes", func() bool {
		feeds := sim.Truth("lobby/a b").Feeds
		return len(feeds) == 1 && feeds[0].Keyframes >= 2
	})
	truth := sim.Truth("lobby/a b")
	feed := truth.Feeds[0]
	if !truth.Live || truth.Connections != 1 || feed.SourceID != "main" || *feed.Priority != 7 ||
		feed.Sounds == 0 || feed.Bytes == 0 {
		t.Errorf("truth = %+v", truth)
	}
	if !feed.KeyIs("lobby%2Fa%20b?token=s3cret&sourceId=main&priority=7") || feed.KeyIs("lobby%2Fa%20b?token=other") {
		t.Error("the stream key does not compare")
	}
	moments := []time.Time{begin, feed.Connected, feed.Started, truth.FirstVideo, time.Now()}
	for i := 1; i < len(moments); i++ {
		if moments[i].Before(moments[i-1]) {
			t.Errorf("moments are out of order: %v", moments)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	until(t, sim, "the end", func() bool { return rec.events("lobby/a b") == "started ended" })
	hooks := rec.hooks("lobby/a b")
	if hooks[0].Data.Started != feed.Started.UnixMilli() || hooks[1].Data.FeedID != feed.ID ||
		hooks[1].Data.Ended == 0 {
		t.Errorf("hooks = %s\n%s", hooks[0].body, hooks[1].body)
	}
	if past := sim.Truth("lobby/a b").Past[0]; past.Cause != "" {
		t.Errorf("the goodbye has cause %q\n%s", past.Cause, stderr)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{Token: secret.New("s3cret")})
	sim.Refuse("closed", "this stream is closed for tonight")
	for url, want := range map[string]string{
		strings.Replace(sim.RTMPURL("lobby"), "s3cret", "other", 1): "wrong publishing token",
		sim.RTMPURL("closed"):                "this stream is closed for tonight",
		sim.RTMPURL("lobby") + "&priority=x": "priority is not a whole number",
	} {
		cmd, stderr := publish(t, url)
		if cmd.Wait() == nil || !strings.Contains(stderr.String(), want) {
			t.Errorf("ffmpeg's stderr does not say %q: %s", want, stderr)
		}
	}
	if got := rec.events(""); got != "" {
		t.Errorf("hooks = %q", got)
	}
}

func TestEndings(t *testing.T) {
	t.Parallel()
	silent, dropped := rtmp.ErrSilent.Error(), errDropped.Error()
	for _, c := range []struct {
		name  string
		do    func(*Simulator, *exec.Cmd)
		cause string
		links int
	}{
		{"killed", func(_ *Simulator, cmd *exec.Cmd) { cmd.Process.Kill() }, "", 0},
		{"stopped", func(_ *Simulator, cmd *exec.Cmd) { cmd.Process.Signal(syscall.SIGSTOP) }, silent, 0},
		{"frozen", func(sim *Simulator, _ *exec.Cmd) { sim.Freeze("lobby") }, silent, 1},
		{"reset", func(sim *Simulator, _ *exec.Cmd) { sim.Drop("", true) }, dropped, 0},
		{"closed", func(sim *Simulator, _ *exec.Cmd) { sim.Drop("lobby", false) }, dropped, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim, rec := start(t, Settings{Silence: 4 * time.Second})
			cmd, _ := publish(t, sim.RTMPURL("lobby"))
			until(t, sim, "the first picture", func() bool { return !sim.Truth("lobby").FirstVideo.IsZero() })
			v := sim.Join("lobby")
			c.do(sim, cmd)
			until(t, sim, "the end", func() bool {
				return rec.events("lobby") == "started FirstViewerConnection ended"
			})
			until(t, sim, "the connection", func() bool { return sim.Truth("lobby").Connections == c.links })
			past := sim.Truth("lobby").Past[0]
			if c.cause != "" && past.Cause != c.cause || past.Cause == "" {
				t.Errorf("cause = %q, want %q", past.Cause, c.cause)
			}
			if v.State() != Inactive {
				t.Errorf("the viewer is %s", v.State())
			}
		})
	}
}

func TestASecondPublisherTakesOver(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{})
	first, _ := publish(t, sim.RTMPURL("lobby"))
	until(t, sim, "the first picture", func() bool { return !sim.Truth("lobby").FirstVideo.IsZero() })
	old := sim.Truth("lobby").Feeds[0].ID
	publish(t, sim.RTMPURL("lobby"))
	publish(t, sim.RTMPURL("lobby")+"?sourceId=side")
	first.Wait() // its connection ends
	until(t, sim, "the second source", func() bool { return len(sim.Truth("lobby").Feeds) == 2 })
	until(t, sim, "the hooks", func() bool { return len(rec.hooks("lobby")) == 4 })
	for _, h := range rec.hooks("lobby") {
		if h.Event == "ended" && h.Data.FeedID != old {
			t.Errorf("the wrong feed ended: %s", h.body)
		}
	}
}

func TestEightFeedsAtOnce(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{})
	for i := range 8 {
		publish(t, sim.RTMPURL(fmt.Sprintf("cam-%d", i)))
	}
	until(t, sim, "a keyframe of each", func() bool {
		for i := range 8 {
			if sim.Truth(fmt.Sprintf("cam-%d", i)).FirstVideo.IsZero() {
				return false
			}
		}
		return true
	})
	if got := sim.Drop("", true); got != 8 {
		t.Errorf("dropped %d, want 8", got)
	}
	until(t, sim, "all hooks", func() bool { return len(rec.hooks("")) == 16 })
	for i := range 8 {
		if got := rec.events(fmt.Sprintf("cam-%d", i)); got != "started ended" {
			t.Errorf("cam-%d: %s", i, got)
		}
	}
}

func TestDumpPlays(t *testing.T) {
	t.Parallel()
	probe := program(t, "ffprobe")
	sim, _ := start(t, Settings{})
	if err := sim.Dump(t.Context(), "lobby", nil); err == nil {
		t.Error("a stream that is off was dumped")
	}
	publish(t, sim.RTMPURL("lobby"))
	until(t, sim, "the first picture", func() bool { return !sim.Truth("lobby").FirstVideo.IsZero() })
	var flv bytes.Buffer
	dumped := make(chan error)
	go func() { dumped <- sim.Dump(context.Background(), "lobby", &flv) }()
	keys := sim.Truth("lobby").Feeds[0].Keyframes
	until(t, sim, "three more keyframes", func() bool { return sim.Truth("lobby").Feeds[0].Keyframes >= keys+3 })
	sim.Drop("lobby", true)
	if err := <-dumped; err != nil {
		t.Fatal(err)
	}
	args := "-v error -count_frames -show_entries stream=codec_name,nb_read_frames -of csv=p=0 -"
	cmd := exec.Command(probe, strings.Fields(args)...)
	cmd.Stdin = &flv
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "h264,") || !strings.Contains(string(out), "aac,") {
		t.Errorf("ffprobe: %v\n%s", err, out)
	}
}

// still runs ffmpeg to decode the keyframe.
func still(ctx context.Context, ffmpeg string, flv []byte) ([]byte, error) {
	args := strings.Fields("-v error -f flv -i pipe:0 -frames:v 1 -f mjpeg pipe:1")
	cmd := exec.CommandContext(ctx, ffmpeg, args...)
	cmd.Stdin = bytes.NewReader(flv)
	return cmd.Output()
}

func TestThumbnailsAreRealPictures(t *testing.T) {
	t.Parallel()
	ffmpeg := program(t, "ffmpeg")
	sim, rec := start(t, Settings{
		Scale: 30, Thumbnails: true,
		Snapshot: func(ctx context.Context, flv []byte) ([]byte, error) { return still(ctx, ffmpeg, flv) },
	})
	publish(t, sim.RTMPURL("lobby"))
	thumbnails := func() (list []hook) {
		for _, h := range rec.hooks("") {
			if h.Type == "thumbnail" {
				list = append(list, h)
			}
		}
		return list
	}
	until(t, sim, "two thumbnails", func() bool { return len(thumbnails()) >= 2 })
	h := thumbnails()[0]
	picture, err := jpeg.Decode(strings.NewReader(h.body))
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Size(); got.X != 320 || got.Y != 180 {
		t.Errorf("the thumbnail is %v", got)
	}
	if h.header.Get("X-Millicast-Stream-Id") != "ABC123/lobby" ||
		h.header.Get("X-Millicast-Feed-Id") != sim.Truth("lobby").Feeds[0].ID {
		t.Errorf("headers = %v", h.header)
	}
}
