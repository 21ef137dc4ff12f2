package configs

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Stream is one entry of `streams:`, or a pattern that stands for many. Its Timing is resolved.
type Stream struct {
	Account   string
	Name      string   // without the account; with * and ? when IsPattern
	ID        string   // account/name
	Encoders  []string // names, first choice first; see PublishOf
	Cover     string   // the encoder that is shown while none of them is; "": none
	Timing    Timing
	IsPattern bool
	Line      int // where the file defines it

	key       string            // path in the file
	publishes []Publish         // by place in All
	match     *regexp.Regexp    // of patterns
	own       map[string]Origin // of the keys of Timing that the stream sets itself; nested: restart.max
	defaults  map[string]Origin // of those that `defaults:` sets
}

// Origin is where a value came from.
type Origin struct {
	Line int    // 0: built in
	Key  string // path of the key in the file, "" when built in
}

func (o Origin) String() string {
	if o.Line == 0 {
		return "built in"
	}
	return "line " + strconv.Itoa(o.Line) + ", " + o.Key
}

// Origin says what set a key of Timing: the stream, the defaults, or nothing. Nested keys have a
// dot: restart.max.
func (s *Stream) Origin(key string) Origin {
	if o, ok := s.own[key]; ok {
		return o
	}
	return s.defaults[key]
}

// All are the encoders of the stream, and at last its cover, if it has one.
func (s *Stream) All() []string {
	if s.Cover == "" {
		return s.Encoders
	}
	return append(slices.Clone(s.Encoders), s.Cover)
}

// streamKeys are the keys of a stream.
type streamKeys struct {
	Encoder  string          `yaml:"encoder" shown:"yes" hint:"for several, write encoders: [main, backup]" doc:"the encoder that publishes the stream"`
	Encoders []streamEncoder `yaml:"encoders" doc:"several encoders, first choice first; see mode"`
	Cover    streamEncoder   `yaml:"cover" doc:"an encoder that shows a slate, below all others, while none of them is live and somebody waits or watches"`
	Publish  publishKeys     `yaml:"publish" doc:"where the encoders publish to: a token and what goes with it, or a URL"`
	Timing   `yaml:",inline"`
}

// streams decodes `streams:` over the defaults.
func (d *decoder) streams(c *Config) {
	if _, ok := d.own["streams"]; !ok {
		return
	}
	entries, _ := d.fields(d.own["streams"], "streams", "; each stream is NAME: {encoder: ..., publish: ...}")
	c.exact = make(map[string]*Stream, len(entries))
	c.Streams = make([]*Stream, 0, len(entries))
	defaults := d.origins("defaults", d.noted)
	var keys streamKeys
	for _, f := range entries {
		d.streamsWritten++
		path := join("streams", f.name)
		d.note(path, f)
		before := len(d.noted)
		keys = streamKeys{Timing: c.Defaults.clone()}
		d.value(f.value, reflect.ValueOf(&keys).Elem(), path,
			rule{hint: "; a source URL belongs to an encoder (encoders: NAME: ffmpeg: input: URL), which the stream " +
				"names by encoder: NAME"})
		s := &Stream{
			Timing: keys.Timing, key: path,
			Line: d.placeOf(f.key).line, own: d.origins(path, d.noted[before:]), defaults: defaults,
		}
		s.Encoders, s.Cover = d.named(keys, path), keys.Cover.Name
		d.resolvePublish(s, keys)
		if d.identify(s, f, path, c) {
			c.Streams = append(c.Streams, s)
		}
		d.noted = d.noted[:before]
	}
}

// named is the stream's encoders, from whichever of the two keys has them.
func (d *decoder) named(keys streamKeys, path string) []string {
	_, one := d.at[path+".encoder"]
	several, many := d.at[path+".encoders"]
	switch {
	case one && many:
		d.report(several.key, path+".encoders", false, "encoder is set too; keep one of encoder and encoders")
	case many && len(keys.Encoders) > 0:
		names := make([]string, len(keys.Encoders))
		for i, e := range keys.Encoders {
			names[i] = e.Name
		}
		return names
	case one && keys.Encoder != "":
		return []string{keys.Encoder}
	case !d.bad[path] && !d.bad[path+".encoder"] && !d.bad[path+".encoders"]:
		d.report(d.find(path).key, path, false, "names no encoder; write encoder: NAME, or encoders: [NAME, NAME]")
	}
	return nil
}

// identify finds account and name, compiles patterns and refuses duplicates.
func (d *decoder) identify(s *Stream, f field, path string, c *Config) bool {
	account, name, slash := strings.Cut(f.name, "/")
	switch {
	case slash && c.Accounts[account] != nil:
	case len(c.Accounts) == 1:
		for account = range c.Accounts {
			name = f.name
		}
	case len(c.Accounts) == 0:
		if !d.bad["accounts"] {
			d.fail(f.key, path, "belongs to no account; name the platform's account under accounts")
		}
		return false
	case slash:
		d.fail(f.key, path, "%q is not an account%s", account, choices(account, slices.Sorted(maps.Keys(c.Accounts))))
		return false
	default:
		d.fail(f.key, path, "several accounts are configured, so write ACCOUNT/%s; accounts: %s", f.name,
			strings.Join(slices.Sorted(maps.Keys(c.Accounts)), ", "))
		return false
	}
	s.Account, s.Name, s.ID = account, name, account+"/"+name
	if name == "" || utf8.RuneCountInString(name) > 128 {
		d.fail(f.key, path, "a stream's name has 1 to 128 characters")
		return false
	}
	if strings.TrimSpace(name) != name {
		d.fail(f.key, path, "the stream's name begins or ends with a space, and no stream of the platform has such a "+
			"name; remove the space")
		return false
	}
	if s.IsPattern = strings.ContainsAny(name, "*?"); s.IsPattern &&
		!plainWord.MatchString(strings.NewReplacer("*", "", "?", "").Replace(name)) {
		d.fail(f.key, path,
			"this pattern can match nothing: patterns match names of letters, digits, dot, _ and - only")
		return false
	}
	if other, twice := c.exact[s.ID]; twice {
		d.fail(f.key, path, "is the same stream as line %d (%s); remove one of them", other.Line, s.ID)
		return false
	}
	c.exact[s.ID] = s
	if s.IsPattern {
		s.match = compile(name)
		c.patterns = append(c.patterns, s)
	}
	return true
}

var (
	plainWord = regexp.MustCompile(`^[A-Za-z0-9._-]{0,128}$`)
	wildcard  = regexp.MustCompile(`[*?]`)
)

// plain is the rule of encoders.Plain: the name may stand in a path or a command line as it is.
func plain(name string) bool {
	return name != "" && plainWord.MatchString(name) && name != "." && name != ".." && !strings.HasPrefix(name, "-")
}

// compile makes * match one or more characters, as few as the rest allows, and ? exactly one. What
// they match may stand in a path or a command line by itself, so it does not begin with a dash.
func compile(pattern string) *regexp.Regexp {
	expr := wildcard.ReplaceAllStringFunc(pattern, func(w string) string {
		return map[string]string{"*": "\x00", "?": "\x01"}[w]
	})
	expr = strings.NewReplacer("\x00", "([A-Za-z0-9._][A-Za-z0-9._-]*?)", "\x01",
		"([A-Za-z0-9._])").Replace(regexp.QuoteMeta(expr))
	return regexp.MustCompile("^" + expr + "$")
}

// wildcards is how many {1}, {2} ... the stream has.
func (s *Stream) wildcards() int {
	if !s.IsPattern {
		return 0
	}
	return len(wildcard.FindAllStringIndex(s.Name, -1))
}

// Match reports whether the entry stands for that stream, and what its wildcards matched, in order.
func (s *Stream) Match(account, name string) (matches []string, ok bool) {
	if account != s.Account {
		return nil, false
	}
	if !s.IsPattern {
		return nil, name == s.Name
	}
	if !plain(name) {
		return nil, false
	}
	m := s.match.FindStringSubmatch(name)
	if m == nil || !allPlain(m[1:]) {
		return nil, false
	}
	return m[1:], true
}

func allPlain(texts []string) bool {
	for _, t := range texts {
		if !plain(t) {
			return false
		}
	}
	return true
}

// Lookup finds the entry for a stream: an exact name before patterns, and the first pattern of the
// file before later ones. Matches is what the pattern's wildcards matched.
func (c *Config) Lookup(account, name string) (s *Stream, matches []string, ok bool) {
	if s, ok := c.exact[account+"/"+name]; ok && !s.IsPattern && s.Account == account {
		return s, nil, true
	}
	for _, s := range c.patterns {
		if matches, ok := s.Match(account, name); ok {
			return s, matches, true
		}
	}
	return nil, nil, false
}

// Entry finds the entry that a person means: by an id, a name, or a pattern as the file has it. A
// name without an account must be of one account only.
func (c *Config) Entry(text string) (*Stream, bool) {
	find := func(account, name string) *Stream {
		if s := c.exact[account+"/"+name]; s != nil {
			return s
		}
		s, _, _ := c.Lookup(account, name)
		return s
	}
	account, name, _ := strings.Cut(text, "/")
	if s := find(account, name); s != nil {
		return s, true
	}
	var found []*Stream
	for account := range c.Accounts {
		if s := find(account, text); s != nil {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		return nil, false
	}
	return found[0], true
}

// origins tells where the keys of Timing inside path stand; noted are the paths to look through.
func (d *decoder) origins(path string, noted []string) map[string]Origin {
	var out map[string]Origin
	for _, p := range noted {
		k, inside := strings.CutPrefix(p, path+".")
		if !inside || k == "encoder" || k == "encoders" || k == "cover" || k == "publish" {
			continue
		}
		if out == nil {
			out = map[string]Origin{}
		}
		out[k] = Origin{d.at[p].key.line, p}
	}
	return out
}
