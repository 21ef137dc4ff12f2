package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/encoders"
)

// verdict is what became of a reload, for oncue reload, which has sent the signal.
type verdict struct {
	Begun   time.Duration `json:"begun"` // since the machine's start
	Refused []string      `json:"refused"`
}

// verdictFile stands in the folder that systemd makes for the service and tells it and its
// ExecReload of.
func verdictFile() string {
	dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "reload.json")
}

func saveVerdict(v verdict) error {
	file := verdictFile()
	if file == "" {
		return nil
	}
	return encoders.Remember(filepath.Dir(file), filepath.Base(file), v)
}

func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// reloadLimit is how long a daemon may take; one that is still starting reloads when it has
// started.
const reloadLimit = 60 * time.Second

// ReloadBySignal needs nothing of the configuration, which may be broken. It waits for the verdict
// on a reload that began after the signal: one that was under way may have read the file before.
func ReloadBySignal(pid int) ([]string, error) {
	file := verdictFile()
	if file == "" {
		return nil, term.Usage(errors.New("--pid needs RUNTIME_DIRECTORY, " +
			"the folder in which the daemon tells what became of it"))
	}
	sent := sinceBoot()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return nil, fmt.Errorf("signal the daemon, process %d: %w", pid, err)
	}
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for end := time.After(reloadLimit); ; {
		var v verdict
		text, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(text, &v) == nil && v.Begun >= sent {
			return v.Refused, nil
		}
		select {
		case <-look.C:
		case <-end:
			err := fmt.Errorf("the daemon, process %d, has not reloaded within %s", pid, term.Span(reloadLimit))
			return nil, term.Hint(err, "its log may tell why: journalctl -u oncue")
		}
		if err := syscall.Kill(pid, 0); err != nil {
			return nil, fmt.Errorf("the daemon, process %d, has ended", pid)
		}
	}
}
