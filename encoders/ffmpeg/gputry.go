package ffmpeg

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/proc"
)

// gpuTime limits a try. NVIDIA's driver takes seconds to wake a GPU that nobody uses.
const gpuTime = 10 * time.Second

// One try at a time: two could have each other's last session.
var (
	oneTry = make(chan struct{}, 1)
	tries  sync.Map // outcomes of this process, by outcome.Of
)

// tryGPU encodes one picture as a start would, into memory. The outcome counts for all encoders of
// this process that encode alike.
func (e *Encoder) tryGPU(ctx context.Context, g gpu, binary, mark string) outcome {
	select {
	case oneTry <- struct{}{}:
		defer func() { <-oneTry }()
	case <-ctx.Done():
		return outcome{}
	}
	if o, ok := tries.Load(mark); ok && !o.(outcome).stale(time.Now()) {
		return o.(outcome)
	}
	o := outcome{Of: mark, At: time.Now()}
	limited, cancel := context.WithTimeout(ctx, gpuTime)
	defer cancel()
	picture, said, how, err := e.attempt(limited, binary, e.settings.onePicture(g), nil)
	o.Took = time.Since(o.At)
	switch {
	case ctx.Err() != nil:
		return outcome{}
	case err != nil:
		o.Why = err.Error()
	case limited.Err() != nil:
		o.Why = fmt.Sprintf("it brings no picture within %s, and hangs", gpuTime)
		o.Hint = "dmesg may say more; a restart of the host often helps"
	case how.Known && how.Code == 0 && how.Signal == 0 && isPicture(picture):
		o.Works = true
	case how.Known && how.Code == 0 && how.Signal == 0 && len(picture) == 0:
		o.Why = "it takes a picture, and brings none"
	case how.Known && how.Code == 0 && how.Signal == 0:
		o.Why = "what it brings is no H.264"
	default:
		all := words{lines: outputLines(said), ffmpeg: true}
		f := classify(all, how, e.redactor(), func(failure) bool { return true }) // nobody else has a word here
		o.Why, o.Hint, o.Absent = f.text, f.hint, f.absent
	}
	tries.Store(mark, o)
	return o
}

// onePicture are the arguments that encode one picture with all that a start would ask of g.
func (s Settings) onePicture(g gpu) []string {
	s.gpu, s.OutputArgs = g, nil
	width, height := s.Width, s.Height
	if len(s.Renditions) > 0 {
		height = s.Renditions[0].Height
	}
	switch {
	case width == 0 && height == 0:
		width, height = 1280, 720
	case width == 0:
		width = height * 16 / 9 / 2 * 2
	case height == 0:
		height = width * 9 / 16 / 2 * 2
	}
	in := input{kind: inputTest, url: fmt.Sprintf("testsrc2=size=%dx%d:rate=30", width, height)}
	args := []string{"-nostdin", "-hide_banner", "-nostats", "-loglevel", "repeat+level+info"}
	args = append(append(args, g.setup()...), "-f", "lavfi", "-i", in.url)
	if len(s.Renditions) == 0 {
		args = append(append(args, "-map", "0:v"), video(s, in)...)
		if f := filters(s, in); f != "" {
			args = append(args, "-vf", f)
		}
		return append(args, "-frames:v", "1", "-f", "h264", "pipe:1")
	}
	s.Audio = "none"
	args = append(args, "-filter_complex", ladder(s, in))
	for i := range s.Renditions {
		args = append(append(args, s.rendition(i, in, "h264")...), "-frames:v", "1")
		if i == 0 {
			args = append(args, "-f", "h264", "pipe:1")
		} else {
			args = append(args, "-f", "null", "-")
		}
	}
	return args
}

// isPicture reports whether these are NAL units with a sequence's parameters and a whole picture
// (ISO/IEC 14496-10, Annex B and table 7-1: types 7 and 5).
func isPicture(stream []byte) bool {
	var parameters, whole bool
	for unit := range bytes.SplitSeq(stream, []byte{0, 0, 1}) {
		if len(unit) < 2 || unit[0]&0x80 != 0 {
			continue
		}
		parameters = parameters || unit[0]&0x1f == 7
		whole = whole || unit[0]&0x1f == 5
	}
	return parameters && whole
}

// attempt runs a program for a moment, confined as the encoder's processes are. files become its
// descriptors from 3 on. Every process that the program has started is ended with it. err says that
// it cannot run.
func (e *Encoder) attempt(ctx context.Context, path string, args []string, files []*os.File) (
	out, said []byte, how proc.Exit, err error) {
	cmd := exec.CommandContext(ctx, path, args...)
	cookie := proc.NewCookie(wrapperRun)
	cmd.Env = e.settings.environment(cookie, encoders.Job{}, "")
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // for the output of processes that it leaves behind
	if err := e.begin(cmd, e.settings, encoders.Job{}); err != nil {
		return nil, nil, how, fmt.Errorf("run %s: %w", path, err)
	}
	all := proc.Identity{PID: cmd.Process.Pid, Cookie: cookie}
	if st, err := proc.ReadStat(all.PID); err == nil {
		all.Start = st.Start
	}
	_ = cmd.Wait() // the state says it all
	endAll(all)
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		how = proc.Exit{Known: true, Code: max(status.ExitStatus(), 0)}
		if status.Signaled() {
			how.Signal = status.Signal()
		}
	}
	return stdout.Bytes(), stderr.Bytes(), how, nil
}

// checkEncoder tells which encoder of the hardware works.
func (e *Encoder) checkEncoder(ctx context.Context) (found []encoders.Finding) {
	add := func(level encoders.Level, what, hint string) {
		found = append(found, encoders.Finding{Level: level, What: e.redactor().clean(what), Hint: hint})
	}
	all, s := e.tryGPUs(ctx, false), e.settings
	level := encoders.Warn
	if s.Encoder == auto && len(all) > 0 && all[len(all)-1].Works {
		level = encoders.OK // the better ones that fail do no harm
	}
	for _, o := range all {
		switch {
		case o.Works:
			add(encoders.OK, fmt.Sprintf("it encodes with %s: a picture took %.1f s", o.gpu, o.Took.Seconds()), "")
		case o.Absent && s.Encoder == auto:
			add(encoders.OK, fmt.Sprintf("%s: %s", o.gpu, o.Why), "")
		default:
			add(level, fmt.Sprintf("%s does not work: %s", o.gpu, o.Why), o.Hint)
		}
	}
	switch instead := s.insteadOf(all); {
	case instead != "" && len(all) == 0:
		add(encoders.Warn, instead,
			"is its driver loaded? A packaged oncue sees the devices of systemd/examples/gpu.conf alone")
	case instead != "":
		add(encoders.Warn, "it encodes with x264 instead of the hardware", "encoder: x264 is without this warning")
	case len(all) == 0 || !all[len(all)-1].Works:
		add(encoders.OK, "it encodes with x264: encoder is auto, and no hardware for it is here", "")
	}
	return found
}

// gpuComponent begins a complaint of a hardware encoder, or of what opens its device.
var gpuComponent = regexp.MustCompile(
	`^\[[^\]]*(?:h264_(?:nvenc|qsv|vaapi|v4l2m2m)|AVHW[A-Za-z]*Context) @ 0x[0-9a-f]+\] ` +
		`(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(?:error|fatal|panic)\]`)

// gpuCauses recognise why a hardware encoder does not work, by FFmpeg's words (libavcodec/nvenc.c,
// qsv.c, vaapi_encode.c, v4l2_m2m.c and libavutil/hwcontext_*.c of 5.1 to 7.1). See causes.
var gpuCauses = []cause{
	{says: says(`^Cannot load (lib(?:cuda|nvidia-encode|nvcuvid)\S*)`), gpu: true,
		means: "the NVIDIA driver's library $1 is not there", hint: "install the driver's libraries (libnvidia-encode1)"},
	{says: says(`^Driver does not support the required nvenc API version\. Required: (\S+) Found: (\S+)`), gpu: true,
		means: "the NVIDIA driver is too old for this ffmpeg: it has nvenc API $2, and $1 is needed",
		hint:  "update the driver, or use an older ffmpeg"},
	{says: says(`^OpenEncodeSessionEx failed: (?:out of memory \(10\)|incompatible client key \(21\))`), gpu: true,
		means: "the GPU has no encoding session left, or no memory",
		hint:  "NVIDIA's consumer GPUs allow few sessions at a time, over all programs; each rendition is one"},
	{says: says(`^OpenEncodeSessionEx failed: (.*)`), gpu: true, means: "the GPU opens no encoding session: $1"},
	{says: says(`^No (?:NVENC )?capable devices found|^\S*cuInit\(0\) failed -> .*no CUDA-capable device`), gpu: true,
		means: "there is no GPU that encodes with nvenc", absent: true},
	{says: says(`^\S*cuInit\(0\) failed -> (.*)`), gpu: true, means: "the GPU does not wake: $1"},
	{says: says(`^No VA display found for device (\S+?)\.?$`), gpu: true,
		means: "$1 has no VA-API driver, or may not be opened", hint: gpuHint},
	{says: says(`^Failed to initialise VAAPI connection: -?\d+ \((.*)\)`), gpu: true,
		means: "its VA-API driver does not begin: $1",
		hint:  "vainfo tells more; env: {LIBVA_DRIVER_NAME: …} chooses another driver"},
	{says: says(`^No usable encoding (?:profile|entrypoint) found`), gpu: true,
		means: "the GPU does not encode H.264, or its driver does not"},
	{says: says(`^Error (?:initializing|creating) an? (?:internal )?MFX session: (.*)`), gpu: true,
		means: "Quick Sync does not begin: $1", hint: "install Intel's media driver and its runtime (libmfx or libvpl)"},
	{says: says(`^Could not find a valid device$`), gpu: true, absent: true, means: "no V4L2 device here encodes H.264"},
	{says: says(`^(?:Device creation failed|Failed to set value '[^']*' for option '(?:vaapi_device|init_hw_device)')`),
		gpu: true, means: "its device does not open", hint: gpuHint},
}

const gpuHint = "a packaged oncue needs systemd/examples/gpu.conf, else its user the groups render and video"
