package configs

import (
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
	"github.com/oncue/oncue/configs/words"
)

func (d *decoder) checkStream(c *Config, s *Stream) {
	path := s.key
	if len(s.own) > 0 {
		d.checkTiming(path, s.Timing)
	}
	d.checkPublish(c, s)
	for i, name := range s.Encoders {
		p := path + ".encoder"
		if len(s.Encoders) > 1 || d.isSet(path+".encoders") {
			p = fmt.Sprintf("%s.encoders[%d]", path, i)
		}
		switch e := c.encoders[name]; {
		case name == "":
			d.wrong(p, "is empty; write the name of an encoder")
		case slices.Contains(s.Encoders[:i], name):
			d.wrong(p, "%q is listed twice", name)
		case e == nil:
			if len(c.encoders) == 0 {
				d.wrong(p, "%q is not an encoder; define it under encoders, which is empty", name)
			} else {
				d.wrong(p, "%q is not an encoder%s", name, encoderChoices(c, name))
			}
		case e.Helper:
			d.wrong(p, "%q is a helper, which publishes nothing; name an encoder%s", name, encoderChoices(c, name))
		default:
			d.checkInstance(s, e, p)
		}
	}
	if name := s.Cover; name != "" {
		if e := c.encoders[name]; e != nil && !e.Helper {
			d.checkInstance(s, e, path+".cover")
		} else {
			d.wrong(path+".cover", "%q is not an encoder%s", name, encoderChoices(c, name))
		}
	}
	if s.IsPattern {
		d.checkPatternSchedule(s)
	}
	if s.Timing.Mode == "failover" && len(s.Encoders) == 1 && d.isSet(path+".mode") {
		d.warn(path+".mode", "failover with one encoder has nothing to fall back to; list several under encoders")
	}
}

// encoderChoices are the words at the end of an error about a name that is no encoder's.
func encoderChoices(c *Config, name string) string {
	var names []string
	for n, e := range c.encoders {
		if !e.Helper {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return choices(name, names)
}

// checkPatternSchedule warns of windows that can start nothing.
func (d *decoder) checkPatternSchedule(s *Stream) {
	if !slices.ContainsFunc(s.Timing.Schedule, func(w Window) bool { return w.Do == "on" }) {
		return
	}
	d.warn(s.key+".schedule",
		"a window with do: on cannot start a stream of a pattern before a viewer has asked for it by name; "+
			"for a stream that must start by itself, write an entry with its full name")
}

var publishSchemes = []string{"rtmp", "rtmps", "srt", "http", "https"}

// checkURL looks at a whole publishing URL.
func (d *decoder) checkURL(s *Stream, path, text string) {
	scheme, rest, ok := strings.Cut(text, "://")
	switch {
	case !ok:
		d.wrong(path, "is not a URL; allowed: rtmps://, rtmp://, srt:// or https:// (WHIP)")
	case !slices.Contains(publishSchemes, strings.ToLower(scheme)):
		d.wrong(path, "this kind of URL cannot be published to%s", choices(scheme, publishSchemes))
	case noHost(text, rest):
		d.wrong(path, "names no host; allowed: %s://HOST/...", strings.ToLower(scheme))
	}
	if !d.bad[path] {
		d.checkDestination(s, path, text)
	}
	for _, m := range ingest.Placeholder.FindAllStringSubmatch(text, -1) {
		switch word := m[1]; {
		case word == "stream" || word == "account":
		case isNumber(word):
			d.checkNumber(path, word, s, "")
		default:
			meant := "{stream}, {account}, and {1}, {2} ... for what * and ? match"
			if near, ok := words.Nearest(word, []string{"stream", "account"}); ok {
				d.wrong(path, "holds an unknown placeholder; did you mean {%s}? allowed: %s", near, meant)
			} else {
				d.wrong(path, "holds an unknown placeholder; allowed: %s", meant)
			}
		}
	}
}

// checkUnused remarks on encoders that do not use what the stream says.
func (d *decoder) checkUnused(c *Config, s *Stream, path string) {
	for _, name := range s.Encoders {
		e := c.encoders[name]
		if e == nil || e.Settings == nil {
			continue
		}
		if p, ok := e.Settings.(Publisher); ok && !p.NeedsPublish() {
			d.remark(path, "encoder %q (%s) does not use it: it publishes where its own settings say%s", name, e.Driver,
				toldBy[e.Driver])
		}
	}
}

// checkDestination warns of a good URL that leads nowhere.
func (d *decoder) checkDestination(s *Stream, path, text string) {
	if s.IsPattern && !ingest.Placeholder.MatchString(text) {
		d.warn(path, "every name that matches %s would publish to the same place; put {stream} into the URL", s.Name)
	}
	u, err := ingest.Parse(text)
	if err != nil || !u.Platform() {
		return
	}
	if u.Token == "" {
		d.warn(path, "holds no publishing token, and the platform takes no stream without one; write %s",
			withToken[strings.TrimSuffix(u.Scheme, "s")])
	}
	if u.App == "v2/pub" && u.Stream != s.Name && !ingest.Placeholder.MatchString(u.Stream) {
		d.warn(path, "names a stream other than %s after /v2/pub/, so viewers of %s would wait forever; write "+
			"{stream} there", s.Name, s.Name)
	}
}

// toldBy says how an encoder of a driver can be told of the publishing URL.
var toldBy = map[string]string{
	"ffmpeg": "; put {publish} into its args",
	"exec":   "; put {publish} into its command",
	"obs":    "; set_service: true puts it into OBS",
}

// withToken is how the platform's URLs are written.
var withToken = map[string]string{
	"rtmp": "rtmps://HOST/v2/pub/{stream}?token=TOKEN",
	"srt":  "srt://HOST:PORT?streamid={stream}%3Ft%3DTOKEN",
	"http": "https://HOST/PATH?auth=TOKEN",
}

// noHost reports whether a URL names no host. It removes placeholders first, because { is not
// allowed in a URL.
func noHost(text, rest string) bool {
	if rest == "" || rest[0] == '/' {
		return true
	}
	u, err := url.Parse(ingest.Placeholder.ReplaceAllString(text, "x"))
	return err == nil && u.Host == ""
}

// needsPublish asks the settings. Without an answer, an ffmpeg needs somewhere to publish to.
func needsPublish(e *Encoder) bool {
	if p, ok := e.Settings.(Publisher); ok {
		return p.NeedsPublish()
	}
	return e.Driver == "ffmpeg"
}

// goesWithout reports whether an encoder publishes where its own settings say if nobody tells it.
func goesWithout(settings any) bool {
	p, ok := settings.(PublishOptional)
	return ok && p.PublishOptional()
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

func (d *decoder) checkNumber(path, number string, s *Stream, whose string) {
	n, _ := strconv.Atoi(number)
	switch have := s.wildcards(); {
	case n >= 1 && n <= have:
	case have == 0:
		d.wrong(path, "{%s} is used, but stream %q%s has no * or ? that it could stand for", number, s.Name, whose)
	default:
		d.wrong(path, "{%s} is used, but stream %q%s has only %d of * and ?", number, s.Name, whose, have)
	}
}

// checkInstance checks one encoder as the stream would use it.
func (d *decoder) checkInstance(s *Stream, e *Encoder, ref string) {
	if e.Settings == nil {
		return // its own errors are reported
	}
	for _, n := range d.numbersOf(e) {
		d.checkNumber(n.path, n.number, s, fmt.Sprintf(" (line %d), which uses this encoder,", s.Line))
	}
	if !s.IsPattern {
		return
	}
	if address := boxOf(e); address != "" && !ingest.Placeholder.MatchString(address) {
		d.wrong(ref, "every name that matches %s would drive the same %s; put {stream} or {1} into the encoder's "+
			"address, or map the names one by one", s.Name, e.Driver)
	}
}

// numbered is one {1}, {2} ... in the settings of an encoder.
type numbered struct{ path, number string }

func (d *decoder) numbersOf(e *Encoder) (list []numbered) {
	d.walk(reflect.ValueOf(e.Settings), join("encoders", e.Name)+"."+e.Driver, func(path, text string) {
		for _, m := range ingest.Placeholder.FindAllStringSubmatch(text, -1) {
			if isNumber(m[1]) {
				list = append(list, numbered{path, m[1]})
			}
		}
	})
	return list
}

// checkUse warns of encoders that no stream uses, or that are the same box as another.
func (d *decoder) checkUse(c *Config) {
	brokenStreams := slices.ContainsFunc(slices.Collect(maps.Keys(d.bad)),
		func(path string) bool { return strings.HasPrefix(path, "streams") })
	used := make(map[string]bool, len(c.Encoders))
	shared := map[string][]string{}
	for _, s := range c.Streams {
		for _, name := range s.All() {
			if used[name] = true; !s.IsPattern && !(name == s.Cover && boxOf(c.encoders[name]) == "") {
				shared[name] = append(shared[name], s.Name)
			}
		}
	}
	boxes := map[string]*Encoder{}
	for _, e := range c.Boxes() {
		path := join("encoders", e.Name)
		if e.Helper {
			path = join("helpers", e.Name)
		} else if !used[e.Name] && len(c.Streams) > 0 && !brokenStreams {
			d.warn(path, "no stream uses this encoder")
		}
		if streams := shared[e.Name]; len(streams) > 1 {
			d.remark(path, "%s share it, and it serves one stream at a time: while one is on, the others wait",
				listed(streams))
		}
		address := boxOf(e)
		if other := boxes[address]; address != "" && other != nil {
			way := "use one encoder for both streams, so that they take turns"
			if e.Helper {
				way = "use one of the two for both"
			}
			d.warn(path, "drives the same %s as %s %q (line %d); %s", e.Driver, other.word(), other.Name, other.Line, way)
		} else {
			boxes[address] = e
		}
	}
}

// listed names the first few of many.
func listed(names []string) string {
	const most = 4
	if rest := len(names) - most; rest > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), rest)
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func boxOf(e *Encoder) string {
	if e == nil {
		return ""
	}
	if b, ok := e.Settings.(Box); ok {
		return b.Address()
	}
	return ""
}

// walk calls fn with every text in settings that is not empty, and the path of its key.
func (d *decoder) walk(v reflect.Value, path string, fn func(path, text string)) {
	switch {
	case !v.IsValid():
		return
	case v.Type() == secretType:
		fn(path, v.Interface().(secret.Value).Reveal())
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		d.walk(v.Elem(), path, fn)
	case reflect.String:
		fn(path, v.String())
	case reflect.Struct:
		for _, k := range d.shape(v.Type()).keys {
			if f := v.FieldByIndex(k.index); !f.IsZero() {
				d.walk(f, join(path, k.name), fn)
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			d.walk(v.MapIndex(k), join(path, k.String()), fn)
		}
	case reflect.Slice:
		for i := range v.Len() {
			d.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i), fn)
		}
	}
}
