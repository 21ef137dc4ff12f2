package ffmpeg

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/ffmpeg/cameratest"
)

// TestProbe opens inputs of all kinds, and none that others may need.
func TestProbe(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	text := filepath.Join(t.TempDir(), "text.mp4")
	if err := os.WriteFile(text, []byte("no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := "127.0.0.1:" + freePort(t)
	for what, c := range map[string]struct {
		input string
		level encoders.Level // "": nothing is tried
		says  string
	}{
		"a camera": {cameratest.Small(t).URL(), encoders.OK, "h264 640x360"},
		"a camera that is off": {"rtsp://admin:" + canary + "@" + closed + "/cam", encoders.Bad,
			"connection refused"},
		"an address that is off":  {"http://" + closed + "/a.m3u8?token=" + canary, encoders.Bad, "connection refused"},
		"a camera without a word": {"rtsp://" + silent.Addr().String() + "/cam", encoders.Bad, "nothing within 300ms"},
		"a sender yet to come":    {"udp://" + closed, encoders.Warn, "nothing within 300ms"},
		"a text file":             {text, encoders.Bad, "not a video"},
		"a graph":                 {"lavfi:testsrc2=size=160x120", encoders.OK, "160x120"},
		"a graph of nothing":      {"lavfi:nothing", encoders.Bad, "no filter nothing"},
		"the test picture":        {"test", "", ""},
		"a device":                {"/dev/video99", "", ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := small()
			s.Input = c.input
			limit := time.Minute // a busy machine takes its time
			if strings.Contains(c.says, "nothing within") {
				limit = 300 * time.Millisecond
			}
			found := opened(t, s).probe(t.Context(), job, limit, limit)
			if c.level == "" {
				if len(found) > 0 {
					t.Errorf("found %v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Level != c.level || !strings.Contains(found[0].What, c.says) {
				t.Errorf("found %v, want %s: … %s", found, c.level, c.says)
			}
			if strings.Contains(fmt.Sprint(found), canary) {
				t.Errorf("the password is shown: %v", found)
			}
		})
	}
}
