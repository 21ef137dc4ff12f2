package systemd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	testSecret = "dGhpcyBpcyBub3QgYSByZWFsIHNlY3JldA=="
	testConfig = `listen: systemd
admin: {listen: "127.0.0.1:8081", token: "${file:/etc/oncue/admin.token}", socket: /run/oncue/admin.sock}
accounts:
  ABC123: {webhook_secrets: ["${file:/run/credentials/oncue.service/webhook}"]}
defaults: {confirm: encoder}
encoders:
  pattern: {ffmpeg: {input: "lavfi:testsrc2=size=320x240:rate=25", audio: none, bitrate: 300k}}
streams:
  lobby: {encoder: pattern, publish: "rtmp://127.0.0.1:1935/live/{stream}?token=canary"}
`
	testDropIn = "[Service]\nLoadCredential=webhook:/etc/oncue/secrets/webhook\n"
)

// seen is the part of oncue's status that the test checks.
type seen struct {
	Version string
	Streams []struct {
		Phase    string
		Encoders []struct {
			State string
			PID   int
		}
	}
}

func (m *machine) status() (seen, string) {
	var s seen
	out, err := m.try("oncue status --json")
	if err == nil {
		_ = json.Unmarshal([]byte(out), &s)
	}
	return s, out
}

// publishing waits until the stream's encoder publishes, and returns its pid inside the machine.
func (m *machine) publishing(what string) int {
	m.t.Helper()
	pid := 0
	m.await(what, func() (string, bool) {
		s, out := m.status()
		if len(s.Streams) != 1 || len(s.Streams[0].Encoders) != 1 || s.Streams[0].Encoders[0].State != "publishing" {
			return out, false
		}
		pid = s.Streams[0].Encoders[0].PID
		return out, pid > 0
	})
	return pid
}

// noStreams is what oncue status says where the configuration has no stream.
const noStreams = "no stream is configured; those of a pattern appear when a viewer comes"

// TestService installs the package on a machine that runs systemd and goes through what an
// administrator does: the unit with its sandbox as shipped, FFmpeg in it, an upgrade under load, a
// crash, a removal.
func TestService(t *testing.T) {
	t.Parallel()
	needRoot(t)
	p := needPackages(t)
	m := boot(t, map[string]string{"/opt/older.deb": p.older, "/opt/newer.deb": p.newer})

	m.run("dpkg --install --force-depends /opt/older.deb")
	const units = " oncue.service oncue.socket"
	got := m.run("systemctl is-active" + units + "; systemctl is-enabled" + units)
	if got != "active\nactive\nenabled\nenabled" {
		t.Fatalf("installed, the units are:\n%s", got)
	}
	testWhoMay(m)

	// A refused reload fails, and every view shows it.
	m.run("cp -p /etc/oncue/oncue.yaml /opt/ && echo 'lisen: 1' >> /etc/oncue/oncue.yaml")
	m.fails("systemctl reload oncue")
	out, _ := m.try("journalctl --unit oncue --priority err --output cat")
	if !strings.Contains(out, "lisen") || strings.Contains(out, "oncue is ready") {
		t.Errorf("the journal does not have the refusal of a bad file as an error:\n%s", out)
	}
	const refused = "the configuration was not reloaded, and the one before stays in force: /etc/oncue/oncue.yaml:"
	if got := m.show("StatusText"); !strings.Contains(got, refused) {
		t.Errorf("systemctl status says %q", got)
	}
	if got := m.run("oncue status"); !strings.HasPrefix(got, "! the configuration was not reloaded") {
		t.Errorf("oncue status says\n%s", got)
	}
	// A reload that needs a variable set after the start fails and asks for a restart.
	m.run(`cp -p /opt/oncue.yaml /etc/oncue/oncue.yaml && echo 'public_url: "${HOOKS_URL}"' >> /etc/oncue/oncue.yaml ` +
		`&& echo HOOKS_URL=https://hooks.example.com >> /etc/oncue/oncue.env`)
	m.fails("systemctl reload oncue")
	if got := m.show("StatusText"); !strings.Contains(got,
		"the environment of the running daemon is older than /etc/oncue/oncue.env: restart it") {
		t.Errorf("systemctl status says %q", got)
	}
	m.run("systemctl restart oncue")
	if got := m.run("oncue status"); got != noStreams {
		t.Errorf("restarted, oncue status says\n%s", got)
	}
	m.run("systemctl reload oncue")
	m.run("mv /opt/oncue.yaml /etc/oncue/")

	// A stream for a viewer, with a secret passed by systemd and FFmpeg as the ingest.
	m.run("install -d -m 700 /etc/oncue/secrets /etc/systemd/system/oncue.service.d")
	const dropIn = "/etc/systemd/system/oncue.service.d/credentials.conf"
	m.run(fmt.Sprintf("echo %s > /etc/oncue/secrets/webhook; cat > %s <<'END'\n%sEND", testSecret, dropIn, testDropIn))
	testSpy(m)
	m.run(fmt.Sprintf("cat > /etc/oncue/oncue.yaml <<'END'\n%sEND", testConfig))
	m.run("systemd-run --quiet --unit=ingest ffmpeg -nostdin -loglevel error -listen 1 " +
		"-i rtmp://127.0.0.1:1935/live/lobby -c copy -f null -")
	m.run("systemctl daemon-reload && systemctl restart oncue")
	m.run("oncue on lobby --why 'a test'")
	pid := m.publishing("FFmpeg publishes inside the sandbox")
	for _, want := range []string{"Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"} {
		if got := m.run(fmt.Sprintf("cat /proc/%d/status", pid)); !strings.Contains(got, want) {
			t.Errorf("FFmpeg is not in the sandbox: want %q in\n%s", want, got)
		}
	}
	if got := m.show("WatchdogTimestampMonotonic"); got == "0" {
		t.Error("the watchdog is not fed")
	}

	// Hooks keep coming, one after the other, while the package is upgraded. Each must be received.
	hook := "oncue hook ViewerAttempt --account ABC123 --stream lobby" +
		" --url http://127.0.0.1:8080/hooks/millicast --secret " + testSecret
	m.run("systemd-run --quiet --unit=hooks --property=Type=oneshot --property=RemainAfterExit=yes --no-block " +
		"/bin/sh -c 'while [ ! -e /opt/enough ]; do " + hook + " >>/opt/hooks 2>&1 || echo LOST >>/opt/hooks; done'")
	m.await("hooks come", func() (string, bool) {
		out, _ := m.try("cat /opt/hooks")
		return out, strings.Count(out, "\n") > 3
	})
	main := m.show("MainPID")
	m.run("dpkg --install --force-depends --force-confold /opt/newer.deb")
	m.await("the new version serves", func() (string, bool) { s, out := m.status(); return out, s.Version == "1.1.0" })
	came := strings.Count(m.run("cat /opt/hooks"), "\n")
	m.await("hooks come after the upgrade", func() (string, bool) {
		out, _ := m.try("cat /opt/hooks")
		return out, strings.Count(out, "\n") > came+3
	})
	m.run("touch /opt/enough")
	if got := m.run("cat /opt/hooks"); strings.Contains(got, "LOST") {
		t.Errorf("hooks were lost in the upgrade:\n%s", got)
	}
	if got := m.show("MainPID"); got == main {
		t.Error("the upgrade did not replace the controller")
	}
	if got := m.publishing("the encoder is adopted after the upgrade"); got != pid {
		t.Errorf("the encoder was process %d before the upgrade and is %d after it", pid, got)
	}

	main = m.show("MainPID")
	m.run("kill -KILL " + main)
	m.await("systemd starts it again", func() (string, bool) {
		now := m.show("MainPID")
		s, out := m.status()
		return out, now != "0" && now != main && s.Version != ""
	})
	if got := m.publishing("the encoder is adopted after a crash"); got != pid {
		t.Errorf("the encoder was process %d before the crash and is %d after it", pid, got)
	}
	m.run("systemctl reload oncue")

	// A removal kills every process of the unit that does not end by itself, however it came into
	// the unit.
	m.run("systemd-run --quiet --unit=stubborn /bin/sh -c \"trap '' TERM; exec sleep 100000\"")
	stubborn := m.run("systemctl show --value --property=MainPID stubborn.service")
	m.run(inUnit(stubborn))
	m.run("dpkg --remove oncue")
	m.await("the stubborn process ends with the package", func() (string, bool) {
		out, err := m.try("cat /proc/" + stubborn + "/cmdline")
		return out, err != nil || out == ""
	})
	m.await("the encoder ends with the package", func() (string, bool) {
		out, err := m.try(fmt.Sprintf("cat /proc/%d/cmdline", pid))
		return out, err != nil || out == ""
	})
	if got, _ := m.try("systemctl is-active oncue.socket oncue.service"); slices.Contains(strings.Fields(got),
		"active") {
		t.Errorf("removed, the units are %s", got)
	}
	m.run("dpkg --purge oncue && ! ls -d /etc/oncue /var/lib/oncue /etc/systemd/system/*.wants/oncue.* 2>/dev/null " +
		"&& ! getent passwd oncue")
}

// testWhoMay makes requests to the installed daemon as several users.
func testWhoMay(m *machine) {
	m.t.Helper()
	const as, group = "setpriv --reuid=nobody --regid=nogroup --clear-groups ",
		"setpriv --reuid=nobody --regid=nogroup --groups=oncue "
	for line, want := range map[string]string{
		"oncue status":         noStreams,
		group + "oncue status": noStreams,
		"oncue dashboard":      "http://127.0.0.1:8081/login#",
		"systemctl show --value --property=Listen oncue.socket": "127.0.0.1:8080 (Stream)",
		"stat --format '%U:%G %a' /etc/oncue/admin.token":       "root:oncue 640",
		"stat --format '%U:%G %a' /etc/oncue/oncue.env":         "root:root 600",
		"stat --format '%U:%G %a' /run/oncue/admin.sock":        "oncue:oncue 660",
		// accounts, encoders and streams are empty
		"oncue check 2>&1 | grep -c warning":                                             "3",
		"oncue status --token-file /etc/oncue/admin.token --admin http://127.0.0.1:8081": noStreams,
	} {
		if got, _ := m.try(line); !strings.HasPrefix(got, want) {
			m.t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	for line, want := range map[string]string{
		as + "oncue status": "use sudo, or join its group",
		as + "oncue status --admin unix:/run/oncue/admin.sock": "permission denied",
		as + "oncue dashboard --admin http://127.0.0.1:8081":   "a token is required",
		as + "cat /etc/oncue/admin.token":                      "Permission denied",
	} {
		if got := m.fails(line); !strings.Contains(got, want) {
			m.t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	// The daemon's user may, because it can read the token. Its encoders run as that user, too, but
	// cannot read the file.
	const daemon = "setpriv --reuid=oncue --regid=oncue --init-groups oncue status --admin unix:/run/oncue/admin.sock"
	if got := m.run(daemon); got != noStreams {
		m.t.Errorf("the daemon's user: %q", got)
	}
	if got := m.fails(daemon + " --config /none"); !strings.Contains(got, "a token is required") {
		m.t.Errorf("the daemon's user without the token: %q", got)
	}
}

// inUnit is a command that puts a process into oncue's unit.
func inUnit(pid string) string {
	return "for dir in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do procs=$dir$(systemctl show " +
		"--value --property=ControlGroup oncue.service)/cgroup.procs; " +
		"[ ! -e $procs ] || echo " + pid + " > $procs; done; grep -q oncue.service /proc/" + pid + "/cgroup; "
}
