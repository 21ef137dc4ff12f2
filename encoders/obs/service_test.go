package obs

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

func TestService(t *testing.T) {
	for _, c := range []struct {
		publish, kind string
		values        map[string]any
		shown         string
	}{
		{"rtmps://rtmp-auto.millicast.com:443/v2/pub/lobby?token=0a1b&sourceId=2", serviceCustom,
			map[string]any{"server": "rtmps://rtmp-auto.millicast.com:443/v2/pub", "key": "lobby?token=0a1b&sourceId=2",
				"use_auth": false},
			"rtmps://rtmp-auto.millicast.com:443/v2/pub"},
		{"rtmp://h/v2/pub/a/b%20c?token=0a", serviceCustom,
			map[string]any{"server": "rtmp://h/v2/pub", "key": "a/b%20c?token=0a", "use_auth": false},
			"rtmp://h/v2/pub"},
		{"rtmp://h/live/key", serviceCustom, map[string]any{"server": "rtmp://h/live", "key": "key", "use_auth": false},
			"rtmp://h/live"},
		{"rtmp://user:pass@h/live/key", serviceCustom,
			map[string]any{"server": "rtmp://user:pass@h/live", "key": "key", "use_auth": false}, "rtmp://h/live"},
		{"rtmp://h", serviceCustom, map[string]any{"server": "rtmp://h", "key": "", "use_auth": false}, "rtmp://h"},
		{"srt://srt-auto.millicast.com:10000?streamid=lobby%3Ft%3DAbc_-%26e&latency=200000", serviceCustom,
			map[string]any{"server": "srt://srt-auto.millicast.com:10000?latency=200000", "key": "lobby?t=Abc_-&e",
				"use_auth": false},
			"srt://srt-auto.millicast.com:10000"},
		{"https://director.millicast.com/api/whip/lobby?token=0a1b&codec=h264", serviceWHIP,
			map[string]any{"server": "https://director.millicast.com/api/whip/lobby?codec=h264",
				"bearer_token": "0a1b"},
			"https://director.millicast.com/api/whip/lobby"},
		{"https://director.millicast.com/api/whip/lobby?auth=0a1b", serviceWHIP,
			map[string]any{"server": "https://director.millicast.com/api/whip/lobby", "bearer_token": "0a1b"},
			"https://director.millicast.com/api/whip/lobby"},
		{"whip://127.0.0.1:8080/lobby", serviceWHIP,
			map[string]any{"server": "http://127.0.0.1:8080/lobby", "bearer_token": ""}, "http://127.0.0.1:8080/lobby"},
	} {
		got, err := Settings{SetService: setAll}.service(encoders.Job{Publish: secret.New(c.publish)})
		if err != nil {
			t.Errorf("%s: %v", c.publish, err)
			continue
		}
		if got.kind != c.kind || got.shown != c.shown {
			t.Errorf("%s: kind %s, shown as %s; want %s, %s", c.publish, got.kind, got.shown, c.kind, c.shown)
		}
		if diff := cmp.Diff(c.values, got.values); diff != "" {
			t.Errorf("%s: %s", c.publish, diff)
		}
	}
}

func TestServiceErrorsShowNothing(t *testing.T) {
	for _, publish := range []string{"", "lobby?token=hush", "rtmp://%zz/hush", "ftp://h/hush", "rtmp:///live/hush",
		"://hush"} {
		_, err := Settings{SetService: setAll}.service(encoders.Job{Publish: secret.New(publish)})
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: error %v", publish, err)
		}
	}
	if got, err := (Settings{}).service(encoders.Job{}); err != nil || !got.isZero() {
		t.Errorf("without set_service: %+v, %v", got, err)
	}
}

func TestWHIPNeedsOBS30(t *testing.T) {
	s, err := Settings{SetService: setAll}.service(encoders.Job{Publish: secret.New("https://h/whip/x?token=t")})
	if err != nil {
		t.Fatal(err)
	}
	for v, fits := range map[string]bool{"29.1.3": false, "30.0.0": true, "30.0.0-rc1": true, "32.1.0": true,
		"?": false} {
		if err := s.fits(version{OBS: v}); (err == nil) != fits || err != nil && !encoders.IsPermanent(err) {
			t.Errorf("OBS %s: %v; want it to fit: %t", v, err, fits)
		}
	}
}
