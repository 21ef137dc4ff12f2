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

	"github.com/oncue/oncue/encoders/sandbox"
)

// known grants what a program of the settings needs whatever its job is.
func (g *grants) known(s Settings) {
	path, _ := lookUp(s.Binary)
	words := append([]string{os.Getenv("PATH"), os.Getenv("HOME"), strconv.FormatBool(s.isFFmpeg())}, g.guard.Paths...)
	under := strings.Join(words, "\x00")
	was, _ := keptGrants.Load(path)
	n, _ := was.(*kept)
	if n == nil || n.under != under || !n.holds() {
		n = &kept{under: under, grants: grants{guard: g.guard, looked: map[string]mark{}}}
		n.program(path)
		if !s.isFFmpeg() { // it may call others, and use devices without a word
			n.tools()
			for _, h := range hardware {
				n.devices(strings.ReplaceAll(h.devices, "shm", ""))
			}
		}
		keptGrants.Store(path, n)
	}
	g.Read, g.Devices = append(g.Read, n.Read...), append(g.Devices, n.Devices...)
}

// keptGrants has what each program needs, by its path: to find that out takes 1 ms, and a viewer waits.
var keptGrants sync.Map // of *kept

type kept struct {
	grants
	under string // what it depends on beside files
}

// holds reports whether all that was looked at is as it was.
func (n *kept) holds() bool {
	for path, was := range n.looked {
		if markOf(path) != was {
			return false
		}
	}
	return true
}

// mark tells a file as it is from all others, and from what it becomes by a change.
type mark struct {
	dev, ino uint64
	changed  unix.Timespec
}

func markOf(path string) mark {
	var st unix.Stat_t
	_ = unix.Stat(path, &st) // none is one, too
	return mark{uint64(st.Dev), st.Ino, st.Ctim}
}

// look marks what an answer depends on.
func (g *grants) look(path string) {
	if g.looked != nil {
		g.looked[path] = markOf(path)
	}
}

// program grants a program that lies outside of the system's folders: its folder, and the libraries
// beside it. A script brings its interpreter.
func (g *grants) program(binary string) {
	path, err := lookUp(binary)
	if err != nil {
		return
	}
	g.look(path)
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

// programs grants a folder of programs, and the libraries that belong to it. Where it holds more
// than programs, they are granted one by one.
func (g *grants) programs(dir string) {
	g.look(dir)
	if g.narrow(dir) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			g.look(filepath.Join(dir, e.Name()))
			if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				g.Read = append(g.Read, filepath.Join(dir, e.Name()))
			}
		}
		return
	}
	g.Read = append(g.Read, dir)
	if base := filepath.Base(dir); base == "bin" || base == "sbin" {
		g.look(filepath.Dir(dir))
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
