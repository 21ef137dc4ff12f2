package systemd

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
)

// unit is what systemd says of a unit. Source of all fields: org.freedesktop.systemd1(5). What a
// target does not have is zero.
type unit struct {
	at         time.Time // when it was read
	load       string    // LoadState: loaded, not-found, masked …
	active     string    // ActiveState
	since      time.Time // StateChangeTimestamp
	invocation string    // InvocationID, in hex; of the last start of the unit
	job        bool      // a job of it waits or runs
	condition  bool      // ConditionResult and AssertResult of the last start
	outdated   bool      // NeedDaemonReload: its file has changed

	pid      int    // MainPID
	result   string // Result: success, exit-code, signal, timeout …
	code     int32  // ExecMainCode, of waitid(2): how the main process ended
	status   int32  // ExecMainStatus: its exit status, or the signal that killed it
	restarts uint32 // NRestarts: how often systemd started it again by itself, since somebody did
}

// readUnit asks for all properties in one call, so that they are of one moment.
func readUnit(ctx context.Context, p *place) (unit, error) {
	var all map[string]dbus.Variant
	// No interface named means those of all interfaces, as systemctl show asks.
	if err := p.link.ask(ctx, p.path, properties+".GetAll", &all, ""); err != nil {
		return unit{}, err
	}
	var condition, assert bool
	var since, invocation, job = uint64(0), []byte(nil), struct {
		ID   uint32
		Path dbus.ObjectPath
	}{}
	var pid uint32
	u := unit{at: time.Now()}
	for name, into := range map[string]any{
		"LoadState": &u.load, "ActiveState": &u.active, "StateChangeTimestamp": &since,
		"InvocationID": &invocation, "Job": &job, "ConditionResult": &condition, "AssertResult": &assert,
		"NeedDaemonReload": &u.outdated,
		"MainPID":          &pid, "Result": &u.result, "ExecMainCode": &u.code, "ExecMainStatus": &u.status,
		"NRestarts": &u.restarts,
	} {
		if v, ok := all[name]; ok {
			if err := v.Store(into); err != nil {
				return unit{}, fmt.Errorf("property %s: %w", name, err)
			}
		}
	}
	if since > 0 {
		u.since = time.UnixMicro(int64(since))
	}
	u.pid, u.job, u.condition, u.invocation = int(pid), job.ID != 0, condition && assert, hex.EncodeToString(invocation)
	if u.active == "" {
		return unit{}, fmt.Errorf("systemd does not tell its state")
	}
	return u, nil
}

// state is the unit's state in the words of encoders.
func (u unit) state() encoders.State {
	switch u.active {
	case "active", "reloading", "refreshing":
		return encoders.StatePublishing
	case "activating":
		return encoders.StateStarting
	case "deactivating":
		return encoders.StateStopping
	case "inactive":
		return encoders.StateStopped
	case "failed":
		return encoders.StateFailed
	}
	return encoders.StateUnknown
}

// on reports whether anything of the unit may run.
func (u unit) on() bool { return !u.state().Gone() }

// systemd exits with these on behalf of a program that it could not begin. Source:
// systemd.exec(5), "Process Exit Codes".
var setup = map[int32]string{
	200: "its WorkingDirectory cannot be entered (CHDIR)", 203: "its program cannot be executed (EXEC)",
	216: "its Group does not exist (GROUP)", 217: "its User does not exist (USER)",
	226: "its namespace cannot be made (NAMESPACE)", 243: "its credentials cannot be loaded (CREDENTIALS)",
}

// why says how the unit ended, in plain words.
func (u unit) why() string {
	end := ""
	switch text, ok := setup[u.status]; {
	case u.code == cldExited && ok:
		end = text
	case u.code == cldExited:
		end = fmt.Sprintf("its program ended with exit status %d", u.status)
	case u.code == cldKilled || u.code == cldDumped:
		end = fmt.Sprintf("its program was ended by %s", cmp.Or(unix.SignalName(unix.Signal(u.status)), "a signal"))
	}
	switch u.result {
	case "exit-code", "signal", "success", "":
	case "core-dump":
		end = strings.TrimPrefix(end+", and has left a core dump", ", ")
	case "timeout":
		return "it was not up within its TimeoutStartSec, or not down within its TimeoutStopSec"
	case "watchdog":
		return "it did not feed its watchdog"
	case "start-limit-hit":
		return "it was started too often: see its StartLimitIntervalSec and StartLimitBurst, and `systemctl reset-failed`"
	case "oom-kill":
		return "it was killed because memory ran out"
	case "resources":
		return "systemd could not start it; `journalctl -u` of the unit tells why"
	default:
		return "systemd says: " + u.result
	}
	return cmp.Or(end, "it has ended")
}

// incurable reports whether the unit failed before its program began, which a repeat does not cure.
func (u unit) incurable() bool {
	_, ok := setup[u.status]
	return ok && u.code == cldExited && u.result == "exit-code"
}

// How a process ended. Source: waitid(2).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// jobResults are the ends of a job that did not do what it was for. Source:
// org.freedesktop.systemd1(5), JobRemoved.
var jobResults = map[string]string{
	"canceled":   "somebody else cancelled it",
	"timeout":    "it took longer than its JobTimeoutSec",
	"dependency": "a unit that it needs has failed",
	"skipped":    "its state does not allow it",
	"assert":     "one of its Assert… settings does not hold",
}
