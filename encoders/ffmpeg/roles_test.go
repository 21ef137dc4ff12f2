package ffmpeg

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// play runs the test binary in another role. A controller starts the encoder in a folder, or in the
// role standby keeps it ready, prints the pid, and waits to be killed.
func play(role string) int {
	if role != "controller" && role != "standby" {
		return 2
	}
	settings := small()
	if input := os.Getenv("ONCUE_TEST_INPUT"); input != "" {
		settings = held(&cameratest.Camera{})
		settings.Input = input
	}
	if standby := os.Getenv("ONCUE_TEST_STANDBY"); standby != "" {
		settings.Standby = standby
	}
	e, err := New(settings, encoders.Env{Name: "cam", Dir: os.Getenv("ONCUE_TEST_DIR"),
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	job := roleJob(os.Getenv("ONCUE_TEST_PUBLISH"))
	if role == "standby" {
		e.KeepReady(job, true)
		for s, changed := e.now(); s.Standby == nil || !s.Standby.Ready; s, changed = e.now() {
			<-changed
		}
		e.mu.Lock()
		fmt.Println(e.warmPID)
		select {}
	}
	if err := e.Start(context.Background(), job); err != nil {
		fmt.Println(err)
		return 1
	}
	s, _ := e.now()
	fmt.Println(s.PID)
	select {}
}

func roleJob(publish string) encoders.Job {
	return encoders.Job{Account: "ABC123", Name: "lobby/ü x", Run: "run7", Publish: secret.New(publish)}
}

// startElsewhere starts the encoder from another controller, with more in its environment, kills
// that with SIGKILL, and returns the encoder's pid.
func startElsewhere(t *testing.T, role, dir, publish string, env ...string) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), "ONCUE_TEST_ROLE="+role, "ONCUE_TEST_DIR="+dir,
		"ONCUE_TEST_PUBLISH="+publish)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the other controller says %q", line)
	}
	return pid
}
