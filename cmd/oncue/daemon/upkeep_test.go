package daemon

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// TestManagedWebhook: with manage_webhook nothing is copied by hand. The webhook is made, its
// secret taken from the API and kept, hooks are accepted, and a webhook that the platform has
// disabled is switched on again.
func TestManagedWebhook(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sim, err := simulator.Start(ctx, simulator.Settings{Account: "ACC", Scale: 20})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	dir := t.TempDir()
	socket := filepath.Join(dir, "hooks.sock")
	path := filepath.Join(dir, "oncue.yaml")
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {listen: "unix:%s"}
data_dir: %s
public_url: https://hooks.example.com
accounts: {ACC: {api_secret: %q, api_url: %s, manage_webhook: true, poll_interval: 1s}}
encoders: {box: {fake: {}}}
streams: {lobby: {encoder: box}}
`, socket, filepath.Join(dir, "data"), sim.APISecret().Reveal(), sim.APIURL())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, io.Discard, func(configs.Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	start := func() *Daemon {
		svc, err := Start(ctx, cfg, Options{Log: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		return svc
	}
	svc := start()
	made := func() bool { return len(sim.Webhooks()) == 1 }
	if err := sim.Wait(ctx, made); err != nil {
		t.Fatal("no webhook was made")
	}
	hook := sim.Webhooks()[0]
	if !hook.Feeds || !hook.Viewers || hook.URL != "https://hooks.example.com/hooks/millicast" {
		t.Errorf("the webhook is %+v", hook)
	}
	send := func() int {
		return sendSigned(ctx, t, svc.HookAddr.String(), hook.Secret, controller.HookAttempt, "ACC", "lobby")
	}
	if err := waitUntil(ctx, func() bool { return send() == 200 }); err != nil {
		t.Fatal("a hook signed with the webhook's own secret is not taken")
	}
	if err := sim.DisableWebhook(hook.ID, time.Hour, "too slow"); err != nil {
		t.Fatal(err)
	}
	if err := waitUntil(ctx, func() bool { return sim.Webhooks()[0].DisabledUntil.IsZero() }); err != nil {
		t.Error("a disabled webhook is not switched on again")
	}
	if err := svc.Stop(); err != nil {
		t.Error(err)
	}
	svc = start()
	defer svc.Stop()
	if status := send(); status != 200 {
		t.Errorf("after a restart the kept secret is refused: %d", status)
	}
}

// sendSigned delivers one hook and returns the answer's status; 0 when there was none.
func sendSigned(
	ctx context.Context, t *testing.T, addr string, key secret.Value, kind controller.HookKind, account, name string,
) int {
	t.Helper()
	body := millicast.ViewerMessage(kind, account, name, time.Now()).Body()
	req, err := millicast.NewRequest(ctx, "http://"+addr+millicast.HookPath, key, millicast.ContentJSON, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

func waitUntil(ctx context.Context, is func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// TestSecretsKeptAtOnce keeps secrets of two accounts from all sides while the configuration is
// reloaded: none is lost.
func TestSecretsKeptAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "oncue.yaml")
	text := fmt.Sprintf("listen: \"127.0.0.1:0\"\nadmin: {listen: \"unix:%s/admin.sock\"}\ndata_dir: %s/data\n"+
		"accounts: {A: {webhook_secrets: [%[3]q]}, B: {webhook_secrets: [%[3]q]}}\n",
		dir, dir, "c2VjcmV0LWtleS1mb3ItdGVzdHM=")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path, io.Discard, func(configs.Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := Start(t.Context(), cfg, Options{Log: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range keptSecrets {
		for _, account := range []string{"A", "B"} {
			all.Go(func() {
				fresh := secret.New(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %d", account, n)))
				if err := svc.keepSecrets(t.Context(), account, []secret.Value{fresh}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	for range 5 {
		p, err := newPlan(cfg, svc.inForce().plan, svc.tokens)
		if err == nil {
			err = svc.apply(p)
		}
		if err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	for _, account := range []string{"A", "B"} {
		if kept, err := readKept(t.Context(), svc.store, account); err != nil || len(kept) != keptSecrets {
			t.Errorf("%s: %d secrets are kept, %v", account, len(kept), err)
		}
	}
	if err := svc.Stop(); err != nil {
		t.Error(err)
	}
}
