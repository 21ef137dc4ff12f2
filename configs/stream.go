package configs

import (
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oncue/oncue/configs/secret"
)

// Stream is one entry of `streams:`, or a pattern that stands for many. Its Timing is resolved.
type Stream struct {
	Account   string
	Name      string // without the account; with * and ? when IsPattern
	ID        string // account/name
	Encoders  []string
	Publish   secret.Value // {stream}, {account}, {1} ... are not filled in
	Timing    Timing
	IsPattern bool
	Line      int               // where the file defines it
	Origins   map[string]Origin // of every key of Timing, nested ones with a dot: restart.max

	match *regexp.Regexp // of patterns
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

// streamKeys is what a stream may say.
type streamKeys struct {
	Encoder  string       `yaml:"encoder" hint:"for several, write encoders: [main, backup]" doc:"the encoder that publishes the stream"`
	Encoders []string     `yaml:"encoders" doc:"several encoders, first choice first; see mode"`
	Publish  secret.Value `yaml:"publish" doc:"where the encoder publishes to, key included: rtmps://, rtmp://, srt:// or https:// (WHIP)"`
	Timing   `yaml:",inline"`
}

// streams decodes `streams:` over the defaults.
func (d *decoder) streams(c *Config) {
	c.exact = map[string]*Stream{}
	n, ok := d.own["streams"]
	if !ok {
		return
	}
	fields, _ := d.fields(n, "streams", "; each stream is NAME: {encoder: ..., publish: ...}")
	for _, f := range fields {
		path := join("streams", f.name)
		d.note(path, f)
		keys := streamKeys{Timing: c.Defaults.clone()}
		d.value(f.value, reflect.ValueOf(&keys).Elem(), path,
			rule{hint: "; a source URL belongs to an encoder (encoders: NAME: ffmpeg: input: URL), which the stream names by encoder: NAME"})
		s := &Stream{
			Publish: keys.Publish, Timing: keys.Timing,
			Line: d.placeOf(f.key).line, Origins: d.origins(path),
		}
		s.Encoders = d.named(keys, path)
		if d.identify(s, f, path, c) {
			c.Streams = append(c.Streams, s)
		}
	}
}

// named is the stream's encoders, from whichever of the two keys has them.
func (d *decoder) named(keys streamKeys, path string) []string {
	_, one := d.at[join(path, "encoder")]
	several, many := d.at[join(path, "encoders")]
	switch {
	case one && many:
		d.report(several.key, join(path, "encoders"), false, "encoder is set too; keep one of encoder and encoders")
	case many && len(keys.Encoders) > 0:
		return keys.Encoders
	case one && keys.Encoder != "":
		return []string{keys.Encoder}
	case !d.badInside(path):
		d.report(d.find(path).key, path, false, "names no encoder; write encoder: NAME, or encoders: [NAME, NAME]")
	}
	return nil
}

// badInside reports whether there is an error at path, or just inside it at a key that says which encoder is meant.
func (d *decoder) badInside(path string) bool {
	return d.bad[path] || d.bad[join(path, "encoder")] || d.bad[join(path, "encoders")] || d.unknownInside(path)
}

func (d *decoder) unknownInside(path string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool {
		return strings.HasPrefix(p.Key, path+".enc") && strings.HasPrefix(p.Text, "unknown key")
	})
}

// identify finds out account and name, compiles patterns and refuses what is there twice.
func (d *decoder) identify(s *Stream, f field, path string, c *Config) bool {
	account, name, slash := strings.Cut(f.name, "/")
	switch {
	case slash && c.Accounts[account] != nil:
	case len(c.Accounts) == 1:
		for account = range c.Accounts {
			name = f.name
		}
	case len(c.Accounts) == 0:
		if _, empty := d.at["accounts"]; !d.bad["accounts"] {
			d.report(d.placeOf(f.key), path, false, "belongs to no account; name the platform's account under accounts%s", map[bool]string{true: ", which is empty"}[empty])
		}
		return false
	case slash:
		d.fail(f.key, path, "%q is not an account%s; allowed: %s", account, didYouMean(account, accountIDs(c)), strings.Join(accountIDs(c), ", "))
		return false
	default:
		d.fail(f.key, path, "several accounts are configured, so write ACCOUNT/%s; accounts: %s", f.name, strings.Join(accountIDs(c), ", "))
		return false
	}
	s.Account, s.Name, s.ID = account, name, account+"/"+name
	if name == "" || utf8.RuneCountInString(name) > 128 {
		d.fail(f.key, path, "a stream's name has 1 to 128 characters")
		return false
	}
	if s.IsPattern = strings.ContainsAny(name, "*?"); s.IsPattern && !plainWord.MatchString(strings.NewReplacer("*", "", "?", "").Replace(name)) {
		d.fail(f.key, path, "this pattern can match nothing: patterns match names of letters, digits, dot, _ and - only")
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

// compile makes * match any characters, as few as the rest allows, and ? exactly one.
func compile(pattern string) *regexp.Regexp {
	expr := wildcard.ReplaceAllStringFunc(pattern, func(w string) string {
		return map[string]string{"*": "\x00", "?": "\x01"}[w]
	})
	expr = strings.NewReplacer("\x00", "(.*?)", "\x01", "(.)").Replace(regexp.QuoteMeta(expr))
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
	if m == nil {
		return nil, false
	}
	return m[1:], true
}

// Lookup finds the entry for a stream: an exact name before patterns, and the first pattern of the file before later ones. Matches is what
// the pattern's wildcards matched.
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

// timingKeys lists the keys of Timing; those inside a mapping follow with a dot.
func timingKeys() []string {
	var names []string
	for _, k := range shapeOf(reflect.TypeFor[Timing]()).keys {
		if k.typ.Kind() != reflect.Struct {
			names = append(names, k.name)
			continue
		}
		for _, inner := range shapeOf(k.typ).names {
			names = append(names, k.name+"."+inner)
		}
	}
	return names
}

// origins tells for each key of Timing who set it: the stream, the defaults, or nobody.
func (d *decoder) origins(path string) map[string]Origin {
	if d.timing == nil {
		d.timing = timingKeys()
	}
	out := make(map[string]Origin, len(d.timing))
	for _, k := range d.timing {
		out[k] = Origin{}
		for _, p := range []string{path + "." + k, "defaults." + k} {
			if at, ok := d.at[p]; ok {
				out[k] = Origin{at.key.line, p}
				break
			}
		}
	}
	return out
}

func accountIDs(c *Config) []string {
	ids := make([]string, 0, len(c.Accounts))
	for id := range c.Accounts {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
