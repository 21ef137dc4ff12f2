package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/configs/secret"
)

// mayRead is the way out for a user who may not read the journal.
const mayRead = "let this user read the journal: `adduser oncue systemd-journal`, then `systemctl restart oncue`"

// Log returns the last lines of the unit in the journal, by journalctl: systemd's own library for
// it is C, and its file format has grown too often to be read by anything else.
func (e *Encoder) Log(ctx context.Context, n int) ([]string, error) {
	e.mu.Lock()
	name := e.name
	e.mu.Unlock()
	if name == "" {
		name = e.settings.Unit
	}
	if strings.Contains(name, "{") || n < 1 { // no job has said yet which instance it is
		return []string{}, nil
	}
	cmd := exec.CommandContext(ctx, "journalctl", "--unit="+name, "--lines="+strconv.Itoa(n), "--output=short-iso",
		"--no-hostname", "--no-pager", "--quiet")
	cmd.Env = []string{"LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH")}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	switch {
	case len(out) == 0 && !errors.Is(err, exec.ErrNotFound) && !journalReadable():
		return nil, fmt.Errorf("read the journal of %s: %s", name, mayRead)
	case err != nil:
		return nil, fmt.Errorf("read the journal of %s: %w: %s", name, err, strings.TrimSpace(said.String()))
	}
	mask := secret.NewMasker(e.env.Secrets...)
	lines := []string{}
	for line := range strings.Lines(string(out)) {
		lines = append(lines, mask.Mask(strings.TrimRight(line, "\n")))
	}
	return lines, nil
}

// journalReadable reports whether this user may read the system's journal, or there is none.
func journalReadable() bool {
	found := false
	for _, dir := range []string{"/var/log/journal", "/run/log/journal"} {
		files, _ := filepath.Glob(dir + "/*/system.journal")
		for _, f := range files {
			found = true
			if unix.Access(f, unix.R_OK) == nil {
				return true
			}
		}
	}
	return !found
}
