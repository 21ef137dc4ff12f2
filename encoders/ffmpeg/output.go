package ffmpeg

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/encoders"
)

// output is a parsed publishing URL. Its secret part can reach FFmpeg without the command line.
type output struct {
	format  string   // FFmpeg's name of the container
	options []string // for the command line
	hidden  []option // for the option file
	url     string   // for the command line; without secrets, unless visible is set
	network bool
	visible string // why a secret of the URL can be seen in the process list; "" when none can
}

type option struct{ name, value string }

// optionLine is FFmpeg's limit for a line of an option file (fftools/ffmpeg_opt.c, opt_preset).
const optionLine = 998

// outputTimeout is how long the server may accept nothing before FFmpeg gives up, in microseconds.
const outputTimeout = "10000000"

// readOutput parses a publishing URL. Its errors do not show the URL.
func readOutput(publish string) (output, error) {
	if strings.ContainsAny(publish, "\n\r\x00") {
		return output{}, errors.New("the publishing URL holds a line break")
	}
	scheme, rest, found := strings.Cut(publish, "://")
	if !found {
		return fileOutput(strings.TrimPrefix(publish, "file:"))
	}
	var o output
	var err error
	switch scheme = strings.ToLower(scheme); scheme {
	case "rtmp", "rtmps":
		o, err = rtmpOutput(publish)
	case "srt":
		o, err = srtOutput(publish)
	case "http", "https", "whip", "whips":
		o, err = whipOutput(publish)
	case "udp", "tcp":
		o = output{format: "mpegts", url: scheme + "://" + rest, visible: "its URL has no part that could be hidden"}
	case "rtsp", "rtsps":
		o = output{format: "rtsp", options: []string{"-rtsp_transport", "tcp"}, url: scheme + "://" + rest,
			visible: "FFmpeg takes RTSP URLs from the command line alone"}
	case "file":
		return fileOutput(rest)
	default:
		return output{}, fmt.Errorf("the publishing URL begins with %s://; use rtmp, rtmps, srt or https (WHIP)",
			scheme)
	}
	if err != nil {
		return output{}, err
	}
	o.network = true
	for _, h := range o.hidden {
		if len(h.name)+1+len(h.value) > optionLine {
			return output{}, fmt.Errorf("the publishing URL's secret part is longer than the %d bytes that FFmpeg "+
				"takes", optionLine)
		}
	}
	return o, nil
}

// readOutputs parses where a job publishes to: one output, or one for each rendition. Its errors do
// not show the URL.
func readOutputs(s Settings, publish string) ([]output, error) {
	urls := []string{publish}
	if n, silent := s.Layers(); n > 0 {
		var err error
		if urls, err = ingest.Layers(publish, n, silent); err != nil {
			return nil, err
		}
	}
	outputs := make([]output, len(urls))
	for i, u := range urls {
		var err error
		if outputs[i], err = readOutput(u); err != nil {
			return nil, err
		}
	}
	return outputs, nil
}

// rtmpOutput gives the stream's name and key as rtmp_playpath, out of sight. The application is
// given, too: otherwise FFmpeg would take its last element for the stream.
func rtmpOutput(publish string) (output, error) {
	a, err := ingest.Parse(publish)
	if err != nil || a.App == "" || a.Stream == "" {
		return output{}, errors.New("the publishing URL must read rtmps://HOST/APPLICATION/STREAM")
	}
	o := output{
		format: "flv",
		options: []string{"-flvflags", "no_duration_filesize", "-rtmp_live", "live", "-tcp_nodelay", "1", "-rw_timeout",
			outputTimeout},
		hidden: []option{{"rtmp_app", a.App}, {"rtmp_playpath", a.Key()}},
		url:    a.Server(),
	}
	if !a.Open() {
		o.visible = "FFmpeg takes the user and password of an RTMP URL from the command line alone"
	}
	return o, nil
}

// srtOutput moves the stream id and the passphrase out of the URL, where FFmpeg 5.1 would not
// decode them.
func srtOutput(publish string) (output, error) {
	a, err := ingest.Parse(publish)
	if err != nil {
		return output{}, errors.New("the publishing URL must read srt://HOST:PORT?streamid=…")
	}
	o := output{format: "mpegts", options: []string{"-muxdelay", "0", "-muxpreload", "0"}}
	if a.ID != "" {
		o.hidden = append(o.hidden, option{"srt_streamid", a.ID}) // streamid alone is another of FFmpeg's options
	}
	var open []string
	given := map[string]bool{}
	for _, pair := range a.Options() {
		key, value, _ := strings.Cut(pair, "=")
		given[key] = true
		if key != "passphrase" {
			open = append(open, pair)
			continue
		}
		text, err := url.PathUnescape(value)
		if err != nil {
			return output{}, errors.New("the publishing URL's passphrase is badly percent-encoded")
		}
		o.hidden = append(o.hidden, option{key, text})
	}
	for _, d := range [][2]string{{"mode", "caller"}, {"pkt_size", "1316"}, {"latency", "200000"},
		{"connect_timeout", "5000"}} {
		if !given[d[0]] {
			open = append(open, d[0]+"="+d[1])
		}
	}
	o.url = "srt://" + strings.TrimSuffix(a.Host, "/") + "?" + strings.Join(open, "&")
	return o, nil
}

// whipOutput moves the token out of a WHIP address: FFmpeg sends it as the Authorization header.
func whipOutput(publish string) (output, error) {
	a, err := ingest.Parse(publish)
	if err != nil {
		return output{}, errors.New("the publishing URL must read https://HOST/PATH?auth=…")
	}
	o := output{format: "whip", url: a.Server()}
	if a.Token != "" {
		o.hidden = append(o.hidden, option{"authorization", a.Token})
	}
	if !a.Open() {
		o.visible = "FFmpeg takes everything of a WHIP URL but its token from the command line"
	}
	return o, nil
}

func fileOutput(path string) (output, error) {
	if path == "" {
		return output{}, errors.New("there is no publishing URL")
	}
	o := output{format: "flv", options: []string{"-y"}, url: "file:" + path}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ts":
		o.format = "mpegts"
	case ".mkv":
		o.format = "matroska"
	}
	return o, nil
}

// file is the text of the option file; "" when there is none.
func (o output) file() string {
	var text strings.Builder
	for _, h := range o.hidden {
		text.WriteString(h.name + "=" + h.value + "\n")
	}
	return text.String()
}

// errNoWHIP is the error for a WHIP URL with an FFmpeg before version 8.
var errNoWHIP = encoders.Permanent(errors.New("this ffmpeg cannot publish over WHIP (ffmpeg 8 and later can): use " +
	"the rtmps or srt URL"))
