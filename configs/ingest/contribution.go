package ingest

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/secret"
)

// A Protocol is a way to publish.
type Protocol string

// The platform's protocols.
const (
	RTMPS Protocol = "rtmps"
	RTMP  Protocol = "rtmp"
	SRT   Protocol = "srt"
	WHIP  Protocol = "whip"
)

// Protocols lists them, the usual one first.
var Protocols = []Protocol{RTMPS, RTMP, SRT, WHIP}

// A Contribution is one encoder's way into a stream, by its parts. Its zero value but for the token
// publishes by RTMPS to the region that is nearest.
type Contribution struct {
	Token    secret.Value // hexadecimal, as the platform shows it
	Protocol Protocol     // "": what Server says, else RTMPS
	Region   string       // id of one of the platform's clusters, such as fra-1; "": auto
	Source   string       // sourceId; "": the stream's main source
	Priority *int         // the highest is shown; nil: lower than any
	Multi    bool         // the encoder sends several qualities of one picture (simulcastId)
	Server   string       // host and port instead of the platform's, with or without a scheme and a path
}

// Check returns what is wrong with a part of the contribution, with the part's name; both are empty
// when nothing is.
func (c Contribution) Check() (part, problem string) {
	if c.Protocol != "" && !slices.Contains(Protocols, c.Protocol) {
		return "protocol", fmt.Sprintf("%q is no protocol; allowed: rtmps, rtmp, srt, whip", c.Protocol)
	}
	if c.Region != "" && !regionID.MatchString(c.Region) {
		return "region", fmt.Sprintf("%q is no id of a region; write auto, or one such as fra-1", c.Region)
	}
	if c.Server == "" {
		return "", ""
	}
	scheme, rest := c.server()
	if c.Protocol != "" && !slices.Contains(schemes[c.Protocol], scheme) {
		return "server", fmt.Sprintf("begins with %s://, and protocol is %s", scheme, c.Protocol)
	}
	if protocolOf(scheme) == "" {
		return "server", fmt.Sprintf("begins with %s://; allowed: rtmps://, rtmp://, srt://, http:// or https://",
			scheme)
	}
	u, err := url.Parse(scheme + "://" + rest)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "server", "must be a host and a port, such as rtmp://127.0.0.1:1935"
	}
	return "", ""
}

var regionID = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

// schemes are the beginnings of a protocol's URLs.
var schemes = map[Protocol][]string{RTMPS: {"rtmps"}, RTMP: {"rtmp"}, SRT: {"srt"}, WHIP: {"https", "http"}}

func protocolOf(scheme string) Protocol {
	for p, list := range schemes {
		if slices.Contains(list, scheme) {
			return p
		}
	}
	return ""
}

// server splits Server at its scheme, which may be left out.
func (c Contribution) server() (scheme, rest string) {
	scheme, rest, found := strings.Cut(c.Server, "://")
	if !found {
		return schemes[cmp.Or(c.Protocol, RTMPS)][0], c.Server
	}
	return strings.ToLower(scheme), rest
}

// Used is the protocol that the contribution is published by.
func (c Contribution) Used() Protocol {
	if c.Protocol == "" && c.Server != "" {
		scheme, _ := c.server()
		return protocolOf(scheme)
	}
	return cmp.Or(c.Protocol, RTMPS)
}

// URL is where the contribution is published to. The place of the stream's name is {stream}, which
// is left to be filled with a name that is percent-encoded once. The contribution must be free of
// what Check finds.
func (c Contribution) URL() secret.Value {
	protocol := c.Used()
	base := c.base(protocol)
	if protocol == SRT {
		key, token := "t", c.Token.Reveal()
		if raw, err := hex.DecodeString(token); err == nil {
			token = base64.RawURLEncoding.EncodeToString(raw)
		} else {
			key = "token" // the platform takes it as it is, too
		}
		id := c.parameters(key, token)
		return secret.New(base + "?streamid={stream}" + escape("?"+id))
	}
	key := "token"
	if protocol == WHIP {
		key = "auth"
	}
	return secret.New(base + "/{stream}?" + c.parameters(key, c.Token.Reveal()))
}

// base is all before the stream's name.
func (c Contribution) base(p Protocol) string {
	region := cmp.Or(c.Region, "auto")
	base, path := "", "/v2/pub"
	switch p {
	case RTMPS:
		base = "rtmps://rtmp-" + region + ".millicast.com:443"
	case RTMP:
		base = "rtmp://rtmp-" + region + ".millicast.com:1935"
	case SRT:
		base, path = "srt://srt-"+region+".millicast.com:10000", ""
	case WHIP: // the token alone says which region
		base, path = "https://director.millicast.com", "/api/whip"
	}
	if c.Server == "" {
		return base + path
	}
	scheme, rest := c.server()
	host, own, _ := strings.Cut(rest, "/")
	if own = strings.Trim(own, "/"); own != "" && p != SRT {
		path = "/" + own
	}
	return scheme + "://" + host + path
}

// parameters writes the query, the token first as the platform asks.
func (c Contribution) parameters(key, token string) string {
	query := key + "=" + escape(token)
	if c.Source != "" {
		query += "&sourceId=" + escape(c.Source)
	}
	if c.Priority != nil {
		query += "&priority=" + strconv.Itoa(*c.Priority)
	}
	if c.Multi {
		query += "&simulcastId"
	}
	return query
}

// Rank is the priority of the encoder in a place of the stream's list, counted from 0: the first is
// shown.
func Rank(place int) int { return 100 - place }

// escape percent-encodes like a browser's encodeURIComponent, which the platform's documentation
// uses.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
