package obstest

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
)

// patience is how long a real OBS may take to listen, or to end, on a busy machine.
const patience = 2 * time.Minute

// OBS is a real OBS Studio on a screen of its own that nobody sees. It has two profiles, scene
// collections and scenes, "ci" and "other", and streams by the settings it was started with.
type OBS struct {
	Address  string       // of its websocket server
	Password secret.Value // of the same
	Home     string       // its user's folder; run in it is for XDG_RUNTIME_DIR

	t       testing.TB
	display string

	mu  sync.Mutex
	cmd *exec.Cmd
	end chan struct{} // closed when cmd is reaped
	may bool          // cmd may end: the test wants it
}

// Config is what OBS is started with.
type Config struct {
	Server string // to stream to, rtmp://…
	Key    string
	// NoReconnect makes OBS give up a lost connection at once.
	NoReconnect bool
}

// Start runs OBS until the end of the test. It skips the test where OBS or Xvfb is not installed,
// and fails it when OBS ends by itself, such as in a crash.
func Start(t testing.TB, c Config) *OBS {
	t.Helper()
	o := Configured(t, c)
	o.screen(t)
	o.Open(t)
	t.Cleanup(o.Kill)
	return o
}

// Configured returns an OBS that does not run, and in whose Home all is clicked together. It skips
// the test as Start does.
func Configured(t testing.TB, c Config) *OBS {
	t.Helper()
	for _, name := range []string{"obs", "Xvfb"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed: no real OBS to test with (packages obs-studio, obs-plugins, xvfb)", name)
		}
	}
	port, err := freePort()
	if err != nil {
		t.Fatalf("obs: %v", err)
	}
	o := &OBS{Address: net.JoinHostPort("127.0.0.1", port), Password: secret.New("studio-pass-word"), t: t,
		Home: t.TempDir()}
	if err := o.configure(port, c); err != nil {
		t.Fatalf("obs: write its configuration: %v", err)
	}
	return o
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", ":0") // OBS listens on all interfaces
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// screen starts an X server that chooses a free display itself.
func (o *OBS) screen(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x720x24", "-nolisten", "tcp", "-noreset")
	x.ExtraFiles = []*os.File{w}
	x.SysProcAttr = withTheTest()
	err = x.Start()
	w.Close()
	if err != nil {
		t.Fatalf("xvfb: %v", err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	r.SetReadDeadline(time.Now().Add(patience))
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("xvfb names no display: %v", err)
	}
	o.display = ":" + strings.TrimSpace(number)
}

// Open runs OBS, also again after Kill or Quit, and returns when its websocket server listens. t is
// the test that needs it, which may be a part of the one that OBS runs for.
func (o *OBS) Open(t testing.TB) {
	t.Helper()
	log, err := os.Create(filepath.Join(o.Home, "obs.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, port, _ := net.SplitHostPort(o.Address)
	cmd := exec.Command("obs", "--minimize-to-tray", "--multi", "--disable-missing-files-check",
		"--websocket_ipv4_only",
		"--websocket_port", port, "--websocket_password", o.Password.Reveal())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.Home,
		"XDG_CONFIG_HOME=" + filepath.Join(o.Home, ".config"),
		"XDG_RUNTIME_DIR=" + filepath.Join(o.Home, "run"), "DISPLAY=" + o.display, "QT_QPA_PLATFORM=xcb",
		"LIBGL_ALWAYS_SOFTWARE=1", "LANG=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = withTheTest()
	if err := cmd.Start(); err != nil {
		t.Fatalf("obs: %v", err)
	}
	end := make(chan struct{})
	o.mu.Lock()
	o.cmd, o.end, o.may = cmd, end, false
	o.mu.Unlock()
	go o.reap(cmd, end)
	o.awaitListening(t, end)
}

// withTheTest kills a child when the test program dies, such as in a panic or at its time limit.
func withTheTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

func (o *OBS) reap(cmd *exec.Cmd, end chan struct{}) {
	err := cmd.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.may {
		o.t.Errorf("obs ended by itself, as in a crash: %v\n%s", err, o.tail())
	}
	close(end)
}

func (o *OBS) awaitListening(t testing.TB, end <-chan struct{}) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for {
		select {
		case <-tick.C:
			if c, err := net.DialTimeout("tcp", o.Address, time.Second); err == nil {
				c.Close()
				return
			}
		case <-end:
			t.Fatal("obs: it ended before it listened")
		case <-limit:
			t.Fatalf("obs: it does not listen at %s within %v\n%s", o.Address, patience, o.tail())
		}
	}
}

// tail is the end of what OBS printed.
func (o *OBS) tail() string {
	data, err := os.ReadFile(filepath.Join(o.Home, "obs.log"))
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-4000):])
}

// Kill ends OBS with SIGKILL and returns when it is gone.
func (o *OBS) Kill() { o.finish(syscall.SIGKILL) }

// Quit closes OBS as a person would, and returns when it is gone.
func (o *OBS) Quit() { o.finish(syscall.SIGINT) }

func (o *OBS) finish(sig syscall.Signal) {
	o.t.Helper()
	o.mu.Lock()
	o.may = true
	cmd, end := o.cmd, o.end
	o.mu.Unlock()
	cmd.Process.Signal(sig)
	select {
	case <-end:
	case <-time.After(patience):
		cmd.Process.Kill()
		o.t.Errorf("obs: it does not end on %v within %v", sig, patience)
	}
}

// Freeze stops the process with SIGSTOP, until Thaw.
func (o *OBS) Freeze() { o.signal(syscall.SIGSTOP) }

// Thaw continues it.
func (o *OBS) Thaw() { o.signal(syscall.SIGCONT) }

func (o *OBS) signal(sig syscall.Signal) {
	o.t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		o.t.Errorf("obs: %v: %v", sig, err)
	}
}

// configure writes what a person has clicked together. OBS 31 reads user.ini and the plugin's
// config.json, earlier ones global.ini.
func (o *OBS) configure(port string, c Config) error {
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	global := fmt.Sprintf(`[General]
FirstRun=true
ConfirmOnExit=false
LastVersion=486539266
EnableAutoUpdates=false
[Basic]
Profile=ci
ProfileDir=ci
SceneCollection=ci
SceneCollectionFile=ci
[BasicWindow]
WarnBeforeStartingStream=false
WarnBeforeStoppingStream=false
PreviewEnabled=false
SysTrayEnabled=true
[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
ServerPort=%s
AuthRequired=true
AlertsEnabled=false
ServerPassword=%s
`, port, o.Password.Reveal())
	profile := `[General]
Name=%s
[Video]
BaseCX=320
BaseCY=180
OutputCX=320
OutputCY=180
FPSCommon=30
[Output]
Mode=Simple
Reconnect=%t
RetryDelay=1
MaxRetries=25
[SimpleOutput]
VBitrate=300
StreamEncoder=x264
Preset=ultrafast
UseAdvanced=true
x264Settings=bframes=0 keyint=60 tune=zerolatency
`
	service := fmt.Sprintf(`{"type":"rtmp_custom","settings":{"server":%q,"key":%q,"use_auth":false}}`, c.Server, c.Key)
	plugin := fmt.Sprintf(`{"first_load":false,"server_enabled":true,"server_port":%d,"auth_required":true,`+
		`"server_password":%q,"alerts_enabled":false}`, number, o.Password.Reveal())
	files := map[string]string{
		"global.ini": global,
		"user.ini":   global,
		"plugin_config/obs-websocket/config.json": plugin,
		"basic/profiles/ci/basic.ini":             fmt.Sprintf(profile, "ci", !c.NoReconnect),
		"basic/profiles/ci/service.json":          service,
		"basic/profiles/other/basic.ini":          fmt.Sprintf(profile, "other", !c.NoReconnect),
		"basic/profiles/other/service.json":       service,
		"basic/scenes/ci.json":                    scenes("ci"),
		"basic/scenes/other.json":                 scenes("other"),
	}
	for name, text := range files {
		name = filepath.Join(o.Home, ".config", "obs-studio", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(o.Home, "run"), 0o700)
}

// scenes is a collection with the scenes ci and other, one of which shows a plain colour.
func scenes(name string) string {
	return fmt.Sprintf(`{"name":%q,"current_scene":"ci","current_program_scene":"ci",
"scene_order":[{"name":"ci"},{"name":"other"}],"sources":[
{"id":"color_source","versioned_id":"color_source_v3","name":"colour",
 "settings":{"color":4278233855,"width":320,"height":180}},
{"id":"scene","versioned_id":"scene","name":"ci",
 "settings":{"id_counter":1,"items":[{"name":"colour","id":1,"visible":true}]}},
{"id":"scene","versioned_id":"scene","name":"other","settings":{"id_counter":0,"items":[]}}]}`, name)
}
