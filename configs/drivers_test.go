package configs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

// The settings below represent those of the drivers: small, and with one of everything that the
// loader can fill.

type ffmpegSettings struct {
	Input        string        `yaml:"input" doc:"a URL, file or device"`
	InputArgs    []string      `yaml:"input_args" doc:"more options before the input"`
	OutputArgs   []string      `yaml:"output_args" doc:"more options before the output"`
	Args         []string      `yaml:"args" doc:"the whole command line"`
	Video        string        `yaml:"video" enum:"h264,copy,none" doc:"how video is sent"`
	Audio        string        `yaml:"audio" enum:"aac,copy,none" doc:"how audio is sent"`
	Bitrate      string        `yaml:"bitrate" doc:"of h264"`
	Width        int           `yaml:"width" min:"0" max:"8192" doc:"pixels"`
	Height       int           `yaml:"height" min:"0" max:"8192" doc:"pixels"`
	FPS          float64       `yaml:"fps" min:"0" max:"240" doc:"frames per second"`
	Binary       string        `yaml:"binary" doc:"a path, or a name in PATH"`
	StallTimeout time.Duration `yaml:"stall_timeout" doc:"no progress for this long is a stall"`
	Standby      string        `yaml:"standby" enum:"none,warm" doc:"keep a process ready"`
	Qualities    int           `yaml:"qualities" doc:"how many there are of the picture"`
}

func (s ffmpegSettings) Layers() (n int, silent bool) { return s.Qualities, false }

func (s ffmpegSettings) Simulcasts(p ingest.Protocol) error {
	if s.Qualities == 0 {
		return fmt.Errorf("sends one quality over %s; write qualities", p)
	}
	return nil
}

func (s ffmpegSettings) Validate() error {
	if s.Input == "" && len(s.Args) == 0 {
		return errors.Join(
			errors.New("input: is missing; say what to publish, or write args for the whole command line"))
	}
	return nil
}

func (s ffmpegSettings) NeedsPublish() bool {
	return len(s.Args) == 0 || strings.Contains(strings.Join(s.Args, " "), "{publish}")
}

type obsSettings struct {
	Host            `yaml:",inline"`
	Password        secret.Value  `yaml:"password" doc:"of the websocket server"`
	SetService      bool          `yaml:"set_service" doc:"put publish into OBS"`
	Keep            string        `yaml:"keep" enum:"true,false,key" doc:"a choice of more than yes and no"`
	Profile         string        `yaml:"profile" doc:"chosen before a start"`
	SceneCollection string        `yaml:"scene_collection" doc:"chosen before a start"`
	Scene           string        `yaml:"scene" doc:"chosen before a start"`
	StallTimeout    time.Duration `yaml:"stall_timeout" min:"1s" doc:"without delivering for this long is a stall"`
}

func (s obsSettings) NeedsPublish() bool { return s.SetService }

type Host struct {
	Addr string `yaml:"address" doc:"host:port"`
}

func (h Host) Address() string { return h.Addr }

type httpSettings struct {
	Preset   string            `yaml:"preset" doc:"what the device is"`
	URL      string            `yaml:"url" doc:"of the device"`
	Username string            `yaml:"username" doc:"of the device"`
	Password secret.Value      `yaml:"password" doc:"of the device"`
	Headers  map[string]string `yaml:"headers" doc:"sent with each request"`
	Start    *request          `yaml:"start" doc:"starts it"`
	Stop     []request         `yaml:"stop" doc:"stops it"`
	Status   request           `yaml:"status" doc:"asks it"`
	Cap      Size              `yaml:"cap" doc:"largest answer"`
}

type request struct {
	Method  string `yaml:"method" enum:"GET,POST,PUT,PATCH" doc:"of the request"`
	Path    string `yaml:"path" doc:"of the request"`
	JSON    any    `yaml:"json" doc:"body"`
	Live    string `yaml:"live" doc:"rule"`
	Stopped string `yaml:"stopped" doc:"rule"`
	Codes   []int  `yaml:"codes" doc:"good answers"`
}

func (r *request) Prefill() { r.Method = "GET" }

func (s httpSettings) Validate() []error {
	if s.Start != nil && !strings.HasPrefix(s.Start.Path, "/") {
		return []error{errors.New("start.path: must begin with /")}
	}
	return nil
}

func (s httpSettings) Notes() []error {
	if s.Username != "" {
		return []error{errors.New("username: is not used")}
	}
	return nil
}

func (s httpSettings) PresetYAML(name string) ([]byte, error) {
	switch name {
	case "aja-helo":
		return []byte("start: {path: /config, json: {command: 3, mode: auto}}\nstop: {path: /config}\ncap: " +
			"64KiB\nheaders: {Accept: application/json}\n"), nil
	case "broken":
		return []byte("start: [1, 2"), nil
	case "wrong":
		return []byte("start: {mehtod: GET, path: /x}"), nil
	}
	return nil, fmt.Errorf("no preset %q; allowed: aja-helo", name)
}

func (s fakeSettings) RefuseSecrets(known []secret.Value) error {
	if slices.ContainsFunc(known, func(v secret.Value) bool { return v.Reveal() == s.Env["A"] }) {
		return errors.New("env.A: holds a secret")
	}
	return nil
}

type fakeSettings struct {
	Env        map[string]string `yaml:"env" doc:"which everybody can read"`
	StartDelay time.Duration     `yaml:"start_delay" doc:"from a start to publishing"`
	Bits       uint8             `yaml:"bits" doc:"small number"`
}

func testDrivers() map[string]func() any {
	return map[string]func() any{
		"ffmpeg": func() any {
			return &ffmpegSettings{Video: "h264", Audio: "aac", Bitrate: "3000k", Binary: "ffmpeg",
				StallTimeout: 10 * time.Second, Standby: "none"}
		},
		"obs":  func() any { return &obsSettings{Host: Host{"127.0.0.1:4455"}, StallTimeout: 10 * time.Second} },
		"http": func() any { return &httpSettings{Status: request{Method: "GET"}} },
		"fake": func() any { return &fakeSettings{} },
	}
}

// The values of references in tests. No problem may ever show one of them.
var testEnv = map[string]string{
	"MILLICAST_WEBHOOK_SECRET": "c2VjcmV0LWtleS1mb3ItdGVzdHM=",
	"OBS_PASSWORD":             "canary-obs-password",
	"HELO_PASSWORD":            "canary-helo-password",
	"LOBBY_TOKEN":              "canary-lobby-token",
	"NVR_TOKEN":                "canary-nvr-token",
	"NOTIFY_URL":               "slack://canary-slack-token@channel",
	"CANARY":                   "canary-value",
	"NUMBER":                   "7",
	"FLAG":                     "true",
}

func testOptions() Options {
	files := fstest.MapFS{
		"run/credentials/oncue.service/api": {Data: []byte("canary-api-secret\nsecond line\n"), Mode: 0o440},
		"etc/open":                          {Data: []byte("canary-open-file\r\n"), Mode: 0o644},
		"etc/closed":                        {Data: []byte("canary-closed-file"), Mode: 0o600},
		"etc/empty":                         {Data: []byte("\n"), Mode: 0o600},
		"testdata/bad/beside":               {Data: []byte("canary-beside"), Mode: 0o600},
	}
	return Options{
		Drivers: testDrivers(),
		Env:     func(name string) (string, bool) { v, ok := testEnv[name]; return v, ok },
		Open:    func(path string) (fs.File, error) { return files.Open(strings.TrimPrefix(path, "/")) },
		Also: func(c *Config) (found []error) {
			for i, n := range c.Notify {
				if strings.HasPrefix(n.URL.Reveal(), "zzz:") {
					found = append(found,
						fmt.Errorf("notify[%d].url: unsupported service zzz://; allowed: https, slack", i))
				}
			}
			if c.TLS.CertFile == "/missing.pem" {
				found = append(found, errors.New("tls.cert_file: cannot be read; allowed: a PEM file"),
					errors.New("tls.key_file: cannot be read; allowed: a PEM file"))
			}
			return found
		},
	}
}
