package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

// Publish says where one encoder of a stream publishes to. Its zero value says nothing: the encoder
// knows by itself.
type Publish struct {
	URL   secret.Value         // as the file has it, when it has a whole one
	Parts *ingest.Contribution // else what the file says of its parts, complete with a priority
	Auto  bool                 // the token of Parts is to be found or made on the platform
}

// Set reports whether anything is said.
func (p Publish) Set() bool { return p.Parts != nil || p.URL.Set() }

// Address is the publishing URL, with {stream} and the other placeholders still in it. The token is
// for Auto alone.
func (p Publish) Address(token secret.Value) secret.Value {
	if p.Parts == nil {
		return p.URL
	}
	c := *p.Parts
	if p.Auto {
		c.Token = token
	}
	return c.URL()
}

// Same reports whether both say the same.
func (p Publish) Same(other Publish) bool {
	stand := secret.New("auto")
	return p.Auto == other.Auto && p.Address(stand).Same(other.Address(stand))
}

// autoToken is the word for a token that is found or made by the platform's API.
const autoToken = "auto"

// publishKeys is `publish`: a URL, or a mapping.
type publishKeys struct {
	URL      secret.Value // written instead of the mapping
	Token    secret.Value `yaml:"token" enum:"auto" doc:"the publishing token; auto: found or made by the platform's API (needs api_secret)"`
	Protocol string       `yaml:"protocol" enum:"rtmps,rtmp,srt,whip" shown:"yes" doc:"rtmps when nothing is said"`
	Region   string       `yaml:"region" shown:"yes" doc:"the platform's cluster to publish to: auto, fra-1, iad-1 ..."`
	Source   string       `yaml:"source" shown:"yes" doc:"sourceId; the same for all encoders of a stream unless they show different pictures"`
	Priority *int         `yaml:"priority" doc:"the highest is shown; it follows from the encoder's place in the list: 100, 99, 98 ..."`
	Multi    bool         `yaml:"multi" doc:"the encoder sends several qualities of one picture by itself over this one URL (simulcastId); FFmpeg has renditions instead"`
	Server   string       `yaml:"server" shown:"yes" hint:"; write HOST:PORT or rtmp://HOST:PORT" doc:"another server than the platform's, such as rtmp://127.0.0.1:1935"`
}

func (publishKeys) Alone() string { return "URL" }

// streamEncoder is one of `encoders` in a stream: a name, or a mapping.
type streamEncoder struct {
	Name    string      `yaml:"name" shown:"yes" doc:"the name of an encoder"`
	Publish publishKeys `yaml:"publish" doc:"where this one publishes to; what it does not say, the stream's publish says"`
}

func (streamEncoder) Alone() string { return "Name" }

// PublishOf is where the encoder in a place of All publishes to.
func (s *Stream) PublishOf(place int) Publish {
	if place < len(s.publishes) {
		return s.publishes[place]
	}
	return Publish{}
}

// PublishBy is PublishOf for a name. An encoder that a reload has taken from the stream may still
// run, and has to be stopped: for it the answer is what the first one publishes to.
func (s *Stream) PublishBy(encoder string) Publish {
	return s.PublishOf(max(0, slices.Index(s.All(), encoder)))
}

// AutoToken reports whether an encoder of the stream publishes with a token that is found or made
// on the platform.
func (s *Stream) AutoToken() bool {
	return slices.ContainsFunc(s.publishes, func(p Publish) bool { return p.Auto })
}

// Pattern is the regular expression that matches the names which a pattern stands for.
func (s *Stream) Pattern() string { return s.match.String() }

// resolvePublish joins what the stream says with what each of its encoders says.
func (d *decoder) resolvePublish(s *Stream, keys streamKeys) {
	for i, e := range keys.Encoders {
		s.publishes = append(s.publishes,
			d.publish(s.key+".publish", keys.Publish, fmt.Sprintf("%s.encoders[%d].publish", s.key, i), e.Publish, i))
	}
	if len(keys.Encoders) == 0 {
		s.publishes = []Publish{d.publish(s.key+".publish", keys.Publish, "", publishKeys{}, 0)}
	}
	if s.Cover != "" && len(s.Encoders) > 0 {
		lowest := ingest.Rank(len(s.Encoders) - 1)
		for _, p := range s.publishes {
			if n := p.priority(); n != nil {
				lowest = min(lowest, *n)
			}
		}
		below := keys.Publish
		lowest--
		below.Priority = &lowest
		s.publishes = append(s.publishes,
			d.publish(s.key+".publish", below, s.key+".cover.publish", keys.Cover.Publish, len(s.Encoders)))
	}
}

// priority is what the contribution says of it; nil: nothing.
func (p Publish) priority() *int {
	if p.Parts != nil {
		return p.Parts.Priority
	}
	a, err := ingest.Parse(p.URL.Reveal())
	if err != nil {
		return nil
	}
	return a.Priority
}

// publish is what an encoder's own keys say over the stream's.
func (d *decoder) publish(path string, stream publishKeys, ownPath string, own publishKeys, place int) Publish {
	if own.URL.Set() {
		return Publish{URL: own.URL}
	}
	says := func(path string) bool {
		return path != "" && d.isSet(path) &&
			slices.ContainsFunc(publishParts, func(key string) bool { return d.isSet(path + "." + key) })
	}
	inParts := says(ownPath)
	if !inParts && (stream.URL.Set() || !says(path)) {
		return Publish{URL: stream.URL}
	}
	k := stream
	if inParts {
		k.take(own, func(key string) bool { return d.isSet(ownPath + "." + key) })
	}
	if k.Priority == nil {
		rank := ingest.Rank(place)
		k.Priority = &rank
	}
	return Publish{Auto: k.Token.Reveal() == autoToken, Parts: &ingest.Contribution{
		Token: k.Token, Protocol: ingest.Protocol(k.Protocol), Region: k.Region, Source: k.Source, Priority: k.Priority,
		Multi: k.Multi, Server: k.Server,
	}}
}

// take replaces what own says.
func (k *publishKeys) take(own publishKeys, says func(key string) bool) {
	if says("token") {
		k.Token = own.Token
	}
	if says("protocol") {
		k.Protocol = own.Protocol
	}
	if says("region") {
		k.Region = own.Region
	}
	if says("source") {
		k.Source = own.Source
	}
	if says("priority") {
		k.Priority = own.Priority
	}
	if says("multi") {
		k.Multi = own.Multi
	}
	if says("server") {
		k.Server = own.Server
	}
}

// publishParts are the keys of publish.
var publishParts = []string{"token", "protocol", "region", "source", "priority", "multi", "server"}

// checkPublish looks at where the stream's encoders publish to, each by itself and beside the
// others.
func (d *decoder) checkPublish(c *Config, s *Stream) {
	path := s.key + ".publish"
	if d.isSet(path) && !d.bad[path] {
		d.checkUnused(c, s, path)
	}
	for i, name := range s.All() {
		own := fmt.Sprintf("%s.encoders[%d].publish", s.key, i)
		if i == len(s.Encoders) {
			own = s.key + ".cover.publish"
		}
		at := path
		if d.isSet(own) {
			at = own
		}
		p, e := s.PublishOf(i), c.encoders[name]
		switch {
		case e == nil:
		case !p.Set():
			if needsPublish(e) && !goesWithout(e.Settings) {
				d.missing(path, "is missing, and encoder %q (%s) must be told where to publish; write publish: "+
					"{token: \"${NAME}\"}, or a whole URL", name, e.Driver)
				return
			}
		case p.Parts != nil:
			d.checkParts(c, s, p, at)
			d.checkMulti(e, p, at)
		case at == own || i == 0:
			d.checkURL(s, at, p.URL.Reveal())
		}
	}
	d.checkContributions(c, s, path)
	d.checkCover(c, s)
}

// checkCover looks whether the cover is a contribution of its own, below those of the others.
func (d *decoder) checkCover(c *Config, s *Stream) {
	path, place := s.key+".cover", len(s.Encoders)
	e := c.encoders[s.Cover]
	if s.Cover == "" || place == 0 || e == nil || e.Helper || d.badBelow(path) {
		return
	}
	mine := s.PublishOf(place)
	const wayOut = "write publish: {token: ...} for the stream, which gives each a priority of its own, or " +
		"cover: {name: ..., publish: ...}"
	switch {
	case slices.Contains(s.Encoders, s.Cover):
		d.wrong(path, "%q is an encoder of the stream already; name another one, which shows a slate", s.Cover)
		return
	case !c.Told(s.Cover):
		d.wrong(path, "%s (%s) publishes where its own settings say, so nobody could tell its feed from those of the "+
			"stream's encoders; name one that is told where to publish", s.Cover, e.Driver)
		return
	case mine.priority() == nil:
		d.wrong(path, "%s would publish without a priority, so nobody could tell its feed from those of the stream's "+
			"encoders; %s", s.Cover, wayOut)
		return
	case *mine.priority() < 0:
		d.wrong(path, "must have a priority below all others, and 0 is taken; give the stream's encoders 1 or more")
		return
	}
	for i, name := range s.Encoders {
		other := s.PublishOf(i)
		switch {
		case c.Told(name) && c.contend(s, i, place):
			d.wrong(path, "%s and %s would publish the same stream, source and priority, and throw each other out; %s",
				name, s.Cover, wayOut)
		case !c.Told(name) || other.priority() == nil:
			d.warn(path, "%s publishes without a priority that oncue knows, so viewers may see %s until it is stopped, "+
				"some seconds after %s is live", name, s.Cover, name)
		case *other.priority() <= *mine.priority():
			d.wrong(path, "%s would be shown instead of %s: its priority is %d, and must be below %d", s.Cover, name,
				*mine.priority(), *other.priority())
		}
	}
}

// checkMulti looks whether an encoder can send several qualities over its URL.
func (d *decoder) checkMulti(e *Encoder, p Publish, path string) {
	if m, ok := e.Settings.(Simulcaster); ok && p.Parts.Multi {
		if err := m.Simulcasts(p.Parts.Used()); err != nil {
			d.wrong(path+".multi", "encoder %q (%s) %v", e.Name, e.Driver, err)
		}
	}
}

// checkParts looks at a contribution that is said in parts.
func (d *decoder) checkParts(c *Config, s *Stream, p Publish, path string) {
	if part, problem := p.Parts.Check(); problem != "" {
		d.wrong(path+"."+part, "%s", problem)
	}
	a := c.Accounts[s.Account]
	switch {
	case !p.Parts.Token.Set() && !d.isSet(path+".token"):
		d.missing(path+".token",
			"is missing, and the platform takes no stream without one; write token: \"${NAME}\", or token: auto")
	case !p.Parts.Token.Set():
		d.wrong(path+".token", "is empty, and the platform takes no stream without one; write \"${NAME}\", or auto")
	case p.Auto && (a == nil || !a.APISecret.Set()):
		d.wrong(path+".token",
			"auto needs the platform's API; write api_secret: \"${NAME}\" under accounts, or a token here")
	case strings.ContainsAny(p.Parts.Token.Reveal(), " \t\r\n"):
		d.wrong(path+".token", "holds a space; the platform's tokens are hexadecimal")
	case strings.Contains(p.Parts.Token.Reveal(), "://"):
		d.wrong(path+".token", "is a whole URL; write it as publish: URL, or the token alone here")
	}
	if p.Parts.Used() == ingest.WHIP && p.Parts.Region != "" && p.Parts.Region != "auto" && p.Parts.Server == "" {
		d.warn(path+".region", "is of no use with whip: there the token alone says which region takes the stream")
	}
}

// checkContributions looks for encoders that would publish the same, and throw each other out.
func (d *decoder) checkContributions(c *Config, s *Stream, path string) {
	if k, i, ok := c.contenders(s); ok {
		d.reportContention(s, path, k, i)
	}
	d.checkBackups(c, s, path)
}

// checkBackups warns of an encoder with one quality and another with several, of one source: their
// feeds have different ones, so the one stands beside the other, and not behind or before it.
func (d *decoder) checkBackups(c *Config, s *Stream, path string) {
	ladder, alone := -1, -1
	for i, name := range s.Encoders {
		p := s.PublishOf(i)
		a, err := ingest.Parse(p.Address(secret.New("auto")).Reveal())
		if err != nil || a.Multi || a.Source != "" || !p.Set() || !c.Told(name) {
			continue // what it publishes is not known, or said on purpose
		}
		if n, _ := c.encoders[name].Layers(); n > 0 {
			ladder = i
		} else {
			alone = i
		}
	}
	if ladder >= 0 && alone >= 0 {
		if own := fmt.Sprintf("%s.encoders[%d].publish", s.key, alone); d.isSet(own) {
			path = own
		}
		d.warn(path, "%s publishes one quality beside the renditions of %s, and stands in for none of them; give it the "+
			"same renditions, or publish: {source: \"1\"}, the best one's", s.Encoders[alone], s.Encoders[ladder])
	}
}

// Fights reports whether two encoders of the stream would throw each other out if both were on:
// they are told to publish the same stream, source and priority.
func (c *Config) Fights(s *Stream) bool {
	_, _, ok := c.contenders(s)
	return ok
}

// contenders are the places of two encoders that fight.
func (c *Config) contenders(s *Stream) (k, i int, ok bool) {
	for i, a := range s.Encoders {
		for k, b := range s.Encoders[:i] {
			if c.Told(a) && c.Told(b) && c.contend(s, k, i) {
				return k, i, true
			}
		}
	}
	return 0, 0, false
}

// reportContention is an error, but for what was good before encoders could publish in their own
// ways: one URL for several.
func (d *decoder) reportContention(s *Stream, path string, k, i int) {
	const wayOut = "write publish: {token: ...}, which gives each a priority of its own, or end each one's URL in " +
		"&priority=100, &priority=99 ..."
	for _, place := range []int{i, k} {
		if own := fmt.Sprintf("%s.encoders[%d].publish", s.key, place); d.isSet(own) {
			d.wrong(own, "%s and %s would publish the same stream, source and priority, and throw each other out; %s",
				s.Encoders[k], s.Encoders[i], wayOut)
			return
		}
	}
	if s.Timing.Mode == "failover" {
		d.remark(path, "%s and %s publish the same stream, source and priority, so one is stopped before the other "+
			"can start; %s", s.Encoders[k], s.Encoders[i], wayOut)
		return
	}
	d.conflict(path, "%s and %s would publish the same stream, source and priority, and throw each other out; %s; "+
		"until then one of them runs at a time (mode: failover)",
		s.Encoders[k], s.Encoders[i], wayOut)
}

// Told reports whether the encoder is one that publishes where it is told to.
func (c *Config) Told(name string) bool {
	e := c.encoders[name]
	return e != nil && needsPublish(e)
}

// contend reports whether the encoders in two places would be the same contribution to the stream,
// or share a part of it: the platform lets the newer one replace the older. It is false where oncue
// does not know what they publish.
func (c *Config) contend(s *Stream, i, k int) bool {
	mine, err := c.addresses(s, i)
	others, other := c.addresses(s, k)
	if err != nil || other != nil {
		return false
	}
	for _, p := range mine {
		for _, q := range others {
			a, err := ingest.Parse(p)
			b, other := ingest.Parse(q)
			if err == nil && other == nil && a.Same(b) {
				return true
			}
		}
	}
	return false
}

// addresses are the URLs to which the encoder in a place publishes, several when it has several
// qualities, with a word where an automatic token will be; none when it knows by itself.
func (c *Config) addresses(s *Stream, place int) ([]string, error) {
	p := s.PublishOf(place)
	if !p.Set() {
		return nil, nil
	}
	address := p.Address(secret.New("auto")).Reveal()
	if n, silent := c.encoders[s.All()[place]].Layers(); n > 0 {
		return ingest.Layers(address, n, silent)
	}
	return []string{address}, nil
}

// Layers is how many qualities the encoder publishes, each to a URL of its own; 0: it publishes to
// the stream's. Silent says that none of them has sound.
func (e *Encoder) Layers() (n int, silent bool) {
	if e == nil {
		return 0, false
	}
	if l, ok := e.Settings.(Layered); ok {
		return l.Layers()
	}
	return 0, false
}
