package ffmpeg

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/encoders/proc"
)

// Settings says what to run. Either Input or Args is set. {stream}, {account}, {1}, {2} … are
// replaced everywhere, {publish} in Args.
type Settings struct {
	// Input is a URL (rtsp, rtsps, rtmp, rtmps, srt, http, https, udp, rtp, tcp), a file, which is
	// looped, a /dev/video device, decklink: and the name of a Blackmagic card, or a test picture:
	// test (for a file of that name, write ./test), or lavfi: and a filter graph; to publish sound
	// alone, also what AudioInput may be. Time-outs, probing and pacing suit each kind. A URL that
	// holds a secret stays out of the process list, unless InputArgs has options that FFmpeg cannot
	// read from a file, such as -f.
	Input      string   `yaml:"input" doc:"what to publish: a URL (rtsp, rtmp, srt, http, udp ...), a file, which is looped, a /dev/video device, decklink: and the name of a card, or test, a test picture"`
	InputArgs  []string `yaml:"input_args" doc:"FFmpeg's options before the input; they win over the ones set here"`
	OutputArgs []string `yaml:"output_args" doc:"FFmpeg's options before the output; they win over the ones set here"`
	// AudioInput is a second input, of which the sound is taken: alsa: or pulse: and the name of a
	// source, or anything that Input may be but a picture. The sound of Input is left out then.
	AudioInput     string   `yaml:"audio_input" doc:"where the sound comes from, beside a device or a silent camera: alsa:NAME, pulse:NAME, a URL, a file, which is looped, or test, a tone; empty = from input"`
	AudioInputArgs []string `yaml:"audio_input_args" doc:"FFmpeg's options before it: [-itsoffset, \"0.2\"] delays the sound by 0.2 s"`
	// Args is the whole command line instead, without the binary. {publish} as the last argument,
	// after -f flv or -f mpegts, keeps the key out of the process list; anywhere else the list
	// shows the key. The first -i URL that holds a secret stays out of the list as well. Binary may
	// then be a program that executes FFmpeg with its args.
	Args []string `yaml:"args" doc:"the whole command line instead, without the binary; {publish} as the last argument, after -f flv or -f mpegts, keeps the key out of the process list"`

	Video        string        `yaml:"video" enum:"h264,copy,none" doc:"h264 is encoded anew, safe for the platform; copy sends it as it comes"`
	Audio        string        `yaml:"audio" enum:"aac,copy,none" doc:"aac is encoded anew, 48 kHz stereo; copy sends it as it comes; an input without audio is fine"`
	Bitrate      string        `yaml:"bitrate" shown:"yes" doc:"of h264, bits per second, such as 3000k or 3M; renditions have their own"`
	AudioBitrate string        `yaml:"audio_bitrate" shown:"yes" doc:"of aac, bits per second, such as 128k"`
	Width        int           `yaml:"width" min:"0" doc:"of h264, pixels, even; 0 = as it comes, or as height and the aspect want it"`
	Height       int           `yaml:"height" min:"0" doc:"of h264, pixels, even; 0 = as it comes, or as width and the aspect want it"`
	FPS          float64       `yaml:"fps" min:"0" max:"240" doc:"frames per second, of h264 and asked of a device; 0 = as it comes, 30 where a live input does not tell"`
	GOP          time.Duration `yaml:"gop" min:"100ms" max:"20s" doc:"from key frame to key frame, of h264"`
	// Encoder makes the H.264: x264, or hardware that has proven in a try that it can, see gpu.go.
	Encoder       string `yaml:"encoder" enum:"auto,x264,nvenc,qsv,vaapi,v4l2m2m" doc:"of h264: x264, or hardware, which is tried with a picture first and gives way to x264 where it fails; auto is the best that works"`
	EncoderDevice string `yaml:"encoder_device" shown:"yes" doc:"of encoder: /dev/dri/renderD129, or the number of an NVIDIA GPU, such as 1; empty = the first that works"`
	Preset        string `yaml:"preset" enum:"ultrafast,superfast,veryfast,faster,fast,medium,slow,slower,veryslow" doc:"of x264: faster ones cost bitrate, slower ones the viewer's time"`

	// Renditions are qualities of one picture, the best first, each published to a URL of its own
	// that follows from the stream's (see ingest.Layers). The input is decoded once. They take the
	// place of Width, Height and Bitrate; sound goes with the first.
	Renditions []Rendition `yaml:"renditions" doc:"several qualities of the picture, the best first, each a feed of its own, for players that choose by their bandwidth"`

	// Env are more variables of the process's environment, for drivers and libraries; they win over
	// those that it inherits. No secret may stand there.
	Env map[string]string `yaml:"env" doc:"variables of the process's environment, such as {LIBVA_DRIVER_NAME: iHD}; no secrets"`

	Binary       string        `yaml:"binary" shown:"yes" doc:"FFmpeg, or with args any program: a path, or a name in PATH"`
	StallTimeout time.Duration `yaml:"stall_timeout" doc:"no progress for this long is a stall, and it is started anew; 0 = never"`
	Standby      string        `yaml:"standby" enum:"none,warm,hot" doc:"warm keeps a process loaded and stopped, for a quicker start; hot keeps a live input open, with its last group of pictures, so that a start begins with a picture at once"`
	HideKey      string        `yaml:"hide_key" enum:"auto,yes,no" doc:"of a binary that is no ffmpeg and gets {publish} as its last arg: does it hand its args and descriptors on to an ffmpeg, so that the key can stay out of the process list? auto tries it once, with silence to nowhere"`
	Sandbox      string        `yaml:"sandbox" enum:"auto,strict,off" doc:"strict: the process can touch only what its settings name, and allow; auto: strict for FFmpeg itself, while another program is kept from what is the daemon's (as root; else strict); off: all that the daemon can"`
	Allow        []string      `yaml:"allow" doc:"what it may touch beside: files and folders (read and written), unix sockets, devices, and tcp:PORT"`
	LogSize      int64         `yaml:"log_size" min:"4096" doc:"bytes of output kept; as much again of what came before"`

	wrapper bool           // a trial has shown that Binary passes its args on to FFmpeg
	gpu     gpu            // what encodes; the zero value is x264
	dev     string         // in place of /dev, in tests
	held    bool           // Input is the relay's, see published
	secrets []secret.Value // the secrets in them that the loader knows
}

// binaryKey is the key of Settings that names the program.
const binaryKey = "binary"

// Rendition is one quality of a picture.
type Rendition struct {
	Height  int    `yaml:"height" min:"16" doc:"pixels, even; the aspect of the picture stays"`
	Bitrate string `yaml:"bitrate" shown:"yes" doc:"bits per second, such as 1500k"`
}

// Defaults returns the settings of an encoder that sets only its input.
func Defaults() Settings {
	return Settings{
		Video: "h264", Audio: "aac", Bitrate: "3000k", AudioBitrate: "128k", GOP: 2 * time.Second, Encoder: x264,
		Preset: "veryfast",
		Binary: "ffmpeg", StallTimeout: 10 * time.Second, Standby: "none", HideKey: "auto", Sandbox: "auto",
		LogSize: 1 << 20,
	}
}

var (
	bitratePattern = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?[kKM]?$`)
	presets        = []string{"ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
		"veryslow"}
)

// Validate reports every impossible value, each as "key: what is wrong".
func (s Settings) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) { errs = append(errs, fmt.Errorf(key+": "+format, args...)) }
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad(key, "is %q, must be one of %s", value, strings.Join(allowed, ", "))
		}
	}
	switch {
	case s.Input == "" && len(s.Args) == 0:
		bad("input", "is missing: say what to publish, or write args for the whole command line")
	case s.Input != "" && len(s.Args) > 0:
		bad("args", "is the whole command line and leaves no room for input: keep one of them")
	case len(s.Args) > 0 && len(s.InputArgs)+len(s.OutputArgs) > 0:
		bad("args", "is the whole command line: move input_args and output_args into it")
	}
	s.checkInputs(bad)
	proc.CheckVariables(s.Env, bad)
	s.checkGPU(bad)
	oneOf("video", s.Video, "h264", "copy", "none")
	oneOf("audio", s.Audio, "aac", "copy", "none")
	oneOf("standby", s.Standby, "none", "warm", "hot")
	if why := s.cannotHold(); s.hot() && why != "" {
		bad("standby", "hot %s", why)
	}
	oneOf("preset", s.Preset, presets...)
	oneOf("hide_key", s.HideKey, "auto", "yes", "no")
	oneOf("sandbox", s.Sandbox, "auto", "strict", "off")
	for _, a := range s.Allow {
		port, isPort := strings.CutPrefix(a, "tcp:")
		switch n, err := strconv.Atoi(port); {
		case isPort && (err != nil || n < 1 || n > 65535):
			bad("allow", "has %q, must be tcp: and a port from 1 to 65535", a)
		case !isPort && !filepath.IsAbs(a):
			bad("allow", "has %q, must be a path from the root, or tcp: and a port", a)
		}
	}
	if s.Video == "none" && s.Audio == "none" {
		bad("audio", "is none, and so is video: nothing is left to publish")
	}
	for _, b := range [][2]string{{"bitrate", s.Bitrate}, {"audio_bitrate", s.AudioBitrate}} {
		if !bitratePattern.MatchString(b[1]) {
			bad(b[0], "is %q, must be bits per second such as 3000k or 3M", b[1])
		}
	}
	if s.Width < 0 || s.Height < 0 || s.Width%2 != 0 || s.Height%2 != 0 {
		bad("width", "and height are %d and %d, must be even and not negative", s.Width, s.Height)
	}
	s.checkRenditions(bad)
	if s.FPS < 0 || s.FPS > 240 {
		bad("fps", "is %v, must be from 0 to 240", s.FPS)
	}
	if s.GOP < 100*time.Millisecond || s.GOP > 20*time.Second {
		bad("gop", "is %v, must be from 100ms to 20s", s.GOP)
	}
	if s.StallTimeout < 0 {
		bad("stall_timeout", "is negative, must be 0 (never) or more")
	}
	if s.LogSize < 4096 {
		bad("log_size", "is %d, must be 4096 bytes or more", s.LogSize)
	}
	if s.Binary == "" {
		bad("binary", "is empty, must be a path or a name in PATH")
	}
	return errors.Join(errs...)
}

// checkInputs reports what is impossible of Input and AudioInput.
func (s Settings) checkInputs(bad func(key, format string, args ...any)) {
	if s.Input != "" {
		in, err := readInput(s.Input)
		switch {
		case err != nil:
			bad("input", "%v", err)
		case in.soundCard() && s.Video != "none":
			bad("input", "has sound alone: write video: none, or a picture here and this as audio_input")
		case in.raw() && s.Video == "copy":
			bad("video", "is copy, and the pictures of a card are not compressed: write h264")
		case in.raw() && s.Audio == "copy" && s.AudioInput == "":
			bad("audio", "is copy, and the sound of a card is not compressed: write aac")
		}
	}
	if s.AudioInput == "" {
		if len(s.AudioInputArgs) > 0 {
			bad("audio_input_args", "have no audio_input, before which they would stand")
		}
		return
	}
	in, err := readInput(s.AudioInput)
	switch {
	case err != nil:
		bad("audio_input", "%v", err)
	case len(s.Args) > 0:
		bad("audio_input", "has no place in args: write the second -i there, or input instead of args")
	case s.Audio == "none":
		bad("audio_input", "is sound, and audio is none: remove one of them")
	case s.Video == "none":
		bad("audio_input", "would be the only input of which anything is taken: write it as input")
	case in.still || in.kind == inputDevice:
		bad("audio_input", "has no sound: use alsa:NAME, pulse:NAME, a URL, a file, or test")
	case s.Audio == "copy" && (in.raw() || in.kind == inputTest):
		bad("audio", "is copy, and the sound of audio_input is not compressed: write aac")
	}
}

// checkGPU reports what is impossible of Encoder.
func (s Settings) checkGPU(bad func(key, format string, args ...any)) {
	if all := append([]string{auto, x264}, gpuKinds...); s.Encoder != "" && !slices.Contains(all, s.Encoder) {
		bad("encoder", "is %q, must be one of %s", s.Encoder, strings.Join(all, ", "))
	}
	if !s.usesGPU() {
		if s.EncoderDevice != "" {
			bad("encoder_device", "is of the hardware, and encoder is x264: write encoder: auto")
		}
		return
	}
	switch {
	case len(s.Args) > 0:
		bad("encoder", "has no place in args: choose it there, or write input instead of args")
	case s.Video != "h264":
		bad("encoder", "makes h264, and video is %s: write video: h264, or leave encoder out", s.Video)
	case s.Encoder == "v4l2m2m" && s.EncoderDevice != "":
		bad("encoder_device", "cannot be chosen for v4l2m2m: FFmpeg looks for the device itself")
	}
	ours := []string{"-c", "-codec", "-vcodec", "-vf", "-filter", "-pix_fmt", "-profile", "-preset"}
	for _, o := range s.OutputArgs {
		if name, stream, _ := strings.Cut(o, ":"); slices.Contains(ours, name) && !strings.HasPrefix(stream, "a") {
			bad("output_args", "has %s, which encoder sets to suit the hardware: remove one of them", o)
		}
	}
}

// checkRenditions reports what is impossible of Renditions.
func (s Settings) checkRenditions(bad func(key, format string, args ...any)) {
	n := len(s.Renditions)
	switch {
	case n == 0:
		return
	case len(s.Args) > 0:
		bad("renditions", "have no place in args: write the outputs there, or input instead of args")
	case s.Video != "h264":
		bad("renditions", "are encoded, and video is %s: write video: h264", s.Video)
	case n == 1:
		bad("renditions", "is one alone, must be two or more: for one, write height and bitrate beside input")
	case s.Width != 0 || s.Height != 0:
		bad("renditions", "have heights of their own: remove width and height beside them")
	}
	for _, o := range s.OutputArgs {
		if name, _, _ := strings.Cut(o, ":"); slices.Contains([]string{"-vf", "-filter", "-filter_complex", "-lavfi",
			"-map", "-s", "-b"}, name) {
			bad("output_args", "has %s, which goes to every output, and renditions set it for each: remove it", o)
		}
	}
	for i, r := range s.Renditions {
		key := fmt.Sprintf("renditions[%d]", i)
		if r.Height < 16 || r.Height%2 != 0 {
			bad(key+".height", "is %d, must be even and 16 or more", r.Height)
		}
		if !bitratePattern.MatchString(r.Bitrate) || bits(r.Bitrate) == 0 {
			bad(key+".bitrate", "is %q, must be bits per second such as 1500k or 3M", r.Bitrate)
		} else if i > 0 && (r.Height > s.Renditions[i-1].Height || bits(r.Bitrate) >= bits(s.Renditions[i-1].Bitrate)) {
			bad(key, "is %d at %s after %d at %s, must be smaller than the one before: the best comes first", r.Height,
				r.Bitrate, s.Renditions[i-1].Height, s.Renditions[i-1].Bitrate)
		}
	}
}

// bits are the bits per second of a bitrate; 0 when it is none.
func bits(rate string) float64 {
	number, unit := rate, 1.0
	switch {
	case strings.HasSuffix(rate, "k"), strings.HasSuffix(rate, "K"):
		number, unit = rate[:len(rate)-1], 1000
	case strings.HasSuffix(rate, "M"):
		number, unit = rate[:len(rate)-1], 1e6
	}
	n, _ := strconv.ParseFloat(number, 64)
	return n * unit
}

// Layers is how many qualities are published, each to a URL of its own; 0: there is one, published
// to the stream's. Silent says that none of them has sound.
func (s Settings) Layers() (n int, silent bool) { return len(s.Renditions), s.Audio == "none" }

// Simulcasts says that FFmpeg sends one quality to one URL. What Args do is the user's.
func (s Settings) Simulcasts(ingest.Protocol) error {
	if len(s.Args) > 0 || len(s.Renditions) > 0 {
		return nil
	}
	return errors.New("sends one quality; write renditions: [{height: 1080, bitrate: 4500k}, ...] in its settings, " +
		"and no multi")
}

// isFFmpeg reports whether the binary takes FFmpeg's options: its name begins with ffmpeg
// (ffmpeg-7, /opt/bin/ffmpeg.static), or a trial has shown it, see Encoder.known. Any other program
// gets its Args unchanged.
func (s Settings) isFFmpeg() bool {
	return s.wrapper || strings.HasPrefix(filepath.Base(s.Binary), "ffmpeg")
}

// KeepsReady reports whether an idle encoder keeps a process ready for its next start.
func (s Settings) KeepsReady() bool { return s.Standby != "none" }

// NeedsPublish reports whether a start needs a publishing URL: not when Args say themselves where
// to publish.
func (s Settings) NeedsPublish() bool {
	return len(s.Args) == 0 || strings.Contains(strings.Join(s.Args, "\n"), placeholder)
}
