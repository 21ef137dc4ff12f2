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

// verdict is the result of a reload, for the oncue reload that sent the signal.
type verdict struct {
	Begun   time.Duration `json:"begun"` // since the host booted
	Refused []string      `json:"refused"`
}

// verdictFile is in the folder that systemd makes for the service; RUNTIME_DIRECTORY names it to
// the service and to its ExecReload. Without one it is "".
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

// ReloadBySignal reloads without the configuration, which may be broken. It waits for the verdict
// on a reload that began after the signal: one that was already running may have read the older
// file.
func ReloadBySignal(pid int) ([]string, error) {
	file := verdictFile()
	if file == "" {
		return nil, term.Usage(errors.New("--pid needs RUNTIME_DIRECTORY, " +
			"the folder in which the daemon leaves the result"))
	}
	sent := sinceBoot()
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		return nil, fmt.Errorf("signal the daemon, process %d: %w", pid, err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(reloadLimit); ; {
		var v verdict
		text, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(text, &v) == nil && v.Begun >= sent {
			return v.Refused, nil
		}
		select {
		case <-tick.C:
		case <-end:
			err := fmt.Errorf("the daemon, process %d, has not reloaded within %s", pid, term.Span(reloadLimit))
			return nil, term.Hint(err, "its log may say why: journalctl -u oncue")
		}
		if err := syscall.Kill(pid, 0); err != nil {
			return nil, fmt.Errorf("the daemon, process %d, has ended", pid)
		}
	}
}
