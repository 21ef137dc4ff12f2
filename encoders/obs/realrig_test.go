package obs

import (
	"context"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/encodertest"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

// realRig is an encoder for a real OBS. Its times are the driver's own but for those that would
// only make the test wait.
func realRig(t *testing.T, o *obstest.OBS, change func(*Settings)) *rig {
	t.Helper()
	s := Defaults()
	s.Addr, s.Password = o.Address, o.Password
	if change != nil {
		change(&s)
	}
	l := defaultLimits()
	l.dial, l.request, l.status = 2*time.Second, 2*time.Second, time.Second
	l.pollOff, l.quiet, l.backoffMax = 2*time.Second, 500*time.Millisecond, 2*time.Second
	return newRig(t, s, l)
}

// awaitMeasured waits until OBS has told figures of what it sends.
func (r *rig) awaitMeasured() encoders.Status {
	r.t.Helper()
	return r.awaitStatus("measured", func(s encoders.Status) bool {
		return s.Health != nil && s.Health.BitrateBPS != nil && *s.Health.BitrateBPS > 0 && *s.Health.Frames > 0 &&
			*s.Health.Bytes > 0
	})
}

// operator is a person at OBS, as another client of its websocket server.
func operator(t *testing.T, o *obstest.OBS) *session {
	t.Helper()
	s, err := dial(t.Context(), target{address: o.Address, password: o.Password}, patience, func(event) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func (s *session) press(t *testing.T, kind string) {
	t.Helper()
	if err := s.do(context.Background(), patience, kind, nil, nil); err != nil {
		t.Fatal(err)
	}
}

// pressOnce connects an operator who presses one button.
func pressOnce(t *testing.T, o *obstest.OBS, kind string) { t.Helper(); press(t, o, kind, nil) }

// press connects an operator who makes one request.
func press(t *testing.T, o *obstest.OBS, kind string, data any) {
	t.Helper()
	s, err := dial(context.Background(), target{address: o.Address, password: o.Password}, patience, func(event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.do(context.Background(), patience, kind, data, nil); err != nil {
		t.Fatal(err)
	}
}

// switchOff leaves OBS off for the next part.
func switchOff(t *testing.T, o *obstest.OBS) {
	t.Helper()
	pressOnce(t, o, "StopStream")
	s, err := dial(context.Background(), target{address: o.Address, password: o.Password}, patience, func(event) {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	await(t, "OBS is off", func() bool {
		var st streamStatus
		err := s.do(context.Background(), patience, "GetStreamStatus", nil, &st)
		return err == nil && !st.Active
	})
}

// TestRealGivesUp is about starts and streams that OBS ends by itself. OBS waits 32 s for a server
// that accepts and never answers.
func TestRealGivesUp(t *testing.T) {
	t.Parallel()
	in := newIngest(t)
	o := obstest.Start(t, obstest.Config{Server: in.url, Key: realKey, NoReconnect: true})
	r := realRig(t, o, nil)
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.awaitFeeds(in, 1)
	in.drop()
	if s := r.awaitState(encoders.StateFailed); s.Error != endedItself || s.ByHand {
		t.Errorf("after OBS gave up it is %+v", s)
	}
	in.server.Mute(true)
	r.start()
	r.awaitState(encoders.StateStarting)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	var s encoders.Status
	r.Watch(ctx, r.job, func(now encoders.Status) {
		if s = now; s.State != encoders.StateStarting {
			cancel()
		}
	})
	if s.State != encoders.StateFailed || s.Error != startFailed {
		t.Errorf("after a start that nobody answered it is %+v", s)
	}
	in.server.Mute(false)
	r.start()
	r.awaitState(encoders.StatePublishing)
	r.stop()
}

// TestRealConformance is not parallel: the suite counts goroutines.
func TestRealConformance(t *testing.T) {
	in := newIngest(t)
	o := obstest.Start(t, obstest.Config{Server: in.url, Key: realKey, NoReconnect: true})
	encodertest.Run(t, encodertest.Harness{
		New: func(t *testing.T) encodertest.Rig {
			s := Defaults()
			s.Addr, s.Password = o.Address, o.Password
			l := defaultLimits()
			l.quiet = 100 * time.Millisecond
			dir := t.TempDir()
			open := func(t *testing.T) encoders.Encoder { return newRigIn(t, dir, s, l).Encoder }
			return encodertest.Rig{
				Encoder: open(t),
				Secrets: []string{o.Password.Reveal()},
				Copies:  in.feeds,
				Reopen:  open,
				Die:     func(*testing.T) { in.drop() },
				Freeze:  func(t *testing.T) { o.Freeze(); t.Cleanup(func() { o.Thaw(); switchOff(t, o) }) },
				Press: func(t *testing.T, _ encoders.Job, on bool) {
					if on {
						pressOnce(t, o, "StartStream")
					} else {
						pressOnce(t, o, "StopStream")
					}
				},
			}
		},
		EchoesRun: true,
		OneStream: true,
	})
}
