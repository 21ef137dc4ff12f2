package ffmpeg

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/encoders"
	"github.com/oncue/oncue/encoders/sandbox"
)

// ownDir is the folder of a process for what it does not keep, in the encoder's folder: its TMPDIR. It is emptied at each start.
const ownDir = "ffmpeg.tmp"

// confined reports whether processes of the encoder are held to what they need.
func (s Settings) confined() bool { return s.Sandbox != "off" && sandbox.Available() }

// grants collects what the process of a job needs, as far as its settings tell.
type grants struct {
	sandbox.Policy
	guard    encoders.Guard // paths without links
	replaces bool           // outputs that are there are written anew
	outputs  []string       // files that have to be made for the process, which may not make any in their folders
	template bool           // the word looked at has a placeholder: what it names is, in part, a viewer's choice
}

// policyFor returns what a process of a job may touch. A job without a stream is that of a program that is only asked something.
func policyFor(s Settings, env encoders.Env, job encoders.Job) sandbox.Policy {
	return grantsFor(s, env, job).Policy
}

func grantsFor(s Settings, env encoders.Env, job encoders.Job) grants {
	g := grants{guard: env.Guard}
	g.program(s.Binary)
	if !s.isFFmpeg() {
		g.tools()
	}
	g.environment()
	if env.Dir != "" {
		g.Write = append(g.Write, filepath.Join(env.Dir, ownDir), filepath.Join(env.Dir, logFile), filepath.Join(env.Dir, progressFile))
	}
	g.replaces = hasOption(s.Args, "-y")
	words := append(append(append([]string{s.Input}, s.InputArgs...), s.OutputArgs...), s.Args...)
	switch {
	case s.Input != "":
		g.input(job, s.Input)
		g.options(job, s.InputArgs)
		g.options(job, s.OutputArgs)
	case s.isFFmpeg():
		g.arguments(job, s.Args)
	default:
		for _, w := range s.Args {
			g.word(job, w, g.either)
		}
	}
	publish := job.Publish.Reveal()
	if out, err := readOutput(publish); err == nil && !out.network {
		if path := strings.TrimPrefix(out.url, "file:"); !g.guarded(path) {
			g.replaces = true // see fileOutput
			g.output(path)
		}
	}
	words = append(fillAll(job, words), publish)
	g.addresses(words)
	if s.Input == "" {
		g.ports(usualPorts...)
	}
	g.hardware(s, words)
	for _, a := range s.Allow {
		g.allowed(job.Fill(a))
	}
	slices.Sort(g.Ports)
	g.Ports = slices.Compact(g.Ports)
	return g
}

// program grants a program that lies outside of the system's folders: its folder, and the libraries beside it. A script brings its interpreter.
func (g *grants) program(binary string) {
	path, err := lookUp(binary)
	if err != nil {
		return
	}
	g.Read = append(g.Read, path)
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(sandbox.Real(path))} {
		if !systems(dir) {
			g.programs(dir)
		}
	}
	if name := interpreter(path); name != "" {
		g.program(name)
	}
}

// systems reports whether a folder of programs is the system's, which each process has.
func systems(dir string) bool { return slices.Contains(sandbox.Base, filepath.Clean(dir)) }

// programs grants a folder of programs, and the libraries that belong to it. Where it holds more than programs, they are granted one by one.
func (g *grants) programs(dir string) {
	if g.narrow(dir) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				g.Read = append(g.Read, filepath.Join(dir, e.Name()))
			}
		}
		return
	}
	g.Read = append(g.Read, dir)
	if base := filepath.Base(dir); base == "bin" || base == "sbin" {
		for _, beside := range []string{"lib", "lib64", "share", "libexec", "pyvenv.cfg"} {
			if path := filepath.Join(filepath.Dir(dir), beside); !g.narrow(path) {
				g.Read = append(g.Read, path)
			}
		}
	}
}

// tools grants the programs of PATH to one that may call them.
func (g *grants) tools() {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) && !systems(dir) {
			g.programs(dir)
		}
	}
}

// interpreter is the program that the first line of a script names, "" when it is none.
func interpreter(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 256).ReadString('\n')
	rest, ok := strings.CutPrefix(line, "#!")
	if words := strings.Fields(rest); ok && len(words) > 0 && filepath.IsAbs(words[0]) && words[0] != path {
		return words[0]
	}
	return ""
}

// environment grants what the inherited variables lead to.
func (g *grants) environment() {
	for _, name := range []string{"LD_LIBRARY_PATH", "LIBVA_DRIVERS_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE"} {
		for _, path := range filepath.SplitList(os.Getenv(name)) {
			if filepath.IsAbs(path) {
				g.source(path)
			}
		}
	}
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		g.addresses([]string{os.Getenv(name)})
	}
}

// wide are folders that hold what belongs to others, whatever else is in them.
var wide = regexp.MustCompile(`^(/|/(bin|boot|dev|etc|home|lib|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var)|/home/[^/]+|/etc/.*|/var/(lib|log|tmp|cache|run|spool)|/run/.*)$`)

// narrow reports whether a folder is too much to be granted as a whole.
func (g *grants) narrow(dir string) bool {
	real := sandbox.Real(dir)
	return wide.MatchString(real) || real == os.Getenv("HOME") || sandbox.Holds(real, g.guard.Paths) || g.guards(real)
}

// word grants the paths that a word names.
func (g *grants) word(job encoders.Job, word string, grant func(path string)) {
	filled := argument(job, word)
	g.template = filled != word
	for _, path := range paths(filled) {
		if !g.guarded(path) {
			grant(path)
		}
	}
	g.template = false
}

// guarded reports whether a path is, or lies in, what is the daemon's own.
func (g *grants) guarded(path string) bool { return g.guards(sandbox.Real(path)) }

// guards is guarded for a path without links.
func (g *grants) guards(real string) bool {
	return slices.ContainsFunc(g.guard.Paths, func(p string) bool { return sandbox.Holds(p, []string{real}) })
}

// options grants what options name: a font, a picture, a list.
func (g *grants) options(job encoders.Job, args []string) {
	for _, a := range args {
		g.word(job, a, g.either)
	}
}

// arguments grants what a whole command line of FFmpeg names: inputs for reading, outputs for writing.
func (g *grants) arguments(job encoders.Job, args []string) {
	for i, a := range args {
		before := ""
		if i > 0 {
			before = args[i-1]
		}
		switch {
		case before == "-i":
			g.input(job, a)
		case i == len(args)-1 || !strings.HasPrefix(before, "-"):
			if !strings.HasPrefix(a, "-") && a != placeholder {
				g.relative(job, a, g.output)
				g.word(job, a, g.output)
			}
		default:
			g.word(job, a, g.either)
		}
	}
}

// input grants an input: a file, a device, or what a filter graph or a list in the words reads.
func (g *grants) input(job encoders.Job, text string) {
	g.relative(job, text, g.source)
	g.word(job, text, g.source)
}

// relative grants a file that is named from the folder of the daemon.
func (g *grants) relative(job encoders.Job, word string, grant func(path string)) {
	filled := strings.TrimPrefix(argument(job, word), "file:")
	if filled == "" || filepath.IsAbs(filled) || strings.Contains(filled, ":") {
		return
	}
	abs, err := filepath.Abs(filled)
	g.template = filled != strings.TrimPrefix(word, "file:")
	if err == nil && !g.guarded(abs) {
		grant(abs)
	}
	g.template = false
}

var pathBreaks = regexp.MustCompile(`[\s=:,;'"|@()\[\]{}\\]+`)

// paths lists the absolute paths in a word: the word itself, and what stands in it as in fontfile=/usr/share/x.ttf.
func paths(word string) []string {
	word = strings.ReplaceAll(strings.ReplaceAll(word, "file:///", "/"), "file:/", "/")
	var found []string
	for _, piece := range append([]string{word}, pathBreaks.Split(word, -1)...) {
		if len(piece) > 1 && piece[0] == '/' && piece[1] != '/' && !strings.ContainsRune(piece, 0) && !slices.Contains(found, filepath.Clean(piece)) {
			found = append(found, filepath.Clean(piece))
		}
	}
	return found
}

// indexes are the endings of files that name other files beside them.
var indexes = map[string]bool{".m3u8": true, ".m3u": true, ".mpd": true, ".txt": true, ".ffconcat": true, ".concat": true, ".pls": true,
	".sdp": true, ".ism": true, ".xml": true, ".avs": true, ".idx": true}

// source grants a path for reading.
func (g *grants) source(path string) {
	if g.device(path) {
		return
	}
	info, err := os.Stat(path)
	if err == nil && (!info.IsDir() || !g.template && !g.narrow(path)) {
		g.Read = append(g.Read, path)
	}
	if indexes[filepath.Ext(path)] || strings.ContainsAny(path, "%*?") {
		if dir := filepath.Dir(path); !g.narrow(dir) {
			g.Read = append(g.Read, dir)
		}
	}
}

// output grants a path for writing. A muxer may make and rename files beside it.
func (g *grants) output(path string) {
	if g.device(path) {
		return
	}
	dir := filepath.Dir(path)
	if temporary := dir == "/tmp" || dir == "/var/tmp"; !g.narrow(dir) || temporary && !sandbox.Holds(dir, g.guard.Paths) {
		g.Write = append(g.Write, dir)
		return
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Mode().IsRegular():
		g.Write = append(g.Write, path)
	case errors.Is(err, fs.ErrNotExist) && g.replaces:
		g.Write, g.outputs = append(g.Write, path), append(g.outputs, path)
	}
}

// either grants a path of which it is not known whether it will be read or written. What can be executed is not to be changed.
func (g *grants) either(path string) {
	if g.device(path) {
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		if dir := filepath.Dir(path); !g.template && !g.narrow(dir) {
			g.Write = append(g.Write, dir)
		}
	case info.IsDir():
		if !g.template && !g.narrow(path) {
			g.Write = append(g.Write, path)
		}
	case info.Mode()&0o111 != 0:
		g.Read = append(g.Read, path)
	default:
		g.Write = append(g.Write, path)
		g.source(path)
	}
}

// device grants a path if it is one in /dev, and reports whether it is.
func (g *grants) device(path string) bool {
	if !strings.HasPrefix(path, "/dev/") {
		return strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/sys/")
	}
	if !strings.HasPrefix(path, "/dev/fd/") && !strings.HasPrefix(path, "/dev/std") {
		g.Devices = append(g.Devices, path)
	}
	return true
}

// usualPorts are those of streaming and the web. A command line of the user's own may use them without naming them.
var usualPorts = []int{80, 443, 322, 554, 1935, 1936, 8080, 8322, 8443, 8554}

// ports grants TCP ports that nobody has asked for by name: never the ones that are guarded.
func (g *grants) ports(list ...int) {
	for _, port := range list {
		if !slices.Contains(g.guard.Ports, port) {
			g.Ports = append(g.Ports, port)
		}
	}
}

// schemePorts are the TCP ports of URLs that name none.
var schemePorts = map[string][]int{
	"rtsp": {554}, "rtsps": {322}, "rtmp": {1935}, "rtmpe": {1935}, "rtmps": {443}, "rtmpt": {80}, "rtmpts": {443}, "http": {80}, "https": {443},
	"whip": {80}, "whips": {443}, "ftp": {21}, "sftp": {22}, "icecast": {8000}, "mmst": {1755}, "mmsh": {80}, "ws": {80}, "wss": {443},
}

var (
	urlPattern  = regexp.MustCompile(`([a-z][a-z0-9+.-]*)://([^/?#\s'"|,\\]*)`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9.-]*[A-Za-z.][A-Za-z0-9.-]*:([0-9]{2,5})$`)
	portPattern = regexp.MustCompile(`(?i)\bport[=:\s]+([0-9]{1,5})\b`)
)

// addresses grants the TCP ports that the words name. DNS needs one, too, and a web address may lead to the web's own.
func (g *grants) addresses(words []string) {
	g.ports(53)
	for _, w := range words {
		for _, m := range urlPattern.FindAllStringSubmatch(w, -1) {
			scheme, host := m[1], m[2]
			if strings.HasSuffix(scheme, "http") || strings.HasSuffix(scheme, "https") || strings.HasPrefix(scheme, "whip") {
				g.ports(80, 443)
			}
			host = host[strings.LastIndex(host, "@")+1:]
			if _, port, err := net.SplitHostPort(host); err == nil {
				g.portOf(hostOf(host), port)
			} else {
				g.Ports = append(g.Ports, schemePorts[scheme]...)
			}
			g.Sockets = g.Sockets || strings.HasSuffix(hostOf(host), ".local") // found by a service behind a socket
		}
		if m := hostPattern.FindStringSubmatch(w); m != nil {
			g.portOf(hostOf(w), m[1])
		}
	}
	for _, m := range portPattern.FindAllStringSubmatch(strings.Join(words, " "), -1) {
		g.portOf("localhost", m[1])
	}
}

func hostOf(hostport string) string {
	u := url.URL{Host: hostport}
	return u.Hostname()
}

// portOf grants a TCP port of a host, unless that is a guarded one of this host.
func (g *grants) portOf(host, port string) {
	if n, _ := strconv.Atoi(port); slices.Contains(g.guard.Ports, n) && isHere(host) {
		return
	}
	g.port(port)
}

// isHere reports whether a host is this one, as far as its name or address tells.
func isHere(host string) bool {
	ip := net.ParseIP(host)
	if ip == nil {
		name, _ := os.Hostname()
		return host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.EqualFold(host, name)
	}
	if ip.IsLoopback() || ip.IsUnspecified() {
		return true
	}
	own, _ := net.InterfaceAddrs()
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// port grants a TCP port that the settings name.
func (g *grants) port(text string) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 1<<16 {
		g.Ports = append(g.Ports, n)
	}
}

// hardware knows which devices go with the words of a command line, and which of them are reached through unix sockets.
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

// hardware grants the devices that the words speak of. A program that is no FFmpeg may use any of them without a word.
func (g *grants) hardware(s Settings, words []string) {
	text := strings.Join(words, " ")
	var all []os.DirEntry
	for _, h := range hardware {
		named := h.says.MatchString(text)
		if !named && s.isFFmpeg() {
			continue
		}
		if all == nil { // read once, and only if it is needed
			all, _ = os.ReadDir("/dev")
		}
		for pattern := range strings.FieldsSeq(h.devices) {
			for _, d := range all {
				if ok, _ := filepath.Match(pattern, d.Name()); ok && (pattern != "shm" || named) {
					g.Devices = append(g.Devices, "/dev/"+d.Name())
				}
			}
		}
		if named && h.sockets {
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

// allowed grants what the settings allow beyond what they name: a path, or tcp:PORT.
func (g *grants) allowed(what string) {
	if port, ok := strings.CutPrefix(what, "tcp:"); ok {
		g.port(port)
		return
	}
	if sandbox.IsSocket(what) {
		g.Sockets = true
	}
	if strings.HasPrefix(what, "/dev/") {
		g.Devices = append(g.Devices, what)
		return
	}
	g.Write = append(g.Write, what)
}

// makeOutputs makes the files that the process may only write to. Where that fails, the process will say so.
func (g grants) makeOutputs() {
	for _, path := range g.outputs {
		if f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		}
	}
}

// prepareOwn makes the folder of what a process does not keep, empties it, and returns its path. What cannot be removed stays.
func prepareOwn(dir string) string {
	own := filepath.Join(dir, ownDir)
	_ = os.RemoveAll(own)
	_ = os.Mkdir(own, 0o700)
	return own
}

// checkSandbox tells where the settings open what a sandbox is for.
func (e *Encoder) checkSandbox(job encoders.Job) (found []encoders.Finding) {
	warn := func(what, hint string) {
		found = append(found, encoders.Finding{Level: encoders.Warn, What: what, Hint: hint})
	}
	if e.settings.Sandbox == "off" {
		warn("it is not confined: whoever takes it over by what it reads can do all that the daemon can", "leave out sandbox: off, and name what it needs in allow")
		return found
	}
	for _, path := range e.settings.Allow {
		if g := (grants{guard: e.env.Guard}); filepath.IsAbs(path) && (g.guarded(path) || sandbox.Holds(sandbox.Real(path), g.guard.Paths)) {
			warn("allow gives it "+path+", which holds the daemon's own files", "name the files or folders in it that it needs")
		}
	}
	for _, path := range e.settings.Allow {
		if _, err := os.Stat(job.Fill(path)); filepath.IsAbs(path) && err != nil {
			warn("allow has "+path+", which is not there: "+err.Error(), "is it written right? what is made later is not allowed by it")
		}
	}
	p := policyFor(e.settings, e.env, job)
	for _, port := range e.env.Guard.Ports {
		if slices.Contains(p.Ports, port) {
			warn(fmt.Sprintf("it may connect to TCP port %d, for its settings name it, and the admin side listens there", port), "let one of them have another port, or set admin.token")
		}
	}
	if p.Sockets {
		warn("it may use unix sockets, for its settings need them: also one of the admin side", "")
	}
	return found
}

// realGuard is a guard whose paths are without links, and all there.
func realGuard(g encoders.Guard) encoders.Guard {
	var paths []string
	for _, p := range g.Paths {
		if p != "" {
			paths = append(paths, sandbox.Real(p))
		}
	}
	g.Paths = paths
	return g
}
