package httpapi

import (
	"errors"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/presets"
)

// load reads settings as a user writes them, through the real loader.
func load(text string) (Settings, error) {
	drivers := map[string]func() any{"http": func() any { s := Defaults(); return &s }}
	file := "encoders:\n  box:\n    http:\n      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
	c, _, err := configs.Options{Drivers: drivers}.Parse("test.yaml", []byte(file))
	if err != nil {
		return Settings{}, err
	}
	e, ok := c.Encoder("box")
	if !ok {
		return Settings{}, errors.New("the file has no encoder")
	}
	return *e.Settings.(*Settings), nil
}

func settingsOf(t testing.TB, text string) Settings {
	t.Helper()
	s, err := load(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// needed are the keys that each preset leaves to the user, apart from url, username and password.
var needed = map[string]string{
	"datarhei-core":         `vars: {process: cam}`,
	"mediamtx-forward":      `vars: {path: cam}`,
	"wowza-target":          `vars: {application: live, entry: millicast}`,
	"gstd":                  `vars: {pipeline: cam}`,
	"haivision-makito-x4":   `vars: {stream_id: 3}`,
	"kiloview-e3":           `vars: {stream_id: 7}`,
	"aws-ec2":               `vars: {region: x, instance: i-1}`,
	"aws-medialive":         `vars: {region: x, channel: 1}`,
	"millicast-transcoder":  `vars: {transcoder: abcd}`,
	"optiview-live-channel": `vars: {channel: ch_1}`,
	"docker-container":      `vars: {container: encoder1}`,
	"podman-container":      `vars: {container: encoder1}`,
	"kubernetes-scale":      `vars: {deployment: encoder}`,
}

func TestPresetsAreValid(t *testing.T) {
	for _, name := range presets.HTTP.Names() {
		if _, err := load("preset: " + name + "\nurl: http://10.0.0.9\nusername: admin\npassword: pw12345\n" +
			needed[name]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text, err := presets.HTTP.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"# Confidence: ", "# Source: ", "# You set: url"} {
			if !strings.Contains(string(text), word) {
				t.Errorf("the header of %s has no line %q", name, word)
			}
		}
		if about, err := presets.HTTP.About(name); err != nil || about == "" {
			t.Errorf("about %s: %q, %v", name, about, err)
		}
	}
	if _, err := load("preset: aja-hello\nurl: http://10.0.0.9"); err == nil ||
		!strings.Contains(err.Error(), "aja-helo, aws-ec2") {
		t.Errorf("an unknown preset gives %v", err)
	}
}

// TestPresetsCanBeOverridden changes keys deep inside a preset.
func TestPresetsCanBeOverridden(t *testing.T) {
	s := settingsOf(t, `preset: aja-helo
url: http://10.0.0.9
start: {query: {value: 9}}
status: {live: "true"}
login: {max_age: 10m}
`)
	if len(s.Start) != 1 || s.Start[0].Query["value"] != 9 || s.Start[0].Path != "/config" || s.Status.Live != "true" ||
		s.Login.Path != "/authenticator/login" {
		t.Errorf("the preset with changes is %+v", s)
	}
}
