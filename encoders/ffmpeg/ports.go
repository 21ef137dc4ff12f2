package ffmpeg

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// usualPorts are the ports of streaming and the web. The user's own command line may use them
// without naming them.
var usualPorts = []int{80, 443, 322, 554, 1935, 1936, 8080, 8322, 8443, 8554}

// ports grants TCP ports that the settings do not name, except guarded ones.
func (g *grants) ports(list ...int) {
	for _, port := range list {
		if !slices.Contains(g.guard.Ports, port) {
			g.Ports = append(g.Ports, port)
		}
	}
}

// schemePorts are the TCP ports of URLs that name none.
var schemePorts = map[string][]int{
	"rtsp": {554}, "rtsps": {322}, "rtmp": {1935}, "rtmpe": {1935}, "rtmps": {443}, "rtmpt": {80},
	"rtmpts": {443}, "http": {80}, "https": {443},
	"whip": {80}, "whips": {443}, "ftp": {21}, "sftp": {22}, "icecast": {8000}, "mmst": {1755}, "mmsh": {80},
	"ws": {80}, "wss": {443},
}

var (
	urlPattern  = regexp.MustCompile(`([a-z][a-z0-9+.-]*)://([^/?#\s'"|,\\]*)`)
	hostPattern = regexp.MustCompile(`^[A-Za-z0-9.-]*[A-Za-z.][A-Za-z0-9.-]*:([0-9]{2,5})$`)
	portPattern = regexp.MustCompile(`(?i)\bport[=:\s]+([0-9]{1,5})\b`)
)

// addresses grants the TCP ports that the words name, that of DNS, and those of the web for a web
// address, which may redirect.
func (g *grants) addresses(words []string) {
	g.ports(53)
	for _, w := range words {
		for _, m := range urlPattern.FindAllStringSubmatch(w, -1) {
			scheme, host := m[1], m[2]
			if web := strings.TrimSuffix(scheme, "s"); strings.HasSuffix(web, "http") || web == "whip" {
				g.ports(80, 443)
			}
			host = host[strings.LastIndex(host, "@")+1:]
			if _, port, err := net.SplitHostPort(host); err == nil {
				g.portOf(hostOf(host), port)
			} else {
				g.Ports = append(g.Ports, schemePorts[scheme]...)
			}
			// A service behind a unix socket resolves such names.
			g.Sockets = g.Sockets || strings.HasSuffix(hostOf(host), ".local")
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

// portOf grants a TCP port of a host, unless it is a guarded port of this host.
func (g *grants) portOf(host, port string) {
	if n, _ := strconv.Atoi(port); slices.Contains(g.guard.Ports, n) && isHere(host) {
		return
	}
	g.port(port)
}

// isHere reports whether a name or address is this host's.
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
