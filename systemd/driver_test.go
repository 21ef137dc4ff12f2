package systemd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

const (
	driverConfig = `listen: systemd
admin: {listen: "127.0.0.1:8081", token: "${file:/etc/oncue/admin.token}", socket: /run/oncue/admin.sock}
accounts:
  ABC123: {webhook_secrets: ["` + testSecret + `"]}
defaults: {start_timeout: 1h, restart: {initial: 100ms, max: 1s}}
helpers:
  pc: {wol: {mac: "a0:b1:c2:d3:e4:f5", check: "tcp://127.0.0.1:8081", broadcast: "127.0.0.1:9", interface: lo}}
encoders:
  unit: {systemd: {unit: "enc@{stream}.service", publish_file: "/run/oncue/{stream}.url"}, needs: [pc]}
streams:
  lobby-1: {encoder: unit, publish: "rtmp://127.0.0.1:1935/live/{stream}?token=canary"}
`
	// Its program writes down what it was given, and stays.
	driverUnit = `[Service]
LoadCredential=publish:/run/oncue/%I.url
ExecStart=/bin/sh -c 'cat "$CREDENTIALS_DIRECTORY/publish" > /run/given-%I; echo on air; exec sleep 100000'
Restart=always
RestartSec=100ms
`
)

// TestDriver drives a unit of a real systemd from the installed daemon, in its sandbox, with a real
// polkit: it may start no unit until the rule names it, and then that one alone. The unit needs a
// computer that is woken, because the sandbox must let the packet out, too.
func TestDriver(t *testing.T) {
	t.Parallel()
	needRoot(t)
	need(t, "dbus-daemon", "pkcheck")
	if _, err := os.Stat("/lib/systemd/system/dbus.socket"); err != nil {
		t.Skip("the package dbus is missing")
	}
	m := boot(t, map[string]string{"/opt/older.deb": needPackages(t).older})
	m.run("dpkg --install --force-depends /opt/older.deb")
	write := func(path, text string) { m.run(fmt.Sprintf("cat > %s <<'END'\n%sEND", path, text)) }
	write("/etc/systemd/system/enc@.service", driverUnit)
	write("/etc/systemd/system/other.service", "[Service]\nExecStart=/bin/sleep 100000\n")
	write("/etc/oncue/oncue.yaml", driverConfig)
	m.run("systemctl daemon-reload && systemctl restart oncue")

	// Before the rule names the unit. Root's doctor asks polkit, the daemon's user systemd.
	const as = "setpriv --reuid=oncue --regid=oncue --init-groups "
	doctor := func() string {
		root, _ := m.try("oncue doctor --json")
		user, _ := m.try(as + "oncue doctor --json")
		return root + user
	}
	for _, want := range []string{"systemd does not let the user of oncue.service start and stop unit",
		"systemd does not let this user start and stop unit", "/etc/polkit-1/rules.d/50-oncue.rules"} {
		if got := doctor(); !strings.Contains(got, want) {
			t.Errorf("doctor does not say %q:\n%s", want, got)
		}
	}
	m.run("oncue on lobby-1 --why 'a test'")
	m.await("the refusal is told", func() (string, bool) {
		out, _ := m.try("oncue status --json")
		return out, strings.Contains(out, "name the unit in /etc/polkit-1/rules.d/50-oncue.rules")
	})
	m.run("oncue auto lobby-1")

	m.run(`sed -i 's/var units = \[\];/var units = ["enc@.service"];/' /etc/polkit-1/rules.d/50-oncue.rules`)
	m.await("polkit has read the rule", func() (string, bool) {
		out := doctor()
		return out, strings.Contains(out, "this user may start unit") &&
			strings.Contains(out, "the user of oncue.service may start unit")
	})
	for _, line := range []string{"start other.service", `restart enc@lobby\\x2d1.service`, "daemon-reload"} {
		got := m.fails(as + "systemctl --no-ask-password " + line)
		if !strings.Contains(got, "authentication") && !strings.Contains(got, "denied") {
			t.Errorf("the daemon's user may %s: %q", line, got)
		}
	}
	got, _ := m.try(`systemctl is-active 'enc@*' other.service`)
	if strings.Contains(strings.ReplaceAll(got, "inactive", ""), "active") {
		t.Errorf("checks have started a unit:\n%s", got)
	}

	m.run("oncue on lobby-1 --why 'a test'")
	pid := m.publishing("the unit is on")
	shown := func(property string) string {
		return m.run(`systemctl show --value --property=` + property + ` 'enc@lobby\x2d1.service'`)
	}
	if got := shown("MainPID"); got != strconv.Itoa(pid) {
		t.Errorf("it shows process %d, and systemd has %s", pid, got)
	}
	m.await("the unit has its publishing URL", func() (string, bool) {
		out, _ := m.try("cat /run/given-lobby-1")
		return out, out == "rtmp://127.0.0.1:1935/live/lobby-1?token=canary"
	})
	if got := m.run("stat --format '%U:%G %a' /run/oncue/lobby-1.url"); got != "oncue:oncue 600" {
		t.Errorf("publish_file is %s", got)
	}

	m.run("adduser --quiet oncue systemd-journal && kill -KILL " + m.show("MainPID"))
	if got := m.publishing("it is adopted after a kill of the controller"); got != pid {
		t.Errorf("the unit's process was %d before the kill and is %d after it", pid, got)
	}
	m.await("its lines in the journal are shown", func() (string, bool) {
		out, err := m.try("oncue logs lobby-1")
		return out, err == nil && strings.Contains(out, "on air")
	})

	m.run("kill -KILL " + strconv.Itoa(pid))
	m.await("systemd has started it again, and it is still ours", func() (string, bool) {
		s, out := m.status()
		e := s.Streams[0].Encoders[0]
		return out, e.State == "publishing" && e.PID != pid
	})
	const unit = ` 'enc@lobby\x2d1.service'`
	m.run("oncue off lobby-1 && oncue auto lobby-1")
	off := func(what string) {
		m.await(what, func() (string, bool) {
			out, _ := m.try("systemctl is-active" + unit + "; ! ls /run/oncue/lobby-1.url")
			return out, strings.HasPrefix(out, "inactive") && strings.Contains(out, "No such file")
		})
	}
	off("the unit is off, and its publishing URL gone")

	// What people do with it by systemctl.
	m.run("oncue demand lobby-1 --for 1h --by test")
	pid = m.publishing("the unit is on again")
	m.run("systemctl restart" + unit)
	m.await("the restarted unit is still ours", func() (string, bool) {
		s, out := m.status()
		e := s.Streams[0].Encoders[0]
		managed := strings.Contains(strings.ReplaceAll(out, " ", ""), `"managed":true`)
		return out, e.State == "publishing" && e.PID != pid && managed
	})
	m.run("systemctl stop" + unit)
	m.await("the stop by hand is told", func() (string, bool) {
		out, _ := m.try("oncue history lobby-1")
		return out, strings.Contains(out, "stopped at the encoder by a person")
	})
	off("it stays off")
}
