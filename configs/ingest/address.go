package ingest

import (
	"cmp"
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// An Address is a publishing URL taken apart.
type Address struct {
	Scheme string // lower case: rtmp, rtmps, srt, http, https, or another; whip and whips are read as http and https
	Host   string // with port, and user info where it is written
	App    string // RTMP: the path before the stream's name, without slashes at its ends
	Stream string // the stream's name, decoded once
	Token  string // publishing token; a secret
	Source string // sourceId
	// Priority among contributions with the same stream and source; nil when the URL has none.
	Priority *int
	Multi    bool // simulcastId is there: several qualities of one picture

	// ID is SRT's stream id, decoded: name, token and parameters. A secret.
	ID string

	name    string // RTMP and WHIP: the name as it is written, percent-encoding included
	path    string // WHIP: the whole path as it is written
	query   string // as it is written
	options string // SRT: the query without the stream id
}

// Placeholder is a placeholder in a URL or a setting, such as {stream}; its group is the name.
var Placeholder = regexp.MustCompile(`\{([A-Za-z0-9_]+)\}`)

// errAddress tells nothing of the URL, which holds a token.
var errAddress = errors.New("the publishing URL must read rtmps://HOST/APP/STREAM?token=…, " +
	"srt://HOST:PORT?streamid=… or https://HOST/PATH?token=… (WHIP)")

// Parse takes a publishing URL apart. It may hold placeholders. Its errors do not repeat the URL.
func Parse(text string) (Address, error) {
	scheme, rest, found := strings.Cut(text, "://")
	if !found || strings.ContainsAny(text, "\n\r\x00") {
		return Address{}, errAddress
	}
	a := Address{Scheme: strings.ToLower(scheme)}
	switch a.Scheme {
	case "whip":
		a.Scheme = "http"
	case "whips":
		a.Scheme = "https"
	}
	rest, _, _ = strings.Cut(rest, "#")
	place, query, _ := strings.Cut(rest, "?")
	a.query = query
	host, path, _ := strings.Cut(place, "/")
	a.Host = host
	if _, err := url.Parse(a.Scheme + "://" + Placeholder.ReplaceAllString(host, "x")); err != nil || host == "" {
		return Address{}, errAddress
	}
	parameters := query
	if a.Scheme == "srt" {
		parameters = a.readSRT(query)
	} else {
		a.path = path
		a.App, a.name = splitName(path)
		a.Stream = decoded(a.name)
	}
	a.readParameters(parameters)
	return a, nil
}

// splitName parts a path before the stream's name. Names may hold slashes, so the platform's own
// application is looked for first.
func splitName(path string) (app, name string) {
	for _, known := range []string{"v2/pub", "api/whip"} {
		if name, is := strings.CutPrefix(path, known+"/"); is {
			return known, name
		}
	}
	at := strings.LastIndexByte(path, '/')
	if at < 0 {
		return "", path
	}
	return path[:at], path[at+1:]
}

// readSRT takes the stream id out of the query and returns the parameters in it.
func (a *Address) readSRT(query string) (parameters string) {
	var options []string
	for _, pair := range strings.Split(query, "&") {
		id, is := strings.CutPrefix(pair, "streamid=")
		switch {
		case is:
			a.ID = decoded(id)
		case pair != "":
			options = append(options, pair)
		}
	}
	a.options = strings.Join(options, "&")
	a.Stream, parameters, _ = strings.Cut(a.ID, "?")
	return parameters
}

// readParameters reads what the platform understands. What is badly encoded stays as it is written.
func (a *Address) readParameters(query string) {
	for _, pair := range strings.Split(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch value = decoded(value); key {
		case "token", "t", "auth":
			a.Token = cmp.Or(a.Token, value)
		case "sourceId":
			a.Source = value
		case "priority":
			if n, err := strconv.Atoi(value); err == nil {
				a.Priority = &n
			}
		case "simulcastId":
			a.Multi = true
		}
	}
}

func decoded(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// RTMP reports whether the address is RTMP's, with or without TLS.
func (a Address) RTMP() bool { return a.Scheme == "rtmp" || a.Scheme == "rtmps" }

// WHIP reports whether the address is WHIP's.
func (a Address) WHIP() bool { return a.Scheme == "http" || a.Scheme == "https" }

// Server is the part that encoders ask for beside the key: of RTMP up to the application, of SRT
// without the stream id, of WHIP all but the token. It holds no token.
func (a Address) Server() string {
	switch {
	case a.Scheme == "srt":
		return strings.TrimSuffix("srt://"+a.Host+"?"+a.options, "?")
	case a.WHIP():
		var kept []string
		for _, pair := range strings.Split(a.query, "&") {
			if key, _, _ := strings.Cut(pair, "="); pair != "" && key != "token" && key != "auth" && key != "t" {
				kept = append(kept, pair)
			}
		}
		return strings.TrimSuffix(a.Scheme+"://"+a.Host+"/"+a.path+"?"+strings.Join(kept, "&"), "?")
	default:
		return strings.TrimSuffix(a.Scheme+"://"+a.Host+"/"+a.App, "/")
	}
}

// Key is what encoders call the stream key: of RTMP the name and its query, of SRT the stream id.
// WHIP has none. It is a secret.
func (a Address) Key() string {
	switch {
	case a.Scheme == "srt":
		return a.ID
	case a.WHIP():
		return ""
	case a.query == "":
		return a.name
	default:
		return a.name + "?" + a.query
	}
}

// Options are the parameters of an SRT URL beside the stream id, as they are written: KEY=VALUE.
func (a Address) Options() []string {
	if a.options == "" {
		return nil
	}
	return strings.Split(a.options, "&")
}

// Open reports whether nothing in Server has to be kept secret: there is no user info, and every
// parameter is one of those that [Shown] knows.
func (a Address) Open() bool {
	if strings.Contains(a.Host, "@") {
		return false
	}
	_, query, _ := strings.Cut(a.Server(), "?")
	for _, pair := range strings.Split(query, "&") {
		if key, _, _ := strings.Cut(pair, "="); key != "" && !Shown(key) {
			return false
		}
	}
	return true
}

// Shown reports whether a parameter of a publishing URL may be shown to anybody.
func Shown(key string) bool { return shown[key] }

var shown = map[string]bool{
	"sourceId": true, "priority": true, "simulcastId": true, "videoOnly": true, "audioOnly": true, "noRecord": true,
	"record": true,
	"mode":   true, "latency": true, "pkt_size": true, "connect_timeout": true,
}

// Platform reports whether the host is the platform's.
func (a Address) Platform() bool { return strings.HasSuffix("."+a.hostname(), ".millicast.com") }

func (a Address) hostname() string {
	host := strings.ToLower(a.Host[strings.LastIndexByte(a.Host, '@')+1:])
	host, _, _ = strings.Cut(host, ":")
	return host
}

// Region is the platform's region in the host's name, "" for the nearest one. ok is false where no
// host of the platform names one, as with WHIP.
func (a Address) Region() (id string, ok bool) {
	_, id, ok = strings.Cut(a.hostname(), "-")
	id, is := strings.CutSuffix(id, ".millicast.com")
	if !ok || !is || !a.RTMP() && a.Scheme != "srt" {
		return "", false
	}
	if id == "auto" {
		id = ""
	}
	return id, true
}

// Same reports whether two addresses are the same contribution to the same stream, so that the
// newer publisher would throw the older out. It is known of the platform, and of servers with its
// paths; others have rules of their own.
func (a Address) Same(b Address) bool {
	return a.Stream == b.Stream && a.Source == b.Source && a.rank() == b.rank() &&
		(a.Platform() && b.Platform() || a.Host == b.Host && a.platformPath())
}

func (a Address) platformPath() bool { return a.App == "v2/pub" || a.App == "api/whip" }

// rank orders priorities; none is below all.
func (a Address) rank() string {
	if a.Priority == nil {
		return ""
	}
	return strconv.Itoa(*a.Priority)
}
