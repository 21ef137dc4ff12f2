package rtmp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a condition may take on a busy host.
const patience = 60 * time.Second

// recorder is a Handler that writes down what happens.
type recorder struct {
	refuse func(p *Publisher) error

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced at each change
	published []*Publisher
	ended     map[*Publisher]error
	counts    map[*Publisher]counts
	flv       map[*Publisher]*bytes.Buffer
	writers   map[*Publisher]*FLVWriter
}

type counts struct{ video, audio, keys, configs, scripts int }

func newRecorder() *recorder {
	return &recorder{
		changed: make(chan struct{}),
		ended:   make(map[*Publisher]error),
		counts:  make(map[*Publisher]counts),
		flv:     make(map[*Publisher]*bytes.Buffer),
		writers: make(map[*Publisher]*FLVWriter),
	}
}

func (r *recorder) change() { close(r.changed); r.changed = make(chan struct{}) }

func (r *recorder) Publish(p *Publisher) error {
	if r.refuse != nil {
		if err := r.refuse(p); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = append(r.published, p)
	r.flv[p] = &bytes.Buffer{}
	r.writers[p] = NewFLVWriter(r.flv[p])
	r.change()
	return nil
}

func (r *recorder) Tag(p *Publisher, t Tag) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.counts[p]
	switch {
	case t.Kind == Script:
		c.scripts++
	case t.Config():
		c.configs++
	case t.Frame() && t.Kind == Video:
		c.video++
	case t.Frame():
		c.audio++
	}
	if t.Keyframe() {
		c.keys++
	}
	r.counts[p] = c
	r.writers[p].WriteTag(t)
	r.change()
}

func (r *recorder) Unpublish(p *Publisher, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.ended[p]; twice {
		panic("unpublished twice")
	}
	r.ended[p] = cause
	r.change()
}

// until waits for a condition, which is asked with the recorder locked.
func (r *recorder) until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		r.mu.Lock()
		ok, changed := condition(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("waited %v for: %s", patience, what)
		}
	}
}

// serve runs an ingest on loopback and returns its address.
func serve(t *testing.T, set Settings) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(set)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// publisher is a running ffmpeg.
type publisher struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{}
	err    error
}

// ffmpeg publishes a test picture and a tone to output for so many seconds (0: until it is
// stopped).
func ffmpeg(t *testing.T, seconds int, output ...string) *publisher {
	t.Helper()
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Skip("ffmpeg is not installed")
	}
	args := strings.Fields("-nostdin -hide_banner -loglevel warning -re -f lavfi -i testsrc2=size=320x180:rate=25 " +
		"-f lavfi -i sine=sample_rate=48000 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -c:a aac -threads 1")
	if seconds > 0 {
		args = append(args, "-t", fmt.Sprint(seconds))
	}
	p := &publisher{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	p.cmd = exec.CommandContext(ctx, path, append(append(args, "-f", "flv"), output...)...)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() { cancel(); <-p.done })
	return p
}

func (p *publisher) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		t.Fatalf("ffmpeg did not end within %v", patience)
		return nil
	}
}

func TestFFmpegPublishes(t *testing.T) {
	t.Parallel()
	r := newRecorder()
	_, address := serve(t, Settings{Handler: r})
	enc := ffmpeg(t, 2, "rtmp://"+address+"/v2/pub/lobby%20cam?token=s3cret&sourceId=main&priority=2")
	if err := enc.wait(t); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, enc.stderr.String())
	}
	r.until(t, "the goodbye", func() bool { return len(r.ended) == 1 })
	p := r.published[0]
	if p.Name != "lobby cam" || p.Token.Reveal() != "s3cret" || p.Params.Encode() != "priority=2&sourceId=main" {
		t.Errorf("publisher = %q, token %q, parameters %v", p.Name, p.Token.Reveal(), p.Params)
	}
	if cause := r.ended[p]; cause != nil {
		t.Errorf("the goodbye came with cause %v", cause)
	}
	c := r.counts[p]
	if c.video != 50 || c.keys != 2 || c.configs != 2 || c.scripts != 1 || c.audio < 90 || c.audio > 97 {
		t.Errorf("counts = %+v, want 50 pictures with 2 keyframes, about 94 sounds, 2 configurations, 1 metadata", c)
	}
	probe(t, r.flv[p].Bytes(), "codec_name=h264", "codec_name=aac", "nb_read_frames=50")
}

// probe has ffprobe count what is in an FLV file.
func probe(t *testing.T, flv []byte, want ...string) {
	t.Helper()
	path, err := exec.LookPath("ffprobe")
	if err != nil {
		t.Skip("ffprobe is not installed")
	}
	file := filepath.Join(t.TempDir(), "feed.flv")
	if err := os.WriteFile(file, flv, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "-v", "error", "-count_frames", "-show_streams", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ffprobe: %v\n%s", err, out)
	}
	for _, w := range want {
		if !strings.Contains(string(out), w) {
			t.Errorf("ffprobe does not say %q:\n%s", w, out)
		}
	}
}
