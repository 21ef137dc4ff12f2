package ffmpeg

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// codecs returns the options that select and encode what is published. The platform wants H.264
// without B-frames, a key frame every 2 s and 48 kHz stereo AAC (dolby.io, "Software encoders" and
// "RTMP and RTMPS").
func codecs(s Settings, in input, format string) []string {
	var o []string
	if s.Video == "none" {
		o = append(o, "-vn")
	} else {
		o = append(o, "-map", "0:v:0") // an input without video must fail instead of publishing nothing
		o = append(o, video(s, in)...)
	}
	switch s.Audio {
	case "none":
		return append(o, "-an")
	case "copy":
		return append(o, "-map", audioMap(s), "-c:a", "copy")
	}
	if format == "whip" {
		return append(o, "-map", audioMap(s), "-c:a", "libopus", "-b:a", s.AudioBitrate, "-ar", "48000", "-ac", "2")
	}
	return append(o, "-map", audioMap(s), "-c:a", "aac", "-b:a", s.AudioBitrate, "-ar", "48000", "-ac", "2")
}

// audioMap makes audio optional, unless it is published alone.
func audioMap(s Settings) string {
	if s.Video == "none" {
		return "0:a:0"
	}
	return "0:a:0?"
}

func video(s Settings, in input) []string {
	if s.Video == "copy" {
		return []string{"-c:v", "copy"}
	}
	o := []string{"-c:v", "libx264", "-preset", s.Preset, "-tune", "zerolatency", "-profile:v", "main", "-pix_fmt",
		"yuv420p", "-bf", "0"}
	fps := s.FPS
	if fps == 0 && in.kind == inputTest && !strings.ContainsAny(in.url, "=;[,") {
		fps = testFPS
	}
	if fps > 0 {
		frames := fmt.Sprint(int(math.Max(1, math.Round(fps*s.GOP.Seconds()))))
		o = append(o, "-g", frames, "-keyint_min", frames)
	} else { // at the input's own rate: count seconds instead of frames
		o = append(o, "-g", "600", "-force_key_frames", fmt.Sprintf("expr:gte(t,n_forced*%s)", seconds(s.GOP)))
	}
	o = append(o, "-sc_threshold", "0", "-b:v", s.Bitrate, "-maxrate", s.Bitrate, "-bufsize", s.Bitrate)
	if f := filters(s); f != "" {
		o = append(o, "-vf", f)
	}
	return o
}

func filters(s Settings) string {
	var f []string
	if s.Width > 0 || s.Height > 0 {
		size := func(n int) string {
			if n == 0 {
				return "-2" // keeps the aspect, and is even
			}
			return fmt.Sprint(n)
		}
		f = append(f, "scale="+size(s.Width)+":"+size(s.Height))
	}
	if s.FPS > 0 {
		f = append(f, "fps="+number(s.FPS))
	}
	return strings.Join(f, ",")
}

func seconds(d time.Duration) string { return number(d.Seconds()) }
