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
	"github.com/oncue/oncue/encoders/sandbox"
	"github.com/oncue/oncue/store"
)

// Below littleDisk the store soon cannot take hooks; below someDisk doctor warns. Bytes.
const (
	littleDisk = 100 << 20
	someDisk   = 1 << 30
)

func (d *doctor) examineDataDir(context.Context) findings {
	dir := d.cfg.DataDir
	info, err := os.Stat(dir)
	foreign, refused := errors.AsType[*store.ForeignDirError](store.CheckDir(dir, daemon.BesideConfig(d.cfg)))
	switch {
	case refused && !foreign.Others:
		return bad(foreign.Error(), term.HintFor(daemon.DataDirError(foreign)))
	case errors.Is(err, fs.ErrNotExist):
		parent := existing(dir)
		if unix.Access(parent, unix.W_OK|unix.X_OK) != nil {
			return bad(fmt.Sprintf("%s does not exist, and this user may not make it in %s", dir, parent),
				"make it and give it to the daemon's user, or set data_dir")
		}
		return good("%s will be made at the first start", dir)
	case errors.Is(err, fs.ErrPermission):
		return odd(fmt.Sprintf("this user may not see %s", dir),
			"run it as the daemon's user: sudo -u oncue oncue doctor")
	case err != nil:
		return bad(err.Error(), "")
	case !info.IsDir():
		return bad(fmt.Sprintf("%s is not a folder", dir), "set data_dir to a folder")
	case unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) != nil && os.Geteuid() != 0 && !ownedBySelf(info):
		return odd(fmt.Sprintf("this user may not write to %s; the daemon may run as another user", dir),
			"run it as the daemon's user: sudo -u oncue oncue doctor")
	case unix.Access(dir, unix.R_OK|unix.W_OK|unix.X_OK) != nil:
		return bad(fmt.Sprintf("%s is not writable", dir),
			"is its file system mounted read-only? chmod u+rwx gives its owner the right")
	}
	return good("%s is writable", dir)
}

func ownedBySelf(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// existing is the nearest folder above path that exists.
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

func (d *doctor) examineDisk(context.Context) findings {
	var st unix.Statfs_t
	dir := existing(d.cfg.DataDir)
	if err := unix.Statfs(dir, &st); err != nil {
		return odd(fmt.Sprintf("the free space of %s is not known: %v", dir, err), "")
	}
	free := st.Bavail * uint64(st.Bsize)
	what := fmt.Sprintf("%.1f GiB are free for %s", float64(free)/(1<<30), d.cfg.DataDir)
	switch {
	case free < littleDisk:
		return bad(what, "make room: on a full disk no hook can be stored")
	case free < someDisk:
		return odd(what,
			fmt.Sprintf("the database may grow to retention.max_size (%s)", d.cfg.Retention.MaxSize))
	}
	return good("%s", what)
}

func (d *doctor) examinePublicURL(ctx context.Context) findings {
	if d.cfg.PublicURL == "" {
		return odd("public_url is not set, so oncue cannot try the way from the Internet",
			"set it to the https address by which the platform reaches listen")
	}
	target := strings.TrimRight(d.cfg.PublicURL, "/") + "/healthz"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return bad(fmt.Sprintf("public_url: %v", err), "")
	}
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return bad(fmt.Sprintf("%s cannot be reached from here: %v", target, client.PlainCause(err)),
			"is the daemon running, the name right, and the proxy or tunnel up? "+
				"(some routers do not lead traffic out and back in)")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return bad(fmt.Sprintf("%s answers %s", target, resp.Status),
			"does the proxy hand /healthz and /hooks/millicast on to listen?")
	}
	return good("%s answers in %d ms", target, time.Since(began).Milliseconds())
}

func (d *doctor) examineDaemon(ctx context.Context) findings {
	if d.noDaemon != nil {
		return bad(d.noDaemon.Error(), term.HintFor(d.noDaemon))
	}
	var all term.Status
	err := d.daemon.Get(ctx, "/status?streams=none", &all)
	switch {
	case client.IsUnreachable(err):
		return odd(err.Error(), term.HintFor(err))
	case err != nil:
		return bad(err.Error(), term.HintFor(err))
	case !all.Ready:
		return bad("it cannot take hooks: "+strings.Join(all.NotReady, "; "),
			"oncue status and its log tell more")
	}
	found := good("it answers at %s and is ready; it runs version %s since %s", d.daemon.Shown,
		all.Version, all.Started.Local().Format(time.DateTime))
	for _, p := range all.Problems {
		found.add(bad(p, "repair it, then systemctl reload oncue (or oncue reload)"))
	}
	if c := all.Config; c != nil && len(all.Problems) == 0 && sameFile(c.File, d.config) {
		loaded := c.Loaded.Local().Format(time.DateTime)
		if !c.Modified.Equal(d.cfg.Modified.Truncate(time.Millisecond)) {
			what := fmt.Sprintf("%s has changed since the daemon read it at %s; the older version is in force",
				d.config, loaded)
			found.add(odd(what, "systemctl reload oncue (or oncue reload) reads it again"))
		}
		if env := daemon.EnvFile(d.config); daemon.ChangedAfter(env, all.Started.Time) {
			what := fmt.Sprintf("%s has changed since the daemon started; the daemon has the older variables", env)
			found.add(odd(what, "systemctl restart oncue, which loses no hook and no encoder"))
		}
	}
	if v, _, _ := build(); all.Version != v {
		found.add(odd(fmt.Sprintf("its version is %s, that of this command %s", all.Version, v),
			"restart it after an update: systemctl restart oncue"))
	}
	return found
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// examineSandbox says what confines the encoders that are processes of this host.
func (d *doctor) examineSandbox(context.Context) findings {
	if !slices.ContainsFunc(d.cfg.Encoders, func(e *configs.Encoder) bool { return e.Driver == "ffmpeg" }) {
		return good("no encoder is an FFmpeg of this host")
	}
	by, open := sandbox.Describe()
	if by == "" {
		return odd("this kernel has no Landlock, or this user may not use it: "+
			"an encoder that a hostile input takes over can do all that the daemon can",
			"Linux 5.13 and later have it, when its boot parameter lsm= names landlock")
	}
	found := good("encoders are confined by %s: the daemon's files and memory are out of their reach", by)
	for _, what := range open {
		found.add(odd("this kernel does not close to encoders: "+what, ""))
	}
	return found
}
