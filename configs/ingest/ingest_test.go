package ingest_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

const token = "3bc330607a15a0ecebebd8c9ee2a559fd143c937174bd276e213a96425bb107e"

func number(n int) *int { return &n }

func TestURL(t *testing.T) {
	with := func(c ingest.Contribution) ingest.Contribution {
		c.Token = secret.New(token)
		return c
	}
	for _, c := range []struct {
		from ingest.Contribution
		want string
	}{
		{with(ingest.Contribution{}), "rtmps://rtmp-auto.millicast.com:443/v2/pub/{stream}?token=" + token},
		{
			with(ingest.Contribution{Protocol: ingest.RTMP, Region: "fra-1", Source: "1 high", Priority: number(100),
				Multi: true}),
			"rtmp://rtmp-fra-1.millicast.com:1935/v2/pub/{stream}?token=" + token +
				"&sourceId=1%20high&priority=100&simulcastId",
		},
		{
			with(ingest.Contribution{Protocol: ingest.SRT, Region: "lon-1", Source: "cam", Priority: number(-1)}),
			"srt://srt-lon-1.millicast.com:10000?streamid={stream}" +
				"%3Ft%3DO8MwYHoVoOzr69jJ7ipVn9FDyTcXS9J24hOpZCW7EH4%26sourceId%3Dcam%26priority%3D-1",
		},
		{with(ingest.Contribution{Protocol: ingest.WHIP, Priority: number(99)}),
			"https://director.millicast.com/api/whip/{stream}?auth=" + token + "&priority=99"},
		{with(ingest.Contribution{Server: "rtmp://127.0.0.1:1935"}), "rtmp://127.0.0.1:1935/v2/pub/{stream}?token=" +
			token},
		{with(ingest.Contribution{Server: "ingest.example:443/live/"}),
			"rtmps://ingest.example:443/live/{stream}?token=" + token},
		{with(ingest.Contribution{Protocol: ingest.WHIP, Server: "http://127.0.0.1:8080"}),
			"http://127.0.0.1:8080/api/whip/{stream}?auth=" + token},
		{ingest.Contribution{Token: secret.New("no hex"), Protocol: ingest.SRT, Server: "127.0.0.1:9"},
			"srt://127.0.0.1:9?streamid={stream}%3Ftoken%3Dno%2520hex"},
	} {
		if part, problem := c.from.Check(); problem != "" {
			t.Errorf("%+v: %s: %s", c.from, part, problem)
		}
		if got := c.from.URL().Reveal(); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.from, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		from ingest.Contribution
		part string
	}{
		{ingest.Contribution{Protocol: "rtmpe"}, "protocol"},
		{ingest.Contribution{Region: "fra-1.millicast.com"}, "region"},
		{ingest.Contribution{Server: "ftp://host"}, "server"},
		{ingest.Contribution{Server: "rtmp://host", Protocol: ingest.SRT}, "server"},
		{ingest.Contribution{Server: "rtmp://user:pass@host"}, "server"},
		{ingest.Contribution{Server: "rtmp://host/app?token=1"}, "server"},
		{ingest.Contribution{Server: "rtmp://"}, "server"},
	} {
		if part, problem := c.from.Check(); part != c.part || problem == "" {
			t.Errorf("%+v: %q, %q", c.from, part, problem)
		}
	}
}

// TestRoundTrip: what is written is read again, with any name, source and priority.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := ingest.Contribution{
			Token:    secret.New(rapid.StringMatching(`([0-9a-f]{2}){1,40}|[!-~]{1,30}`).Draw(t, "token")),
			Protocol: rapid.SampledFrom(ingest.Protocols).Draw(t, "protocol"),
			Region:   rapid.SampledFrom([]string{"", "auto", "fra-1"}).Draw(t, "region"),
			Source:   rapid.StringMatching(`[ -~é]{0,12}`).Draw(t, "source"),
			Multi:    rapid.Bool().Draw(t, "multi"),
		}
		if rapid.Bool().Draw(t, "has a priority") {
			c.Priority = number(rapid.IntRange(-200, 200).Draw(t, "priority"))
		}
		a, err := ingest.Parse(strings.ReplaceAll(c.URL().Reveal(), "{stream}", "lobby%20%2F1"))
		if err != nil {
			t.Fatal(err)
		}
		if a.Stream != "lobby /1" || a.Source != c.Source || a.Multi != c.Multi || !a.Platform() {
			t.Errorf("%+v\n%+v", c, a)
		}
		if (a.Priority == nil) != (c.Priority == nil) || a.Priority != nil && *a.Priority != *c.Priority {
			t.Errorf("priority %v, want %v", a.Priority, c.Priority)
		}
		if c.Protocol != ingest.SRT && a.Token != c.Token.Reveal() {
			t.Errorf("token %q, want %q", a.Token, c.Token.Reveal())
		}
		if strings.Contains(a.Server(), a.Token) && len(a.Token) > 20 {
			t.Errorf("the server %s holds the token", a.Server())
		}
	})
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ url, server, key, stream, token string }{
		{"rtmps://h:443/v2/pub/a/b?token=T&x=1", "rtmps://h:443/v2/pub", "a/b?token=T&x=1", "a/b", "T"},
		{"rtmp://h/live/inner/cam", "rtmp://h/live/inner", "cam", "cam", ""},
		{"rtmp://h/cam", "rtmp://h", "cam", "cam", ""},
		{"srt://h:1?latency=5&streamid=cam%3Ft%3DT%26priority%3D2&mode=caller", "srt://h:1?latency=5&mode=caller",
			"cam?t=T&priority=2", "cam", "T"},
		{"https://h/api/whip/cam%20x?auth=T&sourceId=1", "https://h/api/whip/cam%20x?sourceId=1", "", "cam x", "T"},
		{"WHIP://h/whip?token=T", "http://h/whip", "", "whip", "T"},
	} {
		a, err := ingest.Parse(c.url)
		if err != nil || a.Server() != c.server || a.Key() != c.key || a.Stream != c.stream || a.Token != c.token {
			t.Errorf("%s: %v, %+v\nserver %s\nkey %s", c.url, err, a, a.Server(), a.Key())
		}
	}
	for _, bad := range []string{"", "cam", "rtmp:/h/a", "rtmp://", "rtmp:///app/secret", "rtmp://h/a\nb"} {
		if _, err := ingest.Parse(bad); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestSame: which publishers of one stream throw each other out.
func TestSame(t *testing.T) {
	const base = "rtmps://rtmp-auto.millicast.com:443/v2/pub/cam?token=1"
	for _, c := range []struct {
		other string
		same  bool
	}{
		{base, true},
		{"srt://srt-fra-1.millicast.com:10000?streamid=cam%3Ft%3DAQ", true}, // another way and token, the same place
		{base + "&sourceId=2", false},
		{base + "&priority=0", false}, // none is below any
		{"rtmps://rtmp-auto.millicast.com:443/v2/pub/other?token=1", false},
		{"rtmp://backup.example/v2/pub/cam?token=1", false}, // another platform
	} {
		a, err := ingest.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		b, err := ingest.Parse(c.other)
		if err != nil || a.Same(b) != c.same || b.Same(a) != c.same {
			t.Errorf("%s: %v", c.other, err)
		}
	}
}

// TestLayers: the URLs of one picture in several qualities, as the platform's documentation has
// them.
func TestLayers(t *testing.T) {
	const srt = "srt://srt-auto.millicast.com:10000?streamid="
	for _, c := range []struct {
		url    string
		silent bool
		want   []string
	}{
		{"rtmp://h:1935/v2/pub/lobby?token=T&priority=100", false, []string{
			"rtmp://h:1935/v2/pub/lobby?token=T&priority=100&sourceId=1&simulcastId",
			"rtmp://h:1935/v2/pub/lobby?token=T&priority=100&sourceId=2&simulcastId&videoOnly&record=false",
		}},
		{"rtmps://h/v2/pub/a%2Fb?token=T&sourceId=cam%201#x", true, []string{
			"rtmps://h/v2/pub/a%2Fb?token=T&sourceId=cam%201-1&simulcastId=cam%201&videoOnly",
			"rtmps://h/v2/pub/a%2Fb?token=T&sourceId=cam%201-2&simulcastId=cam%201&videoOnly&record=false",
		}},
		{"https://director.millicast.com/api/whip/lobby?sourceId=x&simulcastId=y&auth=T&noRecord", false, []string{
			"https://director.millicast.com/api/whip/lobby?simulcastId=y&auth=T&noRecord&sourceId=x-1",
			"https://director.millicast.com/api/whip/lobby?simulcastId=y&auth=T&noRecord&sourceId=x-2&videoOnly&record=false",
		}},
		{srt + "lobby%3Ft%3DAbc_-%26priority%3D-1&latency=5", false, []string{
			srt + "lobby%3Ft%3DAbc_-%26priority%3D-1%26sourceId%3D1%26simulcastId&latency=5",
			srt + "lobby%3Ft%3DAbc_-%26priority%3D-1%26sourceId%3D2%26simulcastId%26videoOnly%26record%3Dfalse&latency=5",
		}},
		{srt + "{stream}?t=T", false, []string{
			srt + "{stream}%3Ft%3DT%26sourceId%3D1%26simulcastId",
			srt + "{stream}%3Ft%3DT%26sourceId%3D2%26simulcastId%26videoOnly%26record%3Dfalse",
		}},
	} {
		got, err := ingest.Layers(c.url, 2, c.silent)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v\n got %s\nwant %s", c.url, err, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		first, _ := ingest.Parse(c.url)
		for i, source := range ingest.LayerSources(first.Source, 2) {
			if a, err := ingest.Parse(got[i]); err != nil || a.Source != source || !a.Multi || a.Token != first.Token {
				t.Errorf("%s is read as %+v, %v", got[i], a, err)
			}
		}
	}
	for _, bad := range []string{"/tmp/x.flv", "udp://h:1", "rtsp://h/x"} {
		if _, err := ingest.Layers(bad, 2, false); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestRegion(t *testing.T) {
	for url, want := range map[string]string{
		"rtmps://rtmp-auto.millicast.com:443/v2/pub/a?token=00":  "the nearest",
		"rtmp://rtmp-FRA-1.millicast.com/v2/pub/a?token=00":      "fra-1",
		"srt://srt-iad-1.millicast.com:10000?streamid=a%3Ft%3D0": "iad-1",
		"https://director.millicast.com/api/whip/a?auth=00":      "none",
		"https://x-fra-1.millicast.com/api/whip/a?auth=00":       "none",
		"rtmp://rtmp-fra-1.example.com/v2/pub/a?token=00":        "none",
	} {
		a, err := ingest.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := a.Region()
		if got = cmp.Or(got, "the nearest"); !ok {
			got = "none"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}
