package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/oncue/oncue/configs/ingest"
	"github.com/oncue/oncue/configs/secret"
)

// Options are what the loader needs in addition to the file.
//
// Settings of drivers are structs whose keys have a `yaml:"name"` tag; embedded structs stand
// inline, and fields without the tag are not keys. Types may be string, bool, numbers,
// [time.Duration] (which also reads days), [secret.Value], [netip.Prefix], any (free YAML),
// anything with UnmarshalText, and slices, maps by string, structs and pointers of those. For a
// list of structs, one mapping may stand alone. More tags: `doc:"…"` says what the key is for,
// `enum:"a,b"` lists the words that are allowed (of each element, for lists; of a secret, the words
// that are none), `min:"1s"` and `max:"…"` bound numbers and durations (durations are never
// negative without a min), `shown:"yes"` marks texts that name an address, a path or a choice, and
// so are no secret (see package secret) and may stand in [Config.Archive], `hint:"…"` is added to
// an error about the kind of value. Struct values that implement [Prefiller], [Presetter],
// [Validator], [JoinedValidator], [SecretRefuser], [Noter], [Publisher], [PublishOptional],
// [Layered], [Simulcaster], [HelperOnly] or [Box] are asked.
type Options struct {
	Drivers map[string]func() any              // by driver key: a pointer to that driver's settings, defaults filled in
	Env     func(name string) (string, bool)   // for ${NAME}; nil: os.LookupEnv
	Open    func(path string) (fs.File, error) // for ${file:PATH}; nil: the file system

	// Also checks what the loader cannot know, such as files and services that are used later; it
	// may be nil. Each of its errors reads "path.of.key: what is wrong, and what is allowed" and is
	// shown at that key, unless the key has an error already. The configuration that it gets may
	// have errors, so it must expect any value. Texts hold no secret.
	Also func(*Config) []error

	mode fs.FileMode // of the file that is read; 0: not known
}

// Prefiller is implemented (on the pointer) by structs inside settings that have defaults of their
// own: elements of lists and maps, and what pointers point to. Options.Drivers prefills the
// settings themselves.
type Prefiller interface{ Prefill() }

// Presetter is implemented by settings with a `preset` key. PresetYAML returns the YAML mapping of
// that name, over which the file's own keys are laid: mappings key by key, other values as a whole.
// Its error is shown at the key, and should list the names that exist.
type Presetter interface {
	PresetYAML(name string) ([]byte, error)
}

// Validator is implemented by settings whose rules tags cannot express. Validate returns all
// findings; one that reads "key: what is wrong, and what is allowed", such as "start.path: must
// begin with /", is shown at that key. It is called even when decoding found errors. Texts hold no
// secret.
type Validator interface{ Validate() []error }

// JoinedValidator is a Validator that joins its findings with [errors.Join].
type JoinedValidator interface{ Validate() error }

// SecretRefuser is implemented by settings with texts in which no secret may stand, because others
// can read them. RefuseSecrets gets the secrets of the settings, and returns findings like those of
// a Validator.
type SecretRefuser interface{ RefuseSecrets([]secret.Value) error }

// Noter is implemented by settings that may hold useless keys, which are no errors. Notes are like
// the findings of a Validator; it is called only for settings without errors.
type Noter interface{ Notes() []error }

// Publisher is implemented by settings of encoders that do not always need the stream's `publish`.
type Publisher interface{ NeedsPublish() bool }

// PublishOptional is implemented by a [Publisher] that may use the stream's `publish` where there
// is one, and go without where there is none.
type PublishOptional interface{ PublishOptional() bool }

// Layered is implemented by settings of encoders that can publish one picture in several qualities,
// each to a URL of its own. Layers are how many; 0: it publishes to the stream's URL. Silent says
// that none of them has sound.
type Layered interface{ Layers() (n int, silent bool) }

// Simulcaster is implemented by settings of encoders that cannot always send several qualities by
// themselves over one URL. Simulcasts returns why not by this protocol, and the way out.
type Simulcaster interface{ Simulcasts(p ingest.Protocol) error }

// HelperOnly is implemented by settings of drivers that can publish nothing.
type HelperOnly interface{ HelperOnly() }

// Box is implemented by settings of encoders that are one physical thing, such as an OBS or a
// device. Address identifies it: "obs 10.0.0.5:4455". It may hold placeholders, and is "" for no
// thing in particular.
type Box interface{ Address() string }

// maxFile bounds the configuration file, bytes.
const maxFile = 16 << 20

// Load reads the file at path, with references to the environment and the file system.
func Load(path string, drivers map[string]func() any) (*Config, []Problem, error) {
	return Options{Drivers: drivers}.Load(path)
}

// Load reads the file at path. It returns a configuration and warnings, or an error: [Problems] if
// the file could be read, else one that wraps the cause.
func (o Options) Load(path string) (*Config, []Problem, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer f.Close()
	var text bytes.Buffer
	info, err := f.Stat()
	if err == nil && info.Size() <= maxFile {
		text.Grow(int(info.Size()) + bytes.MinRead)
	}
	if _, err := text.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return nil, nil, fmt.Errorf("read the configuration: %w", err)
	}
	data := text.Bytes()
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("read the configuration: %s is larger than %s", path, Size(maxFile))
	}
	if err != nil {
		return o.Parse(path, data)
	}
	o.mode = info.Mode()
	c, warnings, err := o.Parse(path, data)
	if err == nil {
		c.Modified = info.ModTime()
	}
	return c, warnings, err
}

// Parse is Load for a text. Problems name file, and relative ${file:PATH} start in its folder.
func (o Options) Parse(file string, data []byte) (*Config, []Problem, error) {
	d := newDecoder(file, o, bytes.Count(data, []byte{':'}))
	root, err := parseYAML(data)
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		d.report(syntax.place, "yaml", false, "%s", syntax.text)
		return d.finish(nil)
	}
	return d.finish(d.decode(root, o))
}

// decode makes a configuration from the top value of a file, which is nil for an empty file.
func (d *decoder) decode(root *yaml.Node, o Options) *Config {
	c := Default()
	c.File = d.file
	if root != nil {
		d.structure(root, reflect.ValueOf(c).Elem(), "",
			rule{hint: "; the top of the file is keys such as listen:, encoders:, streams:"})
	}
	for id, a := range c.Accounts {
		a.ID = id
	}
	c.encoders = map[string]*Encoder{}
	c.Encoders = d.encoders(c, "encoders", o.Drivers)
	c.Helpers = d.encoders(c, "helpers", o.Drivers)
	d.streams(c)
	d.check(c)
	d.checkMode(o.mode)
	if o.Also != nil {
		d.validate(errors.Join(o.Also(c)...), "", d.shape(reflect.TypeFor[Config]()))
	}
	return c
}

// newDecoder makes a decoder for a file of about that many keys.
func newDecoder(file string, o Options, keys int) *decoder {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.Open == nil {
		o.Open = openRegular
	}
	return &decoder{
		file:    file,
		refs:    references{dir: filepath.Dir(file), env: o.Env, open: o.Open, seen: map[string]lookup{}},
		at:      make(map[string]keyPlace, keys),
		bad:     map[string]bool{},
		own:     map[string]*yaml.Node{},
		foreign: map[*yaml.Node]place{},
		shapes:  map[reflect.Type]shape{},
		hidden:  map[string]string{},
	}
}

// finish sorts and masks the problems, and decides whether the file is valid.
func (d *decoder) finish(c *Config) (*Config, []Problem, error) {
	texts := slices.Sorted(maps.Keys(d.hidden))
	for _, t := range texts {
		c.secrets = append(c.secrets, secret.New(t))
	}
	if len(d.problems) > 0 {
		m := secret.NewMasker()
		for _, t := range texts {
			m.KnowAs(t, d.hidden[t])
		}
		for i := range d.problems {
			d.problems[i].Text = m.Mask(d.problems[i].Text)
		}
	}
	sortProblems(d.problems)
	var errs Problems
	var warnings []Problem
	for _, p := range d.problems {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	if len(errs) > 0 {
		return nil, slices.DeleteFunc(warnings, func(p Problem) bool { return p.Note }), errs
	}
	return c, warnings, nil
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
