package daemon

import (
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oncue/oncue/configs"
	"github.com/oncue/oncue/encoders"
)

// CloseMemory keeps the secrets in this process's memory and environment from other processes of
// the same user, encoders above all, and out of core dumps.
func CloseMemory() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }

// films are the extensions of files that people keep in the data directory for their encoders. All
// other files there are the daemon's.
var films = regexp.MustCompile(`(?i)\.(mp4|m4v|mov|mkv|webm|ts|mts|m2ts|flv|avi|mpe?g|` +
	`mp3|m4a|aac|wav|flac|ogg|opus|png|jpe?g|gif|bmp|svg|ttf|otf|srt|vtt|m3u8)$`)

// guard is guardOf for an encoder. Thousands of encoders share one guard, until it changes.
func (d *Daemon) guard(cfg *configs.Config) encoders.Guard {
	g := guardOf(cfg)
	if last := d.lastGuard.Load(); last != nil && reflect.DeepEqual(*last, g) {
		return *last
	}
	d.lastGuard.Store(&g)
	return g
}

// guardOf lists what encoders must not reach.
func guardOf(cfg *configs.Config) encoders.Guard {
	g := encoders.Guard{Paths: []string{cfg.File, cfg.TLS.KeyFile, os.Getenv("CREDENTIALS_DIRECTORY")}}
	for _, name := range []string{"oncue.db", sealFile, "encoders"} { // even if they do not exist yet
		g.Paths = append(g.Paths, filepath.Join(cfg.DataDir, name))
	}
	g.Hidden = slices.Clone(g.Paths)
	entries, _ := os.ReadDir(cfg.DataDir)
	for _, e := range entries {
		// No other names: in a folder that oncue shares, the other files belong to others.
		if strings.HasPrefix(e.Name(), "oncue.") || e.Name() == "acme" {
			g.Hidden = append(g.Hidden, filepath.Join(cfg.DataDir, e.Name()))
		}
		if e.Type().IsRegular() && films.MatchString(e.Name()) {
			continue
		}
		if path := filepath.Join(cfg.DataDir, e.Name()); !slices.Contains(g.Paths, path) {
			g.Paths = append(g.Paths, path)
		}
	}
	if path, ok := strings.CutPrefix(cfg.Listen, "unix:"); ok {
		g.Paths, g.Hidden = append(g.Paths, path), append(g.Hidden, path)
	}
	for _, address := range []string{cfg.Admin.Listen, cfg.Admin.Socket} {
		if path, ok := strings.CutPrefix(address, "unix:"); ok || strings.HasPrefix(address, "/") {
			g.Paths, g.Hidden = append(g.Paths, path), append(g.Hidden, path)
		} else if _, port, err := net.SplitHostPort(address); err == nil {
			if n, err := strconv.Atoi(port); err == nil && n > 0 {
				g.Ports = append(g.Ports, n)
			}
		}
	}
	return g
}
