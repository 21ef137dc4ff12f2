package obs

import (
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

// readyRig has an OBS and settings by which a start changes all that it can change in it.
func readyRig(t *testing.T, played obstest.Settings) (*obstest.Server, *rig) {
	t.Helper()
	server := obstest.NewServer(t, played)
	s := settingsFor(server)
	s.SetService, s.Profile, s.SceneCollection, s.Scene = setAll, "other", "other", "other"
	r := newRig(t, s, fast())
	r.job = encodertest.NewJob("rtmp://h/v2/pub/lobby?token=" + encodertest.Canary)
	return server, r
}

// awaitPolls waits for so many polls that whatever is due has been done.
func awaitPolls(t *testing.T, server *obstest.Server) {
	t.Helper()
	from := server.Requests("GetStreamStatus")
	await(t, "polls", func() bool { return server.Requests("GetStreamStatus") >= from+5 })
}

// awaitKey waits until OBS has the key, which is set last and read back.
func awaitKey(t *testing.T, server *obstest.Server, key string) {
	t.Helper()
	await(t, "the key is in OBS", func() bool {
		values, _ := server.Service()["streamServiceSettings"].(map[string]any)
		return values["key"] == key
	})
}

// changed counts what was set in OBS: profiles, scene collections, scenes, services.
func changed(server *obstest.Server) [4]int {
	return [4]int{server.Requests("SetCurrentProfile"), server.Requests("SetCurrentSceneCollection"),
		server.Requests("SetCurrentProgramScene"), server.Requests("SetStreamServiceSettings")}
}

func TestKeepReady(t *testing.T) {
	t.Parallel()
	server, r := readyRig(t, obstest.Settings{})
	want := func(what string, n [4]int) {
		t.Helper()
		if got := changed(server); got != n {
			t.Errorf("%s, OBS was changed %v times; want %v", what, got, n)
		}
	}
	o := &obstest.OBS{Address: server.Address}
	r.KeepReady(r.job, true)
	awaitKey(t, server, "lobby?token="+encodertest.Canary)
	want("before a start", [4]int{1, 1, 1, 1})
	if n := server.Requests("StartStream"); n != 0 {
		t.Errorf("OBS was started %d times", n)
	}
	r.start()
	r.awaitState(encoders.StatePublishing)
	want("by the start that follows", [4]int{1, 1, 1, 1})
	r.stop()

	press(t, o, "SetCurrentProgramScene", map[string]any{"sceneName": "ci"})
	r.KeepReady(r.job, true)
	awaitPolls(t, server)
	want("after a person's change", [4]int{1, 1, 2, 1})
	r.start()
	r.awaitState(encoders.StatePublishing)
	want("by the start after it", [4]int{1, 1, 3, 1})
	r.stop()

	press(t, o, "SetCurrentProgramScene", map[string]any{"sceneName": "ci"})
	server.Drop(0)
	await(t, "the scene is chosen on the new connection", func() bool { return changed(server) == [4]int{1, 1, 5, 1} })

	next := r.job
	next.Name, next.Publish = "foyer", secret.New("rtmp://h/v2/pub/foyer?token="+encodertest.Canary)
	r.KeepReady(next, true)
	awaitKey(t, server, "foyer?token="+encodertest.Canary)
	r.start() // for the lobby
	r.awaitState(encoders.StatePublishing)
	awaitKey(t, server, "lobby?token="+encodertest.Canary)
	r.stop()
	awaitKey(t, server, "foyer?token="+encodertest.Canary)
}

func TestKeepReadyLeavesABusyOBS(t *testing.T) {
	t.Parallel()
	server, r := readyRig(t, obstest.Settings{Records: true})
	server.PressStart()
	r.awaitState(encoders.StatePublishing)
	r.KeepReady(r.job, true)
	awaitPolls(t, server)
	if n := server.Requests("GetOutputList"); n != 0 {
		t.Errorf("while it streamed, OBS was asked %d times whether it is idle", n)
	}
	server.PressStop()
	await(t, "OBS is asked twice whether it is idle", func() bool { return server.Requests("GetOutputList") > 1 })
	if n := changed(server); n != [4]int{} {
		t.Errorf("while it streamed or recorded, OBS was changed %v times", n)
	}
	server.Set(func(s *obstest.Settings) { s.Records = false })
	awaitKey(t, server, "lobby?token="+encodertest.Canary)
}

func TestKeepReadyOff(t *testing.T) {
	t.Parallel()
	server, r := readyRig(t, obstest.Settings{Records: true})
	r.KeepReady(r.job, false)
	r.awaitState(encoders.StateStopped)
	awaitPolls(t, server)
	if n := server.Requests("GetOutputList"); n != 0 {
		t.Errorf("OBS was asked %d times whether it is idle", n)
	}
	r.KeepReady(r.job, true)
	await(t, "OBS is asked whether it is idle", func() bool { return server.Requests("GetOutputList") > 0 })
	r.KeepReady(r.job, false)
	server.Set(func(s *obstest.Settings) { s.Records = false })
	awaitPolls(t, server)
	if n := changed(server); n != [4]int{} {
		t.Errorf("OBS was changed %v times", n)
	}
}

// TestKeepReadyFails wants a scene that OBS does not have. That is tried once; a start tells it.
func TestKeepReadyFails(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{})
	s := settingsFor(server)
	s.Scene = "nowhere"
	r := newRig(t, s, fast())
	r.KeepReady(r.job, true)
	await(t, "the failure is logged", func() bool { return strings.Contains(r.log.String(), `obs has no scene`) })
	awaitPolls(t, server)
	if n := server.Requests("GetOutputList"); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	if s := r.status(); s.State != encoders.StateStopped || s.Error != "" {
		t.Errorf("it is %+v", s)
	}
	if err := r.Start(r.within(patience), r.job); !encoders.IsPermanent(err) {
		t.Errorf("start: %v; want the permanent error that it has no such scene", err)
	}
}
