package ffmpeg

import (
	"fmt"
	"math"
	"slices"
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
		if f := filters(s, in); f != "" {
			o = append(o, "-vf", f)
		}
	}
	return append(o, audio(s, in, format)...)
}

// rendition returns the options of one of several qualities: the picture that ladder makes for it,
// and with the first of them the sound. All of them have the same frames, so the key frames of all
// come at the same times.
func (s Settings) rendition(i int, in input, format string) []string {
	s.Bitrate = s.Renditions[i].Bitrate
	if i > 0 {
		s.Audio = "none"
	}
	o := append([]string{"-map", picture(i)}, video(s, in)...)
	return append(o, audio(s, in, format)...)
}

// ladder is the filter graph that makes the pictures of all renditions from the input's.
func ladder(s Settings, in input) string {
	first := fmt.Sprintf("split=%d", len(s.Renditions))
	if rate := s.rate(in); rate != "" {
		first = rate + "," + first
	}
	if s.held {
		first = thinned + "," + first
	}
	if in.kind == inputCard {
		first = deinterlaced + "," + first
	}
	graph := "[0:v:0]" + first
	scaled, up := "", s.gpu.upload()
	if up != "" {
		up = "," + up
	}
	for i, r := range s.Renditions {
		graph += fmt.Sprintf("[in%d]", i)
		scaled += fmt.Sprintf(";[in%d]scale=-2:%d%s%s", i, r.Height, up, picture(i))
	}
	return graph + scaled
}

// picture is the name of a rendition's picture in the ladder.
func picture(i int) string { return fmt.Sprintf("[out%d]", i) }

func audio(s Settings, in input, format string) []string {
	switch s.Audio {
	case "none":
		return []string{"-an"}
	case "copy":
		return append([]string{"-map", audioMap(s, in), "-c:a", "copy"}, s.together()...)
	}
	codec := "aac"
	if format == "whip" {
		codec = "libopus"
	}
	o := []string{"-map", audioMap(s, in), "-c:a", codec, "-b:a", s.AudioBitrate, "-ar", "48000", "-ac", "2"}
	return append(o, s.together()...)
}

// audioMap makes audio optional, unless it is published alone.
func audioMap(s Settings, in input) string {
	if in.silent(s) || s.AudioInput != "" {
		return "1:a:0"
	}
	if s.Video == "none" {
		return "0:a:0"
	}
	return "0:a:0?"
}

// silent reports whether the input gets silence beside it: a still picture has no sound, and
// players that begin with it would have none later.
func (in input) silent(s Settings) bool {
	return in.still && s.Audio == "aac" && s.AudioInput == "" && !slices.Contains(s.InputArgs, "-f")
}

func video(s Settings, in input) []string {
	if s.Video == "copy" {
		return []string{"-c:v", "copy"}
	}
	o := s.gpu.codec(s)
	fps := s.FPS
	if fps == 0 && in.kind == inputTest && !strings.ContainsAny(in.url, "=;[,") {
		fps = testFPS
	}
	if fps == 0 && in.still && !slices.Contains(s.InputArgs, "-framerate") {
		fps = stillFPS
	}
	if fps > 0 {
		frames := fmt.Sprint(int(math.Max(1, math.Round(fps*s.GOP.Seconds()))))
		o = append(o, "-g", frames, "-keyint_min", frames)
	} else { // at the input's own rate: count seconds instead of frames
		o = append(o, "-g", "600", "-force_key_frames", fmt.Sprintf("expr:gte(t,n_forced*%s)", seconds(s.GOP)))
	}
	return append(o, "-sc_threshold", "0", "-b:v", s.Bitrate, "-maxrate", s.Bitrate, "-bufsize", s.Bitrate)
}

// thinned drops most of the pictures that a relay has kept, which come a millisecond apart: they
// are decoded, because the present one needs them, and few are worth encoding.
const thinned = `select=isnan(prev_selected_t)+gte(t-prev_selected_t\,0.008)`

// deinterlaced makes whole pictures of the halves in which much of television's hardware still
// sends them, and leaves others alone: the platform's players show pictures as they come.
const deinterlaced = "yadif=deint=interlaced"

func filters(s Settings, in input) string {
	if s.Video != "h264" {
		return ""
	}
	var f []string
	if s.held {
		f = append(f, thinned)
	}
	if in.kind == inputCard {
		f = append(f, deinterlaced)
	}
	if s.Width > 0 || s.Height > 0 {
		size := func(n int) string {
			if n == 0 {
				return "-2" // keeps the aspect, and is even
			}
			return fmt.Sprint(n)
		}
		f = append(f, "scale="+size(s.Width)+":"+size(s.Height))
	} else if in.still {
		f = append(f, "scale=trunc(iw/2)*2:trunc(ih/2)*2") // x264 takes no odd sizes, and cameras have none
	}
	if rate := s.rate(in); rate != "" {
		f = append(f, rate)
	}
	if up := s.gpu.upload(); up != "" {
		f = append(f, up)
	}
	return strings.Join(f, ",")
}

// rate is the filter that makes the rate of the pictures; "" where the input's own is known. Many
// cameras do not tell theirs, and FFmpeg, which probes them too briefly to count, then takes the
// ticks of their clock for it: x264 would give each picture the share of one in 90,000.
func (s Settings) rate(in input) string {
	switch {
	case s.FPS > 0:
		return "fps=" + number(s.FPS)
	case in.brief() && !slices.ContainsFunc(s.OutputArgs, func(arg string) bool { return ownPicture[arg] }):
		return "fps='if(between(source_fps,1,240),source_fps,30)'"
	}
	return ""
}

// ownPicture names the output options with which users make the picture themselves.
var ownPicture = options(`c c:v codec codec:v vcodec vf filter filter:v filter_complex lavfi r vsync fps_mode`)

func seconds(d time.Duration) string { return number(d.Seconds()) }
