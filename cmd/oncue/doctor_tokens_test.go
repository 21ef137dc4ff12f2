package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/cmd/oncue/client"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator"
)

// TestDoctorOfTokens: doctor asks the platform for what is wrong with the tokens in the file.
func TestDoctorOfTokens(t *testing.T) {
	t.Parallel()
	sim, err := simulator.Start(t.Context(), simulator.Settings{Account: "A"})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	var streams strings.Builder
	n := 0
	add := func(stream, more string, srt bool, set func(*simulator.Token)) {
		n++
		token := simulator.Token{
			Label: stream, Active: true, Thumbnails: true, Streams: []simulator.TokenStream{{Name: stream}},
			Value: secret.New(fmt.Sprintf("%064x", n)),
		}
		if set != nil {
			set(&token)
		}
		if _, err := sim.AddToken(token); err != nil {
			t.Fatal(err)
		}
		publish := fmt.Sprintf("{token: \"%064x\"}", n)
		if srt {
			raw, err := hex.DecodeString(token.Value.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			publish = "\"srt://srt-auto.millicast.com:10000?streamid={stream}%3Ft%3D" +
				base64.RawURLEncoding.EncodeToString(raw) + "\""
		}
		fmt.Fprintf(&streams, "  %s: {encoder: cam, publish: %s%s}\n", stream, publish, more)
	}
	one := 1
	add("fine", "", false, nil)
	add("finesrt", "", true, nil)
	add("old", "", false, func(t *simulator.Token) { t.Expires = time.Now().Add(-time.Hour) })
	add("off", "", true, func(t *simulator.Token) { t.Active = false })
	add("wrong", "", false, func(t *simulator.Token) {
		t.Streams = []simulator.TokenStream{{Name: "cam-.*", IsRegex: true}}
	})
	add("bound", "", false, func(t *simulator.Token) { t.BindIPs = &one })
	add("fenced", "", false, func(t *simulator.Token) { t.AllowedIPs = []string{"10.0.0.0/8"} })
	add("dark", "", false, func(t *simulator.Token) { t.Thumbnails = false })
	add("sent", "", false, func(t *simulator.Token) {
		t.Restream = []simulator.Restream{{Label: "tube", URL: "rtmp://a.example/live", Key: "restream-key"}}
	})
	add("kept", ", viewers_elsewhere: ignore, min_uptime: 10s", false, func(t *simulator.Token) { t.Record = true })
	add("short", ", viewers_elsewhere: keep, max_uptime: 1h", false, func(t *simulator.Token) { t.Record = true })
	add("several", "", false, func(t *simulator.Token) { t.Multisource = true })
	add("alone", "", false, nil)
	ladder := strings.ReplaceAll(streams.String(), "several: {encoder: cam", "several: {encoder: ladder")
	streams.Reset()
	streams.WriteString(strings.ReplaceAll(ladder, "alone: {encoder: cam", "alone: {encoder: ladder"))
	streams.WriteString("  unknown: {encoder: cam, publish: {token: \"00ff\"}}\n" +
		"  new: {encoder: cam, publish: {token: auto}}\n")

	path := filepath.Join(t.TempDir(), "oncue.yaml")
	text := fmt.Sprintf("data_dir: %s\naccounts: {A: {webhook_secrets: [%s], api_secret: %q, api_url: %s}}\n"+
		"encoders: {cam: {ffmpeg: {input: test}}, ladder: {ffmpeg: {input: test, renditions: "+
		"[{height: 720, bitrate: 2M}, {height: 360, bitrate: 500k}]}}}\nstreams:\n%s",
		t.TempDir(), exampleSecret.Reveal(), sim.APISecret().Reveal(), sim.APIURL(), streams.String())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	d := doctor{config: path, quick: true}
	if found := d.examineConfig(); d.cfg == nil {
		t.Fatal(found)
	}
	d.daemon, d.noDaemon = client.New("127.0.0.1:" + closedPort(t))
	var got []string
	for _, f := range d.examineTokens(t.Context(), d.cfg.Accounts["A"]) {
		got = append(got, string(f.Level)+" "+f.What)
	}
	want := []string{
		"error publishing token 3 (old) of old expired at ",
		"error publishing token 4 (off) of off is disabled",
		"error publishing token 5 (wrong) of wrong may not publish wrong, but cam-.*",
		"warning publishing token 6 (bound) of bound is bound to the first addresses that use it, at most 1",
		"warning publishing token 7 (fenced) of fenced is for the addresses 10.0.0.0/8 only",
		"warning publishing token 8 (dark) of dark sends no thumbnails",
		"warning publishing token 9 (sent) of sent re-streams, and that ends when nobody watches here",
		"warning publishing token 11 (short) of short records, and the platform keeps no recording below 10s",
		"error publishing token 13 of alone allows one source, so the renditions of ladder throw each other out",
		"error cam publishes unknown with a token that account A does not have",
		"warning new has no publishing token yet",
		"ok what the platform says of the tokens of 4 streams is as it should be",
	}
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if all := strings.Join(got, " "); strings.Contains(all, "00000000") {
		t.Error("a token is shown")
	}
}
