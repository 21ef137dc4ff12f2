package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
)

// Check asks systemd about the unit, and whether this user may start it.
func (e *Encoder) Check(ctx context.Context, job encoders.Job) []encoders.Finding {
	name := e.settings.name(job)
	p, err := e.bus.follow(ctx, e, name)
	var u unit
	if err == nil {
		u, err = readUnit(ctx, p)
	}
	if err != nil {
		f := bad("", "%s", explain("read its state", name, err))
		if noBus(err) {
			f.Hint = "units are of a host that runs systemd and dbus; in a container there are none, unless it has the " +
				"host's /run/dbus/system_bus_socket"
		}
		return []encoders.Finding{f}
	}
	switch u.load {
	case "loaded":
	case "not-found":
		return []encoders.Finding{bad("is it spelled as `systemctl list-unit-files` has it?", "there is no unit %s", name)}
	case "masked":
		return []encoders.Finding{bad("`systemctl unmask "+name+"`", "unit %s is masked", name)}
	default:
		return []encoders.Finding{bad("`systemd-analyze verify "+name+"` tells why", "unit %s cannot be loaded: %s", name,
			u.load)}
	}
	found := []encoders.Finding{good("unit %s is %s", name, u.active)}
	if u.outdated {
		found = append(found, odd("`systemctl daemon-reload`",
			"the file of unit %s has changed, and systemd still has the old one", name))
	}
	found = append(found, e.mayStart(ctx, p)...)
	if !journalReadable() {
		found = append(found, odd(mayRead, "the journal of unit %s cannot be read, so `oncue logs` shows nothing", name))
	}
	if file := job.Fill(e.settings.PublishFile); file != "" {
		if err := unix.Access(filepath.Dir(file), unix.W_OK|unix.X_OK); err != nil {
			found = append(found, bad("name a folder that is there, such as /run/oncue, which the package's service has",
				"publish_file: a file in %s cannot be made: %v", filepath.Dir(file), err))
		}
	}
	return append(found, odd("keep `confirm: feed`, so that the platform decides what is live",
		"systemd knows whether unit %s is on, not whether it delivers", name))
}

// mayStart says whether the daemon's user may start and stop the unit.
func (e *Encoder) mayStart(ctx context.Context, p *place) []encoders.Finding {
	who, may, err := "this user", false, error(nil)
	if daemon, uid, ok := packaged(ctx, p.link); ok && os.Geteuid() == 0 {
		who = "the user of oncue.service"
		may, err = p.link.polkitLets(ctx, daemon, uid, p.name)
	} else {
		may, err = p.link.systemdLets(ctx, p.name)
	}
	switch {
	case err != nil:
		return []encoders.Finding{odd("", "whether %s may start unit %s is not known: %v", who, p.name, err)}
	case may:
		return []encoders.Finding{good("%s may start unit %s", who, p.name)}
	}
	return []encoders.Finding{bad("name it in "+rulesFile+"; polkitd must be installed: its version 0.106 and later "+
		"read that file", "systemd does not let %s start and stop unit %s", who, p.name)}
}

// systemdLets asks for a start in the mode "triggering", which is only for stops: systemd first
// asks polkit whether this user may start that unit, and then refuses the mode. Nothing is started.
// systemd before version 247 does not know the mode, and refuses it before it asks. Sources:
// systemctl(1), --job-mode=; systemd's manager_add_job.
func (l *link) systemdLets(ctx context.Context, name string) (bool, error) {
	err := l.call(ctx, managerPath, manager+"StartUnit", name, "triggering")
	var answer dbus.Error
	switch {
	case denied(err):
		return false, nil
	case errors.As(err, &answer) && strings.Contains(answer.Error(), "only valid for stop"):
		return true, nil
	}
	return false, err
}

// polkitLets asks polkit, as root alone may, what it would say if that process asked for a start.
// Source: org.freedesktop.PolicyKit1.Authority, CheckAuthorization.
func (l *link) polkitLets(ctx context.Context, pid, uid uint32, name string) (bool, error) {
	type subject struct {
		Kind    string
		Details map[string]dbus.Variant
	}
	asks := subject{"unix-process", map[string]dbus.Variant{
		"pid": dbus.MakeVariant(pid), "uid": dbus.MakeVariant(int32(uid)), "start-time": dbus.MakeVariant(uint64(0)),
	}}
	var answer struct {
		Authorized, Challenge bool
		Details               map[string]string
	}
	err := l.Object("org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority").CallWithContext(ctx,
		"org.freedesktop.PolicyKit1.Authority.CheckAuthorization", 0, asks, systemdName+".manage-units",
		map[string]string{"unit": name, "verb": "start"}, uint32(0), "").Store(&answer)
	if noBus(err) { // no polkit: systemd lets root alone
		return false, nil
	}
	return answer.Authorized, err
}

// packaged returns the process and user of the daemon that runs as the package's service, if that
// is not root.
func packaged(ctx context.Context, l *link) (pid, uid uint32, ok bool) {
	u, err := readUnit(ctx, &place{link: l, path: unitPath("oncue.service")})
	if err != nil || u.pid == 0 {
		return 0, 0, false
	}
	info, err := os.Stat("/proc/" + strconv.Itoa(u.pid))
	if err != nil {
		return 0, 0, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return uint32(u.pid), stat.Uid, ok && stat.Uid != 0
}

func good(format string, args ...any) encoders.Finding {
	return encoders.Finding{Level: encoders.OK, What: fmt.Sprintf(format, args...)}
}

func odd(hint, format string, args ...any) encoders.Finding {
	return encoders.Finding{Level: encoders.Warn, What: fmt.Sprintf(format, args...), Hint: hint}
}

func bad(hint, format string, args ...any) encoders.Finding {
	return encoders.Finding{Level: encoders.Bad, What: fmt.Sprintf(format, args...), Hint: hint}
}

// Plan says what a start and a stop ask of systemd.
func (e *Encoder) Plan(job encoders.Job) []string {
	name := e.settings.name(job)
	start, stop := []string{"start: StartUnit " + name + ", as `systemctl start` does"},
		[]string{"stop: StopUnit " + name + ", and SIGKILL for what is left of it at stop_timeout"}
	if file := job.Fill(e.settings.PublishFile); file != "" {
		start = append([]string{"start: write the publishing URL to " + file + ", mode 0600"}, start...)
		stop = append(stop, "stop: remove "+file)
	}
	return append(start, stop...)
}
