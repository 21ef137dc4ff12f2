package simulator

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	configured "github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

// restarted runs an ffmpeg that publishes to url, again and again as a supervisor would, until the
// test ends.
func restarted(t *testing.T, url string) {
	t.Helper()
	args := testPicture(url)
	path := program(t, "ffmpeg")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			exec.CommandContext(ctx, path, args...).Run() // how it ends is the simulator's to tell
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// Two encoders that are told the same URL throw each other out for ever.
func TestEqualURLsFight(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{Token: secret.New("s3cret")})
	for range 2 {
		restarted(t, sim.RTMPURL("lobby"))
	}
	until(t, sim, "six feeds that were overwritten", func() bool {
		overwritten := 0
		for _, f := range sim.Truth("lobby").Past {
			if f.Cause == errTakenOver.Error() {
				overwritten++
			}
		}
		return overwritten >= 6
	})
	hooks, open := rec.hooks("lobby"), map[string]bool{}
	for _, h := range hooks {
		open[h.Data.FeedID] = h.Event == "started"
	}
	count := 0
	for _, yes := range open {
		if yes {
			count++
		}
	}
	if count > 2 || len(open) < 6 {
		t.Errorf("by the hooks %d of %d feeds are open: %s", count, len(open), rec.events("lobby"))
	}
}

// The same two with priorities are a main and a backup: both stay, and the loss of the main one
// takes viewers to the other.
func TestBackupTakesTheAirWithoutAFight(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{Token: secret.New("s3cret")})
	backup, _ := publish(t, sim.RTMPURL("lobby")+"&sourceId=1&priority=99")
	until(t, sim, "the backup on the air", func() bool { return sim.onAir("lobby") == "99" })
	viewer := sim.Join("lobby")
	dumped := make(chan error)
	go func() { dumped <- sim.Dump(context.Background(), "lobby", io.Discard) }()
	main, _ := publish(t, sim.RTMPURL("lobby")+"&sourceId=1&priority=100")
	until(t, sim, "the main one on the air", func() bool { return sim.onAir("lobby") == "100" })
	if err := <-dumped; err != nil {
		t.Errorf("the dump of the backup: %v", err)
	}
	until(t, sim, "pictures of both", func() bool {
		feeds := sim.Truth("lobby").Feeds
		return len(feeds) == 2 && feeds[0].Keyframes > 2 && feeds[1].Keyframes > 2
	})
	if got := rec.events("lobby"); got != "started FirstViewerConnection started" {
		t.Errorf("hooks while both publish: %s", got)
	}
	main.Process.Kill()
	until(t, sim, "the backup on the air again", func() bool { return sim.onAir("lobby") == "99" })
	if viewer.State() != Watching {
		t.Errorf("the viewer is %s", viewer.State())
	}
	until(t, sim, "the hook", func() bool {
		return rec.events("lobby") == "started FirstViewerConnection started ended"
	})
	backup.Process.Kill()
	until(t, sim, "the end", func() bool { return !sim.Truth("lobby").Live })
	if viewer.State() != Inactive {
		t.Errorf("the viewer is %s", viewer.State())
	}
}

// onAir returns the priorities of the feeds on the air, in the order of their publishing.
func (s *Simulator) onAir(name string) string {
	var list []string
	for _, f := range s.Truth(name).Feeds {
		if !f.OnAir {
			continue
		}
		text := f.SourceID + "none"
		if f.Priority != nil {
			text = fmt.Sprint(*f.Priority)
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func TestHighestPriorityIsOnTheAir(t *testing.T) {
	sim, _ := inMemoryAPI(t, Settings{})
	n := func(p int) *int { return &p }
	for _, step := range []struct {
		source   string
		priority *int
		open     int
		onAir    string
	}{
		{"", nil, 1, "none"},
		{"", nil, 1, "none"}, // overwrites
		{"", n(0), 2, "0"},   // none is the lowest
		{"", n(-1), 3, "0"},  // below, but above none
		{"", n(7), 4, "7"},
		{"", n(7), 4, "7"}, // overwrites
		{"", n(3), 5, "7"},
		{"side", nil, 6, "7 sidenone"}, // another source: beside it
	} {
		sim.OpenFeed("lobby", step.source, step.priority)
		truth := sim.Truth("lobby")
		if got := sim.onAir("lobby"); got != step.onAir || len(truth.Feeds) != step.open {
			t.Fatalf("after %+v: %d feeds, on the air %s", step, len(truth.Feeds), got)
		}
	}
	for want := range strings.SplitSeq("3 sidenone,0 sidenone,-1 sidenone,none sidenone,sidenone", ",") {
		for _, f := range sim.Truth("lobby").Feeds {
			if f.OnAir && f.SourceID == "" {
				sim.CloseFeed(f.ID)
			}
		}
		if got := sim.onAir("lobby"); got != want {
			t.Fatalf("on the air is %s, want %s", got, want)
		}
	}
	for _, f := range sim.Truth("lobby").Past {
		if f.OnAir {
			t.Errorf("a feed that has ended is on the air: %+v", f)
		}
	}
}

func TestOverwrittenFeedMayStay(t *testing.T) {
	five := 5
	for _, priority := range []*int{nil, &five} {
		testOverwrittenStays(t, priority)
	}
}

func testOverwrittenStays(t *testing.T, priority *int) {
	sim, rec := inMemoryAPI(t, Settings{Behaviour: Behaviour{OverwrittenStays: true}})
	first := sim.OpenFeed("lobby", "", priority)
	second := sim.OpenFeed("lobby", "", priority)
	shown := func() (ids []string) {
		for _, f := range sim.Truth("lobby").Feeds {
			if f.OnAir {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	if d := cmp.Diff([]string{second}, shown()); d != "" {
		t.Errorf("on the air (-want +got):\n%s", d)
	}
	sim.CloseFeed(second)
	if d := cmp.Diff([]string{first}, shown()); d != "" {
		t.Errorf("on the air (-want +got):\n%s", d)
	}
	until(t, sim, "three hooks", func() bool { return rec.events("lobby") == "started started ended" })
}

func TestParametersOfThePublishingURL(t *testing.T) {
	text := func(s string) *string { return &s }
	number := func(n int) *int { return &n }
	for query, want := range map[string]contribution{
		"":                                     {},
		"sourceId=1&simulcastId":               {source: "1", simulcast: text("")},
		"sourceId=2&simulcastId=cam&videoOnly": {source: "2", simulcast: text("cam")},
		"priority=-5&unknown=1":                {priority: number(-5)},
		"priority=":                            {},
		"record":                               {},
		"record=true":                          {},
		"record=false":                         {noRecord: true},
		"noRecord":                             {noRecord: true},
		"noRecord=false":                       {},
	} {
		params, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseContribution(params)
		if d := cmp.Diff(want, got, cmp.AllowUnexported(contribution{})); err != nil || d != "" {
			t.Errorf("%q: %v (-want +got):\n%s", query, err, d)
		}
	}
	for _, query := range []string{"priority=x", "priority=1.5", "priority=99999999999"} {
		params, _ := url.ParseQuery(query)
		if _, err := parseContribution(params); err == nil {
			t.Errorf("%q was taken", query)
		}
	}
}

func TestFeedHooksTellTheLayer(t *testing.T) {
	t.Parallel()
	sim, rec := start(t, Settings{})
	publish(t, sim.RTMPURL("lobby")+"?sourceId=1&simulcastId&priority=4")
	until(t, sim, "the main layer", func() bool { return len(rec.hooks("lobby")) == 1 })
	publish(t, sim.RTMPURL("lobby")+"?sourceId=2&simulcastId=cam")
	until(t, sim, "both layers on the air", func() bool {
		return len(rec.hooks("lobby")) == 2 && sim.onAir("lobby") == "4 2none"
	})
	for i, want := range []string{
		`"sourceId":"1","priority":4,"simulcastId":""}`, `"sourceId":"2","simulcastId":"cam"}`,
	} {
		if body := rec.hooks("lobby")[i].body; !strings.Contains(body, want) {
			t.Errorf("hook %d lacks %s: %s", i, want, body)
		}
	}
}

// What the configuration makes of a contribution's parts is what the ingest reads from the URL.
func TestConfiguredContributionsArrive(t *testing.T) {
	t.Parallel()
	sim, _ := start(t, Settings{Token: secret.New("aabbccdd")})
	const name, source = "a b/c?d&ü%2F+", "cam 1&2"
	rank := configured.Rank(1)
	address := configured.Contribution{
		Token: secret.New("aabbccdd"), Server: "rtmp://" + sim.RTMPAddr(), Source: source, Priority: &rank, Multi: true,
	}.URL().Reveal()
	publish(t, strings.Replace(address, "{stream}", url.PathEscape(name), 1))
	until(t, sim, "the feed", func() bool { return sim.Truth(name).Live })
	feed := sim.Truth(name).Feeds[0]
	if feed.SourceID != source || *feed.Priority != 99 || feed.SimulcastID == nil || feed.TokenID != 1 {
		t.Errorf("the feed is %+v", feed)
	}
}

func TestRecordingsHaveHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, rec := inMemoryAPI(t, Settings{})
		path := fmt.Sprintf("/api/webhooks/%d", sim.Webhooks()[0].ID)
		ask[object](t, sim, "PUT", path, `{"isMediaHooks":true,"isRecordingHooks":true}`)
		made, err := sim.AddToken(Token{
			Label: "rec", Active: true, Record: true, Multisource: true, Streams: []TokenStream{{"lobby", false}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, length := range []time.Duration{minRecording - time.Second, minRecording} {
			id := sim.openWith(made.ID, "lobby")
			time.Sleep(length)
			sim.CloseFeed(id)
			time.Sleep(mediaWork)
			synctest.Wait()
		}
		var got []string
		for _, h := range rec.hooks("") {
			got = append(got, h.Type+"."+h.Event)
		}
		want := strings.Fields("feeds.started recording.started feeds.ended " +
			"feeds.started recording.started feeds.ended media.processing media.completed recording.completed")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("hooks (-want +got):\n%s", d)
		}
		feed := sim.Truth("lobby").Past[1]
		tail := fmt.Sprintf(`"tokenId":%d,"streamName":"lobby","streamId":"ABC123/lobby","startTime":%d,`+
			`"type":"recording"`, made.ID, feed.Started.UnixMilli())
		if body := rec.hooks("")[7].body; !strings.Contains(body, tail) || !strings.Contains(body, `"expiration":`) {
			t.Errorf("the media hook lacks %s: %s", tail, body)
		}
	})
}

// openWith opens a feed as a publisher with a token does.
func (s *Simulator) openWith(tokenID int, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := newFeed(s.stream(name), nil, contribution{}, s.tokens.find(tokenID))
	s.startFeed(f)
	return f.id()
}

func TestFilterOfAWebhook(t *testing.T) {
	events := []string{"ViewerAttempt", "media.completed", "transcoder.ACTIVE", "recording.started"}
	for _, whole := range []bool{false, true} {
		sim, rec := inMemoryAPI(t, Settings{})
		sim.SetBehaviour(Behaviour{WholeFilter: whole})
		id := sim.Webhooks()[0].ID
		ask[object](t, sim, "PUT", fmt.Sprintf("/api/webhooks/%d", id),
			`{"filter":"cam-[0-9]","isMediaHooks":true,"isTranscoderHooks":true,"isRecordingHooks":true}`)
		for _, name := range []string{"cam-1", "my-cam-22", "CAM-1", "lobby"} {
			sim.OpenFeed(name, "", nil)
			for _, event := range events {
				if err := sim.Announce(event, name); err != nil {
					t.Fatal(err)
				}
			}
		}
		want := map[bool]int{false: 10, true: 5}[whole]
		until(t, sim, "all hooks", func() bool { return len(rec.hooks("")) == want })
		for _, h := range rec.hooks("") {
			if !strings.Contains(h.body, "cam-1") && !strings.Contains(h.body, "my-cam-22") {
				t.Errorf("whole names %v: %s", whole, h.body)
			}
		}
		sim.Close()
		if got := len(rec.hooks("")); got != want {
			t.Errorf("whole names %v: %d hooks, want %d", whole, got, want)
		}
	}
}
