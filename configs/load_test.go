package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oncue/oncue/configs/secret"
)

// start is a file to which tests add what they need.
const start = `
accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}
encoders: {bench: {fake: {}}, cam: {ffmpeg: {input: "rtsp://x/{1}"}}}
`

var sameSecret = cmp.Comparer(func(a, b secret.Value) bool { return a.Same(b) })

func mustParse(t testing.TB, text string) *Config {
	t.Helper()
	c, _, err := testOptions().Parse("oncue.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEmptyFileHasTheDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing yet\n", "---\n",
		"streams:\nencoders:\naccounts:\ndefaults:\nadmin:\n"} {
		c, warnings, err := testOptions().Parse("oncue.yaml", []byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if len(warnings) != 3 {
			t.Errorf("%q: warnings %v, want one each for accounts, encoders and streams", text, warnings)
		}
		if c.Listen != ":8080" || c.Admin.Listen != "127.0.0.1:8081" || c.Defaults.IdleTimeout != time.Minute ||
			c.Retention.MaxSize != 1<<30 {
			t.Errorf("%q: %+v", text, c)
		}
	}
}

func TestLoadReadsAFileAndItsReferences(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("token", "0123456789abcdef\nmore\n", 0o600)
	t.Setenv("ONCUE_TEST_DIR", "/srv/oncue")
	path := write("oncue.yaml", "admin: {token: \"${file:token}\"}\ndata_dir: ${ONCUE_TEST_DIR}/$$data\n", 0o600)
	c, _, err := Load(path, testDrivers())
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Admin.Token.Reveal(); got != "0123456789abcdef" {
		t.Errorf("token %q", got)
	}
	if c.DataDir != "/srv/oncue/$data" || c.File != path {
		t.Errorf("data_dir %q, file %q", c.DataDir, c.File)
	}
	write("oncue.yaml", "data_dir: ${file:.}\n", 0o600)
	if _, _, err := Load(path, nil); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder as reference: %v", err)
	}
	if _, _, err := Load(filepath.Join(dir, "none.yaml"), nil); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("missing file: %v", err)
	}
}

// TestOthersMayReadOrWrite checks the mode of the file: who may write it decides what oncue runs.
func TestOthersMayReadOrWrite(t *testing.T) {
	t.Setenv("ONCUE_TEST_TOKEN", "0123456789abcdef")
	const literal, reference = "admin: {token: 0123456789abcdef}\n", "admin: {token: \"${ONCUE_TEST_TOKEN}\"}\n"
	const warning = "oncue.yaml:1:16: warning: admin.token: is a secret in a file that every user of this host may " +
		"read (mode 0644); " +
		"chmod o-r keeps it secret, or write ${NAME} or ${file:PATH}"
	for _, c := range []struct {
		mode          os.FileMode
		text          string
		problem, warn string
	}{
		{0o600, literal, "", ""},
		{0o640, literal, "", ""},
		{0o644, literal, "", warning},
		{0o644, reference, "", ""},
		{0o644, "admin: {token: \"\"}\n", "", ""},
		{0o646, reference, "oncue.yaml:1:1: file: every user of this host may write it (mode 0646), and so decide " +
			"what oncue runs; chmod o-w forbids that", ""},
	} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("oncue.yaml", []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod("oncue.yaml", c.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		_, warnings, err := Load("oncue.yaml", testDrivers())
		problem := ""
		if err != nil {
			problem = err.Error()
		}
		warned := ""
		for _, w := range warnings {
			if w.Key == "admin.token" {
				warned = w.String()
			}
		}
		if problem != c.problem || warned != c.warn {
			t.Errorf("%04o %s: got %q and %q, want %q and %q", c.mode, c.text, problem, warned, c.problem, c.warn)
		}
	}
}

func unwrapAll(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = u.Unwrap()
	}
}

func TestSettingsOfEveryType(t *testing.T) {
	c := mustParse(t, `
encoders:
  cam: &cam
    ffmpeg: &ff
      input: a
      input_args: [-threads, 2, -ss, 0.5, 007]
      width: ${NUMBER}
      fps: 29.97
      stall_timeout: 1d
  cam2:
    ffmpeg: {<<: *ff, input: b}
  cam3: *cam
  studio: {obs: {address: h:1, password: 0123, set_service: "${FLAG}", scene: 7}}
  bench:
    fake:
  box:
    http:
      url: http://x
      headers: {A: b, N: 5}
      start: {path: /s, json: {n: 1, f: 1.5, s: "${CANARY}", t: true, z: null, l: [a, 2]}, codes: [200, 204]}
      cap: 1MiB
`)
	settings := func(name string) any {
		e, ok := c.Encoder(name)
		if !ok {
			t.Fatalf("no encoder %s", name)
		}
		return e.Settings
	}
	ff := ffmpegSettings{Input: "a", InputArgs: []string{"-threads", "2", "-ss", "0.5", "007"}, Video: "h264",
		Audio: "aac", Bitrate: "3000k",
		Width: 7, FPS: 29.97, Binary: "ffmpeg", StallTimeout: 24 * time.Hour, Standby: "none"}
	ff2 := ff
	ff2.Input = "b"
	for name, want := range map[string]any{
		"cam": &ff, "cam2": &ff2, "cam3": &ff,
		"studio": &obsSettings{Host: Host{"h:1"}, Password: secret.New("0123"), SetService: true, Scene: "7",
			StallTimeout: 10 * time.Second},
		"bench": &fakeSettings{},
		"box": &httpSettings{URL: "http://x", Headers: map[string]string{"A": "b", "N": "5"},
			Status: request{Method: "GET"}, Cap: 1 << 20,
			Start: &request{Method: "GET", Path: "/s", Codes: []int{200, 204},
				JSON: map[string]any{"n": 1, "f": 1.5, "s": "canary-value", "t": true, "z": nil, "l": []any{"a", 2}}}},
	} {
		if d := cmp.Diff(want, settings(name), sameSecret); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestChoiceOfMoreThanYesAndNo: such a key is written without quotes, as an editor's schema has it.
func TestChoiceOfMoreThanYesAndNo(t *testing.T) {
	s := compiledSchema(t)
	for written, want := range map[string]string{
		"true": "true", "False": "false", "key": "key", `"${FLAG}"`: "true", "yes": "", "off": "", "keys": "",
	} {
		text := fmt.Sprintf("encoders: {studio: {obs: {address: h:1, keep: %s}}}\n", written)
		c, _, err := testOptions().Parse("c.yaml", []byte("accounts: {A: {webhook_secrets: [c2VjcmV0]}}\n"+text))
		schema := s.Validate(asJSON(t, []byte(text)))
		if want == "" {
			if err == nil || schema == nil || !strings.Contains(err.Error(), "is not allowed") {
				t.Errorf("%s: %v; by the schema %v", written, err, schema)
			}
			continue
		}
		if err != nil || schema != nil {
			t.Errorf("%s: %v; by the schema %v", written, err, schema)
			continue
		}
		if e, _ := c.Encoder("studio"); e.Settings.(*obsSettings).Keep != want {
			t.Errorf("%s is read as %q", written, e.Settings.(*obsSettings).Keep)
		}
	}
}

func TestPresetUnderTheFilesOwnKeys(t *testing.T) {
	c := mustParse(t, `
encoders:
  helo:
    http: {preset: aja-helo, url: "http://x", start: {method: PUT, json: {command: 9}}, headers: {X: y}}
`)
	e, _ := c.Encoder("helo")
	want := &httpSettings{
		Preset: "aja-helo", URL: "http://x", Cap: 64 << 10, Status: request{Method: "GET"},
		Headers: map[string]string{"Accept": "application/json", "X": "y"},
		Start:   &request{Method: "PUT", Path: "/config", JSON: map[string]any{"command": 9, "mode": "auto"}},
		Stop:    []request{{Method: "GET", Path: "/config"}},
	}
	if d := cmp.Diff(want, e.Settings, sameSecret); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestSecretsAreListedForRedaction(t *testing.T) {
	c := mustParse(t, start+"streams: {a: {encoder: bench, publish: \"rtmp://h/a?token=${CANARY}\"}}\n")
	var all []string
	for _, s := range c.Secrets() {
		all = append(all, s.Reveal())
	}
	for _, want := range []string{"canary-value", "rtmp://h/a?token=canary-value", "c2VjcmV0LWtleS1mb3ItdGVzdHM="} {
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("%q is not among %q", want, all)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1GiB": "1GiB", "1024MiB": "1GiB", "64 MiB": "64MiB", "1.5KiB": "1536B", "500MB": "500MB",
		"12B": "12B",
		"":    "error", "5": "error", "-1KiB": "error", "1XiB": "error", "inf": "error", "0x1pB": "error",
		"9999999TiB": "error", "NaNB": "error",
	} {
		var s Size
		got := ""
		if err := s.UnmarshalText([]byte(text)); err != nil {
			got = "error"
		} else {
			got = s.String()
		}
		if got != want {
			t.Errorf("size %q = %s, want %s", text, got, want)
		}
	}
}

// manyStreams is a configuration of the size of a large installation.
func manyStreams(n int) string {
	var b strings.Builder
	b.WriteString("accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}\nencoders:\n  bench: {fake: " +
		"{}}\nstreams:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    encoder: bench\n    idle_timeout: 2m\n", i)
	}
	return b.String()
}

func BenchmarkLoad10000Streams(b *testing.B) {
	text := []byte(manyStreams(10_000))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := testOptions().Parse("oncue.yaml", text); err != nil {
			b.Fatal(err)
		}
	}
}

// TestReferredValuesAreTheEncoders gives each driver the values of references in its keys, whatever
// their type, except for host names.
func TestReferredValuesAreTheEncoders(t *testing.T) {
	o := Options{Drivers: testDrivers(), Env: func(name string) (string, bool) { return "value-of-" + name, true }}
	c, _, err := o.Parse("oncue.yaml", []byte(`
accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}
public_url: https://${HOST}
encoders:
  cam: {ffmpeg: {input: "rtsp://${CAM}/${PATH}?a=${KEY}", input_args: [-x, "${ARG}"], video: h264}}
  box:
    http:
      url: "http://${BOX}:80"
      username: "${USER}"
      password: "a${PASSWORD}"
      start: {path: "/s", json: {n: ["${DEEP}"]}}
streams: {a: {encoder: box}, b: {encoder: cam, publish: "rtmp://h/a?token=${TOKEN}"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"cam": {"value-of-PATH", "value-of-KEY", "value-of-ARG"},
		"box": {"value-of-USER", "value-of-PASSWORD", "avalue-of-PASSWORD", "value-of-DEEP"},
	} {
		e, _ := c.Encoder(name)
		var got []string
		for _, s := range e.Secrets {
			got = append(got, s.Reveal())
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if len(c.Secrets()) != 10 { // with the webhook's, the publishing URL and its token
		t.Errorf("there are %d secrets", len(c.Secrets()))
	}
}

// TestArchive shows the keys of a configuration and the values that cannot be secret.
func TestArchive(t *testing.T) {
	c := mustParse(t, `
admin: {token: "canary-admin-token", listen: "127.0.0.1:1"}
accounts: {ACC: {webhook_secrets: [c2VjcmV0LWtleS1mb3ItdGVzdHM=]}}
encoders:
  cam:
    ffmpeg:
      input: "rtsp://u:canary-value@10.0.0.7:554/1?k=canary-value"
      input_args: [-headers, canary-value]
      video: copy
      width: 320
  box:
    http:
      url: "http://10.0.0.9"
      username: canary-value
      headers: {X-Key: canary-value}
      start: {method: PUT, path: "/canary-value", json: {pin: 4711, n: [canary-value]}}
streams:
  a:
    encoder: cam
    publish: "rtmps://h/v2/pub/{stream}?token=canary-value"
    idle_timeout: 2m
    schedule: [{cron: "0 18 * * FRI", for: 4h, do: on}]
  "b-*": {encoder: box}
notify: [{url: "https://hooks.example/canary-value", on: [failed]}]
`)
	got, err := c.Archive(testDrivers())
	if err != nil {
		t.Fatal(err)
	}
	const want = `admin:
  listen: 127.0.0.1:1
  token: '********'
accounts:
  ACC:
    webhook_secrets:
      - '********'
notify:
  - url: '********'
    on:
      - failed
encoders:
  cam:
    ffmpeg:
      input: rtsp://10.0.0.7:554/********
      input_args:
        - '********'
        - '********'
      video: copy
      width: 320
  box:
    http:
      url: http://10.0.0.9/********
      username: '********'
      headers:
        X-Key: '********'
      start:
        method: PUT
        path: '********'
        json:
          n:
            - '********'
          pin: '********'
streams:
  ACC/a:
    idle_timeout: 2m
    schedule:
      - cron: 0 18 * * FRI
        for: 4h
    encoders:
      - name: cam
        publish: rtmps://h/v2/pub/{stream}?token=********
  ACC/b-*:
    encoders:
      - name: box
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
