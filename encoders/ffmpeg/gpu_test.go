package ffmpeg

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders"
)

// standIn writes a program that is FFmpeg but for its hardware encoders. Those behave as the lines
// of shell say for each kind; a kind without any has the words of FFmpeg here, which finds no
// hardware. It notes each of its tries in its name and .tries.
func standIn(t *testing.T, faults map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ffmpeg")
	text := "#!/bin/bash\n"
	for kind, lines := range faults {
		text += "if [[ \"$*\" == *h264_" + kind + "* ]]; then\n" +
			"[[ \"$*\" == *'-f h264 pipe:1'* ]] && echo " + kind + ` >>"$0.tries"` + "\n" + lines + "\nfi\n"
	}
	if err := os.WriteFile(path, []byte(text+"exec ffmpeg \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// works encodes with libx264 in the place of the hardware.
const works = `out=()
while (($#)); do
	case "$1" in
	-init_hw_device | -vaapi_device | -rc | -zerolatency | -delay | -forced-idr | -gpu) shift ;;
	-async_depth | -look_ahead) shift ;;
	h264_*) out+=(libx264) ;;
	p4) out+=(ultrafast) ;;
	ull) out+=(zerolatency) ;;
	*) out+=("${1//,hwupload/}") ;;
	esac
	shift
done
exec ffmpeg "${out[@]}"`

// inTry does it in a try alone, and inRun in a run alone.
func inTry(lines string) string {
	return "if [[ \"$*\" == *'-f h264 pipe:1'* ]]; then\n" + lines + "\nfi"
}
func inRun(lines string) string {
	return "if [[ \"$*\" != *'-f h264 pipe:1'* ]]; then\n" + lines + "\nfi"
}

// complains ends as FFmpeg does with these words of the encoder.
func complains(words string) string {
	return `echo "[h264_nvenc @ 0x5581] [error] ` + words + `" >&2
echo "[error] Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe ` +
		`incorrect parameters such as bit_rate, rate, width or height" >&2
exit 1`
}

// graphics makes a /dev with devices of these names.
func graphics(t *testing.T, names ...string) string {
	t.Helper()
	dev := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dev, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dev
}

// withGPU are cheap settings that ask for a hardware encoder of a host with both kinds of device.
func withGPU(t *testing.T, kind string, faults map[string]string) Settings {
	s := small()
	s.Encoder, s.Binary, s.dev = kind, standIn(t, faults), graphics(t, "nvidia0", "nvidiactl", "dri/renderD128")
	return s
}

// tried are the kinds that the stand-in was tried for so far.
func tried(s Settings) []string {
	body, _ := os.ReadFile(s.Binary + ".tries")
	return strings.Fields(string(body))
}

// settled waits until all tries are over.
func settled(t *testing.T, e *Encoder) {
	t.Helper()
	await(t, "the tries are over", func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, g := range e.settings.gpus() {
			switch o, known := e.outcomes[g.String()]; {
			case !known:
				return false
			case o.Works:
				return true
			}
		}
		return e.warning != "" || e.settings.Encoder == auto
	})
}

// TestGPU publishes with each kind of hardware, chosen by a try which the next controller need not
// repeat.
func TestGPU(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	ladder := []Rendition{{90, "100k"}, {46, "50k"}}
	for _, c := range []struct {
		name, encoder string
		faults        map[string]string
		renditions    []Rendition
		want          string   // in the command line
		tries         []string // one after the other
	}{
		{"nvenc", "nvenc", map[string]string{"nvenc": works}, nil, "-c:v h264_nvenc", []string{"nvenc"}},
		{"vaapi", "vaapi", map[string]string{"vaapi": works}, nil, "format=nv12,hwupload", []string{"vaapi"}},
		{"qsv", "qsv", map[string]string{"qsv": works}, nil, "-init_hw_device qsv:hw,child_device=", []string{"qsv"}},
		{"renditions", "vaapi", map[string]string{"vaapi": works}, ladder, "scale=-2:46,format=nv12,hwupload[out1]",
			[]string{"vaapi"}},
		{"the best that works", "auto", map[string]string{"nvenc": complains("Cannot load libcuda.so.1"), "vaapi": works},
			nil, "-c:v h264_vaapi", []string{"nvenc", "vaapi"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box, dir := newSink(t), t.TempDir()
			s := withGPU(t, c.encoder, c.faults)
			s.Renditions = c.renditions
			e := openIn(t, s, dir)
			settled(t, e)
			end(t, e)
			if got := tried(s); !slices.Equal(got, c.tries) {
				t.Errorf("tried %q, want %q", got, c.tries)
			}
			for _, o := range e.outcomes {
				tries.Delete(o.Of)
			}
			e = openIn(t, s, dir)
			t.Cleanup(func() { end(t, e) })
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary))
			start(t, e, j)
			await(t, "pictures", func() bool { return box.pictures() > 5 })
			seen := awaitState(t, e, encoders.StatePublishing)
			if argv := strings.ReplaceAll(read(t, fmt.Sprintf("/proc/%d/cmdline", seen.PID)), "\x00", " "); !strings.Contains(
				argv, "libx264") || seen.Warning != "" {
				t.Errorf("it is %+v, and runs %s", seen, argv)
			}
			if plan := fmt.Sprint(e.Plan(j)); !strings.Contains(plan, c.want) {
				t.Errorf("the plan has no %q: %s", c.want, plan)
			}
			st := must(loadState(dir))
			if log := fmt.Sprint(must(e.Log(t.Context(), 500))); !strings.Contains(log, "encodes with "+st.GPU.String()) ||
				st.GPU.Kind == "" {
				t.Errorf("the state has %+v, the log %s", st.GPU, log)
			}
			if works := c.tries[len(c.tries)-1]; slices.Contains(tried(s)[len(c.tries):], works) {
				t.Errorf("opened again, it tried %q", tried(s))
			}
			found := fmt.Sprint(e.Check(t.Context(), j))
			if !strings.Contains(found, "it encodes with "+st.GPU.String()+": a picture took") {
				t.Errorf("the check finds %s", found)
			}
		})
	}
}

// TestGPUFails has hardware fail in the ways it does: x264 encodes, and everybody is told why.
func TestGPUFails(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, c := range []struct{ name, lines, says, hint string }{
		{"no driver", complains("Cannot load libcuda.so.1"), "the NVIDIA driver's library libcuda.so.1 is not there",
			"libnvidia-encode1"},
		{"an old driver", complains("Driver does not support the required nvenc API version. Required: 12.1 Found: 11.1"),
			"too old for this ffmpeg: it has nvenc API 11.1, and 12.1 is needed", "update the driver"},
		{"no session", complains("OpenEncodeSessionEx failed: out of memory (10): (no details)"),
			"no encoding session left", "each rendition is one"},
		{"no device", complains("No capable devices found"), "there is no GPU that encodes with nvenc", ""},
		{"other words", `echo "[h264_nvenc @ 0x1] [error] Flux low" >&2; exit 1`,
			"the hardware encoder failed; it said: h264_nvenc Flux low", ""},
		{"no such encoder", `echo "[fatal] Unknown encoder 'h264_nvenc'" >&2; exit 1`,
			"this ffmpeg has no encoder h264_nvenc", ""},
		{"no picture", inTry("exit 0") + "\n" + works, "it takes a picture, and brings none", ""},
		{"garbage", inTry("head -c 100000 /dev/urandom; exit 0") + "\n" + works, "what it brings is no H.264", ""},
		{"a crash", "kill -SEGV $$", "killed by signal 11 (SIGSEGV)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			box, s := newSink(t), withGPU(t, "nvenc", map[string]string{"nvenc": c.lines})
			e := opened(t, s)
			settled(t, e)
			j := job
			j.Publish = secret.New(box.url("lobby?token=" + canary))
			start(t, e, j)
			await(t, "pictures", func() bool { return box.pictures() > 5 })
			seen := awaitState(t, e, encoders.StatePublishing)
			const begin = "it encodes with x264 instead of the hardware: nvenc on GPU 0: "
			if !strings.HasPrefix(seen.Warning, begin) || !strings.Contains(seen.Warning, c.says) {
				t.Errorf("the warning is %q, want %q", seen.Warning, c.says)
			}
			found := fmt.Sprint(e.Check(t.Context(), j))
			if !strings.Contains(found, "nvenc on GPU 0 does not work: ") || !strings.Contains(found, c.says) ||
				!strings.Contains(found, c.hint) || !strings.Contains(found, "it encodes with x264 instead") {
				t.Errorf("the check finds %s", found)
			}
			if n := len(tried(s)); n != 1 {
				t.Errorf("it was tried %d times", n)
			}
		})
	}
}

// TestGPUHangs has a viewer come while a try hangs: nobody waits for it.
func TestGPUHangs(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, s := newSink(t), withGPU(t, "nvenc", map[string]string{"nvenc": "sleep 1000 & wait"})
	e := opened(t, s)
	await(t, "the try", func() bool { return len(tried(s)) == 1 })
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	await(t, "pictures", func() bool { return box.pictures() > 5 })
	if e.mu.Lock(); len(e.outcomes) > 0 {
		t.Error("the pictures came after the try")
	}
	e.mu.Unlock()
	settled(t, e)
	if seen, _ := e.now(); !strings.Contains(seen.Warning, "it brings no picture within 10s, and hangs") {
		t.Errorf("it is %+v", seen)
	}
}

// TestGPUFailsInRun has hardware pass its try and fail in a run: the next one encodes with x264.
func TestGPUFailsInRun(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for name, lines := range map[string]string{
		"no session": complains("OpenEncodeSessionEx failed: out of memory (10)"), "a crash": "kill -ABRT $$",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box, dir := newSink(t), t.TempDir()
			s := withGPU(t, "nvenc", map[string]string{"nvenc": inRun(lines) + "\n" + works})
			e := openIn(t, s, dir)
			settled(t, e)
			j := job
			j.Publish = secret.New(box.url("lobby"))
			start(t, e, j)
			st := awaitState(t, e, encoders.StateFailed)
			if !strings.HasPrefix(st.Error, "nvenc on GPU 0: ") || st.Permanent ||
				!strings.Contains(st.Error, "the next start encodes with x264") {
				t.Errorf("it is %+v", st)
			}
			end(t, e)
			e = openIn(t, s, dir) // nobody forgets it with a restart
			t.Cleanup(func() { end(t, e) })
			start(t, e, j)
			await(t, "pictures", func() bool { return box.pictures() > 5 })
			settled(t, e)
			if seen := awaitState(t, e, encoders.StatePublishing); seen.Warning == "" {
				t.Errorf("it is %+v", seen)
			}
			if o := e.outcomes["nvenc on GPU 0"]; !o.InRun || !o.stale(time.Now().Add(gpuRunRetry+time.Second)) ||
				o.stale(time.Now()) {
				t.Errorf("it is known as %+v", o)
			}
		})
	}
}

// TestGPUBringsNothing has hardware pass its try and bring nothing in a run: it is tried again.
func TestGPUBringsNothing(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	box, s := newSink(t), withGPU(t, "nvenc", map[string]string{"nvenc": inRun("exec sleep 1000") + "\n" + works})
	e := opened(t, s)
	settled(t, e)
	j := job
	j.Publish = secret.New(box.url("lobby"))
	start(t, e, j)
	await(t, "it had its time", func() bool { return time.Since(must(loadState(e.env.Dir)).Started) > gpuPatience })
	if err := e.Stop(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	await(t, "another try", func() bool { return len(tried(s)) == 2 })
	settled(t, e)
}

// TestNoGPU tells a host without hardware from one whose hardware does not work.
func TestNoGPU(t *testing.T) {
	t.Parallel()
	needFFmpeg(t)
	for _, c := range []struct {
		encoder, device string
		devices         []string
		warns, finds    string
	}{
		{"auto", "", nil, "", "encoder is auto, and no hardware for it is here"},
		{"auto", "", []string{"video0"}, "", "v4l2m2m: no V4L2 device here encodes H.264"},
		{"vaapi", "", []string{"nvidia0"}, "there is no device for vaapi (/dev/dri/renderD128)", "gpu.conf"},
		{"vaapi", "/dev/dri/renderD131", []string{"dri/renderD128"}, "there is no device /dev/dri/renderD131 for vaapi",
			"renderD131"},
		{"vaapi", "", []string{"dri/renderD128"}, "has no VA-API driver, or may not be opened", "groups render"},
		{"nvenc", "", []string{"nvidia0"}, "the NVIDIA driver's library libcuda.so.1 is not there", "libnvidia-encode1"},
		{"v4l2m2m", "", []string{"video0"}, "no V4L2 device here encodes H.264", "v4l2m2m does not work"},
	} {
		t.Run(c.encoder+c.device+fmt.Sprint(c.devices), func(t *testing.T) {
			t.Parallel()
			s := small()
			s.Encoder, s.EncoderDevice, s.dev = c.encoder, c.device, graphics(t, c.devices...)
			e, err := New(s, encoders.Env{Name: "cam", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			j := job
			j.Publish = secret.New("rtmp://127.0.0.1:1/a/b")
			found := fmt.Sprint(e.Check(t.Context(), j))
			if !strings.Contains(found, c.finds) {
				t.Errorf("the check finds %s, want %s", found, c.finds)
			}
			if seen, _ := e.now(); !strings.Contains(seen.Warning, c.warns) || c.warns == "" && seen.Warning != "" {
				t.Errorf("it warns %q, want %q", seen.Warning, c.warns)
			}
			if plan := fmt.Sprint(e.Plan(j)); !strings.Contains(plan, "-c:v libx264") {
				t.Errorf("the plan is %s", plan)
			}
		})
	}
}

func TestValidateEncoder(t *testing.T) {
	for _, c := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(s *Settings) {}, ""},
		{func(s *Settings) { s.Encoder = "" }, ""}, // of a run that began before there was a choice
		{func(s *Settings) { s.Encoder = "amf" },
			`encoder: is "amf", must be one of auto, x264, nvenc, qsv, vaapi, v4l2m2m`},
		{func(s *Settings) { s.Encoder, s.EncoderDevice = "x264", "1" },
			"encoder_device: is of the hardware, and encoder is x264: write encoder: auto"},
		{func(s *Settings) { s.Encoder, s.EncoderDevice = "v4l2m2m", "/dev/video11" },
			"encoder_device: cannot be chosen for v4l2m2m: FFmpeg looks for the device itself"},
		{func(s *Settings) { s.Args, s.Input = []string{"-i", "x"}, "" },
			"encoder: has no place in args: choose it there, or write input instead of args"},
		{func(s *Settings) { s.Video = "copy" },
			"encoder: makes h264, and video is copy: write video: h264, or leave encoder out"},
		{func(s *Settings) { s.OutputArgs = []string{"-c:v", "h264_nvenc", "-c:a", "copy"} },
			"output_args: has -c:v, which encoder sets to suit the hardware: remove one of them"},
	} {
		s := small()
		s.Encoder = auto
		c.change(&s)
		got := ""
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}
