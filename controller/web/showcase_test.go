package web

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"time"

	"github.com/oncue/oncue/controller"
	"github.com/oncue/oncue/encoders"
)

// showcase has a stream in each phase, with every detail that a page can show.
func showcase() *fakeController {
	f := newFake()
	now := time.Now()
	ago := func(d time.Duration) controller.Time { return controller.Time{Time: now.Add(-d)} }
	in := func(d time.Duration) *controller.Time { t := ago(-d); return &t }
	text := func(s string) *string { return &s }
	number := func(n int) *int { return &n }
	refused := "start plug-5: http://10.0.0.35: connection refused"
	f.helpers = []controller.HelperView{
		{Name: "plug-3", Driver: "http", State: controller.HelperOn, Wanted: true, Since: in(-47 * time.Minute),
			For: []controller.StreamID{"ABC123/lobby"}, Reason: "needed by ABC123/lobby"},
		{Name: "plug-5", Driver: "http", State: controller.HelperFailed, Wanted: true, Since: in(-2 * time.Second),
			For: []controller.StreamID{"ABC123/foyer"}, Reason: "needed by ABC123/foyer", Error: &refused},
	}
	add := func(name string, phase controller.Phase, reason string, since time.Duration,
		change func(*controller.StreamView)) {
		s := idleStream(controller.StreamID("ABC123/" + name))
		s.Phase, s.Reason, s.Since, s.Starts = phase, reason, ago(since), 12
		s.Savings = controller.Savings{Since: ago(240 * time.Hour), RunS: 41000, WatchedS: 36500, AvoidedS: 823000,
			Wasted: 2}
		if change != nil {
			change(&s)
		}
		f.streams[string(s.ID)] = s
		f.history[string(s.ID)] = showcaseHistory(s, now)
		f.logs[string(s.ID)] = []string{"Input #0, rtsp, from 'rtsp://10.0.0.7/stream1':",
			"  Stream #0:0: Video: h264 (Main), yuv420p, 1920x1080, 30 fps",
			"Output #0, flv, to 'rtmps://rtmp-auto.millicast.com:443/v2/pub':",
			"frame= 1437 fps= 30 q=-1.0 size=   17920kB time=00:00:47.90 bitrate=3064.8kbits/s speed=   1x"}
		f.pictures[string(s.ID)] = testPicture(len(f.pictures))
	}
	rate, fps, dropped, frames := 3.05e6, 30.0, int64(4), int64(1437)
	health := &encoders.Health{BitrateBPS: &rate, FPS: &fps, Dropped: &dropped, Frames: &frames}
	age, begins, input, share, memory := int64(20), int64(4130), int64(4_860_000), 1.3, int64(57_000_000)
	running := func(s *controller.StreamView) {
		s.Wanted, s.Viewers, s.UptimeS, s.LastAttempt = true, number(3), 2830, in(-48*time.Minute)
		s.Feeds = []controller.Feed{{ID: "6d3f0a", Started: controller.ByPlatform(now.Add(-47 * time.Minute))}}
		s.Encoders[0] = controller.EncoderView{Name: "lobby-cam", Driver: "ffmpeg", State: encoders.StatePublishing,
			Wanted: true, Since: in(-47 * time.Minute), PID: number(4711), Health: health,
			Standby: &encoders.Standby{Kind: "hot", Ready: true, AgeMS: &age, BeginsMS: &begins, BitrateBPS: &input,
				CPU: &share, Memory: &memory}}
	}
	add("lobby", controller.PhaseLive, "3 viewers watch", 47*time.Minute, running)
	add("main-stage", controller.PhaseLive, "held on by mia", 3*time.Hour, func(s *controller.StreamView) {
		running(s)
		s.Viewers = number(1284)
		s.Mode, s.ModeBy, s.ModeWhy, s.ModeUntil = controller.ModeOn, text("mia"), text("evening show"),
			in(72*time.Minute)
	})
	add("auditorium", controller.PhaseLingering, "nobody watches; stops unless somebody comes back", 40*time.Second,
		func(s *controller.StreamView) {
			running(s)
			s.Viewers, s.Deadline, s.DeadlineDoes = number(0), in(78*time.Second), text("stop")
		})
	add("studio b", controller.PhaseStarting, "a viewer is waiting", 2*time.Second, func(s *controller.StreamView) {
		s.Wanted, s.Deadline, s.DeadlineDoes = true, in(28*time.Second), text("fail")
		s.Encoders[0] = controller.EncoderView{Name: "studio-obs", Driver: "obs", State: encoders.StateStarting,
			Wanted: true}
	})
	add("foyer", controller.PhaseWaiting, "a viewer is waiting, but the encoder is busy", 15*time.Second,
		func(s *controller.StreamView) {
			s.Wanted, s.WaitsFor = true, text("ABC123/lobby")
		})
	add("garden", controller.PhaseBackoff, "the encoder failed to start", 9*time.Second,
		func(s *controller.StreamView) {
			s.Wanted, s.Deadline, s.DeadlineDoes = true, in(6*time.Second), text("retry")
			s.Encoders[0] = controller.EncoderView{Name: "garden-cam", Driver: "ffmpeg", State: encoders.StateFailed,
				Wanted: true, Restarts: 3, Error: text("ffmpeg: rtsp://10.0.0.9/stream1: connection refused")}
		})
	add("roof", controller.PhaseFailed, "given up after 5 tries", 26*time.Minute, func(s *controller.StreamView) {
		s.Wanted = true
		s.Encoders[0] = controller.EncoderView{Name: "helo", Driver: "http", State: encoders.StateUnknown, Wanted: true,
			Restarts: 5, Error: text("http://10.0.0.12: no route to host")}
	})
	add("hall 2", controller.PhaseStopping, "nobody watched for 1 min", 3*time.Second, func(s *controller.StreamView) {
		s.Deadline, s.DeadlineDoes = in(7*time.Second), text("escalate")
		s.Encoders[0].State = encoders.StateStopping
	})
	add("chapel", controller.PhaseIdle, "nobody watches", 5*time.Hour,
		func(s *controller.StreamView) { s.Viewers = number(0) })
	add("workshop", controller.PhaseIdle, "held off by the night shift", 5*time.Hour, func(s *controller.StreamView) {
		s.Mode, s.ModeBy, s.ModeWhy = controller.ModeOff, text("night shift"), text("camera is being replaced")
	})
	add("terrace", controller.PhaseIdle, "no viewer", 20*time.Minute, func(s *controller.StreamView) {
		s.Trouble = &controller.Trouble{Encoder: "terrace-cam", Text: "connection refused by the input", Count: 5,
			Since: ago(23 * time.Minute), Last: ago(20 * time.Minute)}
		s.Savings.Since = ago(30 * time.Minute)
	})
	f.history["ABC123/terrace"] = nil
	for i := range 1200 { // more than a page of them, all of the last 23 minutes
		at := ago(20*time.Minute + time.Duration(i)*150*time.Millisecond)
		from, to := controller.PhaseStarting, controller.PhaseBackoff
		if i%2 == 1 {
			from, to = to, from
		}
		if i == 0 {
			from, to = controller.PhaseBackoff, controller.PhaseIdle
		}
		f.history["ABC123/terrace"] = append(f.history["ABC123/terrace"],
			controller.Transition{Seq: int64(1200 - i), Stream: "ABC123/terrace", At: at, From: from, To: to,
				Event: "timer", Reason: "a viewer is waiting"})
	}
	delete(f.pictures, "ABC123/workshop")
	delete(f.pictures, "ABC123/roof")
	f.accounts = []controller.AccountView{
		{Account: "ABC123", LastHook: in(-12 * time.Second), LastPoll: in(-9 * time.Second),
			Webhook: &controller.WebhookView{ID: 17, URL: "https://oncue.example/hooks/millicast"}},
		{Account: "DEF456", LastHook: in(-26 * time.Hour), LastPoll: in(-4 * time.Second),
			Webhook: &controller.WebhookView{ID: 18, Disabled: text("too many time-outs, until 14:20")}},
	}
	for i, event := range []string{"FirstViewerConnection", "started", "ViewerAttempt", "NoActiveViewers", "ended"} {
		at := now.Add(-time.Duration(i*13+12) * time.Second)
		f.records = append(f.records, controller.Record{Seq: int64(50 - i), Received: at,
			Sent: at.Add(-84 * time.Millisecond), Account: "ABC123", Stream: "ABC123/lobby", Type: "feeds",
			Event: event, Verdict: controller.Accepted, Size: 180})
	}
	return f
}

// showcaseHistory is a believable day that ends in the stream's phase.
func showcaseHistory(s controller.StreamView, now time.Time) []controller.Transition {
	var out []controller.Transition
	seq := int64(1)
	last := controller.PhaseIdle
	step := func(before time.Duration, to controller.Phase, event, reason string) {
		out = append(out, controller.Transition{Seq: seq, Stream: s.ID, At: controller.Time{Time: now.Add(-before)},
			From: last, To: to, Event: event, Reason: reason, Encoder: s.Encoders[0].Name})
		seq, last = seq+1, to
	}
	shift := time.Duration(len(s.Name)) * 7 * time.Minute
	for _, start := range []time.Duration{5 * time.Hour, 3*time.Hour + 20*time.Minute} {
		start += shift % time.Hour
		step(start, controller.PhaseStarting, "ViewerAttempt", "a viewer is waiting")
		step(start-8*time.Second, controller.PhaseLive, "started", "the platform has a feed")
		step(start-40*time.Minute, controller.PhaseLingering, "NoActiveViewers", "nobody watches")
		step(start-43*time.Minute, controller.PhaseStopping, "timer", "nobody watched for 1 min")
		step(start-43*time.Minute-2*time.Second, controller.PhaseIdle, "encoder", "the encoder is off")
	}
	since := now.Sub(s.Since.Time)
	if s.Phase != controller.PhaseIdle {
		if since > 10*time.Second {
			step(since+9*time.Second, controller.PhaseStarting, "ViewerAttempt", "a viewer is waiting")
		}
		step(since, s.Phase, "started", s.Reason)
	}
	slices.Reverse(out)
	return out
}

func testPicture(n int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 320, 180))
	for y := range 180 {
		for x := range 320 {
			img.Set(x, y, color.RGBA{uint8(40 + x/3 + n*23), uint8(60 + y/2 + n*11), uint8(150 - x/4 + n*17), 255})
		}
	}
	var out bytes.Buffer
	_ = jpeg.Encode(&out, img, nil)
	return out.Bytes()
}
