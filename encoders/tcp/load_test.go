package tcp

import (
	"errors"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/presets"
)

// load reads settings as a user writes them, through the real loader.
func load(text string) (Settings, error) {
	drivers := map[string]func() any{"tcp": func() any { s := Defaults(); return &s }}
	file := "encoders:\n  box:\n    tcp:\n      " + strings.ReplaceAll(text, "\n", "\n      ") + "\n"
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

func TestPresetsAreValid(t *testing.T) {
	for _, name := range presets.TCP.Names() {
		if _, err := load("preset: " + name + "\naddress: \"10.0.0.9:9993\""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text, err := presets.TCP.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"# Confidence: ", "ot tried on hardware", "# Source: ", "# You set: address"} {
			if !strings.Contains(string(text), word) {
				t.Errorf("the header of %s has no line %q", name, word)
			}
		}
	}
}
