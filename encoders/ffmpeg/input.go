package ffmpeg

import (
	"cmp"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// input is a parsed Settings.Input.
type input struct {
	kind inputKind
	fd   int    // of its list, when that is not listFD
	url  string // what -i gets
	live bool   // it comes over a network at its own pace; FFmpeg must not pace it
	list bool   // it is a list of pieces (HLS), each of them a file

	still bool // it is a file with one picture
}

type inputKind string

const (
	inputRTSP   inputKind = "rtsp"
	inputRTMP   inputKind = "rtmp"
	inputSRT    inputKind = "srt"
	inputHTTP   inputKind = "http"
	inputUDP    inputKind = "udp"
	inputTCP    inputKind = "tcp"
	inputFile   inputKind = "file"
	inputDevice inputKind = "device"
	inputALSA   inputKind = "alsa"
	inputPulse  inputKind = "pulse"
	inputCard   inputKind = "decklink"
	inputTest   inputKind = "test"
	inputHeld   inputKind = "held" // by the relay; no user can name it
)

// inputTimeout is how long an input may be silent before FFmpeg gives up, in microseconds.
const inputTimeout = "10000000"

var schemes = map[string]inputKind{
	"rtsp": inputRTSP, "rtsps": inputRTSP, "rtmp": inputRTMP, "rtmps": inputRTMP, "srt": inputSRT,
	"http": inputHTTP, "https": inputHTTP, "udp": inputUDP, "rtp": inputUDP, "tcp": inputTCP, "file": inputFile,
	"lavfi": inputTest, "alsa": inputALSA, "pulse": inputPulse, "decklink": inputCard,
}

// whitelists holds the protocols that an input of each kind may use. For example, an HLS list from
// the network must not open local files.
var whitelists = map[inputKind]string{
	inputRTSP: "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto",
	inputRTMP: "rtmp,rtmps,tcp,tls,crypto",
	inputSRT:  "srt,udp",
	inputHTTP: "http,https,tcp,tls,crypto,data,httpproxy",
	inputUDP:  "udp,rtp,srtp,crypto",
	inputTCP:  "tcp,tls",
	inputHeld: "pipe",
	inputFile: "file,crypto,data",
}

// readInput parses an input.
func readInput(text string) (input, error) {
	if strings.ContainsAny(text, "\n\r\x00") {
		return input{}, fmt.Errorf("holds a line break")
	}
	scheme, rest, found := strings.Cut(text, ":")
	kind, known := schemes[strings.ToLower(scheme)]
	switch {
	case found && known && kind == inputTest:
		if rest == "" {
			return input{}, fmt.Errorf("says lavfi: and no filter graph")
		}
		return input{kind: inputTest, url: rest}, nil
	case found && known && (input{kind: kind}).raw():
		if rest == "" {
			return input{}, fmt.Errorf("says %s: and no name", scheme)
		}
		return input{kind: kind, url: rest}, nil
	case found && known && kind == inputFile:
		return fileInput(strings.TrimPrefix(rest, "//")), nil
	case found && known:
		if u, err := url.Parse(text); err == nil && u.Host == "" {
			return input{}, fmt.Errorf("%s: names no host", scheme)
		}
		ending := strings.ToLower(filepath.Ext(webPath(text)))
		live := kind != inputHTTP || !videoFiles[ending]
		return input{kind: kind, url: text, live: live, list: ending == ".m3u8"}, nil
	case found && strings.HasPrefix(rest, "//"):
		return input{}, fmt.Errorf("%s:// is not known; use rtsp, rtsps, rtmp, rtmps, srt, http, https, udp, rtp, "+
			"tcp, file or lavfi, or write args", scheme)
	case strings.HasPrefix(text, "/dev/video"):
		return input{kind: inputDevice, url: text}, nil
	}
	if text == "test" {
		return input{kind: inputTest, url: "testsrc"}, nil
	}
	switch name, _, _ := strings.Cut(text, "="); name {
	case "testsrc", "testsrc2", "smptebars", "smptehdbars":
		return input{kind: inputTest, url: text}, nil
	}
	return fileInput(text), nil
}

func fileInput(path string) input {
	return input{kind: inputFile, url: "file:" + path, still: stills[strings.ToLower(filepath.Ext(path))]}
}

// stills are the endings of files with one picture.
var stills = map[string]bool{".png": true, ".jpg": true, ".jpeg": true, ".webp": true, ".bmp": true}

// stillFPS is the rate of a still picture when none is set: nothing in it moves.
const stillFPS = 10.0

// videoFiles are the endings of web addresses that name a complete file instead of a live stream.
var videoFiles = map[string]bool{".mp4": true, ".mov": true, ".mkv": true, ".webm": true, ".avi": true, ".m4v": true}

func webPath(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Path
}

// byClock reports whether its pictures come from hardware of this host as they are taken.
func (in input) byClock() bool { return in.kind == inputDevice || in.kind == inputCard }

// raw reports whether nothing of it is compressed. A /dev/video device may compress its pictures.
func (in input) raw() bool { return in.kind == inputCard || in.soundCard() }

func (in input) soundCard() bool { return in.kind == inputALSA || in.kind == inputPulse }

// brief reports whether brief probing is enough: a live input shows what it is within its first
// packets.
func (in input) brief() bool { return in.live && !in.list }

// options returns the input's options, without -i. fast asks for brief probing, if that suits the
// input.
func (in input) options(s Settings, fast bool) []string {
	var o []string
	if fast && in.brief() {
		size := "32768"
		if in.kind == inputRTSP {
			size = "32" // one packet: its server has described the streams
		}
		o = append(o, "-probesize", size, "-fpsprobesize", "0")
	}
	if in.brief() && s.Video == "h264" {
		// Its decoder would keep back a picture for each processor.
		o = append(o, "-thread_type", "slice")
	}
	if list := whitelists[in.kind]; list != "" {
		o = append(o, "-protocol_whitelist", list)
	}
	switch {
	case in.byClock(): // its pictures are large
		o = append(o, "-thread_queue_size", "64")
	case s.AudioInput != "": // neither input is read late because FFmpeg waits for the other
		o = append(o, "-thread_queue_size", "512")
	}
	if in.byClock() && s.soundIsByClock() {
		o = append(o, "-use_wallclock_as_timestamps", "1")
	}
	switch in.kind {
	case inputRTSP:
		o = append(o, "-rtsp_transport", "tcp", "-timeout", inputTimeout)
	case inputRTMP:
		o = append(o, "-rtmp_live", "live", "-rtmp_buffer", "100", "-tcp_nodelay", "1", "-rw_timeout", inputTimeout)
	case inputSRT:
		o = append(o, "-connect_timeout", "5000", "-timeout", inputTimeout)
	case inputHTTP:
		o = append(o, "-rw_timeout", inputTimeout, "-reconnect", "1", "-reconnect_streamed", "1",
			"-reconnect_delay_max", "4")
		if !in.live {
			o = append(o, "-stream_loop", "-1", "-re")
		}
	case inputUDP:
		if strings.HasPrefix(in.url, "udp") {
			o = append(o, "-timeout", inputTimeout, "-overrun_nonfatal", "1")
		}
	case inputTCP:
		o = append(o, "-timeout", inputTimeout)
	case inputFile:
		if in.still {
			o = append(o, "-f", "image2", "-pattern_type", "none", "-loop", "1", "-re",
				"-framerate", number(cmp.Or(s.FPS, stillFPS)))
		} else {
			o = append(o, "-stream_loop", "-1", "-re")
		}
	case inputDevice:
		o = append(o, "-f", "v4l2")
		if s.FPS > 0 {
			o = append(o, "-framerate", number(s.FPS))
		}
		if s.Width > 0 && s.Height > 0 {
			o = append(o, "-video_size", fmt.Sprintf("%dx%d", s.Width, s.Height))
		}
	case inputALSA, inputPulse, inputCard:
		o = append(o, "-f", string(in.kind))
	case inputTest:
		o = append(o, "-re", "-f", "lavfi")
	case inputHeld:
		// Its first picture is enough. FFmpeg gives more that it would probe with wrong times.
		o = append(o, "-probesize", "32", "-fpsprobesize", "0", "-f", "nut")
	}
	return append(without(o, s.InputArgs), s.InputArgs...)
}

// opening returns the arguments that open the input, and the list behind listFD that keeps its
// secrets out of them; "" when it has none, or they cannot be kept out.
func (in input) opening(s Settings, fast bool, r redactor) (args []string, list string) {
	args = in.options(s, fast)
	if secretIn(in.url, s.InputArgs, r) {
		if outer, list, hidden := hideInput(in, args); hidden {
			return outer, list
		}
	}
	return append(args, "-i", in.source(s)), ""
}

// source is the argument of -i. A plain test picture gets a size, a rate and a tone.
func (in input) source(s Settings) string {
	if slices.Contains(s.InputArgs, "-f") { // the user says what it is
		return strings.TrimPrefix(in.url, "file:")
	}
	if in.kind != inputTest {
		return in.url
	}
	if s.Input == s.AudioInput && in.url == "testsrc" { // it is the sound
		return tone
	}
	if strings.ContainsAny(in.url, "=;[,") {
		return in.url
	}
	width, height, fps := 1280, 720, testFPS
	if s.Width > 0 && s.Height > 0 {
		width, height = s.Width, s.Height
	}
	if s.FPS > 0 {
		fps = s.FPS
	}
	name := in.url
	if name == "testsrc" {
		name = "testsrc2" // it moves in every frame, and costs less to draw
	}
	return fmt.Sprintf("%s=size=%dx%d:rate=%s[out0];%s[out1]", name, width, height, number(fps), tone)
}

const tone = "sine=frequency=440:sample_rate=48000"

// testFPS is the rate of a test picture when none is set.
const testFPS = 30.0

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// without drops the options of o, with their values, that args has as well: the user's win.
func without(o, args []string) []string {
	var kept []string
	for i := 0; i < len(o); i++ {
		wide := i+1 < len(o) && !takesNoValue[o[i]]
		if !slices.Contains(args, o[i]) {
			kept = append(kept, o[i])
			if wide {
				kept = append(kept, o[i+1])
			}
		}
		if wide {
			i++
		}
	}
	return kept
}

var takesNoValue = options(`re vn an sn dn autorotate noautorotate`)
