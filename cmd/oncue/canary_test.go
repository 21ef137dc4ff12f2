package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oncue/oncue/cmd/oncue/daemon"
	"github.com/oncue/oncue/cmd/oncue/term"
	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/obs/obstest"
)

// The values of references in these tests. They hold what URLs, JSON and shells escape, so "canary"
// is what is sought.
var canaries = map[string]string{"HUSH": `canary/7+x="y'z`, "TOKEN": "canary-token-0123456789"}

// textKey is a key of a driver's settings that can hold a text, and what stands there around the
// reference.
type textKey struct {
	path []string
	wrap func(text string) any
}

// textKeys finds the keys by the types, so that a new key is tried without a word here. Those that
// are marked as shown name addresses, paths and choices.
func textKeys(t reflect.Type, path []string, wrap func(string) any) []textKey {
	switch {
	case t == reflect.TypeFor[secret.Value](), t.Kind() == reflect.String:
		return []textKey{{path, wrap}}
	case t.Kind() == reflect.Interface:
		return []textKey{{path, func(s string) any { return map[string]any{"x": []any{wrap(s)}} }}}
	case t.Kind() == reflect.Pointer:
		return textKeys(t.Elem(), path, wrap)
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct: // one may stand alone
		return textKeys(t.Elem(), path, wrap)
	case t.Kind() == reflect.Slice:
		return textKeys(t.Elem(), path, func(s string) any { return []any{wrap(s)} })
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		return []textKey{{append(slices.Clone(path), "x"), wrap}}
	case t.Kind() == reflect.Map:
		return textKeys(t.Elem(), append(slices.Clone(path), "x"), wrap)
	case t.Kind() == reflect.Struct:
		var keys []textKey
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name != "" && name != "-" && f.Tag.Get("enum") == "" && f.Tag.Get("shown") == "" {
				keys = append(keys, textKeys(f.Type, append(slices.Clone(path), name), wrap)...)
			}
		}
		return keys
	}
	return nil
}

// with is a copy of settings with one key set.
func with(settings any, path []string, value any) any {
	if len(path) == 0 {
		return value
	}
	old, _ := settings.(map[string]any)
	out := maps.Clone(old)
	if out == nil {
		out = map[string]any{}
	}
	out[path[0]] = with(old[path[0]], path[1:], value)
	return out
}

// loudFFmpeg is a program of FFmpeg's name that writes down its command line and environment,
// complains of all that it was given, and ends.
func loudFFmpeg(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ffmpeg")
	const script = `#!/bin/sh
tr '\0' '\n' </proc/$$/cmdline >>"$0.seen"; tr '\0' '\n' </proc/$$/environ >>"$0.seen"
echo "[error] $*" >&2
for fd in 4 5 6; do [ -p /proc/$$/fd/$fd ] && cat /proc/$$/fd/$fd >&2; done
exit 1
`
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// echoBox is a box that refuses everything with all that it was sent, but tells its state.
func echoBox(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Set-Cookie", "sid=canary-cookie")
	if !strings.HasPrefix(r.URL.Path, "/state") {
		w.WriteHeader(http.StatusInternalServerError)
	}
	fmt.Fprintf(w, "%s %v %s %s", r.URL, r.Header, body, r.URL.RawQuery)
}

// talkerBases are settings for a box that speaks lines and refuses everything with all that it was
// sent, but tells its state.
func talkerBases(t *testing.T) []any {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "hello\n")
				for lines := bufio.NewScanner(c); lines.Scan(); {
					fmt.Fprintf(c, "no: %s\n", lines.Text())
				}
			}()
		}
	}()
	type m = map[string]any
	base := func(kind, text string) m {
		step := func() m { return m{kind: text, "refuse": "^no: (.*)", "expect": "^yes"} }
		return m{"address": l.Addr().String(), "timeout": "300ms", "connect": m{"expect": "hello"},
			"start": step(), "stop": step(), "facts": m{"said": "(.*)"},
			"status": m{kind: text, "expect": "^no", "live": "false", "stopped": "true"}}
	}
	return []any{base("send", "x"), base("hex", "78 0A"), with(base("send", "x"), []string{"connect"}, m{"hex": "78 0A"})}
}

// TestNoKeyShowsWhatAReferenceGave puts a reference into every key of every driver that can hold a
// text, and looks for its value in everything that people and other programs see of that encoder.
func TestNoKeyShowsWhatAReferenceGave(t *testing.T) {
	t.Parallel()
	box := httptest.NewServer(http.HandlerFunc(echoBox))
	t.Cleanup(box.Close)
	type m = map[string]any
	request := func(path string) m { return m{"method": "POST", "path": path} }
	http := m{"url": box.URL, "retries": 0, "start": request("/start"), "stop": request("/stop"),
		"status": m{"path": "/state", "live": "status == 1", "stopped": "status == 200"}}
	login := with(with(http, []string{"auth"}, "login"), []string{"login"}, request("/login"))
	auth := func(kind string) any {
		return with(with(with(http, []string{"auth"}, kind), []string{"auth_name"}, "k"), []string{"auth_value"}, "x")
	}
	bases := map[string][]any{
		"ffmpeg": {m{"input": "testsrc", "audio_input": "test"}, m{"args": []any{"-i", "x"}}, m{"input": "testsrc",
			"renditions": []any{m{"height": 180, "bitrate": "300k"}, m{"height": 90, "bitrate": "100k"}}}},
		"obs": {m{"address": obstest.NewServer(t, obstest.Settings{}).Address, "set_service": true},
			m{"address": obstest.NewServer(t, obstest.Settings{}).Address, "set_service": "key"}},
		"exec": {
			m{"command": []any{"sh", "-c", `env; cat "$0"`, "{publish_file}"}, "secrets_in_argv": true},
			m{"command": []any{"sh", "-c", `cat "$0"`, "{file:x}"}, "files": m{"x": "x"}},
			m{"command": []any{"true"}, "ready": m{"output": "x"}},
		},
		"fake":    {m{}},
		"systemd": {m{"unit": "enc@{stream}.service"}},
		"wol":     {m{"mac": "a0:b1:c2:d3:e4:f5", "check": "tcp://127.0.0.1:1"}},
		"tcp":     talkerBases(t),
		"http": {
			http, auth("header"), auth("query"), auth("bearer"), login,
			with(login, []string{"login", "capture", "x"}, m{"regex": "(.+)"}),
			with(login, []string{"login", "capture", "x"}, m{}), with(http, []string{"start", "path"}, "/{x}"),
			with(http, []string{"status", "method"}, "POST"),
		},
	}
	urls := []string{"rtsp://127.0.0.1:1/${HUSH}/1", "http://u:${HUSH}@127.0.0.1:1/?x=${HUSH}"}
	forms := append(urls, "${HUSH}", "text == `${HUSH}`", "stream == `${HUSH}`", "/{stream}/${HUSH}",
		"http://127.0.0.1:1/${HUSH}")
	for _, driver := range slices.Sorted(maps.Keys(daemon.DriverSettings())) {
		if bases[driver] == nil {
			t.Errorf("there is no base for driver %s: add one", driver)
		}
		settings := reflect.TypeOf(daemon.DriverSettings()[driver]()).Elem()
		for _, key := range textKeys(settings, nil, func(s string) any { return s }) {
			name := driver + "." + strings.Join(key.path, ".")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				taken := false
				for i, base := range bases[driver] {
					for _, form := range forms {
						settings := with(base, key.path, key.wrap(form))
						if driver == "ffmpeg" {
							settings = with(settings, []string{"binary"}, loudFFmpeg(t))
						}
						if tryCanary(t, fmt.Sprintf("base %d, %s", i, form), driver, settings) {
							if taken = true; !slices.Contains(urls, form) {
								break
							}
						}
					}
				}
				if !taken {
					t.Errorf("no base takes a text there: add one that does")
				}
			})
		}
	}
}

// tryCanary reports whether the configuration is good.
func tryCanary(t *testing.T, what, driver string, settings any) bool {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"accounts": map[string]any{"ABC123": map[string]any{"webhook_secrets": []string{exampleSecret.Reveal()}}},
		"encoders": map[string]any{"e": map[string]any{driver: settings}},
		"streams": map[string]any{"lobby": map[string]any{
			"encoder": "e", "publish": "rtmp://127.0.0.1:1/v2/pub/{stream}?token=${TOKEN}",
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := &output{}
	env := func(name string) (string, bool) { return canaries[name], true }
	cfg, warnings, err := configs.Options{Drivers: daemon.DriverSettings(), Env: env}.Parse("c.yaml", text)
	fmt.Fprintln(seen, warnings, err)
	if err == nil {
		liveThrough(t, cfg, seen)
	}
	for line := range strings.Lines(seen.String()) {
		if strings.Contains(strings.ToLower(line), "canary") {
			t.Errorf("%s: %s", what, line)
		}
	}
	if e, ok := cfgEncoder(cfg); ok && driver == "ffmpeg" {
		binary := reflect.ValueOf(e.Settings).Elem().FieldByName("Binary").String()
		argv, _ := os.ReadFile(binary + ".seen")
		if bytes.Contains(argv, []byte("canary")) &&
			!strings.Contains(seen.String(), "can be seen in the process list") {
			t.Errorf("%s: its command line holds it, and nobody says so: %s", what, argv)
		}
	}
	return err == nil || strings.Contains(err.Error(), "holds a secret")
}

func cfgEncoder(cfg *configs.Config) (*configs.Encoder, bool) {
	if cfg == nil {
		return nil, false
	}
	return cfg.Encoder("e")
}

// liveThrough does to the encoder what commands and the daemon do.
func liveThrough(t *testing.T, cfg *configs.Config, seen *output) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	archive, err := cfg.Archive(daemon.DriverSettings())
	fmt.Fprintln(seen, string(archive), err, planPage{term.Screen{Out: seen, Size: 200}}.plan(cfg, true))
	e, _ := cfg.Encoder("e")
	log := slog.New(slog.NewTextHandler(seen, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	enc, err := daemon.OpenDriver(e.Driver, e.Settings, encoders.Env{Name: "e", Dir: dir, Log: log, Secrets: e.Secrets})
	if err != nil {
		fmt.Fprintln(seen, err)
		return
	}
	trace(enc, term.Screen{Out: seen, Size: 200})
	job := exampleJob(cfg.Streams[0], cfg.Streams[0].Encoders[0])
	job.Run, job.Grace = "run1", time.Second
	for _, f := range append(enc.(encoders.Checker).Check(ctx, job), enc.(encoders.Prober).Probe(ctx, job)...) {
		fmt.Fprintln(seen, f.What, f.Hint)
	}
	fmt.Fprintln(seen, enc.Start(ctx, job))
	st, err := enc.Status(ctx, job)
	if e.Driver == "ffmpeg" {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for err == nil && !st.State.Gone() && ctx.Err() == nil {
			<-tick.C
			st, err = enc.Status(ctx, job)
		}
	}
	fmt.Fprintln(seen, st.Error, err)
	fmt.Fprintln(seen, enc.Stop(ctx, job))
	lines, err := enc.(encoders.Logger).Log(ctx, 1000)
	fmt.Fprintln(seen, strings.Join(lines, "\n"), err, enc.(encoders.Closer).Close())
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		fmt.Fprintln(seen, string(text), err)
	}
}

// output is what people see, from several goroutines.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *output) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(p)
}
