package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/term"
)

// examined runs doctor on a configuration of those encoders and streams, without a daemon, and
// returns what it prints.
func examined(t *testing.T, encoders, streams string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "oncue.yaml")
	text := fmt.Sprintf("data_dir: %s\naccounts: {A: {webhook_secrets: [%s]}}\nencoders:\n%sstreams:\n%s",
		t.TempDir(), exampleSecret.Reveal(), encoders, streams)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	d := doctor{config: path, quick: true}
	d.daemon, d.noDaemon = client.New("127.0.0.1:" + closedPort(t))
	err := d.run(t.Context(), term.NewScreen(&out), false)
	return strings.Join(strings.Fields(out.String()), " ") + fmt.Sprint(" error: ", err)
}

func closedPort(t *testing.T) string { return closedPorts(t, 1)[0] }

// closedPorts are ports of 127.0.0.1 at which nobody listens, and nobody can before the test ends.
func closedPorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		at, err2 := unix.Getsockname(fd)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		ports[i] = strconv.Itoa(at.(*unix.SockaddrInet4).Port)
	}
	return ports
}

// TestDoctorConnectsToTheIngest: doctor connects once to each server that an encoder is told to
// publish to, whatever the URL, and to no other.
func TestDoctorConnectsToTheIngest(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := "127.0.0.1:" + closedPort(t)
	got := examined(t, "  told: {obs: {address: \""+closed+"\", set_service: true}}\n  own: {fake: {}}\n",
		fmt.Sprintf("  a: {encoder: told, publish: \"rtmp://%[1]s/live/{stream}?token=hush-hush-hush\"}\n"+
			"  b: {encoder: told, publish: \"rtmps://%[1]s/live/{stream}?token=hush-hush-hush\"}\n"+
			"  \"c-*\": {encoder: own, publish: \"rtmp://10.255.0.1/live/{stream}\"}\n"+
			"  d: {encoder: told, publish: \"https://%[2]s/{stream}?token=hush-hush-hush\"}\n"+
			"  e: {encoder: told, publish: \"srt://127.0.0.1:9?streamid={stream}\"}\n", l.Addr(), closed))
	for _, want := range []string{
		"✓ publish: " + l.Addr().String() + ", for 2 streams, takes connections",
		"✗ publish: " + closed + ", for stream A/d, takes no connection: connection refused hint: ",
		"✓ publish: 127.0.0.1:9, for stream A/e, is known by name; SRT uses UDP",
		"to try it for real: oncue try told start",
		"error: 2 things are broken",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in %s", want, got)
		}
	}
	for _, no := range []string{"10.255.0.1", "hush-hush", "broken:"} {
		if strings.Contains(got, no) {
			t.Errorf("%q is in %s", no, got)
		}
	}
}

// TestDoctorOfManyEncoders: hundreds that work share one line, and the end repeats what is broken.
func TestDoctorOfManyEncoders(t *testing.T) {
	t.Parallel()
	var encoders, streams strings.Builder
	const many, broken = 300, 25
	closed := closedPorts(t, many)
	for i := range many {
		driver := "fake: {}"
		if i < broken {
			driver = fmt.Sprintf("ffmpeg: {input: test, binary: /nowhere/%d/ffmpeg}", i)
		}
		fmt.Fprintf(&encoders, "  e%d: {%s}\n", i, driver)
		fmt.Fprintf(&streams, "  s%d: {encoder: e%d, publish: \"rtmp://127.0.0.1:%s/live/{stream}\"}\n", i, i,
			closed[i])
	}
	got := examined(t, encoders.String(), streams.String())
	if strings.Contains(got, "✓ encoder e") {
		t.Error("encoders that work have lines of their own")
	}
	list, again, found := strings.Cut(got, " broken: ")
	if !found || !strings.Contains(list, fmt.Sprintf("✓ encoders: %d of %d work", many-broken, many)) {
		t.Errorf("no end with what is broken: %s", list)
	}
	for i := range broken {
		line := fmt.Sprintf("✗ encoder e%d: ", i)
		if !strings.Contains(list, line) || !strings.Contains(again, line) {
			t.Errorf("%s is not there twice", line)
		}
	}
	if n := slices.Index(strings.Fields(again), "error:"); n < 0 || !strings.Contains(again, "50 things are broken") {
		t.Errorf("the end is %s", again)
	}
}
