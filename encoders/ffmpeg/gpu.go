package ffmpeg

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// This file chooses what encodes H.264: x264, or an encoder of the hardware. Which of those work
// depends on the device, its driver, the FFmpeg and on what else uses the device. So each is tried
// with one picture, and what came of it is kept. No viewer waits for a try: a start takes what is
// known by then, and x264 where nothing is.

// gpu is an encoder of the hardware: a kind, and a device. The zero value is x264.
type gpu struct {
	Kind string `json:"kind,omitempty"` // as in Settings.Encoder
	// Node is a render node, or the place of a device among NVIDIA's; "" where FFmpeg looks for one.
	Node string `json:"node,omitempty"`
}

const (
	x264 = "x264"
	auto = "auto"
)

// gpuKinds are in the order in which auto tries them.
var gpuKinds = []string{"nvenc", "qsv", "vaapi", "v4l2m2m"}

func (g gpu) String() string {
	switch {
	case g.Kind == "":
		return x264
	case g.Node == "":
		return g.Kind
	case g.Kind == "nvenc":
		return "nvenc on GPU " + g.Node
	}
	return g.Kind + " on " + g.Node
}

// setup are the options before all inputs. (FFmpeg's manual, "Advanced Video options".)
func (g gpu) setup() []string {
	switch g.Kind {
	case "qsv":
		return []string{"-init_hw_device", "qsv:hw,child_device=" + g.Node}
	case "vaapi":
		return []string{"-vaapi_device", g.Node}
	}
	return nil
}

// upload is the filter that brings pictures to the device, after all others; "" for none.
func (g gpu) upload() string {
	if g.Kind == "vaapi" {
		return "format=nv12,hwupload"
	}
	return ""
}

// codec are the options that choose the encoder, for the least delay. (FFmpeg's `-h encoder=...`.)
func (g gpu) codec(s Settings) []string {
	switch g.Kind {
	case "nvenc":
		o := []string{"-c:v", "h264_nvenc", "-preset", "p4", "-tune", "ull", "-rc", "cbr", "-zerolatency", "1", "-delay", "0",
			"-forced-idr", "1", "-profile:v", "main", "-pix_fmt", "yuv420p", "-bf", "0"}
		if g.Node != "" {
			o = append(o, "-gpu", g.Node)
		}
		return o
	case "qsv":
		return []string{"-c:v", "h264_qsv", "-preset", "veryfast", "-async_depth", "1", "-look_ahead", "0", "-forced_idr",
			"1", "-profile:v", "main", "-pix_fmt", "nv12", "-bf", "0"}
	case "vaapi":
		return []string{"-c:v", "h264_vaapi", "-profile:v", "main", "-bf", "0"}
	case "v4l2m2m":
		return []string{"-c:v", "h264_v4l2m2m", "-pix_fmt", "yuv420p"}
	}
	return []string{"-c:v", "libx264", "-preset", s.Preset, "-tune", "zerolatency", "-profile:v", "main", "-pix_fmt",
		"yuv420p", "-bf", "0"}
}

// usesGPU reports whether the settings ask for an encoder of the hardware.
func (s Settings) usesGPU() bool { return s.Encoder != x264 && s.Encoder != "" }

// gpuWords are words of a command line that needs what the settings ask for, see [hardware].
func (s Settings) gpuWords() []string {
	if s.Encoder == auto {
		return gpuKinds
	}
	return []string{s.Encoder}
}

// gpus lists what the settings allow and this host has a device for, the best first.
func (s Settings) gpus() []gpu {
	dev := cmp.Or(s.dev, "/dev")
	nodes := func(pattern string) []string {
		found, _ := filepath.Glob(filepath.Join(dev, pattern)) // sorted
		return found
	}
	var all []gpu
	for _, kind := range gpuKinds {
		if s.Encoder != kind && s.Encoder != auto {
			continue
		}
		switch kind {
		case "nvenc":
			for i := range nodes("nvidia[0-9]*") { // CUDA counts those that it sees
				all = append(all, gpu{kind, fmt.Sprint(i)})
			}
		case "v4l2m2m":
			if len(nodes("video[0-9]*")) > 0 {
				all = append(all, gpu{Kind: kind})
			}
		default:
			for _, node := range nodes("dri/renderD*") {
				all = append(all, gpu{kind, node})
			}
		}
	}
	if s.EncoderDevice != "" {
		all = slices.DeleteFunc(all, func(g gpu) bool { return g.Node != s.EncoderDevice })
	}
	return all
}

// outcome is what is known of a GPU.
type outcome struct {
	gpu    gpu
	Of     string        `json:"of"` // what was tried, see gpuMark
	At     time.Time     `json:"at"`
	Took   time.Duration `json:"took,omitempty"`
	Works  bool          `json:"works,omitempty"`
	Why    string        `json:"why,omitempty"`    // it does not, in plain words
	Hint   string        `json:"hint,omitempty"`   // the likely fix
	Absent bool          `json:"absent,omitempty"` // there is no such device behind the node
	InRun  bool          `json:"in_run,omitempty"` // a run has shown it
}

const (
	// gpuFile keeps the outcomes, by the name of the GPU.
	gpuFile = "ffmpeg.gpus"
	// gpuRetry is after how long a GPU that failed is tried again: its sessions may be free by then,
	// or its driver loaded. One that failed in a run has passed its try before, so it waits longer.
	gpuRetry    = 10 * time.Minute
	gpuRunRetry = time.Hour
)

func (o outcome) stale(now time.Time) bool {
	after := gpuRetry
	if o.InRun {
		after = gpuRunRetry
	}
	return !o.Works && now.Sub(o.At) > after
}

// gpuMark identifies what a try depends on: the program, the driver, the device and the pictures.
func (s Settings) gpuMark(g gpu, binary string) string {
	var kernel unix.Utsname
	_ = unix.Uname(&kernel)
	drivers, _ := filepath.Glob("/usr/lib/*/dri")
	drivers = append(drivers, filepath.SplitList(cmp.Or(s.Env["LIBVA_DRIVERS_PATH"], os.Getenv("LIBVA_DRIVERS_PATH")))...)
	marks := []any{markOf(binary), markOf(g.Node), unix.ByteSliceToString(kernel.Release[:])}
	if g.Kind == "nvenc" {
		version, _ := os.ReadFile("/sys/module/nvidia/version")
		marks, drivers = append(marks, string(version)), nil
	}
	for _, folder := range drivers {
		marks = append(marks, markOf(folder))
	}
	return fmt.Sprint(g, marks, s.variables(encoders.Job{}), s.Sandbox, s.Allow, s.Width, s.Height, s.FPS, s.Bitrate,
		s.GOP, s.Renditions)
}

// chosen are the settings with what encodes by what is known now.
func (e *Encoder) chosen() Settings {
	s := e.settings
	if !s.usesGPU() {
		return s
	}
	binary, err := proc.LookUp(s.Binary, binaryKey)
	if err != nil {
		return s // the start says so
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range s.gpus() {
		if o := e.outcomes[g.String()]; o.Works && o.Of == s.gpuMark(g, binary) {
			s.gpu = g
			return s
		}
	}
	return s
}

// tryGPUs tries what is not known, until one works, and returns what it knows then, the best first.
// again tries those anew that failed long ago.
func (e *Encoder) tryGPUs(ctx context.Context, again bool) []outcome {
	binary, err := proc.LookUp(e.settings.Binary, binaryKey)
	if err != nil {
		return nil // the start says so
	}
	var found []outcome
	for _, g := range e.settings.gpus() {
		mark := e.settings.gpuMark(g, binary)
		e.mu.Lock()
		o, known := e.outcomes[g.String()]
		e.mu.Unlock()
		if !known || o.Of != mark || again && o.stale(time.Now()) {
			if o = e.tryGPU(ctx, g, binary, mark); ctx.Err() != nil {
				return found
			}
			e.learn(g, o)
		}
		o.gpu = g
		if found = append(found, o); o.Works {
			break
		}
	}
	e.warnOfGPUs(found)
	return found
}

// learn keeps an outcome.
func (e *Encoder) learn(g gpu, o outcome) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outcomes[g.String()] = o
	if err := encoders.Remember(e.env.Dir, gpuFile, e.outcomes); err != nil {
		e.env.Log.Warn("the outcome of a hardware encoder's try cannot be saved", "error", err)
	}
}

// recallGPUs reads what an earlier controller has learned. What failed in a try is tried anew: the
// host may have started since.
func (e *Encoder) recallGPUs() {
	e.outcomes = map[string]outcome{}
	if !e.settings.usesGPU() {
		return
	}
	kept, _ := encoders.Recall[map[string]outcome](e.env.Dir, gpuFile) // if it cannot be read, all is tried
	for name, o := range kept {
		if o.Works || o.InRun {
			e.outcomes[name] = o
		}
	}
}

// beginTries has tryGPUs run in the background.
func (e *Encoder) beginTries() {
	if !e.settings.usesGPU() || e.env.Dir == "" {
		return
	}
	e.followers.Go(func() {
		ctx, cancel := e.untilClosed()
		defer cancel()
		e.tryGPUs(ctx, true)
		e.nudge() // what is kept warm may encode with another now
	})
}

// warnOfGPUs tells in the status when x264 stands in for what was asked for. With auto, a host
// without a GPU is as good as any.
func (e *Encoder) warnOfGPUs(found []outcome) {
	text := e.settings.insteadOf(found)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.warning != text {
		e.warning = text
		e.announce()
		if text != "" {
			e.env.Log.Warn(text)
		}
	}
}

// insteadOf says why x264 encodes although something else was asked for; "" when nothing better is
// here.
func (s Settings) insteadOf(found []outcome) string {
	const begin = "it encodes with x264 instead of the hardware: "
	var why []string
	for _, o := range found {
		switch {
		case o.Works:
			return ""
		case !o.Absent || s.Encoder != auto:
			why = append(why, o.gpu.String()+": "+o.Why)
		}
	}
	switch {
	case len(why) > 0:
		return begin + strings.Join(why, "; ")
	case s.Encoder != auto && s.EncoderDevice != "":
		return begin + "there is no device " + s.EncoderDevice + " for " + s.Encoder
	case s.Encoder != auto && len(found) == 0:
		return begin + "there is no device for " + s.Encoder + " (" + nodesOf[s.Encoder] + ")"
	}
	return ""
}

// nodesOf says where the devices of a kind would be.
var nodesOf = map[string]string{"nvenc": "/dev/nvidia0", "qsv": "/dev/dri/renderD128", "vaapi": "/dev/dri/renderD128",
	"v4l2m2m": "/dev/video10 or the like"}

// blameGPU finds out whether the hardware made a run fail, so that the next one encodes otherwise.
func (e *Encoder) blameGPU(p *process, how proc.Exit, f *failure) {
	if p.GPU == (gpu{}) {
		return
	}
	crashes := []unix.Signal{unix.SIGSEGV, unix.SIGABRT, unix.SIGBUS, unix.SIGILL, unix.SIGFPE}
	if !f.hardware && !(how.Known && slices.Contains(crashes, how.Signal)) {
		if f.unexplained && p.watchdog.moves == 0 {
			e.doubtGPU(p.GPU)
		}
		return
	}
	binary, _ := proc.LookUp(e.settings.Binary, binaryKey)
	short, _, _ := strings.Cut(f.text, "; it said: ")
	e.learn(p.GPU, outcome{Of: e.settings.gpuMark(p.GPU, binary), At: time.Now(), Why: short, InRun: true})
	f.permanent = false
	f.text = fmt.Sprintf("%s: %s; the next start encodes with %s", p.GPU, f.text, e.chosen().gpu)
}

// doubtGPU has a GPU tried again with which a run never got so far as to deliver anything.
func (e *Encoder) doubtGPU(g gpu) {
	e.mu.Lock()
	defer e.mu.Unlock()
	tries.Delete(e.outcomes[g.String()].Of)
	delete(e.outcomes, g.String())
}

// gpuPatience is how long a run may take to deliver before its end casts doubt on the GPU: viewers
// who leave at once are no sign of anything.
const gpuPatience = 5 * time.Second
