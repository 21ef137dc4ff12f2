package systemd

import (
	"fmt"
	"strings"
)

const spyConfig = `listen: systemd
accounts:
  ABC123: {webhook_secrets: ["${file:/run/credentials/oncue.service/webhook}"]}
defaults: {confirm: encoder}
encoders:
  spy: {ffmpeg: {binary: /usr/local/bin/spy, args: ["{stream}"]}}
streams:
  lobby: {encoder: spy}
`

// spy tries to reach what is the daemon's, as an encoder would that has been taken over.
const spy = `#!/bin/bash
it() { what=$1; shift; if "$@" >/dev/null 2>&1; then echo "$what: yes" >&2; else echo "$what: no" >&2; fi; }
it environment bash -c 'grep -q . /proc/$0/environ' $PPID
it memory bash -c 'exec 9</proc/$0/mem' $PPID
it signal kill -0 $PPID
it config cat /etc/oncue/oncue.yaml
it credential cat /run/credentials/oncue.service/webhook
it database cat /var/lib/oncue/oncue.db
it mode chmod 755 /var/lib/oncue
it admin bash -c 'exec 9<>/dev/tcp/127.0.0.1/8081'
it tmp bash -c 'echo x >"$TMPDIR/x"'
echo all: done >&2
exec sleep 1000
`

// testSpy runs the spy as the unit's encoder.
func testSpy(m *machine) {
	m.t.Helper()
	m.run(fmt.Sprintf("cat > /usr/local/bin/spy <<'END'\n%sEND\nchmod 755 /usr/local/bin/spy", spy))
	m.run(fmt.Sprintf("cat > /etc/oncue/oncue.yaml <<'END'\n%sEND", spyConfig))
	m.run("systemctl daemon-reload && systemctl restart oncue")
	// The container itself forbids some of it, which a service without the unit's sandbox shows.
	can := m.run("systemd-run --quiet --wait --pipe oncue doctor || true")
	m.run("oncue on lobby --why 'a test'")
	log := m.await("the spy has tried everything", func() (string, bool) {
		out, _ := m.try("oncue logs lobby")
		return out, strings.Contains(out, "all: done")
	})
	if !strings.Contains(log, "tmp: yes") {
		m.t.Errorf("the spy has no folder of its own:\n%s", log)
	}
	if !strings.Contains(can, "are confined by Landlock") {
		m.t.Logf("the container or its kernel has no Landlock: %s", can)
	} else {
		for _, what := range []string{"environment", "memory", "config", "credential", "database", "mode", "signal",
			"admin"} {
			if strings.Contains(log, what+": yes") && !(what == "signal" && strings.Contains(can, "signals")) &&
				!(what == "admin" && strings.Contains(can, "TCP ports")) {
				m.t.Errorf("in the unit, the spy has the daemon's %s:\n%s", what, log)
			}
		}
	}
	m.run("oncue off lobby && oncue auto lobby")
}
