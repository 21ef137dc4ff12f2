package ffmpeg

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// hardware maps words of a command line to the devices that they need, and says which of those need
// unix sockets.
var hardware = []struct {
	says    *regexp.Regexp
	devices string // in /dev
	sockets bool
}{
	{regexp.MustCompile(`v4l2|video4linux`), "video* media* v4l v4l-subdev* vchiq vcsm-cma dma_heap", false},
	{regexp.MustCompile(`vaapi|qsv|kms|drm|opencl|vulkan|amf`), "dri kfd", false},
	{regexp.MustCompile(`nvenc|nvdec|cuda|cuvid|npp|nvmpi|nvv4l2`), "dri nvidia* nvhost* nvmap nvgpu", false},
	{regexp.MustCompile(`rkmpp|mpp|rga`), "mpp_service rga dri dma_heap mali*", false},
	{regexp.MustCompile(`decklink`), "blackmagic", false},
	{regexp.MustCompile(`fbdev`), "fb*", false},
	{regexp.MustCompile(`dvb`), "dvb", false},
	{regexp.MustCompile(`iec61883|dc1394`), "fw*", false},
	{regexp.MustCompile(`alsa|pulse|jack|sndio|oss\b`), "snd shm", true},
	{regexp.MustCompile(`x11grab|xcbgrab|ximagesrc|pipewire`), "shm", true},
}

// hardware grants the devices that the words need.
func (g *grants) hardware(words []string) {
	text := strings.Join(words, " ")
	for _, h := range hardware {
		if !h.says.MatchString(text) {
			continue
		}
		g.devices(h.devices)
		if strings.Contains(text, "v4l2m2m") { // FFmpeg looks for its device itself
			g.Names = append(g.Names, "/dev")
		}
		if h.sockets {
			g.Sockets = true
			if strings.Contains(h.devices, "shm") {
				g.Write = append(g.Write, "/dev/shm")
			}
			home := os.Getenv("HOME")
			for _, path := range []string{os.Getenv("XAUTHORITY"), home + "/.Xauthority", home + "/.config/pulse"} {
				if filepath.IsAbs(path) && !g.guarded(path) {
					g.Read = append(g.Read, path)
				}
			}
		}
	}
}

// devices grants the devices in /dev whose names match one of the patterns.
func (g *grants) devices(patterns string) {
	g.depend("/dev")
	all, _ := os.ReadDir("/dev")
	for pattern := range strings.FieldsSeq(patterns) {
		for _, d := range all {
			if ok, _ := filepath.Match(pattern, d.Name()); ok {
				g.Devices = append(g.Devices, "/dev/"+d.Name())
			}
		}
	}
}
