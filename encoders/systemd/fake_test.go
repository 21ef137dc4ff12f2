package systemd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// host is a bus and a systemd on it. The bus is the real one, dbus-daemon, with a socket of its
// own; the systemd is a stand-in that answers and signals as org.freedesktop.systemd1(5) says, with
// units in memory and people who use systemctl.
type host struct {
	t      *testing.T
	socket string
	daemon *exec.Cmd

	mu     sync.Mutex
	conn   *dbus.Conn
	units  map[string]*testUnit
	jobs   uint32
	starts uint64 // invocations
	denied bool   // polkit lets this user do nothing
	calls  []string
}

// testUnit is a unit of the stand-in: its properties, and how it takes starts and stops.
type testUnit struct {
	Load, Active, Sub, Result string
	Invocation                []byte
	PID                       uint32
	Code, Status              int32
	Restarts, Job             uint32
	Condition                 bool

	refuse    string // name of the error that StartUnit answers with
	jobResult string // of a start that fails; "" when it works
	slow      bool   // it stays activating until a test calls up
	stubborn  bool   // it stays deactivating until it is killed
	exits     int32  // exit status of the program when a stop ends it
}

const testUnitName = "enc@lobby.service"

func newHost(t *testing.T) *host {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		t.Skip("the program dbus-daemon is missing")
	}
	dir, err := os.MkdirTemp("", "bus") // short: a socket's path has 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &host{t: t, socket: filepath.Join(dir, "bus"), units: map[string]*testUnit{}}
	h.unit(testUnitName)
	h.up()
	t.Cleanup(h.down)
	return h
}

// unit makes a unit that is off.
func (h *host) unit(name string) *testUnit {
	u := &testUnit{Load: "loaded", Active: "inactive", Sub: "dead", Result: "success"}
	h.units[name] = u
	return u
}

// set changes how the unit behaves.
func (h *host) set(change func(u *testUnit)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(h.units[testUnitName])
}

// up starts the bus, and systemd on it.
func (h *host) up() {
	h.t.Helper()
	config := filepath.Join(filepath.Dir(h.socket), "bus.conf")
	text := `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>custom</type><listen>unix:path=` + h.socket + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	_ = os.Remove(h.socket)
	h.daemon = exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--nopidfile")
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	eventually(h.t, "the bus takes connections", func() bool {
		c, err := net.Dial("unix", h.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	h.boot()
}

// boot connects systemd to the bus.
func (h *host) boot() {
	h.t.Helper()
	conn, err := dbus.Connect("unix:path=" + h.socket)
	if err != nil {
		h.t.Fatal(err)
	}
	for path, methods := range map[dbus.ObjectPath]map[string]any{
		managerPath: {"Subscribe": h.subscribe, "LoadUnit": h.loadUnit, "StartUnit": h.startUnit, "StopUnit": h.stopUnit,
			"KillUnit": h.killUnit},
	} {
		if err := conn.ExportMethodTable(methods, path, systemdName+".Manager"); err != nil {
			h.t.Fatal(err)
		}
	}
	err = conn.ExportSubtreeMethodTable(map[string]any{"GetAll": h.getAll}, managerPath+"/unit", properties)
	if err != nil {
		h.t.Fatal(err)
	}
	h.mu.Lock()
	h.conn = conn
	h.mu.Unlock()
	if _, err := conn.RequestName(systemdName, dbus.NameFlagDoNotQueue); err != nil {
		h.t.Fatal(err)
	}
}

// down ends the bus with everything on it.
func (h *host) down() {
	if h.daemon == nil {
		return
	}
	h.mu.Lock()
	h.conn.Close()
	h.mu.Unlock()
	_ = h.daemon.Process.Kill()
	_ = h.daemon.Wait()
	h.daemon = nil
}

// freeze stops the bus from answering, until the test's end.
func (h *host) freeze() {
	_ = h.daemon.Process.Signal(syscall.SIGSTOP)
}

func (h *host) subscribe() *dbus.Error { return nil }

func (h *host) loadUnit(name string) (dbus.ObjectPath, *dbus.Error) { return unitPath(name), nil }

func (h *host) getAll(msg dbus.Message, _ string) (map[string]dbus.Variant, *dbus.Error) {
	path, _ := msg.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, u := range h.units {
		if unitPath(name) != path {
			continue
		}
		job := struct {
			ID   uint32
			Path dbus.ObjectPath
		}{u.Job, "/"}
		return map[string]dbus.Variant{
			"Id": dbus.MakeVariant(name), "LoadState": dbus.MakeVariant(u.Load), "ActiveState": dbus.MakeVariant(u.Active),
			"SubState": dbus.MakeVariant(u.Sub), "Result": dbus.MakeVariant(u.Result),
			"InvocationID": dbus.MakeVariant(u.Invocation), "MainPID": dbus.MakeVariant(u.PID),
			"ExecMainCode": dbus.MakeVariant(u.Code), "ExecMainStatus": dbus.MakeVariant(u.Status),
			"NRestarts": dbus.MakeVariant(u.Restarts), "ConditionResult": dbus.MakeVariant(u.Condition),
			"AssertResult": dbus.MakeVariant(true), "NeedDaemonReload": dbus.MakeVariant(false),
			"Job":                  dbus.MakeVariant(job),
			"StateChangeTimestamp": dbus.MakeVariant(uint64(time.Now().UnixMicro())),
		}, nil
	}
	return map[string]dbus.Variant{"LoadState": dbus.MakeVariant("not-found"), "ActiveState": dbus.MakeVariant("inactive"),
		"InvocationID": dbus.MakeVariant([]byte{})}, nil
}

func (h *host) startUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, "start "+name)
	u := h.units[name]
	switch {
	case h.denied:
		return "", dbus.NewError("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
			[]any{"Interactive authentication required."})
	case mode == "triggering":
		return "", dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs",
			[]any{"--job-mode=triggering is only valid for stop."})
	case u == nil:
		return "", dbus.NewError(systemdName+".NoSuchUnit", []any{"Unit " + name + " not found."})
	case u.refuse != "":
		return "", dbus.NewError(u.refuse, []any{"refused"})
	}
	return h.begin(name, u), nil
}

// begin starts a unit as systemctl start does, and returns the job.
func (h *host) begin(name string, u *testUnit) dbus.ObjectPath {
	job := h.newJob(u)
	if u.Active == "active" {
		h.endJob(name, u, job, "done")
		return jobPath(job)
	}
	if u.jobResult != "" {
		if u.jobResult == "failed" {
			h.invoke(u)
			u.Active, u.Sub, u.Result, u.Code, u.Status, u.PID = "failed", "failed", "exit-code", cldExited, 203, 0
		}
		h.endJob(name, u, job, strings.TrimPrefix(u.jobResult, "unmet "))
		return jobPath(job)
	}
	h.invoke(u)
	u.Restarts = 0
	if u.slow {
		u.Active, u.Sub = "activating", "start-pre"
		h.emit(name)
		return jobPath(job)
	}
	u.Active, u.Sub = "active", "running"
	h.endJob(name, u, job, "done")
	return jobPath(job)
}

// invoke gives the unit a program and a new invocation.
func (h *host) invoke(u *testUnit) {
	h.starts++
	u.Invocation = fmt.Appendf(nil, "%016d", h.starts)
	u.PID, u.Result, u.Code, u.Status, u.Condition = uint32(1000+h.starts), "success", 0, 0, true
}

func (h *host) newJob(u *testUnit) uint32 {
	h.jobs++
	u.Job = h.jobs
	return h.jobs
}

func (h *host) endJob(name string, u *testUnit, job uint32, result string) {
	u.Job = 0
	h.emit(name)
	_ = h.conn.Emit(managerPath, systemdName+".Manager.JobRemoved", job, jobPath(job), name, result)
}

func (h *host) emit(name string) {
	changed := map[string]dbus.Variant{"ActiveState": dbus.MakeVariant(h.units[name].Active)}
	_ = h.conn.Emit(unitPath(name), properties+".PropertiesChanged", systemdName+".Unit", changed, []string{})
}

func jobPath(n uint32) dbus.ObjectPath {
	return dbus.ObjectPath(fmt.Sprintf("%s/job/%d", managerPath, n))
}

func (h *host) stopUnit(name, _ string) (dbus.ObjectPath, *dbus.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, "stop "+name)
	if h.denied {
		return "", dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"Permission denied"})
	}
	u := h.units[name]
	if u == nil {
		return "", dbus.NewError(systemdName+".NoSuchUnit", []any{"Unit " + name + " not loaded."})
	}
	return h.halt(name, u), nil
}

// halt stops a unit as systemctl stop does.
func (h *host) halt(name string, u *testUnit) dbus.ObjectPath {
	job := h.newJob(u)
	if u.stubborn && u.PID != 0 {
		u.Active, u.Sub = "deactivating", "stop-sigterm"
		h.emit(name)
		return jobPath(job)
	}
	h.off(u, u.exits)
	h.endJob(name, u, job, "done")
	return jobPath(job)
}

// off ends the unit's program.
func (h *host) off(u *testUnit, status int32) {
	if u.PID != 0 {
		u.Code, u.Status = cldExited, status
	}
	u.Active, u.Sub, u.Result, u.PID = "inactive", "dead", "success", 0
	if status != 0 {
		u.Active, u.Sub, u.Result = "failed", "failed", "exit-code"
	}
}

func (h *host) killUnit(name, _ string, signal int32) *dbus.Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, fmt.Sprintf("kill %s %d", name, signal))
	u := h.units[name]
	job := u.Job
	h.off(u, 0)
	h.endJob(name, u, job, "done")
	return nil
}

// systemctl is a person at the host.
func (h *host) systemctl(verb string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.units[testUnitName]
	switch verb {
	case "start":
		h.begin(testUnitName, u)
	case "stop":
		h.halt(testUnitName, u)
	case "restart": // one job for both halves
		job := h.newJob(u)
		h.off(u, u.exits)
		h.emit(testUnitName)
		h.invoke(u)
		u.Active, u.Sub = "active", "running"
		h.endJob(testUnitName, u, job, "done")
	case "reload":
		job := h.newJob(u)
		h.endJob(testUnitName, u, job, "done")
	}
}

// exits ends the unit's program with an exit status, without anybody's word.
func (h *host) exits(status int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.exit(status)
}

func (h *host) exit(status int32) {
	h.off(h.units[testUnitName], status)
	h.emit(testUnitName)
}

// restarts ends the program, and has systemd start it again because of Restart=.
func (h *host) restarts(tell bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.restart(tell)
}

func (h *host) restart(tell bool) {
	u := h.units[testUnitName]
	u.Active, u.Sub, u.PID = "activating", "auto-restart", 0
	if tell {
		h.emit(testUnitName)
	}
	job, restarts := h.newJob(u), u.Restarts+1
	h.invoke(u)
	u.Active, u.Sub, u.Restarts, u.Job = "active", "running", restarts, 0
	if tell {
		h.endJob(testUnitName, u, job, "done")
	}
}

// ready ends the start of a slow unit.
func (h *host) ready(result string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	u := h.units[testUnitName]
	u.Active, u.Sub = "active", "running"
	if result != "done" {
		h.off(u, 1)
	}
	h.endJob(testUnitName, u, u.Job, result)
}

// asked lists what systemd was told to do.
func (h *host) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string{}, h.calls...)
}

// copies is how many programs run.
func (h *host) copies() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.units {
		if u.PID != 0 {
			n++
		}
	}
	return n
}

// eventually waits for a condition, with a limit that only a broken machine meets.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
