package ffmpeg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// TestEnv reads a sound card that exists only by a file which a variable names, confined as it is.
func TestEnv(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, s := newSink(t), small()
	path := filepath.Join(t.TempDir(), "asound.conf")
	if err := os.WriteFile(path, []byte("pcm.studio { type null }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.AudioInput, s.Env = "alsa:studio", map[string]string{"ALSA_CONFIG_PATH": path, "HOME": "/nowhere"}
	e := opened(t, s)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	if found := e.Probe(t.Context(), j); len(found) != 2 || found[1].Level != encoders.OK {
		t.Errorf("the probe finds %v", found)
	}
	if plan := e.Plan(j)[0]; !strings.HasPrefix(plan, "ALSA_CONFIG_PATH="+proc.Quote(path)+" HOME=/nowhere ffmpeg ") {
		t.Errorf("the plan is %s", plan)
	}
	start(t, e, j)
	await(t, "sound", func() bool { return box.sound() > 5 })
}

func TestValidateEnv(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"LIBVA_DRIVER_NAME", "iHD", ""},
		{"A B", "x", `env: has "A B", must be a name of letters, digits and _`},
		{"ONCUE_ENCODER", "x", "env: has ONCUE_ENCODER, which oncue itself sets: remove it"},
		{"A", "x\x00", "env.A: holds a zero byte"},
		{"A", "the " + canary, "env.A: holds a secret"},
		{"A", "http://u:hunter2hunter2@proxy:3128", "env.A: holds a secret"},
	} {
		s := small()
		s.Env = map[string]string{c.name: c.value}
		_, err := New(s, encoders.Env{Secrets: []secret.Value{secret.New(canary)}})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s=%q: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}
