package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/sandbox"
	"github.com/oncue/oncue/store"
)

// Below little the store soon cannot take hooks; below some it is worth a look. Bytes.
const (
	littleDisk = 100 << 20
	someDisk   = 1 << 30
)

func (d *doctor) examineDataDir(context.Context) []encoders.Finding {
	dir := d.cfg.DataDir
	info, err := os.Stat(dir)
	foreign, refused := errors.AsType[*store.ForeignDirError](store.CheckDir(dir, daemon.BesideConfig(d.cfg)))
	switch {
	case refused && !foreign.Others:
		return []encoders.Finding{bad(foreign.Error(), term.HintFor(daemon.DataDirError(foreign)))}
	case errors.Is(err, fs.ErrNotExist):
		parent := existing(dir)
		if unix.Access(parent, unix.W_OK|unix.X_OK) != nil {
			return []encoders.Finding{bad(fmt.Sprintf("%s is not there, and may not be made in %s by this user", dir, parent), "make it and give it to the daemon's user, or set data_dir")}
		}
		return []encoders.Finding{good("%s will be made at the first start", dir)}
	case errors.Is(err, fs.ErrPermission):
		return []encoders.Finding{odd(fmt.Sprintf("%s cannot be seen by this user", dir), "run it as the daemon's user: sudo -u oncue oncue doctor")}
	case err != nil:
		return []encoders.Finding{bad(err.Error(), "")}
	case !info.IsDir():
		return []encoders.Finding{bad(fmt.Sprintf("%s is no folder", dir), "set data_dir to a folder")}
	case unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) != nil && os.Geteuid() != 0 && !ownedBySelf(info):
		return []encoders.Finding{odd(fmt.Sprintf("%s may not be written by this user; the daemon's may be another one", dir), "run it as the daemon's user: sudo -u oncue oncue doctor")}
	case unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) != nil:
		return []encoders.Finding{bad(fmt.Sprintf("%s may not be written", dir), "is its file system mounted read-only? chmod u+rwx gives its owner the right")}
	}
	return []encoders.Finding{good("%s may be written", dir)}
}

func ownedBySelf(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// existing is the nearest folder above path that is there.
func existing(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return "/"
	}
	for path != "/" {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		path = filepath.Dir(path)
	}
	return path
}

func (d *doctor) examineDisk(context.Context) []encoders.Finding {
	var st unix.Statfs_t
	dir := existing(d.cfg.DataDir)
	if err := unix.Statfs(dir, &st); err != nil {
		return []encoders.Finding{odd(fmt.Sprintf("the free space of %s is not known: %v", dir, err), "")}
	}
	free := st.Bavail * uint64(st.Bsize)
	what := fmt.Sprintf("%.1f GiB are free for %s", float64(free)/(1<<30), d.cfg.DataDir)
	switch {
	case free < littleDisk:
		return []encoders.Finding{bad(what, "make room: on a full disk no hook can be stored")}
	case free < someDisk:
		return []encoders.Finding{odd(what, fmt.Sprintf("the database may grow to retention.max_size (%s)", d.cfg.Retention.MaxSize))}
	}
	return []encoders.Finding{good("%s", what)}
}

func (d *doctor) examinePublicURL(ctx context.Context) []encoders.Finding {
	if d.cfg.PublicURL == "" {
		return []encoders.Finding{odd("public_url is not set, so the way from the Internet cannot be tried", "set it to the https address by which the platform reaches listen")}
	}
	target := strings.TrimRight(d.cfg.PublicURL, "/") + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return []encoders.Finding{bad(fmt.Sprintf("public_url: %v", err), "")}
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return []encoders.Finding{bad(fmt.Sprintf("%s cannot be reached from here: %v", target, client.PlainCause(err)), "is the daemon running, the name right, and the proxy or tunnel up? (some routers refuse the way out and back in)")}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return []encoders.Finding{bad(fmt.Sprintf("%s answers %s", target, resp.Status), "does the proxy hand /healthz and /hooks/millicast on to listen?")}
	}
	return []encoders.Finding{good("%s answers in %d ms", target, time.Since(began).Milliseconds())}
}

func (d *doctor) examineDaemon(ctx context.Context) []encoders.Finding {
	if d.noDaemon != nil {
		return []encoders.Finding{bad(d.noDaemon.Error(), term.HintFor(d.noDaemon))}
	}
	var all term.Status
	err := d.daemon.Get(ctx, "/status?streams=none", &all)
	switch {
	case client.IsUnreachable(err):
		return []encoders.Finding{odd(err.Error(), term.HintFor(err))}
	case err != nil:
		return []encoders.Finding{bad(err.Error(), term.HintFor(err))}
	case !all.Ready:
		return []encoders.Finding{bad("it cannot take hooks: "+strings.Join(all.NotReady, "; "), "oncue status and its log tell more")}
	}
	found := []encoders.Finding{good("it answers at %s and is ready; it runs version %s since %s", d.daemon.Shown, all.Version, all.Started.Local().Format(time.DateTime))}
	for _, p := range all.Problems {
		found = append(found, bad(p, "repair it, then systemctl reload oncue (or oncue reload)"))
	}
	if c := all.Config; c != nil && len(all.Problems) == 0 && sameFile(c.File, d.config) {
		loaded := c.Loaded.Local().Format(time.DateTime)
		if !c.Modified.Equal(d.cfg.Modified.Truncate(time.Millisecond)) {
			what := fmt.Sprintf("%s has changed since the daemon read it at %s, which works by the older one", d.config, loaded)
			found = append(found, odd(what, "systemctl reload oncue (or oncue reload) has it read again"))
		}
		if env := daemon.EnvFile(d.config); daemon.ChangedAfter(env, all.Started.Time) {
			what := fmt.Sprintf("%s has changed since the daemon started, which has the older variables", env)
			found = append(found, odd(what, "systemctl restart oncue, which loses no hook and no encoder"))
		}
	}
	if v, _, _ := build(); all.Version != v {
		found = append(found, odd(fmt.Sprintf("it is of version %s, this command of %s", all.Version, v), "restart it after an update: systemctl restart oncue"))
	}
	return found
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// examineSandbox says what keeps encoders that are processes of this host away from all that they
// do not need.
func (d *doctor) examineSandbox(context.Context) []encoders.Finding {
	if !slices.ContainsFunc(d.cfg.Encoders, func(e *configs.Encoder) bool { return e.Driver == "ffmpeg" }) {
		return []encoders.Finding{good("no encoder is a process of this host")}
	}
	by, open := sandbox.Describe()
	if by == "" {
		return []encoders.Finding{odd("this kernel has no Landlock, or this user may not use it: "+
			"an encoder that a hostile input takes over can do all that the daemon can",
			"Linux 5.13 and later have it, when its boot parameter lsm= names landlock")}
	}
	found := []encoders.Finding{good("encoders are confined by %s: the daemon's files and memory are out of their reach", by)}
	for _, what := range open {
		found = append(found, odd("this kernel does not close to encoders: "+what, ""))
	}
	return found
}
