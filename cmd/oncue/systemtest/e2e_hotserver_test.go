package systemtest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders/httpapi/mediamtxtest"
)

// mediaMTX is a real MediaMTX in the place of a camera with key frames ten seconds apart, which it
// gets from an FFmpeg.
type mediaMTX struct {
	s                   *site
	program, film, addr string
	api                 string
	server, source      *exec.Cmd
	most                atomic.Int32 // readers at a time, as it counts them
}

func newMediaMTX(t *testing.T, s *site) *mediaMTX {
	ip, _, _ := net.SplitHostPort(s.hooks)
	m := &mediaMTX{s: s, program: mediamtxtest.Program(t), film: filepath.Join(s.dir, "film.mp4"), addr: ip + ":8554",
		api: "http://" + ip + ":9997/v3/paths/get/cam"}
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i",
		"testsrc2=size=640x360:rate=30", "-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", "20", "-c:v", "libx264",
		"-preset", "ultrafast", "-g", "300", "-keyint_min", "300", "-sc_threshold", "0", "-b:v", "1M", "-c:a", "aac",
		m.film).CombinedOutput()
	if err != nil {
		t.Fatalf("make the camera's film: %v: %s", err, out)
	}
	config := fmt.Sprintf("rtspAddress: %s\nrtspTransports: [tcp]\nreadTimeout: 60s\napi: yes\napiAddress: %s:9997\n"+
		"rtmp: no\nhls: no\nwebrtc: no\nsrt: no\nmoq: no\npaths: {cam: }\n", m.addr, ip)
	if err := os.WriteFile(m.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.serve()
	m.play()
	end := make(chan struct{})
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-tick.C:
				m.readers()
			case <-end:
				return
			}
		}
	}()
	t.Cleanup(func() {
		close(end)
		<-counted
		m.end(m.source)
		m.end(m.server)
	})
	return m
}

func (m *mediaMTX) config() string { return filepath.Join(m.s.dir, "mediamtx.yml") }
func (m *mediaMTX) url() string    { return "rtsp://" + m.addr + "/cam" }

func (m *mediaMTX) begin(name string, args ...string) *exec.Cmd {
	m.s.t.Helper()
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		m.s.t.Fatal(err)
	}
	return cmd
}

func (m *mediaMTX) end(cmd *exec.Cmd) { _ = cmd.Process.Kill(); _ = cmd.Wait() }

// serve starts the server, play gives it its film.
func (m *mediaMTX) serve() {
	m.s.t.Helper()
	m.server = m.begin(m.program, m.config())
	m.s.answers(m.addr)
}

func (m *mediaMTX) play() {
	m.s.t.Helper()
	m.source = m.begin("ffmpeg", "-nostdin", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i", m.film, "-c",
		"copy", "-f", "rtsp", "-rtsp_transport", "tcp", m.url())
	m.s.await("MediaMTX has a picture", func() bool { return m.path().Ready })
}

// path is what the server says of the camera; nothing while it is off.
func (m *mediaMTX) path() (p struct {
	Ready   bool
	Readers []struct{ ID string }
}) {
	if resp, err := m.s.client.Get(m.api); err == nil {
		defer resp.Body.Close()
		_ = json.NewDecoder(resp.Body).Decode(&p)
	}
	return p
}

// readers are the sessions that read the camera now.
func (m *mediaMTX) readers() (ids []string) {
	for _, r := range m.path().Readers {
		ids = append(ids, r.ID)
	}
	for n := int32(len(ids)); ; {
		most := m.most.Load()
		if n <= most || m.most.CompareAndSwap(most, n) {
			return ids
		}
	}
}

// A camera that nobody here wrote, with long groups of pictures, is held open: it is pulled away,
// frozen and given back, the daemon is killed with SIGKILL, and a viewer has a picture long before
// the next key frame. The camera counts its readers, and has never two.
func testHotCamera(t *testing.T, s *site) {
	needFFmpeg(t)
	sim, cam := s.platform(simulator.Settings{}), newMediaMTX(t, s)
	s.configure(fmt.Sprintf(`
on_exit: stop
encoders: {cam: {ffmpeg: {input: %q, video: copy, standby: hot, stall_timeout: 2s}}}
streams: {lobby: {encoder: cam, publish: "RTMP:"}}
`, cam.url()))
	s.start()
	ready := func(what string) {
		t.Helper()
		s.awaitStream("lobby", "ready, "+what, func(v controller.StreamView) bool {
			b := v.Encoders[0].Standby
			return b != nil && b.Ready && len(cam.readers()) == 1
		})
	}
	unready := func(what string) {
		t.Helper()
		v := s.awaitStream("lobby", "not ready, "+what, func(v controller.StreamView) bool {
			b := v.Encoders[0].Standby
			return b != nil && !b.Ready && b.Error != ""
		})
		t.Logf("%s: %s", what, v.Encoders[0].Standby.Error)
	}
	ready("before anybody came")
	reader := cam.readers()
	s.kill()
	s.start()
	ready("after a kill -9")
	if now := cam.readers(); len(now) != 1 || now[0] != reader[0] {
		t.Errorf("after a kill -9 the readers are %v; want %v as before", now, reader)
	}

	cam.end(cam.source)
	unready("its picture is pulled away")
	cam.play()
	ready("its picture is given back")
	if err := cam.source.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	unready("it is frozen")
	s.kill()
	s.start()
	if err := cam.source.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ready("it goes on")
	cam.end(cam.server)
	unready("it is switched off")
	cam.end(cam.source)
	cam.serve()
	cam.play()
	ready("it is on again")

	const far = 6 * time.Second // until the next key frame
	s.awaitStream("lobby", "soon after a key frame", func(v controller.StreamView) bool {
		b := v.Encoders[0].Standby
		return b != nil && b.Ready && b.BeginsMS != nil && *b.BeginsMS < (10*time.Second-far).Milliseconds()
	})
	came := time.Now()
	viewer := sim.Join("lobby")
	s.await("the viewer is in, and has a picture", func() bool {
		return viewer.State() == simulator.Watching && !sim.Truth("lobby").FirstVideo.IsZero()
	})
	if took := sim.Truth("lobby").FirstVideo.Sub(came); took > far {
		t.Errorf("the picture came after %v, with the next key frame", took)
	} else {
		t.Logf("the picture came after %v, the next key frame is 10 s from the last", took)
	}
	if len(cam.readers()) != 1 || cam.most.Load() != 1 {
		t.Errorf("the camera has %d readers, and had %d at a time", len(cam.readers()), cam.most.Load())
	}
}
