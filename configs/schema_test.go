package configs

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema(testDrivers())))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("oncue.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("oncue.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON is a YAML text as an editor passes it to a schema.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSchemaTakesGoodFiles(t *testing.T) {
	s := compiledSchema(t)
	for name, text := range map[string][]byte{"plan": []byte(planned),
		"empty sections": []byte("admin:\nstreams:\nlimits: {running: \"${N}\"}\n")} {
		if err := s.Validate(asJSON(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaRefusesWhatTheLoaderRefuses tries the bad files whose mistake is one of form.
func TestSchemaRefusesWhatTheLoaderRefuses(t *testing.T) {
	s := compiledSchema(t)
	for _, file := range []string{
		"unknown-key", "unknown-key-in-stream", "wrong-types", "list-instead-of-mapping", "stream-of-go2rtc",
		"encoder-is-a-word",
		"encoder-of-two-drivers", "encoder-unknown-driver", "encoder-unknown-setting", "encoder-settings", "timing",
		"yaml-quoted-number",
	} {
		if err := s.Validate(asJSON(t, read(t, filepath.Join("testdata/bad", file+".yaml")))); err == nil {
			t.Errorf("%s is taken", file)
		}
	}
}

func TestSchemaTellsDefaultsAndMeaning(t *testing.T) {
	text := string(Schema(testDrivers()))
	for _, want := range []string{`"default": "45s"`, `"default": ":8080"`, `"default": "30s"`, `"default": "1GiB"`,
		`"default": "3000k"`, "after NoActiveViewers", `"failover"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the schema does not have %s", want)
		}
	}
	if !bytes.Equal([]byte(text), Schema(testDrivers())) {
		t.Error("the schema differs from one time to the next")
	}
}
