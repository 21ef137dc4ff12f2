package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// careRig is a daemon that manages its webhook at a simulated platform.
type careRig struct {
	*testing.T
	ctx  context.Context
	sim  *simulator.Simulator
	path string // the configuration file
	*Daemon
}

// newCareRig starts one whose upkeep the test may call itself. api is where the platform's API is;
// "" for the simulator's own.
func newCareRig(t *testing.T, api func(sim *simulator.Simulator) string) *careRig {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	sim, err := simulator.Start(ctx, simulator.Settings{Account: "ACC", Scale: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	at := sim.APIURL()
	if api != nil {
		at = api(sim)
	}
	dir := t.TempDir()
	g := &careRig{T: t, ctx: ctx, sim: sim, path: filepath.Join(dir, "oncue.yaml")}
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {listen: "unix:%s/admin.sock"}
data_dir: %s/data
public_url: https://hooks.example.com
accounts: {ACC: {api_secret: %q, api_url: %s, manage_webhook: true, poll_interval: 1s}}
encoders: {box: {fake: {}}}
streams: {lobby: {encoder: box}}
`, dir, dir, sim.APISecret().Reveal(), at)
	if err := os.WriteFile(g.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(g.path, io.Discard, func(configs.Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	if g.Daemon, err = Start(ctx, cfg, Options{Log: io.Discard}); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestReloadDuringCare reloads the file while the webhook is checked and its secret rotated, and
// sends hooks meanwhile. The secret of the last rotation, and that before it, always count.
func TestReloadDuringCare(t *testing.T) {
	t.Parallel()
	g := newCareRig(t, nil)
	if err := waitUntil(g.ctx, func() bool { return len(g.sim.Webhooks()) == 1 }); err != nil {
		t.Fatal("no webhook was made")
	}
	if err := g.upkeep.StopJobs(); err != nil { // one check at a time: those of this test
		t.Fatal(err)
	}
	rotated := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		for !over(rotated) {
			clear(g.webhookChecked)
			g.careForWebhooks(g.ctx)
			if len(g.webhookChecked) == 0 {
				t.Error("the webhook was not checked")
			}
		}
	})
	all.Go(func() {
		for !over(rotated) {
			if refused := g.reload(g.path); refused != nil {
				t.Error(refused)
			}
		}
	})
	before := g.sim.Webhooks()[0].Secret
	for range 10 {
		made, err := g.rotate(g.ctx, "ACC")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			for _, key := range []*secret.Value{&before, &made.Secret} {
				status := sendSigned(g.ctx, t, g.HookAddr.String(), *key, controller.HookAttempt, "ACC", "lobby")
				if status != 200 {
					t.Fatalf("a hook with a secret in force is answered with %d", status)
				}
			}
		}
		before = made.Secret
	}
	close(rotated)
	all.Wait()
	if err := g.Stop(); err != nil {
		t.Error(err)
	}
}

func over(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// TestStopDuringCare: the platform's API hangs while the webhook is checked, and the daemon stops.
// It does not wait for the API, and no goroutine is left that could meet the closed store. Not
// parallel: it counts goroutines.
func TestStopDuringCare(t *testing.T) {
	asked, hang := make(chan struct{}), make(chan struct{})
	var once sync.Once
	g := newCareRig(t, func(sim *simulator.Simulator) string {
		to, err := url.Parse(sim.APIURL())
		if err != nil {
			t.Fatal(err)
		}
		through := httputil.NewSingleHostReverseProxy(to)
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "webhooks") {
				once.Do(func() { close(asked) })
				select {
				case <-hang:
				case <-r.Context().Done():
				}
				return
			}
			through.ServeHTTP(w, r)
		}))
		t.Cleanup(front.Close)
		return front.URL + strings.TrimSuffix(to.Path, "/")
	})
	defer close(hang)
	select {
	case <-asked:
	case <-g.ctx.Done():
		t.Fatal("the webhook is not checked")
	}
	if err := g.Stop(); err != nil { // the scheduler's, too, when a job does not end
		t.Error(err)
	}
	stacks := ""
	err := waitUntil(g.ctx, func() bool {
		stacks = ""
		buf := make([]byte, 1<<20)
		for _, s := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(s, "daemon.(*Daemon)") || strings.Contains(s, "oncue/store.") ||
				strings.Contains(s, "oncue/controller/runner.") {
				stacks += s + "\n\n"
			}
		}
		return stacks == ""
	})
	if err != nil {
		t.Errorf("after the stop there still run:\n%s", stacks)
	}
}
