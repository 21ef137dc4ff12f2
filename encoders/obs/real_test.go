package obs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

const realKey = "lobby?token=" + encodertest.Canary

// TestReal drives a real OBS. Its parts share one, in order; each leaves it off. OBS must live
// through all of them.
func TestReal(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	o := obstest.Start(t, obstest.Config{Server: in.url, Key: realKey})
	for _, part := range []struct {
		name string
		run  func(*testing.T, *obstest.OBS, *ingestServer)
	}{
		{"start and stop", realStartStop},
		{"operator", realOperator},
		{"stop while starting", realStopWhileStarting},
		{"start while starting", realStartWhileStarting},
		{"ingest lost", realIngestLost},
		{"wrong password", realWrongPassword},
		{"frozen", realFrozen},
		{"check", realCheck},
		{"killed while live", realKilled},
		{"closed while live", realClosed},
		{"keep ready", realKeepReady},
		{"set service", realSetService},
		{"set key", realSetKey},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(t, o, in) }) {
			break
		}
	}
}

func realStartStop(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, nil)
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	s := r.awaitMeasured()
	if fps := *s.Health.FPS; fps < 1 || fps > 31 {
		t.Errorf("OBS renders %v frames a second; it is set to 30", fps)
	}
	r.stop()
	r.awaitFeeds(in, 0)
	for range 10 {
		r.start()
		r.awaitState(encoders.StatePublishing)
		r.awaitFeeds(in, 1)
		r.stop()
		r.awaitFeeds(in, 0)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.names) != 11 || in.most != 1 {
		t.Errorf("11 starts made %d feeds, %d at once", len(in.names), in.most)
	}
}

func realOperator(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r, op := realRig(t, o, nil), operator(t, o)
	r.awaitState(encoders.StateStopped)
	op.press(t, "StartStream")
	if s := r.awaitState(encoders.StatePublishing); !s.ByHand || s.Run != "" {
		t.Errorf("started by hand, it is %+v", s)
	}
	r.awaitFeeds(in, 1)
	op.press(t, "StopStream")
	if s := r.awaitState(encoders.StateStopped); !s.ByHand {
		t.Errorf("stopped by hand, it is %+v", s)
	}
	r.start()
	r.awaitState(encoders.StatePublishing)
	op.press(t, "StopStream")
	if s := r.awaitState(encoders.StateStopped); !s.ByHand {
		t.Errorf("stopped by hand, it is %+v", s)
	}
	r.stop() // returns when OBS has taken its output down, which it says is on for some milliseconds more
	r.awaitFeeds(in, 0)
}

// realStopWhileStarting is the viewer who leaves before OBS is live.
func realStopWhileStarting(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, nil)
	in.server.Mute(true)
	r.start()
	r.awaitState(encoders.StateStarting)
	if err := r.Stop(r.within(300*time.Millisecond), r.job); err == nil {
		t.Error("stop is confirmed while OBS is starting")
	}
	in.server.Mute(false)
	if s := r.awaitState(encoders.StateStopped); s.ByHand || s.Error != "" {
		t.Errorf("after the remembered stop it is %+v", s)
	}
	in.server.Mute(true)
	r.start()
	time.AfterFunc(300*time.Millisecond, func() { in.server.Mute(false) })
	r.stop()
	r.awaitFeeds(in, 0)
}

func realStartWhileStarting(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r, other := realRig(t, o, nil), realRig(t, o, nil)
	other.awaitState(encoders.StateStopped)
	in.server.Mute(true)
	r.start()
	other.awaitState(encoders.StateStarting)
	for range 3 {
		r.start()
		if err := other.Start(other.within(patience), other.job); !errors.Is(err, encoders.ErrBusy) {
			t.Errorf("a start by somebody else: %v", err)
		}
	}
	in.server.Mute(false)
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	r.stop()
	r.awaitFeeds(in, 0)
}

func realIngestLost(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, func(s *Settings) { s.StallTimeout = time.Second })
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	in.drop()
	r.awaitStatus("reconnecting", func(s encoders.Status) bool { return s.Error == lostServer })
	r.awaitStatus("publishing again",
		func(s encoders.Status) bool { return s.State == encoders.StatePublishing && s.Error == "" })
	r.awaitFeeds(in, 1)
	in.server.Mute(true)
	in.drop()
	r.awaitState(encoders.StateStalled)
	if err := r.Stop(r.within(300*time.Millisecond), r.job); err == nil {
		t.Error("stop is confirmed while OBS waits for its server")
	}
	in.server.Mute(false)
	r.stop()
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	r.stop()
	r.awaitFeeds(in, 0)
}

func realWrongPassword(t *testing.T, o *obstest.OBS, _ *ingestServer) {
	r := realRig(t, o, func(s *Settings) { s.Password = secret.New("not-that-one") })
	if err := r.Start(r.within(patience), r.job); !encoders.IsPermanent(err) ||
		!strings.HasSuffix(err.Error(), "refuses the password") {
		t.Errorf("start: %v; want a permanent refusal of the password", err)
	}
	if found := r.Check(r.within(patience), r.job); len(found) != 1 || found[0].Hint != hintPassword {
		t.Errorf("the check finds %+v", found)
	}
}

func realFrozen(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, nil)
	r.start()
	r.awaitState(encoders.StatePublishing)
	o.Freeze()
	defer o.Thaw()
	s := r.awaitState(encoders.StateUnknown)
	if !strings.Contains(s.Error, "does not answer within 2s") {
		t.Errorf("a frozen OBS is said to be %q", s.Error)
	}
	if err := r.Stop(r.within(200*time.Millisecond), r.job); err == nil {
		t.Error("stop is confirmed by a frozen OBS")
	}
	o.Thaw()
	if s := r.awaitState(encoders.StatePublishing); s.Run != r.job.Run || s.ByHand {
		t.Errorf("after the thaw it is %+v", s)
	}
	r.stop()
	r.awaitFeeds(in, 0)
}

func realCheck(t *testing.T, o *obstest.OBS, _ *ingestServer) {
	r := realRig(t, o, func(s *Settings) { s.Profile, s.SceneCollection, s.Scene = "ci", "ci", "nowhere" })
	found := r.Check(r.within(patience), r.job)
	var levels []encoders.Level
	for _, f := range found {
		levels = append(levels, f.Level)
	}
	if diff := cmp.Diff([]encoders.Level{encoders.OK, encoders.OK, encoders.OK, encoders.Bad, encoders.OK},
		levels); diff != "" {
		t.Errorf("the check finds %+v\n%s", found, diff)
	}
	if strings.Contains(fmt.Sprint(found), encodertest.Canary) {
		t.Error("the check shows the key that OBS has")
	}
	if err := r.Start(r.within(patience), r.job); !encoders.IsPermanent(err) ||
		!strings.Contains(err.Error(), `no scene "nowhere"`) {
		t.Errorf("start with a scene that is not there: %v", err)
	}
}

func realKilled(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, nil)
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	o.Kill()
	if s := r.awaitState(encoders.StateUnknown); !strings.Contains(s.Error, "not reachable") {
		t.Errorf("a killed OBS is said to be %q", s.Error)
	}
	o.Open(t)
	if s := r.awaitState(encoders.StateFailed); s.Error != obsGone || s.ByHand {
		t.Errorf("after OBS came back it is %+v", s)
	}
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	r.stop()
	r.awaitFeeds(in, 0)
}

func realClosed(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, nil)
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitMeasured() // OBS 29 sometimes hangs when it is closed within 100 ms of going live
	o.Quit()
	r.awaitState(encoders.StateUnknown)
	r.stop()
	r.awaitFeeds(in, 0)
	o.Open(t)
	r.awaitStatus("gone", func(s encoders.Status) bool { return s.State.Gone() })
}

// realKeepReady shows a scene before any start, and leaves an OBS that records.
func realKeepReady(t *testing.T, o *obstest.OBS, in *ingestServer) {
	op := operator(t, o)
	scene := func() string {
		var l listed
		if err := op.do(t.Context(), patience, "GetSceneList", nil, &l); err != nil {
			t.Fatal(err)
		}
		return l.Scene
	}
	press(t, o, "SetCurrentProgramScene", map[string]any{"sceneName": "ci"})
	r := realRig(t, o, func(s *Settings) { s.SetService, s.Scene = setAll, "other" })
	r.job = encodertest.NewJob(in.url + "/ready?token=" + encodertest.Canary)
	r.KeepReady(r.job, true)
	await(t, "the scene is shown", func() bool { return scene() == "other" })
	r.start()
	r.awaitState(encoders.StatePublishing)
	await(t, "the feed of the job", func() bool { return in.published("ready") })
	r.stop()
	r.awaitFeeds(in, 0)
	r.Close()

	op.press(t, "StartRecord")
	r = realRig(t, o, func(s *Settings) { s.Scene = "ci" })
	r.KeepReady(r.job, true)
	await(t, "the recording is seen", func() bool { return strings.Contains(r.log.String(), "is on") })
	if s := scene(); s != "other" {
		t.Errorf("during a recording, OBS shows %q", s)
	}
	op.press(t, "StopRecord")
	await(t, "the scene is shown after the recording", func() bool { return scene() == "ci" })
}

func realSetService(t *testing.T, o *obstest.OBS, in *ingestServer) {
	r := realRig(t, o, func(s *Settings) {
		s.SetService, s.Profile, s.SceneCollection, s.Scene = setAll, "other", "other", "other"
	})
	r.job = encodertest.NewJob(in.url + "/studio?token=" + encodertest.Canary)
	r.start()
	r.awaitState(encoders.StatePublishing)
	await(t, "the feed of the job", func() bool { return in.published("studio") })
	elsewhere := r.job
	elsewhere.Name, elsewhere.Publish = "foyer", secret.New(in.url+"/foyer")
	if err := r.Start(r.within(patience), elsewhere); !errors.Is(err, encoders.ErrBusy) {
		t.Errorf("start for another stream: %v; want ErrBusy", err)
	}
	r.stop()
	r.awaitFeeds(in, 0)
	r.job.Publish = secret.New("https://127.0.0.1/api/whip/lobby?token=" + encodertest.Canary)
	if err := r.Start(r.within(patience), r.job); r.link.version.major() < whipSince && !encoders.IsPermanent(err) {
		t.Errorf("start over WHIP with OBS %s: %v; want a permanent error", r.link.version.OBS, err)
	}
}

// realSetKey starts an OBS in which a person has chosen a service by its name.
func realSetKey(t *testing.T, o *obstest.OBS, in *ingestServer) {
	chosen := map[string]any{"service": "Twitch", "server": in.url, "key": "old", "bwtest": false}
	press(t, o, "SetStreamServiceSettings", map[string]any{"streamServiceType": "rtmp_common",
		"streamServiceSettings": chosen})
	r := realRig(t, o, func(s *Settings) { s.SetService = setKey })
	r.job = encodertest.NewJob("rtmp://elsewhere.example/v2/pub/keyed?token=" + encodertest.Canary)
	r.start()
	r.awaitState(encoders.StatePublishing)
	await(t, "the feed of the job", func() bool { return in.published("keyed") })
	kind, values, err := readService(r.within(patience), r.Encoder, r.link.sess)
	chosen["key"] = "keyed?token=" + encodertest.Canary
	for key, want := range chosen {
		if got := values[key]; err != nil || kind != "rtmp_common" || got != want {
			t.Errorf("of %s, %s is %v, want %v (%v)", kind, key, got, want, err)
		}
	}
	r.stop()
	r.awaitFeeds(in, 0)
	found := r.Check(r.within(patience), r.job)
	if last := found[len(found)-1]; last.What != "a start puts the key into obs, whose service stays: Twitch" {
		t.Errorf("the check finds %+v", last)
	}
}
