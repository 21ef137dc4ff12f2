package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/controller/millicast/simulator/rtmp"
)

// Token is a publishing token of the account. The tags are its members in the API's answers and in
// the bodies that make and change it; the API's reference of 2026-09 says what they mean.
//
// While the account has never had a token, the ingest takes any, or none.
type Token struct {
	ID      int          `json:"-"`
	Value   secret.Value `json:"-"` // hexadecimal
	Added   time.Time    `json:"-"`
	Expires time.Time    `json:"-"` // zero: never. Feeds that are open then go on

	Label   string        `json:"label"`
	Active  bool          `json:"isActive"`
	Streams []TokenStream `json:"streams"`

	Thumbnails  bool `json:"enableThumbnails"` // each 30 s; a thumbnail on demand needs no leave
	Record      bool `json:"record"`
	Clip        bool `json:"clip"`
	Multisource bool `json:"multisource"`
	Priority    *int `json:"priority,omitempty"` // what feeds have whose URL tells none

	AllowedOrigins []string `json:"allowedOrigins"`     // for browsers: of no matter for RTMP
	AllowedIPs     []string `json:"allowedIpAddresses"` // addresses and networks; empty: all
	BindIPs        *int     `json:"bindIpsOnUsage,omitempty"`

	OriginCluster string     `json:"originCluster"`
	Restream      []Restream `json:"restream"`

	// Members that the simulator only keeps.
	SubscribeRequiresAuth bool     `json:"subscribeRequiresAuth"`
	LowLatencyRTMP        bool     `json:"lowLatencyRtmp"`
	DRM                   bool     `json:"drm"`
	DisplaySRTPassphrase  bool     `json:"displaySrtPassphrase"`
	AllowedCountries      []string `json:"allowedCountries"`
	DeniedCountries       []string `json:"deniedCountries"`
}

// TokenStream says which streams a token may publish.
type TokenStream struct {
	Name    string `json:"streamName"`
	IsRegex bool   `json:"isRegex"`
}

// Restream is another platform to which a token's streams are sent on.
type Restream struct {
	Label   string `json:"label"`
	URL     string `json:"url"`
	Key     string `json:"key"`
	Enabled *bool  `json:"enabled,omitempty"` // nil: it is
}

// token is a token and what the simulator keeps of it. Guarded by Simulator.mu.
type token struct {
	Token
	patterns []*regexp.Regexp // of the streams that are regular expressions
	bound    []netip.Addr     // by BindIPs
}

// tokens are the account's publishing tokens. Guarded by Simulator.mu.
type tokens struct {
	list   []*token // by id
	lastID int
}

// firstToken is the token of [Settings].
func firstToken(value secret.Value) Token {
	return Token{
		Label: "simulator", Value: value, Active: true, Streams: []TokenStream{{".*", true}},
		Thumbnails: true, Multisource: true, LowLatencyRTMP: true,
	}
}

// newTokenValue makes 32 random bytes in hexadecimal, as the platform's tokens are.
func newTokenValue() secret.Value {
	var b [32]byte
	rand.Read(b[:])
	return secret.New(hex.EncodeToString(b[:]))
}

// add registers a token, with a new value unless it brings one.
func (l *tokens) add(made Token, now time.Time) (*token, error) {
	t := &token{Token: made}
	if err := t.check(); err != nil {
		return nil, err
	}
	if !t.Value.Set() {
		t.Value = newTokenValue()
	}
	l.lastID++
	t.ID, t.Added = l.lastID, now
	l.list = append(l.list, t)
	return t, nil
}

func (l *tokens) find(id int) *token {
	for _, t := range l.list {
		if t.ID == id {
			return t
		}
	}
	return nil
}

const (
	maxLabel    = 128 // characters, of a stream's name too
	maxRestream = 10
)

// check reports what the API would refuse, and compiles the streams.
func (t *token) check() error {
	if err := length("label", t.Label, maxLabel); err != nil {
		return err
	}
	if len(t.Streams) == 0 {
		return invalid("streams", "The field Streams must have at least one item.")
	}
	t.patterns = nil
	for _, s := range t.Streams {
		if err := length("streamName", s.Name, maxLabel); err != nil {
			return err
		}
		if !s.IsRegex {
			continue
		}
		pattern, err := regexp.Compile("^(?:" + s.Name + ")$")
		if err != nil {
			return invalid("streams", fmt.Sprintf("%q is not a regular expression.", s.Name))
		}
		t.patterns = append(t.patterns, pattern)
	}
	for _, text := range t.AllowedIPs {
		if _, err := parseNetwork(text); err != nil {
			return invalid("allowedIpAddresses", fmt.Sprintf("%q is neither an IPv4 address nor a network.", text))
		}
	}
	switch {
	case t.Record && t.Clip:
		return invalid("clip", "Clip cannot be enabled together with Record.")
	case len(t.AllowedIPs) > 0 && t.BindIPs != nil && *t.BindIPs > 0:
		return invalid("bindIpsOnUsage", "BindIpsOnUsage and AllowedIpAddresses exclude each other.")
	case len(t.AllowedCountries) > 0 && len(t.DeniedCountries) > 0:
		return invalid("deniedCountries", "Only one of AllowedCountries or DeniedCountries should be specified.")
	case len(t.Restream) > maxRestream:
		return invalid("restream", fmt.Sprintf("The field Restream must have at most %d items.", maxRestream))
	}
	return nil
}

// parseNetwork reads an IPv4 address or a network in CIDR notation.
func parseNetwork(text string) (netip.Prefix, error) {
	if network, err := netip.ParsePrefix(text); err == nil && network.Addr().Is4() {
		return network, nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil || !address.Is4() {
		return netip.Prefix{}, errors.New("not an IPv4 address")
	}
	return netip.PrefixFrom(address, 32), nil
}

// What a publisher is told whose token does not let it in. How the real ingest words it is not
// documented; only the ways are: a token must be valid, for the stream, not expired, not disabled
// and used from where it may be (source: the vendor's documentation, "Publish Tokens" and "Allowed
// Origins", whose words the last one has).
var (
	errTokenUnknown  = errors.New("wrong publishing token")
	errTokenDisabled = errors.New("the publishing token is disabled")
	errTokenExpired  = errors.New("the publishing token has expired")
	errTokenStream   = errors.New("the publishing token is for other streams")
	errTokenAddress  = errors.New("the publisher's address is not allowed")
)

// admit returns the token that lets a publisher in, nil while the account has never had one.
func (l *tokens) admit(p *rtmp.Publisher, now time.Time, byAddress bool) (*token, error) {
	if l.lastID == 0 {
		return nil, nil
	}
	at := slices.IndexFunc(l.list, func(t *token) bool { return t.Value.Same(p.Token) })
	if at < 0 {
		return nil, errTokenUnknown
	}
	t := l.list[at]
	switch {
	case !t.Active:
		return nil, errTokenDisabled
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return nil, errTokenExpired
	case !t.mayPublish(p.Name):
		return nil, errTokenStream
	case byAddress && !t.mayUse(p.Remote):
		return nil, errTokenAddress
	}
	return t, nil
}

// mayPublish compares names with their case. A regular expression must match the whole name.
func (t *token) mayPublish(name string) bool {
	return slices.ContainsFunc(t.Streams, func(s TokenStream) bool { return !s.IsRegex && s.Name == name }) ||
		slices.ContainsFunc(t.patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}

// mayUse judges a publisher's address, host:port, and binds it where BindIPs says so.
func (t *token) mayUse(remote string) bool {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return len(t.AllowedIPs) == 0
	}
	address := from.Addr().Unmap()
	if t.BindIPs != nil && *t.BindIPs > 0 {
		switch {
		case slices.Contains(t.bound, address):
		case len(t.bound) < *t.BindIPs:
			t.bound = append(t.bound, address)
		default:
			return false
		}
	}
	return len(t.AllowedIPs) == 0 || slices.ContainsFunc(t.AllowedIPs, func(text string) bool {
		network, err := parseNetwork(text)
		return err == nil && network.Contains(address)
	})
}

// apply gives a feed what its token says. A token without multi-source knows no sources: all its
// feeds are the main one (inferred from "Multi-Source Broadcasting"; how the platform treats the
// sourceId then is not documented). The priority of the URL beats the token's (source: "High
// Availability Management").
func (f *feed) apply(t *token, c contribution) {
	f.seen.TokenID = t.ID
	f.thumbnails, f.recorded = t.Thumbnails, t.Record && !c.noRecord
	if !t.Multisource {
		f.seen.SourceID, f.seen.SimulcastID = "", nil
	}
	if f.seen.Priority == nil && t.Priority != nil {
		priority := *t.Priority
		f.seen.Priority = &priority
	}
}

// AddToken gives the account a publishing token, with a new value unless it brings one, and returns
// it with its id. Unlike the API it takes a time of expiry that has passed.
func (s *Simulator) AddToken(t Token) (Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	made, err := s.tokens.add(t, s.now())
	if err != nil {
		return Token{}, fmt.Errorf("simulator: publishing token: %w", err)
	}
	return made.Token, nil
}

// Tokens returns the account's publishing tokens.
func (s *Simulator) Tokens() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Token
	for _, t := range s.tokens.list {
		list = append(list, t.Token)
	}
	return list
}

// cut ends the feeds of a token and returns them, for the caller to disconnect once mu is free.
// Called with mu held.
func (s *Simulator) cut(id int, cause error) (ended []*feed) {
	ended = s.tokenFeeds(id)
	for _, f := range ended {
		s.endFeed(f, cause)
	}
	return ended
}

// tokenFeeds returns the open feeds of a token. Called with mu held.
func (s *Simulator) tokenFeeds(id int) (list []*feed) {
	for _, st := range s.streams {
		for _, f := range st.feeds {
			if f.seen.TokenID == id {
				list = append(list, f)
			}
		}
	}
	return list
}
