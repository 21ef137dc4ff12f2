package obs

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestSettings(t *testing.T) {
	if err := Defaults().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, address := range []string{"studio:4455", "[::1]:4455", "10.0.0.{1}:4455", "studio:4{1}"} {
		if err := (Settings{Addr: address, StallTimeout: time.Second}).Validate(); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for address, want := range map[string]string{
		"":                 `address: is "", must be host:port such as "10.0.0.5:4455"`,
		"studio":           `address: is "studio", must be host:port such as "10.0.0.5:4455"`,
		":4455":            `address: has the host "", must be a name or an IP address`,
		"ws://studio:4455": `address: is "ws://studio:4455", must be host:port such as "10.0.0.5:4455"`,
		"studio:0":         `address: has the port "0", must be 1 to 65535`,
		"studio:obs":       `address: has the port "obs", must be 1 to 65535`,
	} {
		err := (Settings{Addr: address}).Validate()
		if want += "\nstall_timeout: is 0s, must be 1s or more"; err == nil || err.Error() != want {
			t.Errorf("%q: %v; want %s", address, err, want)
		}
	}
	if (Settings{}).NeedsPublish() || !(Settings{SetService: setAll}).NeedsPublish() {
		t.Error("a publishing URL is needed exactly when it is put into OBS")
	}
	for _, c := range []struct {
		set   string
		by    ingest.Protocol
		sends bool
	}{
		{setAll, ingest.RTMPS, false}, {setAll, ingest.SRT, false}, {setAll, ingest.WHIP, true},
		{setKey, ingest.RTMPS, true},
	} {
		if err := (Settings{SetService: c.set}).Simulcasts(c.by); (err == nil) != c.sends {
			t.Errorf("set_service: %s sends several qualities over %s: %v", c.set, c.by, err)
		}
	}
	if _, err := New(Settings{}, encoders.Env{}); err == nil {
		t.Error("impossible settings make an encoder")
	}
}

func TestPlan(t *testing.T) {
	s := Settings{Addr: "10.0.0.{1}:4455", Password: secret.New(encodertest.Canary), SetService: setAll, Profile: "live",
		Scene: "{stream}", StallTimeout: time.Second}
	r := newRig(t, s, fast())
	r.job.Matches = []string{"7"}
	want := []string{
		"connect to ws://10.0.0.7:4455 (obs-websocket 5) with the password ********",
		`SetCurrentProfile: profile "live", unless it is selected already`,
		`SetCurrentProgramScene: scene "lobby", unless it is selected already`,
		"SetStreamServiceSettings: rtmp_custom, rtmps://127.0.0.1:1/v2/pub, key ********",
		"StartStream, unless it is on",
	}
	if diff := cmp.Diff(want, r.Plan(r.job)); diff != "" {
		t.Error(diff)
	}
}

func TestCheck(t *testing.T) {
	server := obstest.NewServer(t, obstest.Settings{Password: encodertest.Canary})
	s := settingsFor(server)
	s.Profile, s.SceneCollection, s.Scene = "other", "other", "nowhere"
	r := newRig(t, s, fast())
	want := []encoders.Finding{
		{Level: encoders.OK, What: "obs at " + server.Address + " answers (OBS 29.0.2, obs-websocket 5.1.0)"},
		{Level: encoders.OK, What: `obs has the profile "other"`},
		{Level: encoders.OK, What: `obs has the scene collection "other"`},
		{Level: encoders.Warn,
			What: `scene "nowhere" cannot be checked: its scene collection is not the one in use`},
		{Level: encoders.OK, What: "obs streams to rtmp://127.0.0.1 by its own settings"},
	}
	if diff := cmp.Diff(want, r.Check(r.within(patience), r.job)); diff != "" {
		t.Error(diff)
	}
	if server.Requests("SetCurrentProfile")+server.Requests("StartStream") > 0 {
		t.Error("the check changed OBS")
	}
	s.SetService, s.Profile, s.SceneCollection = setAll, "none", ""
	r = newRig(t, s, fast())
	r.job.Publish = secret.New("https://h/whip/x?token=" + encodertest.Canary)
	found := r.Check(r.within(patience), r.job)
	for i, want := range []string{"answers", `no profile "none"`, `no scene "nowhere"`, "WHIP needs 30 or newer"} {
		if i >= len(found) || !strings.Contains(found[i].What, want) {
			t.Errorf("finding %d is not %q: %+v", i, want, found)
		}
	}
}

func TestNoPassword(t *testing.T) {
	server := obstest.NewServer(t, obstest.Settings{})
	r := newRig(t, settingsFor(server), fast())
	if found := r.Check(r.within(patience), r.job); len(found) != 3 || found[1].Level != encoders.Warn ||
		found[1].Hint == "" {
		t.Errorf("an OBS that everyone can control: %+v", found)
	}
}

func TestCloseUnused(t *testing.T) {
	e, err := New(Defaults(), encoders.Env{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := e.Start(t.Context(), encodertest.NewJob("")); err == nil {
		t.Error("a closed encoder starts")
	}
}
