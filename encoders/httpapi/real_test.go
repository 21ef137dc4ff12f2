package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/controller/millicast/simulator"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/httpapi/mediamtxtest"
)

// These tests drive real programs where they are installed.

// program starts a program and ends it with the test. Its output is shown when the test fails.
func program(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), out.String())
		}
	})
}

func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

var givenPorts sync.Map

// freePort returns a port of loopback that nobody listens on now, another one at each call.
func freePort(t *testing.T) int {
	t.Helper()
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if _, given := givenPorts.LoadOrStore(port, true); !given {
			return port
		}
	}
}

// awaitPort waits until a program listens.
func awaitPort(t *testing.T, port int) {
	t.Helper()
	end := time.After(30 * time.Second)
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-end:
			t.Fatalf("nothing listens on port %d", port)
		}
	}
}

func TestRealVLC(t *testing.T) {
	vlc := find(t, "vlc")
	dir, err := os.MkdirTemp("", "oncue-vlc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	tune := filepath.Join(dir, "tune.wav")
	if err := os.WriteFile(tune, silentWAV(120), 0o644); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	args := []string{"-I", "http", "--http-host", "127.0.0.1", "--http-port", fmt.Sprint(port), "--http-password",
		password,
		"--aout", "adummy", "--no-playlist-autostart", "--no-one-instance", tune}
	if os.Geteuid() == 0 { // VLC refuses to run as root
		args = append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", vlc}, args...)
		vlc = find(t, "setpriv")
	}
	cmd := exec.Command(vlc, args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir,
		"XDG_CACHE_HOME="+dir, "DISPLAY=")
	cmd.Dir = dir
	program(t, cmd)
	awaitPort(t, port)

	settings := fmt.Sprintf("preset: vlc\nurl: http://127.0.0.1:%d\n%s", port, quick)
	e := open(t, settings+"password: "+password)
	job := encodertest.NewJob("")
	await(t, e, encoders.StateStopped)
	for range 2 {
		if err := e.Start(within(t, 10*time.Second), job); err != nil {
			t.Fatal(err)
		}
		if s := await(t, e, encoders.StatePublishing); !s.ConfigOnly {
			t.Errorf("VLC's word counts as delivery: %+v", s)
		}
		if err := e.Start(within(t, 10*time.Second), job); err != nil {
			t.Fatal(err)
		}
		if err := e.Stop(within(t, 10*time.Second), job); err != nil {
			t.Fatal(err)
		}
		await(t, e, encoders.StateStopped)
	}
	err = open(t, settings+"password: wrong-one").Start(within(t, 10*time.Second), job)
	if !encoders.IsPermanent(err) {
		t.Errorf("start with a wrong password: %v; want a permanent error", err)
	}
}

// silentWAV is a WAV file of so many seconds.
func silentWAV(seconds int) []byte {
	const rate = 8000
	n := uint32(seconds * rate)
	le := func(v uint32) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }
	var b []byte
	b = append(append(append(b, "RIFF"...), le(36+n)...), "WAVEfmt "...)
	b = append(b, 16, 0, 0, 0, 1, 0, 1, 0)
	b = append(append(append(b, le(rate)...), le(rate)...), 1, 0, 8, 0)
	b = append(append(b, "data"...), le(n)...)
	for range n {
		b = append(b, 0x80)
	}
	return b
}

// TestRealMediaMTX forwards a real picture from a real MediaMTX to the simulated platform.
func TestRealMediaMTX(t *testing.T) {
	mediamtx, ffmpeg := mediamtxtest.Program(t), find(t, "ffmpeg")
	sim, err := simulator.Start(context.Background(), simulator.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	api, rtmp := freePort(t), freePort(t)
	config := filepath.Join(t.TempDir(), "mediamtx.yml")
	text := fmt.Sprintf("logLevel: info\napi: yes\napiAddress: 127.0.0.1:%d\nrtmp: yes\nrtmpAddress: 127.0.0.1:%d\n"+
		"rtsp: no\nhls: no\nwebrtc: no\nsrt: no\npaths:\n  cam: {}\n", api, rtmp)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, exec.Command(mediamtx, config))
	awaitPort(t, api)
	awaitPort(t, rtmp)
	program(t, exec.Command(ffmpeg, "-nostdin", "-loglevel", "error", "-re", "-f", "lavfi", "-i",
		"testsrc2=size=160x90:rate=10",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-pix_fmt", "yuv420p", "-f",
		"flv", fmt.Sprintf("rtmp://127.0.0.1:%d/cam", rtmp)))
	awaitPublisher(t, api)

	e := open(t, fmt.Sprintf("preset: mediamtx-forward\nurl: http://127.0.0.1:%d\nvars: {path: cam}\n%s", api, quick))
	job := encodertest.NewJob(sim.RTMPURL("lobby") + "?token=" + password)
	await(t, e, encoders.StateStopped)
	live := func() bool { return sim.Truth("lobby").Live }
	for range 2 {
		if err := e.Start(within(t, 10*time.Second), job); err != nil {
			t.Fatal(err)
		}
		if err := sim.Wait(within(t, 20*time.Second), live); err != nil {
			t.Fatalf("the platform sees nothing: %v; the encoder is %+v", err, status(t, e))
		}
		if feeds := sim.Truth("lobby").Feeds; len(feeds) != 1 || !feeds[0].KeyIs("lobby?token="+password) {
			t.Errorf("the platform has %d feeds, or the key did not arrive as it was", len(feeds))
		}
		s := await(t, e, encoders.StatePublishing)
		if s.Health == nil || s.Health.Bytes == nil {
			t.Errorf("there are no figures: %+v", s)
		}
		if err := e.Stop(within(t, 10*time.Second), job); err != nil {
			t.Fatal(err)
		}
		if err := sim.Wait(within(t, 20*time.Second), func() bool { return !live() }); err != nil {
			t.Fatalf("the platform still sees it: %v", err)
		}
	}
	sim.Refuse("", "wrong publishing token")
	if err := e.Start(within(t, 10*time.Second), job); err != nil {
		t.Fatal(err)
	}
	s := await(t, e, encoders.StateStalled)
	if s.Error == "" {
		t.Errorf("it does not say why: %+v", s)
	}
	if err := e.Stop(within(t, 10*time.Second), job); err != nil {
		t.Fatal(err)
	}
}

// awaitPublisher waits until MediaMTX has the camera's picture.
func awaitPublisher(t *testing.T, api int) {
	t.Helper()
	end := time.After(30 * time.Second)
	for {
		res, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v3/paths/get/cam", api))
		if err == nil {
			var path struct{ Ready bool }
			err = json.NewDecoder(res.Body).Decode(&path)
			_ = res.Body.Close()
			if err == nil && path.Ready {
				return
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-end:
			t.Fatal("MediaMTX does not get the picture")
		}
	}
}

// TestRealPodman drives a container of sleep by Podman's service. A host may have Podman and be
// unable to run a container; then only the state and the refusal are seen.
func TestRealPodman(t *testing.T) {
	podman := find(t, "podman")
	dir, err := os.MkdirTemp("", "oncue-podman") // its path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	root := filepath.Join(dir, "fs")
	for _, name := range []string{"usr", "dev", "proc", "sys", "etc", "run", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	words := []string{podman, "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"}
	if _, err := os.Stat("/sys/fs/cgroup/unified"); err == nil && os.Geteuid() == 0 {
		// Hosts with both kinds of cgroups: crun knows only one, so the other is not shown to it.
		const apart = `umount /sys/fs/cgroup/unified && exec "$@"`
		words = append([]string{"unshare", "--mount", "sh", "-c", apart, "sh"}, words...)
	}
	command := func(args ...string) *exec.Cmd {
		all := append(words[1:len(words):len(words)], args...)
		return exec.Command(words[0], all...)
	}
	out, err := command("create", "--name", "encoder1", "--network", "none", "--cgroups", "disabled",
		"--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000", "--volume", "/usr:/usr:ro",
		"--rootfs", root, "/bin/sleep", "600").CombinedOutput()
	if err != nil {
		t.Skipf("Podman makes no container here: %v: %s", err, out)
	}
	t.Cleanup(func() {
		_ = command("rm", "--force", "--time", "0", "encoder1").Run()
	})
	socket := filepath.Join(dir, "podman.sock")
	program(t, command("system", "service", "--time", "0", "unix://"+socket))
	e := open(t, "preset: podman-container\nurl: unix://"+socket+"\nvars: {container: encoder1, seconds: 1}\n"+quick)
	await(t, e, encoders.StateStopped)
	job := encodertest.NewJob("")
	if out, err := command("start", "encoder1").CombinedOutput(); err != nil {
		if err := e.Start(within(t, 20*time.Second), job); err == nil {
			t.Error("the preset starts a container that Podman cannot start")
		}
		t.Skipf("Podman starts no container here: %s", strings.TrimSpace(string(out)))
	}
	if s := status(t, e); s.State != encoders.StatePublishing || !s.ByHand {
		t.Errorf("started by hand it is %+v", s)
	}
	if out, err := command("stop", "--time", "0", "encoder1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for range 2 {
		if err := e.Start(within(t, 20*time.Second), job); err != nil {
			t.Fatal(err)
		}
		await(t, e, encoders.StatePublishing)
	}
	if err := e.Stop(within(t, 20*time.Second), job); err != nil {
		t.Fatal(err)
	}
	await(t, e, encoders.StateStopped)
	if err := e.Start(within(t, 20*time.Second), job); err != nil {
		t.Fatal(err)
	}
	await(t, e, encoders.StatePublishing)
	if out, err := command("kill", "encoder1").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	mustSay(t, await(t, e, encoders.StateFailed).Error, "exit code 137")
}
