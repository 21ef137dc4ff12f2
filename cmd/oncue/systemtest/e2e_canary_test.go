package systemtest

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oncue/oncue/controller"
)

// TestSecretsComeOutNowhere runs the program with secrets in every form in which cameras and boxes
// have them, lets everything fail that can, and looks for them wherever something comes out.
func TestSecretsComeOutNowhere(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	var told toldPeople
	people := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(&told, r.Body)
	}))
	t.Cleanup(people.Close)
	s := newSite(t, buildOncue(t))
	s.env = []string{"HUSH=canary-of-a-reference", "CAM_URL=rtsp://127.0.0.1:1/canary-path/1"}
	inputs := []string{
		"rtsp://admin:canary-1@127.0.0.1:1/1",
		"rtsp://127.0.0.1:1/videoMain?usr=admin&pwd=canary-2",
		"rtsp://127.0.0.1:1/user=admin_password=canary-3_channel=1_stream=0.sdp",
		"http://127.0.0.1:1/live.ts?access_token=canary-4",
		"http://127.0.0.1:1/a.m3u8?pass=canary-5",
		"http://u:canary-6@127.0.0.1:1/film.mp4",
		"rtmp://127.0.0.1:1/live/cam?auth=canary-7",
		"srt://127.0.0.1:1?passphrase=canary-8-long&streamid=canary-9",
		"rtsp://127.0.0.1:1/${HUSH}/1",
		"${CAM_URL}",
		"tcp://127.0.0.1:1?token=canary-10",
		"rtsp://127.0.0.1:1/1?u=admin&p=canary-11",
	}
	var encoders, streams strings.Builder
	add := func(name, settings string) {
		fmt.Fprintf(&encoders, "  %s: {%s}\n", name, settings)
		fmt.Fprintf(&streams,
			"  %s: {encoder: %s, publish: \"rtmp://127.0.0.1:1/v2/pub/{stream}?token=canary-token\"}\n", name, name)
	}
	for i, in := range inputs {
		add(fmt.Sprintf("cam%d", i),
			fmt.Sprintf("ffmpeg: {input: %q, video: copy, audio: none, stall_timeout: 2s}", in))
	}
	add("header",
		`ffmpeg: {input: "http://127.0.0.1:1/a.ts", video: copy, `+
			`input_args: [-headers, "Authorization: Bearer canary-header"]}`)
	add("query",
		`http: {url: "http://127.0.0.1:1", retries: 0, auth: query, auth_name: k, auth_value: canary-value, `+
			`start: {path: /s}, stop: {path: /p}, status: {path: "/t?pin=canary-pin", live: "true", stopped: "false"}}`)
	add("fake", `fake: {start_error: "it said ${HUSH}"}`)
	// Where they are told to publish, in every form that drivers are told it.
	drivers := map[string]string{
		"plain": "ffmpeg: {input: test}",
		"args":  `ffmpeg: {args: ["-re", "-f", "lavfi", "-i", "testsrc2", "-c:v", "libx264", "-f", FORMAT, "{publish}"]}`,
		"obs":   `obs: {address: "127.0.0.1:1", password: canary-obs, set_service: true}`,
		"http": `http: {url: "http://127.0.0.1:1", retries: 0, start: {path: /s, method: POST, json: {url: "{publish}", ` +
			`key: "{publish_key}"}}, stop: {path: /p}, status: {path: /t, live: "true", stopped: "false"}}`,
		"told": `fake: {start_error: "it was told {publish}"}`,
	}
	formats := map[string]string{"srt": "mpegts", "escaped": "mpegts", "base64": "mpegts", "whip": "whip"}
	for form, publish := range map[string]string{
		"token":   `"rtmp://127.0.0.1:1/v2/pub/{stream}?token=canary-token-2&sourceId=x"`,
		"short":   `"rtmp://127.0.0.1:1/v2/pub/{stream}?t=canary-token-3"`,
		"auth":    `"rtmps://127.0.0.1:1/v2/pub/{stream}?auth=canary-token-4"`,
		"user":    `"rtmp://anna:canary-user@127.0.0.1:1/v2/pub/{stream}?token=canary-token-5"`,
		"whip":    `"http://127.0.0.1:1/api/whip/{stream}?auth=canary-token-6"`,
		"srt":     `"srt://127.0.0.1:1?streamid={stream}?t=canary-token-7"`,
		"escaped": `"srt://127.0.0.1:1?streamid={stream}%3Ftoken%3Dcanary-token-8&passphrase=canary-passphrase"`,
		"parts":   `{token: "` + hex.EncodeToString([]byte("canary-token-9")) + `", server: "rtmp://127.0.0.1:1"}`,
		"base64":  `{token: "` + hex.EncodeToString([]byte("canary-token-0")) + `", server: "srt://127.0.0.1:1"}`,
	} {
		for driver, settings := range drivers {
			if form == "user" && (driver == "plain" || driver == "args") {
				continue // FFmpeg takes it from the command line alone; doctor warns of that
			}
			settings = strings.Replace(settings, "FORMAT", cmp.Or(formats[form], "flv"), 1)
			name := driver + "-" + form
			fmt.Fprintf(&encoders, "  %s: {%s}\n", name, settings)
			fmt.Fprintf(&streams, "  %s: {encoder: %s, publish: %s}\n", name, name, publish)
		}
	}
	s.configure(fmt.Sprintf("encoders:\n%sstreams:\n%snotify: [{url: %q, secret: Y2FuYXJ5LW5vdGljZS1rZXk=}]\n"+
		"defaults: {start_timeout: 5s, restart: {initial: 1s, give_up_after: 2}}\n"+
		"# canary-comment\n", encoders.String(), streams.String(), people.URL+"/canary-notify"))
	s.start()
	seen := &bytes.Buffer{}
	names := strings.FieldsFunc(encoders.String(), func(r rune) bool { return r == '\n' })
	for i, line := range names {
		names[i], _, _ = strings.Cut(strings.TrimSpace(line), ":")
		s.hook(controller.HookAttempt, names[i])
	}
	failed := map[string]bool{}
	s.await("each has failed once", func() bool {
		for _, pid := range s.holders() { // the daemon's children; between fork and exec they look like the daemon
			argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
			if !bytes.HasPrefix(argv, []byte(s.binary)) {
				fmt.Fprintf(seen, "%s\n%s\n", bytes.ReplaceAll(argv, []byte{0}, []byte(" ")), environ)
			}
		}
		for _, name := range names {
			v, ok := s.stream(name)
			failed[name] = failed[name] || ok &&
				(v.Phase == controller.PhaseBackoff || v.Phase == controller.PhaseFailed)
		}
		return len(failed) == len(names) && !slices.Contains(slices.Collect(maps.Values(failed)), false)
	})
	for _, name := range names {
		for _, path := range []string{"", "/history?limit=100", "/log?lines=500"} {
			_, text := s.get("/api/v1/streams/" + testAccount + "%2F" + name + path)
			fmt.Fprintf(seen, "%s%s %s\n", name, path, text)
		}
	}
	for _, path := range []string{"/status", "/metrics", "/api/v1/events"} {
		_, text := s.get(path)
		fmt.Fprintf(seen, "%s %s\n", path, text)
	}
	archive := filepath.Join(s.dir, "bundle.tar.gz")
	commands := [][]string{{"check", "-v"}, {"doctor"}, {"status"}, {"bundle", "-o", archive}}
	printed := make([][]byte, len(commands))
	many(len(commands), func(i int) {
		cmd := exec.Command(s.binary, append(commands[i], "--config", s.config())...)
		cmd.Env = append(os.Environ(), s.env...)
		printed[i], _ = cmd.CombinedOutput() // doctor finds what is broken
	})
	fmt.Fprintf(seen, "%s\n", bytes.Join(printed, []byte("\n")))
	out, err := exec.Command("tar", "xzOf", archive).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("encoders:")) {
		t.Errorf("the archive: %v: %s", err, out)
	}
	fmt.Fprintf(seen, "%s\n", out)
	s.await("people are told", func() bool { told.mu.Lock(); defer told.mu.Unlock(); return told.Len() > 0 })
	s.term()
	told.mu.Lock()
	fmt.Fprintf(seen, "%s\n%s\n", told.String(), s.log())
	told.mu.Unlock()
	err = filepath.WalkDir(s.data(), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			fmt.Fprintf(seen, "%s: %s\n", path, text)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/ffmpeg -nostdin", "oncue.db: ", "ffmpeg.log: ", "Impossible to open", "k=********", "it said ********",
		"failed",
	} {
		if !strings.Contains(seen.String(), want) {
			t.Errorf("there is no %q in what was looked at", want)
		}
	}
	canary := regexp.MustCompile(`(?i)canary|63616e617279|Y2FuYXJ5`) // as it is, hexadecimal, base64
	for line := range strings.Lines(seen.String()) {
		if at := canary.FindStringIndex(line); at != nil {
			t.Errorf("it came out: …%s", line[max(0, at[0]-200):min(len(line), at[1]+100)])
		}
	}
}

// toldPeople is what was posted to people, from several goroutines.
type toldPeople struct {
	mu sync.Mutex
	bytes.Buffer
}

func (t *toldPeople) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.Buffer.Write(p)
}
