package daemon

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/controller/millicast"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// tokenRig is a simulated platform and the configuration of a daemon beside it.
type tokenRig struct {
	*testing.T
	sim *simulator.Simulator
	ctx context.Context
	dir string
	cfg *configs.Config
}

func newTokenRig(t *testing.T, streams string) *tokenRig {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	sim, err := simulator.Start(ctx, simulator.Settings{Account: "ACC", Scale: 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	g := &tokenRig{T: t, sim: sim, ctx: ctx, dir: t.TempDir()}
	g.cfg = g.load(streams)
	return g
}

func (g *tokenRig) load(streams string) *configs.Config {
	g.Helper()
	path := filepath.Join(g.dir, "oncue.yaml")
	text := fmt.Sprintf(`
listen: "127.0.0.1:0"
admin: {listen: "unix:%s"}
data_dir: %s
accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=], api_secret: %q, api_url: %s}}
encoders: {cam: {ffmpeg: {input: test}}, back: {ffmpeg: {input: test}}}
streams:
%s
`, filepath.Join(g.dir, "admin.sock"), filepath.Join(g.dir, "data"), g.sim.APISecret().Reveal(), g.sim.APIURL(),
		strings.ReplaceAll(streams, "RTMP", g.sim.RTMPAddr()))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.Fatal(err)
	}
	cfg, err := Load(path, g.Output(), func(configs.Problem) {})
	if err != nil {
		g.Fatal(err)
	}
	return cfg
}

func (g *tokenRig) start() *Daemon {
	g.Helper()
	d, err := Start(g.ctx, g.cfg, Options{Log: io.Discard})
	if err != nil {
		g.Fatal(err)
	}
	return d
}

// until waits for what is only a matter of time.
func (g *tokenRig) until(what string, is func() bool) {
	g.Helper()
	if err := waitUntil(g.ctx, is); err != nil {
		g.Fatalf("%s: never", what)
	}
}

// publishes is the URL that an encoder of the stream would be told now.
func publishes(d *Daemon, name, encoder string) string {
	spec, ok := findStream(d.inForce().plan)("ACC", name)
	if !ok {
		return "no stream"
	}
	return spec.Publish(encoder).Reveal()
}

func problemsOf(d *Daemon) string {
	_, problems := d.configState()
	return strings.Join(problems, "\n")
}

const lobbyAndCams = `
  lobby: {encoders: [cam, {name: back, publish: {region: fra-1}}], publish: {token: auto}}
  "cam-*": {encoder: cam, publish: {token: auto, protocol: srt}}
`

func TestTokensAreMadeKeptAndFoundAgain(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, lobbyAndCams)
	g.sim.SetAPIFaults(simulator.APIFaults{Path: "/api/publish_token", Status: 503})
	d := g.start()
	g.until("the API's absence is told", func() bool {
		return strings.Contains(problemsOf(d), "there is no publishing token yet for ACC/lobby and 1 more: ")
	})
	if got := publishes(d, "lobby", "cam"); got != "" {
		t.Errorf("without a token it publishes to %q", got)
	}
	g.sim.SetAPIFaults(simulator.APIFaults{})
	g.until("both tokens", func() bool { return publishes(d, "lobby", "cam") != "" && publishes(d, "cam-1", "cam") != "" })
	g.until("no problem is left", func() bool { return problemsOf(d) == "" })

	made := g.sim.Tokens()
	if len(made) != 2 {
		t.Fatalf("%d tokens were made", len(made))
	}
	lobby, cams := made[0], made[1]
	if lobby.Label != "oncue:lobby" || !lobby.Thumbnails || !lobby.Active ||
		!slices.Equal(lobby.Streams, []simulator.TokenStream{{Name: "lobby"}}) {
		t.Errorf("the token of lobby: %+v", lobby)
	}
	if cams.Label != "oncue:cam-*" || len(cams.Streams) != 1 || !cams.Streams[0].IsRegex {
		t.Errorf("the token of the pattern: %+v", cams)
	}
	want := "rtmps://rtmp-fra-1.millicast.com:443/v2/pub/{stream}?token=" + lobby.Value.Reveal() + "&priority=99"
	if got := publishes(d, "lobby", "back"); got != want {
		t.Errorf("back publishes to %s, want %s", got, want)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}

	// The start after that needs no API; nothing in the data directory shows a token.
	g.sim.SetAPIFaults(simulator.APIFaults{Path: "/api/publish_token", Status: 503})
	d = g.start()
	if got := publishes(d, "lobby", "back"); got != want {
		t.Errorf("after a restart back publishes to %s, want %s", got, want)
	}
	if got := problemsOf(d); got != "" {
		t.Errorf("a kept token is no problem: %s", got)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	for _, token := range made {
		g.nowhere(token.Value.Reveal())
	}

	// Without its data directory it finds them, and makes no more.
	g.sim.SetAPIFaults(simulator.APIFaults{})
	if err := os.RemoveAll(filepath.Join(g.dir, "data")); err != nil {
		t.Fatal(err)
	}
	d = g.start()
	defer d.Stop()
	g.until("the token is found", func() bool { return publishes(d, "lobby", "back") == want })
	g.until("that of the pattern", func() bool { return publishes(d, "cam-1", "cam") != "" })
	if n := len(g.sim.Tokens()); n != 2 {
		t.Errorf("there are %d tokens now", n)
	}
}

// nowhere fails if a text stands in a file of the data directory.
func (g *tokenRig) nowhere(text string) {
	g.Helper()
	err := filepath.WalkDir(filepath.Join(g.dir, "data"), func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		whole, err := os.ReadFile(path)
		if strings.Contains(string(whole), text) {
			g.Errorf("%s shows a token", path)
		}
		return err
	})
	if err != nil {
		g.Error(err)
	}
}

func TestTokensOfAReload(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, "  lobby: {encoder: cam, publish: {token: \"00112233445566778899aabbccddeeff\"}}\n")
	d := g.start()
	defer d.Stop()
	g.load(lobbyAndCams)
	if refused := d.reload(g.cfg.File); refused != nil {
		t.Fatal(refused)
	}
	g.until("the new tokens", func() bool { return len(g.sim.Tokens()) == 2 && problemsOf(d) == "" })
	if got := publishes(d, "lobby", "cam"); !strings.Contains(got, g.sim.Tokens()[0].Value.Reveal()) {
		t.Error("lobby still publishes with the token of the file")
	}
}

// A token that a person has disabled is for a person to mend; one that is gone is made again.
func TestTokensThatPeopleTouch(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, "  lobby: {encoder: cam, publish: {token: auto}}\n")
	d := g.start()
	defer d.Stop()
	g.until("the token", func() bool { return publishes(d, "lobby", "cam") != "" })
	first := publishes(d, "lobby", "cam")
	api := d.inForce().accounts["ACC"].client
	if err := api.DisableTokens(g.ctx, g.sim.Tokens()[0].ID); err != nil {
		t.Fatal(err)
	}
	d.tokens.hurry()
	g.until("it is told", func() bool {
		return strings.Contains(problemsOf(d),
			"stream ACC/lobby: publishing token 1 (oncue:lobby) is disabled; oncue token rotate")
	})
	if n := len(g.sim.Tokens()); n != 1 {
		t.Errorf("there are %d tokens", n)
	}
	if err := api.DeleteToken(g.ctx, g.sim.Tokens()[0].ID); err != nil {
		t.Fatal(err)
	}
	d.tokens.hurry()
	g.until("another one", func() bool { return publishes(d, "lobby", "cam") != first && problemsOf(d) == "" })
}

func TestTokenRotation(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, "  lobby: {encoder: cam, publish: {token: auto}}\n")
	d := g.start()
	g.until("the token", func() bool { return publishes(d, "lobby", "cam") != "" })
	before := g.sim.Tokens()[0]

	r, err := d.rotateToken(g.ctx, "lobby")
	if err != nil || r.Stream != "ACC/lobby" || r.Label != "oncue:lobby" || r.ID == before.ID {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := publishes(d, "lobby", "cam"); !strings.Contains(got, r.Value.Reveal()) {
		t.Error("the next start does not use the new token")
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	d = g.start()
	defer d.Stop()
	g.until("the old one is deleted after a restart", func() bool {
		all := g.sim.Tokens()
		return len(all) == 1 && all[0].ID == r.ID
	})
	if got := publishes(d, "lobby", "cam"); !strings.Contains(got, r.Value.Reveal()) {
		t.Error("the rotation is forgotten over a restart")
	}
	if _, err := d.rotateToken(g.ctx, "ACC/other"); err == nil || !strings.Contains(err.Error(), `no stream "ACC/other"`) {
		t.Error(err)
	}
}

// A rotation that was cut short after its token was made uses that token the next time.
func TestTokenRotationAfterACrash(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, "  lobby: {encoder: cam, publish: {token: auto}}\n")
	d := g.start()
	g.until("the token", func() bool { return publishes(d, "lobby", "cam") != "" })
	s, _ := g.cfg.Entry("lobby")
	client := d.inForce().accounts["ACC"].client
	left, err := client.MakeOwnToken(g.ctx, OwnToken(s), []int{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	offline, err := millicast.NewClient(millicast.ClientOptions{
		Account: "ACC", URL: g.sim.APIURL(), Secret: g.sim.APISecret(), Log: d.log,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer offline.Close()
	got, err := RotateTokenOffline(g.ctx, g.cfg, s, offline)
	if err != nil || got.ID != left.ID {
		t.Errorf("%d instead of %d, %v", got.ID, left.ID, err)
	}
	d = g.start()
	defer d.Stop()
	g.until("one is left", func() bool { return len(g.sim.Tokens()) == 1 })
	if got := publishes(d, "lobby", "cam"); !strings.Contains(got, left.Value.Reveal()) {
		t.Error("the daemon does not know what was rotated without it")
	}
}

// TestTokensThatComeStart: whoever waits for a retry for want of a good token starts when it is
// there, whatever the backoff says.
func TestTokensThatComeStart(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, `
  lobby: {encoder: cam, publish: {token: auto, server: "rtmp://127.0.0.1:1"}, restart: {initial: 1h, max: 1h}}
  "cam-*": {encoder: back, publish: {token: auto, server: "rtmp://127.0.0.1:1"}, restart: {initial: 1h, max: 1h}}
`)
	g.sim.SetAPIFaults(simulator.APIFaults{Path: "/api/publish_token", Status: 503})
	d := g.start()
	defer d.Stop()
	starts := func(id controller.StreamID, want int) {
		g.until(fmt.Sprintf("start %d of %s", want, id), func() bool {
			v, _ := d.Stream(id)
			return v.Starts >= want && v.Phase == controller.PhaseBackoff
		})
	}
	for _, id := range []controller.StreamID{"ACC/lobby", "ACC/cam-1"} {
		if _, err := d.control.SetMode(g.ctx, id, controller.ModeRequest{Mode: controller.ModeOn}); err != nil {
			t.Fatal(err)
		}
		starts(id, 1)
	}
	g.sim.SetAPIFaults(simulator.APIFaults{})
	starts("ACC/lobby", 2)
	starts("ACC/cam-1", 2)
	if _, err := d.rotateToken(g.ctx, "lobby"); err != nil {
		t.Fatal(err)
	}
	starts("ACC/lobby", 3)
	api := d.inForce().accounts["ACC"].client
	disabled, active := d.tokens.get("ACC/lobby").ID, true
	if err := api.DisableTokens(g.ctx, disabled); err != nil {
		t.Fatal(err)
	}
	d.tokens.hurry()
	g.until("it is told", func() bool { return strings.Contains(problemsOf(d), "is disabled") })
	if _, err := api.UpdateToken(g.ctx, disabled, millicast.TokenChange{Active: &active}); err != nil {
		t.Fatal(err)
	}
	d.tokens.hurry()
	starts("ACC/lobby", 4)
	g.load(`
  lobby: {encoder: cam, publish: {token: "00ff", server: "rtmp://127.0.0.1:1"}, restart: {initial: 1h, max: 1h}}
`)
	if refused := d.reload(g.cfg.File); refused != nil {
		t.Fatal(refused)
	}
	starts("ACC/lobby", 5)
}

// TestTokenRotationFails: the admin side tells what the platform says, and what may help.
func TestTokenRotationFails(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, "  lobby: {encoder: cam, publish: {token: auto}}\n")
	d := g.start()
	defer d.Stop()
	g.until("the token", func() bool { return publishes(d, "lobby", "cam") != "" })
	admin := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(g.dir, "admin.sock"))
		},
		DisableKeepAlives: true,
	}}
	for status, want := range map[int]string{
		401: `answered 401 Unauthorized: Unauthorized","hint":"copy the API secret of account ACC again `,
		403: `answered 403 Forbidden: Forbidden","hint":"may the API secret of account ACC do that? `,
		404: `answered 404 Not Found`,
	} {
		g.sim.SetAPIFaults(simulator.APIFaults{Path: "/api/publish_token", Status: status})
		resp, err := admin.Post("http://oncue/api/v1/streams/ACC%2Flobby/token/rotate", "application/json", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), want) {
			t.Errorf("%d: answered %d %s, %v", status, resp.StatusCode, body, err)
		}
	}
}

// TestTokenDeletedByHand: a start that fails has the tokens compared long before it is their turn.
func TestTokenDeletedByHand(t *testing.T) {
	t.Parallel()
	g := newTokenRig(t, `
  lobby: {encoder: cam, publish: {token: auto, server: "rtmp://RTMP"}, restart: {initial: 1h, max: 1h}}
`)
	d := g.start()
	defer d.Stop()
	g.until("the token", func() bool { return publishes(d, "lobby", "cam") != "" })
	d.tokens.mu.Lock()
	d.tokens.rounds["ACC"].next = time.Now().Add(time.Hour)
	d.tokens.rounds["ACC"].done = time.Now().Add(-time.Hour)
	d.tokens.mu.Unlock()
	if err := d.inForce().accounts["ACC"].client.DeleteToken(g.ctx, g.sim.Tokens()[0].ID); err != nil {
		t.Fatal(err)
	}
	mode := controller.ModeRequest{Mode: controller.ModeOn}
	if _, err := d.control.SetMode(g.ctx, "ACC/lobby", mode); err != nil {
		t.Fatal(err)
	}
	g.until("it publishes with another token", func() bool {
		v, _ := d.Stream("ACC/lobby")
		return v.Starts > 1 && g.sim.Truth("lobby").Live
	})
	if _, err := d.control.SetMode(g.ctx, "ACC/lobby", controller.ModeRequest{Mode: controller.ModeOff}); err != nil {
		t.Fatal(err)
	}
	g.until("it is off", func() bool { v, _ := d.Stream("ACC/lobby"); return v.Phase == controller.PhaseIdle })
}
