package ffmpeg

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/encoders/proc"
	"github.com/oncue/oncue/encoders/sandbox"
)

// known grants what the settings' program needs for any job.
func (g *grants) known(s Settings) {
	path, _ := proc.LookUp(s.Binary, binaryKey)
	words := append([]string{os.Getenv("PATH"), os.Getenv("HOME"), strconv.FormatBool(s.isFFmpeg())}, g.guard.Paths...)
	under := strings.Join(words, "\x00")
	was, _ := keptGrants.Load(path)
	n, _ := was.(*kept)
	if n == nil || n.under != under || !n.holds() {
		n = &kept{under: under, grants: grants{guard: g.guard, dependsOn: map[string]mark{}}}
		n.program(path)
		if !s.isFFmpeg() { // it may call other programs, and use devices that its args do not name
			n.tools()
			for _, h := range hardware {
				n.devices(strings.ReplaceAll(h.devices, "shm", ""))
			}
		}
		keptGrants.Store(path, n)
	}
	g.Read, g.Devices = append(g.Read, n.Read...), append(g.Devices, n.Devices...)
}

// keptGrants caches what each program needs, by its path: finding out takes 1 ms, and a viewer
// waits.
var keptGrants sync.Map // of *kept

type kept struct {
	grants
	under string // what it depends on apart from files
}

// holds reports whether every file and folder it depends on is unchanged.
func (n *kept) holds() bool {
	for path, was := range n.dependsOn {
		if markOf(path) != was {
			return false
		}
	}
	return true
}

// mark identifies a version of a file: another file has another mark, and so has the same file
// after a change.
type mark struct {
	dev, ino uint64
	changed  unix.Timespec
}

func markOf(path string) mark {
	var st unix.Stat_t
	_ = unix.Stat(path, &st) // a missing file has the zero mark
	return mark{uint64(st.Dev), st.Ino, st.Ctim}
}

// depend records a file or folder on which a cached result depends.
func (g *grants) depend(path string) {
	if g.dependsOn != nil {
		g.dependsOn[path] = markOf(path)
	}
}

// program grants a program and, if it lies outside the system's folders, its folder and the
// libraries next to that. For a script it grants the interpreter as well.
func (g *grants) program(binary string) {
	path, err := proc.LookUp(binary, binaryKey)
	if err != nil {
		return
	}
	g.depend(path)
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

// systems reports whether a folder of programs is the system's, which every process may read.
func systems(dir string) bool { return slices.Contains(sandbox.Base, filepath.Clean(dir)) }

// programs grants a folder of programs and its libraries. If the folder is too wide to grant, it
// grants the programs one by one.
func (g *grants) programs(dir string) {
	g.depend(dir)
	if g.tooWide(dir) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			g.depend(filepath.Join(dir, e.Name()))
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				g.Read = append(g.Read, filepath.Join(dir, e.Name()))
			}
		}
		return
	}
	g.Read = append(g.Read, dir)
	if base := filepath.Base(dir); base == "bin" || base == "sbin" {
		g.depend(filepath.Dir(dir))
		for _, beside := range []string{"lib", "lib64", "share", "libexec", "pyvenv.cfg"} {
			if path := filepath.Join(filepath.Dir(dir), beside); !g.tooWide(path) {
				g.Read = append(g.Read, path)
			}
		}
	}
}

// tools grants the programs in PATH.
func (g *grants) tools() {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) && !systems(dir) {
			g.programs(dir)
		}
	}
}

// interpreter is the program in the first line of a script; "" for other files.
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

// environment grants what the inherited variables name.
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
