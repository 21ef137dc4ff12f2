package ffmpeg

import (
	"errors"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// sink is an RTMP ingest that counts what comes.
type sink struct {
	server *rtmp.Server
	addr   string

	mu     sync.Mutex
	refuse error
	now    map[*rtmp.Publisher]bool
	keys   []string
	sounds int       // packets of sound so far, of all publishers
	frames int       // pictures so far, of all publishers
	first  time.Time // when the first of them came
}

func newSink(t testing.TB) *sink {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{addr: l.Addr().String(), now: map[*rtmp.Publisher]bool{}}
	s.server = rtmp.NewServer(rtmp.Settings{Handler: s, Silence: time.Minute})
	served := make(chan struct{})
	go func() { defer close(served); _ = s.server.Serve(l) }()
	t.Cleanup(func() { _ = s.server.Close(); <-served })
	return s
}

func (s *sink) Publish(p *rtmp.Publisher) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, p.Key.Reveal())
	if s.refuse != nil {
		return s.refuse
	}
	s.now[p] = true
	return nil
}

func (s *sink) Tag(_ *rtmp.Publisher, t rtmp.Tag) {
	const sequenceHeader = 0 // of AVC and AAC, no picture and no sound
	if t.Kind != rtmp.Video && t.Kind != rtmp.Audio || len(t.Data) < 2 || t.Data[1] == sequenceHeader {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.Kind == rtmp.Audio {
		s.sounds++
		return
	}
	if s.frames == 0 {
		s.first = time.Now()
	}
	s.frames++
}

func (s *sink) Unpublish(p *rtmp.Publisher, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.now, p)
}

func (s *sink) url(rest string) string { return "rtmp://" + s.addr + "/v2/pub/" + rest }

func (s *sink) copies() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.now)
}

func (s *sink) pictures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames
}

func (s *sink) sound() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sounds
}

// forget counts from nothing again.
func (s *sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frames, s.sounds = 0, 0
}

// publisher returns the one that publishes.
func (s *sink) publisher(t testing.TB) *rtmp.Publisher {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.now {
		return p
	}
	t.Fatal("nobody publishes")
	return nil
}

func (s *sink) refuseWith(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = errors.New(text)
}

// needFFmpeg skips where there is none.
func needFFmpeg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("needs ffmpeg: ", err)
	}
}

// await waits until ok, for as long as a busy machine may need.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.After(30 * time.Second); !ok(); {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-end:
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
