package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/controller/millicast/simulator"
)

// TestDoctorOfRegions: doctor asks the platform for its regions.
func TestDoctorOfRegions(t *testing.T) {
	t.Parallel()
	sim, err := simulator.Start(t.Context(), simulator.Settings{Account: "A"})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	const has = "ams-1 (Amsterdam, Netherlands), fra-1 (Frankfurt, Germany), lon-1 (London, United Kingdom), " +
		"iad-1 (Ashburn, United States of America), phx-1 (Phoenix, United States of America)"
	for name, test := range map[string]struct {
		streams string
		faults  simulator.APIFaults
		want    []string
	}{
		"nothing to ask": {
			`{a: {encoder: cam, publish: {token: "00"}}, b: {encoder: cam, publish: "rtmp://127.0.0.1/live/{stream}?token=00"}}`,
			simulator.APIFaults{Status: 500}, nil,
		},
		"right": {
			`{a: {publish: {token: "00", region: fra-1}, encoders: [cam, {name: back, publish: {region: lon-1}}]}}`,
			simulator.APIFaults{}, []string{"ok the account has the regions that are published to"},
		},
		"mistyped": {
			`{a: {encoder: cam, publish: {token: "00", protocol: srt, region: fra1}}}`, simulator.APIFaults{},
			[]string{"error cam publishes a to region fra1, which account A does not have | " +
				"fra-1 is probably meant; it has " + has},
		},
		"in a URL": {
			`{"a-*": {encoder: cam, publish: "rtmps://rtmp-xyz-9.millicast.com:443/v2/pub/{stream}?token=00"}}`,
			simulator.APIFaults{},
			[]string{"error cam publishes a-* to region xyz-9, which account A does not have | it has " + has},
		},
		"all in one": {
			`{a: {publish: {token: "00", region: ams-1}, encoders: [cam, back]}}`, simulator.APIFaults{},
			[]string{"warning all encoders of a publish to region ams-1: its loss takes them all | give back another one " +
				"of the same area, publish: {region: ...}: " + strings.TrimPrefix(has, "ams-1 (Amsterdam, Netherlands), ")},
		},
		"all in the nearest": {
			`{a: {publish: {token: "00"}, encoders: [cam, back]}}`, simulator.APIFaults{},
			[]string{"warning all encoders of a publish to the nearest region: its loss takes them all | give back another " +
				"one of the same area, publish: {region: ...}: " + has},
		},
		"different pictures": {
			`{a: {publish: {token: "00"}, encoders: [cam, {name: back, publish: {source: wide}}]}}`, simulator.APIFaults{}, nil,
		},
		"no answer": {
			`{a: {encoder: cam, publish: {token: "00", region: ams-1}}}`, simulator.APIFaults{Status: 403},
			[]string{"warning platform: list the regions: answered 403 Forbidden: Forbidden | "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "oncue.yaml")
			text := fmt.Sprintf("data_dir: %s\naccounts: {A: {webhook_secrets: [%s], api_secret: %q, api_url: %s}}\n"+
				"encoders: {cam: {ffmpeg: {input: test}}, back: {ffmpeg: {input: test}}}\nstreams: %s\n",
				t.TempDir(), exampleSecret.Reveal(), sim.APISecret().Reveal(), sim.APIURL(), test.streams)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d := doctor{config: path}
			if found := d.examineConfig(); d.cfg == nil {
				t.Fatal(found)
			}
			sim.SetAPIFaults(test.faults)
			var got []string
			for _, f := range d.examineRegions(t.Context(), d.cfg.Accounts["A"]) {
				got = append(got, strings.TrimSuffix(string(f.Level)+" "+f.What+" | "+f.Hint, " | "))
			}
			for i := range test.want {
				test.want[i] = strings.TrimSuffix(test.want[i], " | ")
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
