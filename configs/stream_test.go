package configs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestLookup(t *testing.T) {
	c := mustParse(t, `
accounts:
  A: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}
  B: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}
encoders: {bench: {fake: {}}}
streams:
  A/cam-*: {encoder: bench}
  A/cam-special: {encoder: bench}
  A/c?m-*-*: {encoder: bench}
  A/?-*: {encoder: bench}
  A/*: {encoder: bench}
  B/exact/with/slashes: {encoder: bench}
  B/naïve 🎥: {encoder: bench}
`)
	for name, want := range map[string]string{
		"A/cam-special":         "A/cam-special []", // exact before patterns, though it comes later
		"A/cam-1":               "A/cam-* [1]",
		"A/cam-":                "A/* [cam-]", // * matches something
		"A/cam--rf":             "A/* [cam--rf]",
		"A/cam-..":              "A/* [cam-..]", // no way up
		"A/x--1":                "A/* [x--1]",
		"A/cam-a-b":             "A/cam-* [a-b]",
		"A/com-a-b-c":           "A/c?m-*-* [o a b-c]", // as little as possible
		"A/x-1":                 "A/?-* [x 1]",
		"A/anything":            "A/* [anything]",
		"A/has/slash":           "",
		"A/has space":           "",
		"A/..":                  "",
		"A/-rf":                 "",
		"A/*":                   "", // a name is not its pattern
		"B/cam-1":               "",
		"C/cam-1":               "",
		"B/exact/with/slashes":  "B/exact/with/slashes []",
		"B/naïve 🎥":             "B/naïve 🎥 []",
		"A/" + long('a', 128):   "A/* [" + long('a', 128) + "]",
		"A/" + long('a', 129):   "",
		"B/exact/with/slashes/": "",
	} {
		account, stream, _ := strings.Cut(name, "/")
		got := ""
		if s, matches, ok := c.Lookup(account, stream); ok {
			got = fmt.Sprintf("%s %v", s.ID, matches)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func long(r rune, n int) string { return strings.Repeat(string(r), n) }

func TestStreamsOfOneAccount(t *testing.T) {
	c := mustParse(t, start+`
streams:
  lobby: {encoder: bench}
  ACC/door: {encoder: bench}
  other/door: {encoder: bench}
  "123": {encoder: bench}
  cam-*: {encoders: [cam, bench], publish: "rtmp://h/{1}"}
`)
	var ids []string
	for _, s := range c.Streams {
		ids = append(ids, s.ID)
	}
	if want := []string{"ACC/lobby", "ACC/door", "ACC/other/door", "ACC/123", "ACC/cam-*"}; !slices.Equal(ids, want) {
		t.Errorf("ids %q, want %q", ids, want)
	}
	if s := c.Streams[4]; !s.IsPattern || s.Name != "cam-*" || !slices.Equal(s.Encoders, []string{"cam", "bench"}) ||
		s.PublishOf(0).URL.Reveal() != "rtmp://h/{1}" {
		t.Errorf("%+v", s)
	}
	for _, encoder := range []string{"cam", "bench", "taken out by a reload"} {
		if got := c.Streams[4].PublishBy(encoder).URL.Reveal(); got != "rtmp://h/{1}" {
			t.Errorf("%s publishes to %q", encoder, got)
		}
	}
}

// TestMatchesFillThePattern replaces the wildcards by their matches, which must give the name.
func TestMatchesFillThePattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab.*?-]{1,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab.-]{1,10}`).Draw(t, "name")
		s := &Stream{Account: "A", Name: pattern, IsPattern: true, match: compile(pattern)}
		matches, ok := s.Match("A", name)
		if !ok {
			raw := s.match.FindStringSubmatch(name)
			if plain(name) && glob(pattern, name) && !slices.Contains(raw, ".") && !slices.Contains(raw, "..") {
				t.Fatalf("%q does not match %q", pattern, name)
			}
			return
		}
		if !plain(name) || !glob(pattern, name) {
			t.Fatalf("%q matches %q", pattern, name)
		}
		for _, m := range matches {
			if !plain(m) {
				t.Fatalf("%q on %q: %q cannot stand by itself", pattern, name, m)
			}
		}
		i := 0
		filled := wildcard.ReplaceAllStringFunc(pattern, func(string) string { i++; return matches[i-1] })
		if filled != name || i != len(matches) {
			t.Fatalf("%q on %q: matches %q give %q", pattern, name, matches, filled)
		}
	})
}

// glob is the meaning of * and ?, written as simply as possible.
func glob(pattern, name string) bool {
	wild := pattern != "" && strings.ContainsAny(pattern[:1], "*?")
	switch {
	case pattern == "" || name == "":
		return pattern == name
	case wild && name[0] == '-':
		return false
	case pattern[0] == '*':
		for n := range name {
			if glob(pattern[1:], name[n+1:]) {
				return true
			}
		}
		return false
	}
	return (wild || pattern[0] == name[0]) && glob(pattern[1:], name[1:])
}

func TestPublishIsShownWithoutItsKey(t *testing.T) {
	for _, c := range []struct{ publish, want string }{
		{"rtmps://rtmp-auto.millicast.com:443/v2/pub/{stream}?token=canary",
			"rtmps://rtmp-auto.millicast.com:443/v2/pub/{stream}?token=********"},
		{"rtmps://rtmp-auto.millicast.com:443/v2/pub/lob%20by?token=canary&sourceId=a",
			"rtmps://rtmp-auto.millicast.com:443/v2/pub/lob%20by?token=********&sourceId=a"},
		{"rtmps://rtmp-auto.millicast.com/v2/pub/canary", "rtmps://rtmp-auto.millicast.com/v2/pub/********"},
		{"srt://h:1?streamid={stream}%3Ft%3Dcanary&latency=9&passphrase=canary",
			"srt://h:1?streamid={stream}?t=********&latency=9&passphrase=********"},
		{"srt://h:1?streamid=canary", "srt://h:1?streamid=********"},
		{"srt://h:1?streamid=%zzcanary", "srt://h:1?streamid=********"},
		{"https://h/api/whip/{stream}?auth=canary", "https://h/api/whip/{stream}?auth=********"},
		{"rtmp://canary:canary@h/live/canary", "rtmp://h/live/********"},
		{"rtmp://h/canary", "rtmp://h/********"},
		{"rtmp://h/live/{stream}-canary", "rtmp://h/live/********"},
		{"rtmp://h/live/{account}{stream}?canary", "rtmp://h/live/{account}{stream}?********"},
		{"rtmp://h?k=canary#canary", "rtmp://h?k=********"},
		{"rtmp://h/live/{stream}#canary", "rtmp://h/live/{stream}#********"},
		{"rtmp://h/${CANARY}/{stream}?token=${CANARY}", "rtmp://h/********/{stream}?token=********"},
	} {
		text := start + fmt.Sprintf("streams: {\"lob by\": {encoder: bench, publish: %q}}\n", c.publish)
		if got := mustParse(t, text).Plan()[0].Encoders[0].Publish; !slices.Equal(got, []string{c.want}) {
			t.Errorf("%s is shown as\n%s, want\n%s", c.publish, got, c.want)
		}
	}
}

const planned = `accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}
defaults:
  idle_timeout: 1m
  restart: {max: 30s}
encoders:
  bench: {fake: {}}
x-common: &common
  cooldown: 5s
streams:
  lobby:
    <<: *common
    encoder: bench
    publish: "rtmps://user:canary@host:443/v2/pub/{stream}?token=canary"
    idle_timeout: 2m
    restart: {factor: 3}
    schedule: [{cron: "0 18 * * FRI", for: 4h}]
  cam-*: {encoder: bench}
`

func TestPlan(t *testing.T) {
	var b strings.Builder
	for _, p := range mustParse(t, planned).Plan() {
		fmt.Fprintf(&b, "%s pattern=%v line=%d encoders=%v\n", p.ID, p.Pattern, p.Line, p.Encoders)
		for _, k := range p.Keys {
			fmt.Fprintf(&b, "  %s = %s (%s)\n", k.Key, k.Value, k.Origin)
		}
	}
	golden(t, "testdata/plan.txt", b.String())
}

func TestDiff(t *testing.T) {
	old := mustParse(t, planned)
	if got := Diff(old, mustParse(t, planned)); got != nil {
		t.Errorf("no change, and Diff says %q", got)
	}
	changed := mustParse(t, `
listen: ":9090"
admin: {token: canary-canary-canary}
trusted_proxies: [10.1.2.3/8]
accounts:
  ACC:
    webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=, c2VjcmV0LWtleS1mb3ItY2FuYXJ5]
    api_secret: canary
    poll_interval: 10s
defaults: {idle_timeout: 3m}
encoders:
  bench: {http: {url: "http://x", password: canary}}
  cam: {ffmpeg: {input: "rtsp://canary"}}
streams:
  lobby: {encoders: [bench, cam], publish: "rtmps://canary2", idle_timeout: 2m30s}
  door: {encoder: cam, publish: "rtmp://canary"}
notify: [{url: "slack://canary"}]
`)
	there := Diff(old, changed)
	back := Diff(changed, old)
	same := mustParse(t, start+`streams: {a-*: {encoder: bench}, "*": {encoder: bench}}`)
	swapped := mustParse(t, start[:len(start)-1]+"\n"+`streams: {"*": {encoder: bench}, a-*: {encoder: bench}}`)
	retuned := mustParse(t, strings.Replace(start, "rtsp://x", "rtsp://canary", 1)+`streams: {a-*: {encoder: bench}, `+
		`"*": {encoder: bench, cooldown: 5s}}`)
	text := fmt.Sprintf("there:\n%s\n\nback:\n%s\n\nswapped:\n%s\n\nretuned:\n%s\n", strings.Join(there, "\n"),
		strings.Join(back, "\n"),
		strings.Join(Diff(same, swapped), "\n"), strings.Join(Diff(same, retuned), "\n"))
	if strings.Contains(text, "canary") {
		t.Errorf("shows a secret:\n%s", text)
	}
	golden(t, "testdata/diff.txt", text)
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}
