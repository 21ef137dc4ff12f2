package obs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

func TestNotReady(t *testing.T) {
	t.Parallel()
	busy := []int{207, 207, 207}
	server, r := played(t,
		obstest.Settings{Refuse: map[string][]int{"GetVersion": busy, "GetStreamStatus": busy, "StartStream": busy,
			"StopStream": busy}})
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.stop()
	if n := server.Requests("StartStream"); n != 4 {
		t.Errorf("%d times StartStream; want 3 that OBS was not ready for, and one", n)
	}
}

func TestStartRefused(t *testing.T) {
	t.Parallel()
	_, r := played(t, obstest.Settings{Refuse: map[string][]int{"StartStream": {702}}})
	err := r.Start(r.within(patience), r.job)
	if err == nil || !strings.Contains(err.Error(), "StartStream with code 702") {
		t.Errorf("start: %v", err)
	}
	if s := r.status(); s.State != encoders.StateStopped {
		t.Errorf("after a refused start it is %+v", s)
	}
	r.start()
	r.awaitState(encoders.StatePublishing)
}

func TestStartedBySomebodyElseMeanwhile(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{Refuse: map[string][]int{"StartStream": {500}}})
	r.status()
	server.Set(func(s *obstest.Settings) { s.StartTakes = 0 })
	if err := r.Start(r.within(patience), r.job); !errors.Is(err, encoders.ErrBusy) { // 500 means that it is on
		t.Errorf("start: %v", err)
	}
	if s := r.status(); s.State.Gone() || !s.ByHand {
		t.Errorf("it is %+v", s)
	}
	r.job.Adopt = true
	r.start()
	if s := r.status(); s.Run != r.job.Run || s.ByHand {
		t.Errorf("adopted, it is %+v", s)
	}
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 400 * time.Millisecond})
	r.start()
	r.awaitState(encoders.StateStarting)
	r.stop()
	if s := r.status(); s.State != encoders.StateStopped || s.ByHand || server.Active() {
		t.Errorf("after the stop it is %+v", s)
	}
}

func TestStopOutlivesItsContext(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 500 * time.Millisecond})
	r.start()
	if err := r.Stop(r.within(50*time.Millisecond), r.job); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop: %v; want it unconfirmed", err)
	}
	await(t, "the stop is sent once OBS is live",
		func() bool { return server.Requests("StopStream") > 0 && !server.Active() })
	if s := r.awaitState(encoders.StateStopped); s.ByHand {
		t.Errorf("the remembered stop seems to be by hand: %+v", s)
	}
}

func TestStartCancelsARememberedStop(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 500 * time.Millisecond})
	r.start()
	if err := r.Stop(r.within(50*time.Millisecond), r.job); err == nil {
		t.Fatal("stop is confirmed while OBS is starting")
	}
	r.start()
	r.awaitState(encoders.StatePublishing)
	if server.Requests("StopStream") != 0 || server.Requests("StartStream") != 1 {
		t.Errorf("%d times StopStream, %d times StartStream; want 0 and 1", server.Requests("StopStream"),
			server.Requests("StartStream"))
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 20 * time.Millisecond, StartFails: true})
	r.start()
	if s := r.awaitState(encoders.StateFailed); s.Error != startFailed || s.Run != r.job.Run {
		t.Errorf("the failure is %+v", s)
	}
	server.Set(func(s *obstest.Settings) { s.StartFails = false })
	r.start()
	r.awaitState(encoders.StatePublishing)
}

func TestAnswerToStartIsLost(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 3 * time.Second, Ignore: map[string]bool{"StartStream": true}})
	r.status()
	if err := r.Start(r.within(100*time.Millisecond), r.job); err == nil {
		t.Fatal("start is confirmed without an answer")
	}
	server.Set(func(s *obstest.Settings) { s.Ignore = nil })
	server.PressStart() // that is: OBS did take the start
	r.start()           // while it may be starting: it must not be sent again
	server.Drop(0)
	r.start()
	if s := r.awaitState(encoders.StatePublishing); server.Requests("StartStream") != 1 || s.Run != r.job.Run ||
		s.ByHand {
		t.Errorf("%d times StartStream; status %+v", server.Requests("StartStream"), s)
	}
}

func TestReconnecting(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{})
	s := settingsFor(server)
	s.StallTimeout = time.Second
	r := newRig(t, s, fast())
	r.start()
	r.awaitState(encoders.StatePublishing)
	server.LoseIngest()
	r.awaitStatus("publishing with an error",
		func(s encoders.Status) bool { return s.State == encoders.StatePublishing && s.Error == lostServer })
	r.awaitStatus("stalled",
		func(s encoders.Status) bool { return s.State == encoders.StateStalled && s.Error == lostServer })
	server.ReturnIngest()
	r.awaitStatus("publishing again",
		func(s encoders.Status) bool { return s.State == encoders.StatePublishing && s.Error == "" })
	server.Set(func(s *obstest.Settings) { s.Stuck = true })
	r.awaitStatus("stalled",
		func(s encoders.Status) bool { return s.State == encoders.StateStalled && s.Error == sendsNothing })
	r.stop()
}

func TestByHand(t *testing.T) {
	t.Parallel()
	server, r := played(t, obstest.Settings{StartTakes: 10 * time.Millisecond})
	r.awaitState(encoders.StateStopped)
	server.PressStart()
	if s := r.awaitState(encoders.StatePublishing); !s.ByHand || s.Run != "" {
		t.Errorf("started by hand, it is %+v", s)
	}
	server.PressStop()
	if s := r.awaitState(encoders.StateStopped); !s.ByHand {
		t.Errorf("stopped by hand, it is %+v", s)
	}
	r.start()
	if s := r.awaitState(encoders.StatePublishing); s.ByHand || s.Run != r.job.Run {
		t.Errorf("started from here, it is %+v", s)
	}
}

func TestControllerKilledWhileStarting(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{StartTakes: 700 * time.Millisecond})
	dir := t.TempDir()
	first := newRigIn(t, dir, settingsFor(server), fast())
	first.start()
	first.Close()
	second := newRigIn(t, dir, settingsFor(server), fast())
	if s := second.status(); s.State != encoders.StateStarting || s.Run != second.job.Run {
		t.Errorf("after the controller's restart it is %+v", s)
	}
	second.start()
	if s := second.awaitState(encoders.StatePublishing); s.Run != second.job.Run || s.ByHand ||
		server.Requests("StartStream") != 1 {
		t.Errorf("it is %+v, with %d times StartStream", s, server.Requests("StartStream"))
	}
}

// TestListenStrangers connects to servers that are not an OBS of today.

func TestSetService(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{})
	s := settingsFor(server)
	r := newRig(t, s, fast())
	r.start()
	r.stop()
	if n := server.Requests("SetStreamServiceSettings"); n != 0 {
		t.Errorf("without set_service the stream settings were set %d times", n)
	}
	s.SetService = setAll
	r = newRig(t, s, fast())
	r.job.Publish = secret.New("rtmps://h/v2/pub/lobby?token=" + encodertest.Canary)
	server.Set(func(s *obstest.Settings) { s.Refuse = map[string][]int{"SetStreamServiceSettings": {207, 500}} })
	if err := r.Start(r.within(patience), r.job); err == nil ||
		!strings.Contains(err.Error(), "put the stream settings into obs") {
		t.Errorf("start: %v", err)
	}
	r.start()
	want := map[string]any{"streamServiceType": "rtmp_custom",
		"streamServiceSettings": map[string]any{"server": "rtmps://h/v2/pub",
			"key": "lobby?token=" + encodertest.Canary, "use_auth": false}}
	if diff := cmp.Diff(want, server.Service()); diff != "" {
		t.Error(diff)
	}
	r.awaitState(encoders.StatePublishing)
	r.stop()
	server.Set(func(s *obstest.Settings) { s.Ignore = map[string]bool{"GetStreamServiceSettings": true} })
	if err := r.Start(r.within(patience), r.job); err == nil || server.Requests("StartStream") != 2 {
		t.Errorf("start with stream settings that cannot be read back: %v", err)
	}
}

// TestSetKey keeps the service that a person has chosen in OBS, and puts the key alone into it.
func TestSetKey(t *testing.T) {
	t.Parallel()
	server := obstest.NewServer(t, obstest.Settings{})
	choose := func(kind string, values map[string]any) {
		t.Helper()
		o := &obstest.OBS{Address: server.Address}
		press(t, o, "SetStreamServiceSettings", map[string]any{"streamServiceType": kind, "streamServiceSettings": values})
	}
	choose("rtmp_common", map[string]any{"service": "Dolby OptiView Real-time", "server": "auto", "key": "old",
		"bwtest": false})
	s := settingsFor(server)
	s.SetService = setKey
	r := newRig(t, s, fast())
	r.job.Publish = secret.New("rtmps://rtmp-auto.millicast.com:443/v2/pub/lobby?token=" + encodertest.Canary)
	check := r.Check(r.within(patience), r.job)
	if last := check[len(check)-1]; last.Level != encoders.OK ||
		last.What != "a start puts the key into obs, whose service stays: Dolby OptiView Real-time" {
		t.Errorf("the check finds %+v", last)
	}
	r.start()
	want := map[string]any{"streamServiceType": "rtmp_common", "streamServiceSettings": map[string]any{
		"service": "Dolby OptiView Real-time", "server": "auto", "key": "lobby?token=" + encodertest.Canary,
		"bwtest": false}}
	if diff := cmp.Diff(want, server.Service()); diff != "" {
		t.Error(diff)
	}
	r.awaitState(encoders.StatePublishing)
	r.stop()
	for _, c := range []struct {
		kind, publish, want string
		values              map[string]any
	}{
		{"whip_custom", "rtmp://h/v2/pub/lobby?token=t", "its service is WHIP", map[string]any{"server": "https://h"}},
		{"rtmp_common", "rtmp://h/v2/pub/lobby?token=t", "no service is chosen", map[string]any{"key": "x", "service": "",
			"server": ""}},
		{"rtmp_common", "https://h/api/whip/lobby?token=t", "the publish URL has none", nil},
	} {
		if c.values != nil {
			choose(c.kind, c.values)
		}
		r.job.Publish = secret.New(c.publish)
		err := r.Start(r.within(patience), r.job)
		check := r.Check(r.within(patience), r.job)
		if last := check[len(check)-1]; !encoders.IsPermanent(err) || !strings.Contains(err.Error(), c.want) ||
			last.Level != encoders.Bad || !strings.Contains(last.What, c.want) {
			t.Errorf("%s with %s: %v; the check finds %+v", c.publish, c.kind, err, last)
		}
	}
	if n := server.Requests("StartStream"); n != 1 {
		t.Errorf("OBS was told to start %d times", n)
	}
}
