package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

var update = flag.Bool("update", false, "write the outputs into the scripts that compare them")

// atOnce is how many tests run at once unless -parallel says otherwise: most of them wait for
// timers, processes and the network, and leave the processors to the others.
const atOnce = "12"

func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"oncue": main})
}

// TestScript runs the real command line, a file of testdata/script each.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"freeport": freePorts,
			"expand":   expand,
			"waitfor":  waitFor,
			"platform": startPlatform,
			"disable":  disableWebhook,
			"box":      startBox,
			"talker":   startTalker,
			"exits":    exits,
		},
	})
}

// setUpScript gives a script a home of its own, and the place for its simulated platform.
func setUpScript(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Vars = append(env.Vars, "HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, ".cache"), "USER=tester", "TZ=UTC")
	env.Values["platform"] = &platformOfScript{}
	return os.MkdirAll(home, 0o700)
}

// freePorts puts a free address of this host into each variable: freeport HOOKS ADMIN. They have a
// loopback address of their own, for what is free of 127.0.0.1 may be another's before it is used.
func freePorts(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: freeport NAME...")
	}
	host := loopback()
	for _, name := range args {
		l, err := net.Listen("tcp", host+":0")
		ts.Check(err)
		defer l.Close()
		ts.Setenv(name, l.Addr().String())
	}
}

var loopbacks atomic.Int32

// loopback is an address of this host that no other test has, here or in another process.
func loopback() string {
	pid, n := os.Getpid(), int(loopbacks.Add(1))
	return fmt.Sprintf("127.%d.%d.%d", 16+pid>>8&0x7f, pid&0xff, 1+n%250)
}

// expand fills @NAME@ in files with variables: expand FILE...
func expand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: expand FILE...")
	}
	name := regexp.MustCompile(`@[A-Z_]+@`)
	for _, file := range args {
		text := name.ReplaceAllStringFunc(ts.ReadFile(file),
			func(v string) string { return ts.Getenv(strings.Trim(v, "@")) })
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o600))
	}
}

// waitLimit is generous: the machine may be busy.
const waitLimit = 60 * time.Second

// waitFor runs a command until its standard output matches: waitfor PATTERN COMMAND ARG... With !
// until it matches no more.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: waitfor PATTERN COMMAND ARG...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline := time.NewTimer(waitLimit)
	defer deadline.Stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if err == nil && pattern.MatchString(out) != neg {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			ts.Fatalf("%s: not within %s; last came:\n%s%s", args[0], waitLimit, out, ts.ReadFile("stderr"))
		}
	}
}

// platformOfScript is the simulated platform of one script, once it was started.
type platformOfScript struct{ *simulator.Simulator }

// startPlatform starts a simulated platform that delivers to a URL, ten times as fast as the real
// one, and sets API_URL, API_SECRET, HOOK_SECRET and RTMP: platform [WEBHOOK-URL].
func startPlatform(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: platform [WEBHOOK-URL]")
	}
	set := simulator.Settings{APISecret: secret.New("api-secret-of-the-simulated-platform"), Scale: 10}
	if len(args) > 0 {
		set.WebhookURL = args[0]
	}
	sim, err := simulator.Start(context.Background(), set)
	ts.Check(err)
	ts.Defer(func() { sim.Close() })
	ts.Setenv("API_URL", sim.APIURL())
	ts.Setenv("API_SECRET", sim.APISecret().Reveal())
	ts.Setenv("HOOK_SECRET", sim.Secret().Reveal())
	ts.Setenv("RTMP", sim.RTMPAddr())
	ts.Value("platform").(*platformOfScript).Simulator = sim
}

// disableWebhook has the platform switch its first webhook off: disable REASON.
func disableWebhook(ts *testscript.TestScript, neg bool, args []string) {
	sim := ts.Value("platform").(*platformOfScript)
	if neg || len(args) != 1 || sim.Simulator == nil {
		ts.Fatalf("usage: disable REASON, after platform")
	}
	hooks := sim.Webhooks()
	if len(hooks) == 0 {
		ts.Fatalf("the platform has no webhook")
	}
	ts.Check(sim.DisableWebhook(hooks[0].ID, time.Hour, args[0]))
}

// startBox starts a box with an HTTP API, which answers everything else with a page that no daemon
// would send, and sets a variable to its address: box NAME.
func startBox(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: box NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	var on atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/start", func(http.ResponseWriter, *http.Request) { on.Store(true) })
	mux.HandleFunc("POST /api/stop", func(http.ResponseWriter, *http.Request) { on.Store(false) })
	mux.HandleFunc("GET /api/state", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(w, `{"on": %t, "you": %q}`, on.Load(), user+" "+password)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, "<h1>it works</h1>")
	})
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: mux}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err)
		}
	}()
	ts.Defer(func() { server.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// startTalker starts a box that speaks lines of text and counts its starts, and sets a variable to
// its address: talker NAME.
func startTalker(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: talker NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	var on atomic.Bool
	var starts atomic.Int64
	talk := func(c net.Conn) {
		defer c.Close()
		fmt.Fprintf(c, "READY\n")
		for lines := bufio.NewScanner(c); lines.Scan(); {
			command, _, _ := strings.Cut(lines.Text(), " ")
			switch command {
			case "START":
				starts.Add(1)
				on.Store(true)
			case "STOP":
				on.Store(false)
			}
			fmt.Fprintf(c, "KEY hush-before\nSTARTS %d\nON %t\n", starts.Load(), on.Load())
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go talk(c)
		}
	}()
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// exits runs a command that must end with this exit code: exits 2 COMMAND ARG...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = fmt.Sprint(failed.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("it ended with %s, and should with %s:\n%s%s", code, args[0], ts.ReadFile("stdout"),
			ts.ReadFile("stderr"))
	}
}
